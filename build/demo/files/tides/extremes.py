"""High and low water."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Literal

from .harbour import Harbour
from .predict import level, series

GOLDEN = (sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Extreme:
    """A turning point of the tide."""

    time: datetime
    height: float
    kind: Literal["high", "low"]


def extremes(
    harbour: Harbour, start: datetime, end: datetime, step: timedelta = timedelta(minutes=20)
) -> list[Extreme]:
    """The turning points between start and end, in order.

    The curve is sampled every step; wherever the middle one of three samples is the highest or the lowest, the turning
    point between its neighbours is searched. Two of them within one step of each other would be missed: no tide does
    that in twenty minutes.
    """
    found: list[Extreme] = []
    samples = list(series(harbour, start - step, end + step, step))
    for (before, left), (_, middle), (after, right) in zip(samples, samples[1:], samples[2:]):
        if left < middle >= right:
            extreme = _search(harbour, before, after, "high")
        elif left > middle <= right:
            extreme = _search(harbour, before, after, "low")
        else:
            continue
        if start <= extreme.time < end:
            found.append(extreme)
    return found


def _search(harbour: Harbour, low: datetime, high: datetime, kind: Literal["high", "low"]) -> Extreme:
    """Golden-section search, down to a second."""
    sign = 1 if kind == "high" else -1
    while high - low > timedelta(seconds=1):
        inner = high - (high - low) * GOLDEN
        outer = low + (high - low) * GOLDEN
        if sign * level(harbour, inner) > sign * level(harbour, outer):
            high = outer
        else:
            low = inner
    time = low + (high - low) / 2
    return Extreme(time, level(harbour, time), kind)
