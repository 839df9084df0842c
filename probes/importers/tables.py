"""Tables beside images: their rows, and which file each names."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from probes.importers.metadata.record import sound
from probes.probe import SuiteError

FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_file", "image_name", "image_path", "path", "filepath")
"""Usual names of a column of file names, in small letters."""


class FolderError(SuiteError):
    """A folder cannot be imported as asked. The message is one line: what was wrong, what was got, what to do."""


def header_of(path: Path) -> list[str]:
    """The columns of a table: of a CSV those of its header, of JSONL every key that an object has.

    Raises:
        FolderError: as `rows_of`.
    """
    if path.suffix.lower() != ".jsonl":
        return list(next(rows_of(path), (0, {}))[1])
    return list(dict.fromkeys(key for _, row in rows_of(path) for key in row))


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and row, column → text, of a CSV in UTF-8 or of JSONL: a JSON object a line.

    In a CSV a byte-order mark and `;` or tabs between the columns are fine. Values in JSONL that are no text are
    written as JSON.

    Raises:
        FolderError: if the table cannot be read.
    """
    rows = _objects(path) if path.suffix.lower() == ".jsonl" else _lines(path)
    try:
        yield from rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        kind = path.suffix.lower().lstrip(".").upper() if path.suffix.lower() == ".jsonl" else "CSV"
        raise FolderError(f"{path.name} cannot be read as {kind} in UTF-8: {' '.join(str(error).split())}") from None


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=head.count)
        reader = csv.DictReader(file, delimiter=delimiter, restval="", restkey="")
        for row in reader:
            yield reader.line_num, {key: str(value).strip() for key, value in row.items() if key}


def _objects(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                texts = {key: _text(row[key]) for key in row} if isinstance(row, dict) else None
            except (ValueError, RecursionError) as error:
                reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]
                raise FolderError(
                    f"{path.name}, line {number} is no JSON ({reason}). Write one JSON object a line."
                ) from None
            if texts is None:
                raise FolderError(
                    f"{path.name}, line {number} should be a JSON object (got {type(row).__name__}). "
                    "Write one JSON object a line."
                )
            yield number, {sound(key): sound(text).strip() for key, text in texts.items() if key}


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def places_of(files: Iterable[str]) -> list[dict[str, list[str]]]:
    """Files by whole path, path without ending, name, and name without ending."""
    places: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
    for name in files:
        for place, key in zip(places, _keys(name), strict=True):
            place[key].append(name)
    return places


def _keys(name: str) -> tuple[str, str, str, str]:
    path = PurePosixPath(name)
    return name, path.with_suffix("").as_posix(), path.name, path.stem


def name_of(cell: str) -> str:
    """What a cell calls a file, as a relative path with slashes: `/ceo/1.png` and `ceo\\1.png` are `ceo/1.png`."""
    return PurePosixPath(cell.replace("\\", "/").lstrip("/")).as_posix()


def matches_of(places: Sequence[Mapping[str, list[str]]], *names: str) -> list[str]:
    """The files that a name may mean: another ending or lacking folders are passed over if nothing fits better.

    Of several ways to write it the first that fits as well as any other counts.
    """
    for place, keys in zip(places, zip(*map(_keys, names), strict=True), strict=True):
        for key in keys:
            if key in place:
                return place[key]
    return []
