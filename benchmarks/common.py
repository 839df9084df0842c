"""What all benchmarks share: one row of the table, and timing that compares fairly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the printed table."""

    name: str
    ratio: float
    """How many times as fast (or as small) ours is."""
    target: float
    """The least ratio that is asked for; 0 where the ratio is only reported."""
    met: bool
    note: str = ""


def row(name: str, ratio: float, target: float, note: str = "") -> Row:
    """A row that is met if the ratio reaches the target."""
    return Row(name, ratio, target, ratio >= target, note)


def interleaved(ways: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, measured in turns so that a busy machine slows all of them alike.

    Every way is run once before, unmeasured. Compare ways with one thread only: with several on a shared machine torch
    can collapse.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def table(rows: Sequence[Row]) -> str:
    """The rows as lines of text."""
    width = max((len(r.name) for r in rows), default=0)
    lines = []
    for r in rows:
        asked, verdict = (f"≥ {r.target:g} ×", "met" if r.met else "NOT MET") if r.target else ("reported", "")
        lines.append(f"{r.name:<{width}}  {r.ratio:>9,.2f} ×  {asked:<10}  {verdict:<7}  {r.note}".rstrip())
    return "\n".join(lines)
