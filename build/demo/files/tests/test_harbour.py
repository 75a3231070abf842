"""Reading harbours."""

import tempfile
import unittest
from pathlib import Path

from tides import load, names
from tides.harbour import read

HEADER = "constituent,amplitude_m,phase_deg\n"


class LoadTest(unittest.TestCase):
    def test_every_harbour_can_be_read(self):
        self.assertEqual(names(), ["grey-skerry", "port-ellery", "saltmarsh"])
        for name in names():
            harbour = load(name)
            self.assertIn("M2", harbour.constants)
            self.assertGreater(harbour.mean, 0)

    def test_an_unknown_harbour_is_answered_with_the_known_ones(self):
        with self.assertRaisesRegex(LookupError, "no harbour 'atlantis'; there are: grey-skerry"):
            load("atlantis")

    def test_a_title_is_made_of_the_name(self):
        self.assertEqual(load("port-ellery").title, "Port Ellery")


class ReadTest(unittest.TestCase):
    def read(self, rows: str):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cove.csv"
            path.write_text(HEADER + rows, encoding="utf-8")
            return read(path)

    def test_a_good_file_becomes_a_harbour(self):
        harbour = self.read("Z0,2.10,0\nM2,1.43,112\n")
        self.assertEqual((harbour.name, harbour.mean), ("cove", 2.10))
        self.assertEqual(harbour.constants, {"M2": (1.43, 112.0)})

    def test_errors_name_the_file_and_the_line(self):
        for rows, message in (
            ("Z0,1,0\nX9,1,0\n", "cove.csv, line 3: unknown constituent 'X9'"),
            ("M2,high,0\n", "cove.csv, line 2: amplitude and phase of M2 must be numbers"),
            ("M2,1,0\nM2,1,0\n", "cove.csv, line 3: M2 occurs twice"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                self.read(rows)


if __name__ == "__main__":
    unittest.main()
