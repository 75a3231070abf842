"""A day of tide as text."""

from __future__ import annotations

from datetime import datetime, timedelta

from .harbour import Harbour
from .predict import level

MARGIN = 7


def plot(harbour: Harbour, start: datetime, hours: int = 24, width: int = 72, height: int = 14) -> str:
    """The curve, with metres at the left and hours below."""
    step = timedelta(hours=hours) / (width - 1)
    heights = [level(harbour, start + step * column) for column in range(width)]
    bottom, top = min(heights), max(heights)
    span = (top - bottom) or 1.0
    rows = [round((top - value) / span * (height - 1)) for value in heights]
    lines = []
    for row in range(height):
        metres = top - span * row / (height - 1)
        curve = "".join("*" if rows[column] == row else " " for column in range(width))
        lines.append(f"{metres:5.2f} |{curve.rstrip()}")
    lines.append(" " * (MARGIN - 1) + "+" + "-" * width)
    lines.append(_hours(start, hours, width))
    return "\n".join(lines) + "\n"


def _hours(start: datetime, hours: int, width: int) -> str:
    """Every third hour, below its column."""
    line = [" "] * (MARGIN + width + 2)
    for hour in range(0, hours + 1, 3):
        label = f"{(start + timedelta(hours=hour)).hour:02d}"
        at = MARGIN + round(hour / hours * (width - 1))
        line[at : at + 2] = label
    return "".join(line).rstrip()
