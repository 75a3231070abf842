"""The harmonic sum: the height of the water at any time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from math import cos, radians

from .constituents import SPEEDS
from .harbour import Harbour

EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
"""Where the phases of the constants begin."""


def level(harbour: Harbour, time: datetime) -> float:
    """Metres above chart datum. The time must have a time zone."""
    if time.tzinfo is None:
        raise ValueError("a time without a time zone has no tide; use timezone.utc")
    hours = (time - EPOCH) / timedelta(hours=1)
    waves = (
        amplitude * cos(radians(SPEEDS[name] * hours - phase))
        for name, (amplitude, phase) in harbour.constants.items()
    )
    return harbour.mean + sum(waves)


def series(
    harbour: Harbour, start: datetime, end: datetime, step: timedelta
) -> Iterator[tuple[datetime, float]]:
    """Time and height from start up to, and not including, end."""
    if step <= timedelta(0):
        raise ValueError("the step must be longer than nothing")
    time = start
    while time < end:
        yield time, level(harbour, time)
        time += step
