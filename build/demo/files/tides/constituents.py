"""The speeds of the tidal constituents, read once from data/constituents.csv."""

from __future__ import annotations

import csv
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"


def _read_speeds(path: Path) -> dict[str, float]:
    with path.open(newline="", encoding="utf-8") as lines:
        return {row["name"]: float(row["speed_deg_per_hour"]) for row in csv.DictReader(lines)}


SPEEDS: dict[str, float] = _read_speeds(DATA / "constituents.csv")
"""Degrees per hour, by the name of the constituent."""
