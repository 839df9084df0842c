"""What an experiment is: cells that are simulated one by one, and a judge that makes one line of the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Cell = Mapping[str, Any]
"""Parameters of one simulation, JSON-able."""
Result = Mapping[str, Any]
"""What came out of one cell, JSON-able numbers."""


class Line(NamedTuple):
    """One line of docs/validity.md."""

    experiment: str
    target: str
    figure: str
    """What was measured, in words and numbers."""
    naive: str
    """The same for the method that others use, or – where there is none."""
    met: bool
    remark: str = ""
    """Why a target is not met, or how it was measured."""


@dataclass(frozen=True)
class Experiment:
    """One promise and the simulation that checks it."""

    name: str
    target: str
    cells: Sequence[Cell]
    """Independent pieces: each is stored when it is done, so that a killed benchmark continues."""
    run: Callable[[Cell, int, np.random.Generator], Result]
    """One cell, so many repetitions, with this generator of random numbers."""
    judge: Callable[[Sequence[tuple[Cell, Result]], float], Line]
    """All cells → one line. The second argument is a tolerance in Monte-Carlo standard errors: 0 in the benchmark, 4 in
    the tests, which repeat less."""
    repeats: int
    """Repetitions of a cell in the benchmark."""
    small: int
    """Repetitions of a cell in the tests: a second or two for all cells tested."""
    tested: Sequence[Cell] = ()
    """Cells that the tests run; by default all."""


def standard_error(share: float, repeats: int) -> float:
    """Monte-Carlo standard error of a share of so many repetitions, never 0."""
    smoothed = (share * repeats + 1) / (repeats + 2)
    return float(np.sqrt(smoothed * (1 - smoothed) / repeats))
