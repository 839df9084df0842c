"""Tables beside images: their rows, and which file each names."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from probes.probe import SuiteError

FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_file", "image_name", "image_path", "path", "filepath")
"""Usual names of a column of file names, in small letters."""


class FolderError(SuiteError):
    """A folder cannot be imported as asked. The message is one line: what was wrong, what was got, what to do."""


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and row, column → text; a byte-order mark and `;` or tabs between the columns are fine."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(file, delimiter=delimiter, restval="", restkey="")
            for row in reader:
                yield reader.line_num, {key: str(value).strip() for key, value in row.items() if key}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FolderError(f"{path.name} cannot be read as CSV in UTF-8: {' '.join(str(error).split())}") from None


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


def matches_of(places: Sequence[Mapping[str, list[str]]], name: str) -> list[str]:
    """The files that a name may mean: another ending or lacking folders are passed over if nothing fits better."""
    for place, key in zip(places, _keys(name), strict=True):
        if key in place:
            return place[key]
    return []
