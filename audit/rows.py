"""Small CSV files that people bring: columns checked, lines numbered, every fault one clear line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from audit.errors import UsageError, nearest


class Row(NamedTuple):
    """One line of a CSV."""

    where: str
    """`labels.csv: line 4`."""
    cells: dict[str, str]
    """Column → text, without blanks around it; every needed column is there."""


def read_rows(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """The lines of a CSV (UTF-8, with a header) that has the needed columns and at most the optional ones besides.

    Raises:
        UsageError: if the file cannot be read, is no CSV, lacks a column, has one that is unknown or twice, or holds no
            line.
    """
    lines = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in lines.fieldnames or ()]
        _check(path, columns, needed, optional)
        lines.fieldnames = columns
        rows = []
        for line in lines:
            where = f"{path.name}: line {lines.line_num}"
            if None in line or None in line.values():
                raise UsageError(f"{where} has not as many cells as the header. Put cells with commas in quotes.")
            rows.append(Row(where, {name: str(text).strip() for name, text in line.items()}))
    except csv.Error as error:
        raise UsageError(f"{path.name}: line {lines.line_num} is no CSV: {error}. Correct it.") from None
    if not rows:
        raise UsageError(f"{path.name} holds no line below its header. Give at least one.")
    return rows


def probability(row: Row, column: str) -> float:
    """A probability above 0 and up to 1.

    Raises:
        UsageError: if the cell holds anything else.
    """
    try:
        value = float(row.cells[column])
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise UsageError(
            f"{row.where}: {column} must be above 0 and at most 1 (got {row.cells[column]!r}). "
            "Give 1 where every image was labelled."
        )
    return value


def whole(row: Row, column: str) -> int:
    """A whole number of 0 or more.

    Raises:
        UsageError: if the cell holds anything else.
    """
    text = row.cells[column]
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{row.where}: {column} must be a whole number of 0 or more (got {text!r}). Count images.")
    return int(text)


def _check(path: Path, columns: Sequence[str], needed: Sequence[str], optional: Sequence[str]) -> None:
    for name in needed:
        if name not in columns:
            raise UsageError(f"{path.name} lacks the column {name!r} (it has {', '.join(columns) or 'none'}). Add it.")
    for name in columns:
        if name not in (*needed, *optional):
            raise UsageError(f"{path.name} has an unknown column {name!r}. {nearest(name, (*needed, *optional))}")
        if columns.count(name) > 1:
            raise UsageError(f"{path.name} has the column {name!r} twice. Remove one.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
