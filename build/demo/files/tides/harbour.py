"""Harbours and their harmonic constants, read from data/harbours/."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from .constituents import DATA, SPEEDS

HARBOURS = DATA / "harbours"


@dataclass(frozen=True)
class Harbour:
    """A place with a tide.

    mean is the mean level in metres; constants maps the name of a constituent to its amplitude in metres and its
    phase in degrees.
    """

    name: str
    mean: float
    constants: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.name.replace("-", " ").title()


def names() -> list[str]:
    """The harbours there are files for, in alphabetical order."""
    return sorted(path.stem for path in HARBOURS.glob("*.csv"))


def load(name: str) -> Harbour:
    """The harbour of that name. Raises LookupError if there is none, ValueError if its file is bad."""
    path = HARBOURS / f"{name}.csv"
    if name not in names():
        raise LookupError(f"no harbour {name!r}; there are: {', '.join(names())}")
    return read(path)


def read(path: Path) -> Harbour:
    """Reads one file. Errors name the file and the line."""
    mean = 0.0
    constants: dict[str, tuple[float, float]] = {}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        for row in rows:
            where = f"{path.name}, line {rows.line_num}"
            name = row["constituent"]
            try:
                amplitude, phase = float(row["amplitude_m"]), float(row["phase_deg"])
            except (TypeError, ValueError):
                raise ValueError(f"{where}: amplitude and phase of {name} must be numbers") from None
            if name == "Z0":
                mean = amplitude
            elif name not in SPEEDS:
                raise ValueError(f"{where}: unknown constituent {name!r}")
            elif name in constants:
                raise ValueError(f"{where}: {name} occurs twice")
            else:
                constants[name] = (amplitude, phase)
    return Harbour(path.stem, mean, constants)
