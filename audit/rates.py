"""Declared error rates: what is known of an instrument when no person has labelled its images.

A rate is the chance that the instrument names a class where a viewer sees that class. For two classes a range is
enough; for more only whole confusion matrices say where the errors go, and without one there is no band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.config import read_mapping
from audit.errors import UsageError, nearest

_TOLERANCE = 0.005
"""Rows of published matrices are rounded: one may miss 1 by this much, and is then scaled to 1."""


@dataclass(frozen=True)
class Rates:
    """Declared error rates of one instrument for one attribute."""

    attribute: str
    source: str
    ranges: tuple[tuple[float, float], ...] = ()
    """For two classes: lowest and highest chance to be named rightly, a pair a class."""
    matrices: npt.NDArray[np.float64] | None = None
    """For any number of classes: confusion matrices, M × k × k, P(named | seen), rows what viewers see."""


def read_rates(path: Path, questions: Mapping[str, Sequence[str]]) -> dict[str, Rates]:
    """Error rates of a YAML file, by attribute.

    The file maps each attribute to its classes, and each class to one rate, to a `[lowest, highest]` range, or to a
    mapping from the class named to its rate (a row of a confusion matrix). `source` says where they come from.

    Args:
        path: the file.
        questions: attribute → classes, as the run asks them.

    Raises:
        UsageError: if the file cannot be read, or a rate does not fit; in one line.
    """
    given = read_mapping(path)
    source = str(given.pop("source", path.name))
    found = {}
    for attribute, value in given.items():
        if attribute not in questions:
            raise UsageError(f"{path.name}: attribute {attribute!r} is not labelled. {nearest(attribute, questions)}")
        found[attribute] = rates_of(attribute, questions[attribute], value, source, path.name)
    return found


def rates_of(attribute: str, classes: Sequence[str], value: object, source: str, where: str) -> Rates:
    """The error rates of one attribute from the mapping of a file or a card.

    Raises:
        UsageError: if classes are missing or unknown, a rate lies outside 0 … 1, the rows of a matrix do not add up
            to 1, or three classes or more are given without a confusion matrix.
    """
    at = f"{where}: {attribute}"
    if isinstance(value, Mapping) and set(value) == {"matrices"} and isinstance(value["matrices"], list):
        many = [_matrix(at, classes, each) for each in value["matrices"]]
        return Rates(attribute, source, matrices=np.array(many))
    if isinstance(value, Mapping) and value and all(isinstance(row, Mapping) for row in value.values()):
        return Rates(attribute, source, matrices=np.array([_matrix(at, classes, value)]))
    rows = _complete(at, classes, value)
    if len(classes) > 2:
        raise UsageError(
            f"{at} has {len(classes)} classes: rates of right answers do not say where the errors go. "
            "Give a whole confusion matrix: class seen → class named → rate."
        )
    return Rates(attribute, source, ranges=tuple(_range(at, name, rows[name]) for name in classes))


def _complete(where: str, classes: Sequence[str], value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != set(classes):
        got = ", ".join(map(str, value)) if isinstance(value, Mapping) else repr(value)
        raise UsageError(f"{where} needs a rate for each of {', '.join(classes)} (got {got}).")
    return value


def _matrix(where: str, classes: Sequence[str], value: object) -> npt.NDArray[np.float64]:
    rows = _complete(where, classes, value)
    matrix = np.zeros((len(classes), len(classes)))
    for y, seen in enumerate(classes):
        row = _complete(f"{where}: {seen}", classes, rows[seen])
        matrix[y] = [_rate(f"{where}: {seen}", row[named]) for named in classes]
        total = matrix[y].sum()
        if abs(total - 1) > _TOLERANCE:
            raise UsageError(f"{where}: the rates of {seen!r} add up to {total:.4g}, not 1. Give one for every class.")
        matrix[y] /= total
    if np.linalg.matrix_rank(matrix, tol=1e-3) < len(classes):
        raise UsageError(f"{where}: this confusion matrix cannot be inverted: it does not tell the classes apart.")
    return matrix


def _range(where: str, name: str, value: object) -> tuple[float, float]:
    ends = value if isinstance(value, list) else [value, value]
    if len(ends) != 2:
        raise UsageError(f"{where}: {name} must be a rate or [lowest, highest] (got {value!r}).")
    low, high = (_rate(f"{where}: {name}", end) for end in ends)
    if low > high or low <= 0.5:
        raise UsageError(
            f"{where}: {name} must rise from lowest to highest, both above one half, or nothing is measured "
            f"(got {value!r})."
        )
    return low, high


def _rate(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        hint = " Divide percentages by 100." if isinstance(value, int | float) and 1 < value <= 100 else ""
        raise UsageError(f"{where}: a rate lies between 0 and 1 (got {value!r}).{hint}")
    return float(value)
