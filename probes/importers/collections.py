"""Images with captions, as models are trained on: folders, tables, WebDataset tars and Parquet, read one by one.

Nothing is unpacked, downloaded or kept: a collection is gone through as often as needed, and an image is read only when
somebody asks for it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from probes.importers.archives import Member, members, read_member, read_part
from probes.importers.filenames import shown
from probes.importers.folder import SUFFIXES
from probes.importers.tables import FILE_COLUMNS, FolderError, name_of, rows_of

CAPTIONS = ("caption", "text", "prompt", "top_caption", "alt_text", "alt", "title", "description")
"""Usual names of a column or key of captions, in small letters, best first."""
ADDRESSES = ("url", "image_url", "img_url", "uri")
"""Usual names of a column of addresses, in small letters."""
TABLES = ("metadata.jsonl", "metadata.csv", "captions.jsonl", "captions.csv", "captions.tsv")
"""Names of the tables that are looked for in a folder, at any depth."""
BESIDE = (".txt", ".caption", ".json")
"""Endings of the file beside an image that holds its caption, in the order in which they are looked for."""
ONLY_ADDRESS = "only an address is given, and nothing is downloaded"
NO_CAPTION = "there is no caption"
_LONGEST = 1 << 20
"""Bytes of a caption file; longer ones are no captions."""
_MOST = 100_000
"""Files of one pattern."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")

Read = Callable[[], bytes]


@dataclass(frozen=True)
class Entry:
    """One image with its caption, or a part of the collection that cannot be read."""

    key: str
    """Where it stands in the collection, for a digest; never shown or kept."""
    caption: str = ""
    read: Read | None = None
    """Gives the bytes of the image, or raises `OSError`. To be called before the next entry is asked for."""
    reason: str = ""
    """Why there is no caption or no image; empty if there are both."""
    rows: int = 1
    """How many images this stands for: more than 1 only for a part that cannot be read."""


@dataclass(frozen=True)
class Collection:
    """Where the images of a training set lie."""

    kind: str
    """`folder`, `table`, `webdataset` or `parquet`."""
    root: Path
    """The folder that file names are relative to."""
    files: tuple[Path, ...]
    """Tables, tars or Parquet files in order; empty for a folder of images with captions beside them."""

    def entries(self) -> Iterator[Entry]:
        """All images in their order, from the start. A file that is damaged is an entry with a reason."""
        if self.kind == "folder":
            yield from _beside(self.root)
            return
        read = {"table": _rows, "webdataset": _shard}.get(self.kind)
        if read is None:
            from probes.importers.parquet import rows_of_parquet

            read = rows_of_parquet
        for path in self.files:
            name = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name
            for entry in read(path):
                yield Entry(f"{name}/{entry.key}", entry.caption, entry.read, entry.reason, entry.rows)


def find_collection(where: str | Path) -> Collection:
    """What a path holds: a folder (of images, tables, tars or Parquet files), one such file, or a pattern of files with
    braces such as `train/{000..127}.tar`.

    Raises:
        FolderError: if there is nothing to be read.
    """
    text = str(where)
    path = Path(where)
    if path.is_dir():
        return _of_folder(path)
    files = [path] if path.is_file() or "{" not in text else [Path(each) for each in braces(text)]
    if not any(each.is_file() for each in files):
        raise FolderError(
            f"{shown(text)} does not exist. Give a folder, a tar, a Parquet file, a table of images, or a pattern such "
            "as 'train/{000..127}.tar'."
        )
    kinds = {_kind(each) for each in files}
    kind = kinds.pop()
    if kinds or not kind:
        raise FolderError(
            f"{shown(text)} is no collection of images with captions. Give a folder, .tar, .parquet, .jsonl or .csv."
        )
    return Collection(kind, path.parent, tuple(files))


def braces(pattern: str) -> list[str]:
    """The names that a pattern stands for: `a{00..02}.tar` → a00.tar, a01.tar, a02.tar; `{a,b}` → a, b.

    Raises:
        FolderError: if they are too many to be meant.
    """
    found = _BRACES.search(pattern)
    if not found:
        return [pattern]
    span = _RANGE.fullmatch(found[1])
    if span and int(span[2]) - int(span[1]) >= _MOST:
        raise FolderError(f"{shown(pattern)} stands for more than {_MOST:,} files. Give a folder instead.")
    if span:
        words = [str(number).zfill(len(span[1])) for number in range(int(span[1]), int(span[2]) + 1)]
    else:
        words = found[1].split(",")
    return [whole for word in words for whole in braces(pattern[: found.start()] + word + pattern[found.end() :])]


def caption_of(given: object) -> str:
    """The caption in a cell: a text, the first text of a list, or the best key of a mapping."""
    if isinstance(given, str):
        return given
    if isinstance(given, bytes):
        return given.decode("utf-8", "replace")
    if isinstance(given, Mapping):
        return caption_of(pick(given, CAPTIONS))
    if isinstance(given, list | tuple):
        return next((text for each in given if (text := caption_of(each))), "")
    return ""


def pick(row: Mapping[Any, object], names: tuple[str, ...]) -> object:
    """The value of the first of these names, in capitals or not, that the row has something for; else None."""
    known = {str(name).strip().lower(): value for name, value in row.items()}
    return next((known[name] for name in names if known.get(name)), None)


def _of_folder(root: Path) -> Collection:
    tables, tars, parquet, images = [], [], [], False
    for path in _walk(root):
        tables += [path] if path.name.lower() in TABLES else []
        tars += [path] if path.suffix.lower() == ".tar" else []
        parquet += [path] if path.suffix.lower() == ".parquet" else []
        images = images or path.suffix.lower() in SUFFIXES
    for kind, files in (("table", tables), ("webdataset", tars)):
        if files:
            return Collection(kind, root, tuple(files))
    if images:
        return Collection("folder", root, ())
    if parquet:
        return Collection("parquet", root, tuple(parquet))
    raise FolderError(
        f"{shown(str(root))} holds no images with captions: no {', '.join(TABLES)}, no .tar, no .parquet and no image "
        f"({' '.join(SUFFIXES)}). Give the folder that holds them."
    )


def _walk(root: Path) -> Iterator[Path]:
    """All files, hidden ones left out, folder by folder in order of their names."""
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _kind(path: Path) -> str:
    kinds = {".tar": "webdataset", ".parquet": "parquet", ".jsonl": "table", ".csv": "table", ".tsv": "table"}
    return kinds.get(path.suffix.lower(), "")


def _beside(root: Path) -> Iterator[Entry]:
    for path in _walk(root):
        if path.suffix.lower() not in SUFFIXES:
            continue
        key = path.relative_to(root).as_posix()
        found = next((other for end in BESIDE if (other := path.with_suffix(end)).is_file()), None)
        if found is None:
            yield Entry(key, reason=NO_CAPTION)
            continue
        try:
            caption = _caption(found.suffix, _within(root, found, _LONGEST))
        except OSError:
            yield Entry(key, reason="the file with the caption cannot be read")
            continue
        yield Entry(key, caption, partial(_within, root, path), "" if caption else NO_CAPTION)


def _within(root: Path, path: Path, most: int = 0) -> bytes:
    """The bytes of a file, if it lies in the folder; links that lead out of it are not followed."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise OSError("its name leads out of the folder")
    try:
        if most and path.stat().st_size > most:
            raise OSError(f"it holds more than {most:,} bytes")
        return read_part(path)
    except FileNotFoundError:
        raise OSError("file not found") from None


def _caption(suffix: str, data: bytes) -> str:
    if not data.strip():
        return ""
    text = data.decode("utf-8-sig", "replace")
    if suffix.lower() != ".json":
        return text
    try:
        return caption_of(json.loads(text))
    except (ValueError, RecursionError):
        return ""


def _rows(table: Path) -> Iterator[Entry]:
    """The rows of a table of files and captions; files lie beside it, or in folders below."""
    root = table.parent
    try:
        for line, row in _lines(table) if table.suffix.lower() == ".jsonl" else rows_of(table):
            if row is None:
                yield Entry(str(line), reason="a line of the table is no JSON object")
                continue
            caption, file = caption_of(row), str(pick(row, FILE_COLUMNS) or "")
            address = pick(row, ADDRESSES) or re.match(r"[a-z]+://", file, re.IGNORECASE)
            read, reason = None, "" if caption else NO_CAPTION
            if file and not re.match(r"[a-z]+://", file, re.IGNORECASE):
                read = partial(_within, root, root / name_of(file))
            else:
                reason = reason or (ONLY_ADDRESS if address else "the row names no file")
            yield Entry(str(line), caption, read, reason)
    except (FolderError, OSError):
        yield Entry("end", reason="a table of the collection cannot be read from some line on")


def _lines(table: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    with table.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else None


def _shard(path: Path) -> Iterator[Entry]:
    """The samples of a WebDataset tar: members that follow each other and are called the same up to the first dot."""
    try:
        for key, group in groupby(members(path), _key):
            yield from _sample(path, key, list(group))
    except (FolderError, OSError):
        reason = "a tar of the collection cannot be read" if path.is_file() else "a file of the collection is missing"
        yield Entry("end", reason=reason)


def _key(member: Member) -> str:
    path = PurePosixPath(member.name)
    return (path.parent / path.name.split(".", 1)[0]).as_posix()


def _sample(path: Path, key: str, group: list[Member]) -> Iterator[Entry]:
    ends = {PurePosixPath(member.name).name.partition(".")[2].lower(): member for member in group if not member.reason}
    broken = [member for member in group if member.reason]
    image = next((ends[end] for end in ends if f".{end}" in SUFFIXES), None)
    caption, address = "", False
    for end in BESIDE:
        member = ends.get(end[1:])
        if member is not None and member.size <= _LONGEST:
            data = read_member(path, member)
            caption = caption or _caption(end, data)
            address = address or (end == ".json" and b'"url"' in data)
    if image is not None or caption:
        missing = ONLY_ADDRESS if address else "there is no image beside the caption"
        reason = (missing if image is None else "") if caption else NO_CAPTION
        if broken and reason:
            reason = _cut(broken[0])
        yield Entry(key, caption, None if image is None else partial(read_member, path, image), reason)
    elif broken:
        yield Entry(key, reason=_cut(broken[0]))


def _cut(member: Member) -> str:
    """Why a member cannot be read, without any name."""
    return "a file in a tar cannot be read: " + member.reason.split("(")[0].strip()
