"""The harmonic sum."""

import unittest
from datetime import datetime, timedelta, timezone
from math import cos, radians

from tides import Harbour, level, load, names, series
from tides.constituents import SPEEDS
from tides.predict import EPOCH

HOUR = timedelta(hours=1)


class LevelTest(unittest.TestCase):
    def test_one_constituent_is_a_cosine(self):
        harbour = Harbour("pure", 1.5, {"M2": (2.0, 30.0)})
        for hours in (0, 1, 6.21, 1000):
            expected = 1.5 + 2.0 * cos(radians(SPEEDS["M2"] * hours - 30.0))
            self.assertAlmostEqual(level(harbour, EPOCH + hours * HOUR), expected)

    def test_the_sum_is_linear(self):
        time = datetime(2026, 3, 20, 9, 27, tzinfo=timezone.utc)
        whole = load("port-ellery")
        parts = [Harbour(name, 0.0, {name: constant}) for name, constant in whole.constants.items()]
        self.assertAlmostEqual(level(whole, time), whole.mean + sum(level(part, time) for part in parts))

    def test_the_mean_over_a_year_is_z0(self):
        for name in names():
            harbour = load(name)
            heights = [height for _, height in series(harbour, EPOCH, EPOCH + 8766 * HOUR, HOUR)]
            self.assertAlmostEqual(sum(heights) / len(heights), harbour.mean, places=2)

    def test_a_time_without_a_zone_is_refused(self):
        with self.assertRaises(ValueError):
            level(load("saltmarsh"), datetime(2026, 3, 20))


class SeriesTest(unittest.TestCase):
    def test_it_begins_at_the_start_and_stops_before_the_end(self):
        times = [time for time, _ in series(load("saltmarsh"), EPOCH, EPOCH + 3 * HOUR, HOUR)]
        self.assertEqual(times, [EPOCH, EPOCH + HOUR, EPOCH + 2 * HOUR])

    def test_a_step_that_leads_nowhere_is_refused(self):
        with self.assertRaises(ValueError):
            list(series(load("saltmarsh"), EPOCH, EPOCH + HOUR, timedelta(0)))


if __name__ == "__main__":
    unittest.main()
