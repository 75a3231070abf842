"""The command line: list, table, plot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone

from .extremes import extremes
from .harbour import load, names
from .plot import plot


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if it worked, 1 if the data is wrong, 2 (from argparse) if the command is."""
    options = _parser().parse_args(argv)
    try:
        print(options.run(options), end="")
    except (LookupError, ValueError) as error:
        print(f"tides: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tides", description="Tide prediction by harmonic analysis.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the harbours there are")
    listing.set_defaults(run=lambda _: "".join(f"{name}\n" for name in names()))

    table = commands.add_parser("table", help="high and low water")
    table.add_argument("harbour")
    table.add_argument("--date", type=date.fromisoformat, default=_today(), help="first day, default today (UTC)")
    table.add_argument("--days", type=int, default=1)
    table.set_defaults(run=_table)

    curve = commands.add_parser("plot", help="one day as a curve")
    curve.add_argument("harbour")
    curve.add_argument("--date", type=date.fromisoformat, default=_today(), help="default today (UTC)")
    curve.set_defaults(run=lambda options: plot(load(options.harbour), _midnight(options.date)))
    return parser


def _table(options: argparse.Namespace) -> str:
    harbour = load(options.harbour)
    lines: list[str] = []
    for day in range(options.days):
        start = _midnight(options.date + timedelta(days=day))
        lines.append(f"{harbour.title}, {start:%Y-%m-%d} (UTC)")
        for extreme in extremes(harbour, start, start + timedelta(days=1)):
            lines.append(f"  {extreme.time:%H:%M}  {extreme.kind:<5} {extreme.height:6.2f} m")
    return "\n".join(lines) + "\n"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=timezone.utc)


def _today() -> date:
    return datetime.now(timezone.utc).date()
