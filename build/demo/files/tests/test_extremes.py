"""High and low water."""

import unittest
from datetime import datetime, timedelta, timezone

from tides import Harbour, extremes, level, load, names

START = datetime(2026, 3, 20, tzinfo=timezone.utc)
MONTH = timedelta(days=30)


class ExtremesTest(unittest.TestCase):
    def test_high_and_low_alternate(self):
        for name in names():
            kinds = [extreme.kind for extreme in extremes(load(name), START, START + MONTH)]
            self.assertTrue(all(one != other for one, other in zip(kinds, kinds[1:])), name)

    def test_they_are_turning_points(self):
        harbour = load("grey-skerry")
        for extreme in extremes(harbour, START, START + MONTH):
            sign = 1 if extreme.kind == "high" else -1
            for minutes in (-2, 2):
                beside = level(harbour, extreme.time + timedelta(minutes=minutes))
                self.assertGreaterEqual(sign * extreme.height, sign * beside)

    def test_a_pure_lunar_tide_is_high_every_twelve_hours_and_25_minutes(self):
        moon = Harbour("moon", 0.0, {"M2": (1.0, 0.0)})
        highs = [extreme for extreme in extremes(moon, START, START + MONTH) if extreme.kind == "high"]
        for one, other in zip(highs, highs[1:]):
            self.assertAlmostEqual((other.time - one.time) / timedelta(hours=1), 12.4206, places=2)
            self.assertAlmostEqual(one.height, 1.0, places=6)

    def test_they_lie_within_the_time_asked_for(self):
        found = extremes(load("port-ellery"), START, START + timedelta(days=1))
        self.assertEqual(len(found), 4)
        for extreme in found:
            self.assertTrue(START <= extreme.time < START + timedelta(days=1))


if __name__ == "__main__":
    unittest.main()
