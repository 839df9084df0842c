"""Tables that say what was asked for which image: found beside the images, and read row by row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from probes.importers.asked import Asked, Found
from probes.importers.filenames import shown
from probes.importers.tables import FILE_COLUMNS, FolderError, header_of, matches_of, name_of, places_of, rows_of
from probes.importers.walking import File, LeftOut, Walk
from probes.probe import nearest

LONGEST = 20_000
"""Characters of a prompt, and of any other text that is kept with an image."""
_COLUMNS = {
    "prompt": ("prompt", "text", "caption"),
    "subject": ("subject", "occupation", "profession", "category"),
    "condition": ("condition", "setting", "template"),
    "language": ("language", "lang"),
}


@dataclass(frozen=True)
class Table:
    """A table that names images."""

    path: Path
    name: str
    """Relative to the folder of the images, or its bare name if it lies elsewhere."""
    columns: Mapping[str, str]
    """`file` and what is known of `_COLUMNS` → name of the column."""

    @property
    def base(self) -> str:
        """The folder that its file names start from, if they do not start from that of the images."""
        return self.name.rpartition("/")[0]


def find_tables(
    walk: Walk, folder: Path, table: Path | None, file_column: str | None, prompt_column: str | None
) -> list[Table]:
    """The table asked for, or those that lie in the folder; none if there are none.

    Without one asked for it is the only usable one in the folder itself. Tables called metadata, as Hugging Face's
    imagefolder has one in every folder, belong together.

    Raises:
        FolderError: if the table asked for cannot be used, or several could be meant.
    """
    if table is not None:
        columns = _columns(table, file_column, prompt_column)
        if isinstance(columns, str):
            raise FolderError(f"{table.name}: {columns}")
        within = os.path.relpath(os.path.realpath(table), os.path.realpath(folder))
        name = shown(table.name if within.startswith(os.pardir) else PurePosixPath(within).as_posix())
        return [Table(table, name, columns)]
    usable = []
    for name, path in sorted(walk.tables.items(), key=lambda item: ("/" in item[0], item[0])):
        columns = _columns(path, file_column, prompt_column)
        if not isinstance(columns, str):
            usable.append(Table(path, name, columns))
    here = [each for each in usable if "/" not in each.name]
    if len(here) > 1:
        names = ", ".join(each.name for each in here)
        raise FolderError(f"{folder.name} has several tables of images ({names}). Name one with --table.")
    alone = here and not here[0].name.lower().startswith("metadata.")
    return here if alone else usable


def _columns(path: Path, file_column: str | None, prompt_column: str | None) -> dict[str, str] | str:
    """Columns of the table by what they mean, or a sentence that says what is missing."""
    header = header_of(path)
    known = {name.strip().lower(): name for name in header}

    def pick(given: str | None, names: Sequence[str]) -> str | None:
        wanted = [given.strip().lower()] if given else names
        return next((known[name] for name in wanted if name in known), None)

    for option, given in (("--file-column", file_column), ("--prompt-column", prompt_column)):
        if given and pick(given, ()) is None:
            return f"there is no column {given!r} for {option}; {nearest(given, header)}"
    file = pick(file_column, FILE_COLUMNS)
    if file is None:
        return f"no column names the files (got {', '.join(header) or 'no rows'}). Say which with --file-column."
    columns = {"file": file}
    for meaning, names in _COLUMNS.items():
        column = pick(prompt_column if meaning == "prompt" else None, names)
        if column is not None:
            columns[meaning] = column
    if not {"prompt", "subject"} & set(columns):
        return f"no column holds prompts or subjects (got {', '.join(header)}). Say which with --prompt-column."
    return columns


def from_tables(walk: Walk, folder: Path, tables: Sequence[Table]) -> Iterator[Found]:
    """The images that the rows name, with what they say; those left out are added to `walk.left_out`."""
    places = places_of(walk.files)
    seen: dict[str, int] = {}
    for table in tables:
        for line, row in rows_of(table.path):
            found = _row(walk, folder, table, line, row, places, seen)
            if isinstance(found, Found):
                yield found
            else:
                walk.left_out.append(found)
    names = ", ".join(table.name for table in tables) if len(tables) < 4 else f"any of {len(tables)} tables"
    walk.left_out += [LeftOut(name, f"not in {names}") for name in walk.files if name not in seen]


def _row(
    walk: Walk,
    folder: Path,
    table: Table,
    line: int,
    row: Mapping[str, str],
    places: Sequence[Mapping[str, list[str]]],
    seen: dict[str, int],
) -> Found | LeftOut:
    given = row.get(table.columns["file"], "")
    where = f"{table.name}, line {line}"
    asked = Asked(**{meaning: row.get(column, "") for meaning, column in table.columns.items() if meaning != "file"})
    if not given or not (asked.prompt or asked.subject):
        return LeftOut(shown(given) or "a row", f"{where} names no {'prompt' if given else 'file'}")
    if max(map(len, asked.texts())) > LONGEST:
        return LeftOut(shown(given), f"{where} holds more than {LONGEST:,} characters in a cell")
    plain = name_of(given)
    name = f"{table.base}/{plain}" if table.base else plain
    matches = matches_of(places, name, plain) if table.base else matches_of(places, name)
    real = matches[0] if len(matches) == 1 else ""
    if (real or name) in seen:
        return LeftOut(shown(given), f"{where} names it again, after line {seen[real or name]}")
    seen[real or name] = line
    details = {column: text for column, text in row.items() if len(text) <= LONGEST}
    if real:
        return Found(asked, walk.files[real], real, details)
    reason = f"{len(matches)} files could be meant: {', '.join(matches[:3])}" if matches else "file not found"
    return Found(asked, File(folder / name.replace("\0", ""), reason=reason), shown(name), details)
