"""What lies in a folder: images in it and in its tar archives, tables, and what is left out, with the reason.

Nothing is followed out of the folder and nothing but folders and archives is opened here, so that a pipe cannot hang
and a link cannot lead elsewhere.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

from probes.importers.archives import members, read_part
from probes.importers.filenames import shown
from probes.importers.tables import FolderError

SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".jxl", ".png", ".tif"),
    *(".tiff", ".webp"),
)
"""Endings of the files that are taken for images, in small letters; not all of them can be read everywhere."""
TABLES = (".csv", ".jsonl")
"""Endings of tables."""
_PACKED = (".7z", ".bz2", ".gz", ".rar", ".tbz2", ".tgz", ".txz", ".xz", ".zip", ".zst")
_LONGEST_ENDING = 8


class LeftOut(NamedTuple):
    """A file or row that belongs to no probe."""

    file: str
    """Relative path, as it can be shown."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file} ({self.reason})"


@dataclass(frozen=True, slots=True)
class File:
    """An image file, on its own or in an archive."""

    path: Path
    offset: int = 0
    length: int = 0
    reason: str = ""
    """Why it cannot be read; empty if it may be tried."""

    def read(self) -> bytes:
        """Its bytes; errors as `read_part`."""
        return read_part(self.path, self.offset, self.length)


@dataclass
class Walk:
    """What lies in a folder."""

    files: dict[str, File] = field(default_factory=dict)
    """Relative path, as it can be shown → image, in the order of the paths."""
    tables: dict[str, Path] = field(default_factory=dict)
    """Relative path → CSV or JSONL in the folder itself, and files called metadata below it."""
    left_out: list[LeftOut] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """Ending, `hidden` or `other endings` → number of files that are no images."""


def walk(folder: Path) -> Walk:
    """Everything in `folder` at any depth; of files and archives no more than headers is read."""
    found = Walk()
    home = os.path.realpath(folder)
    waiting = [(str(folder), "")]
    while waiting:
        place, before = waiting.pop()
        if before and all(Path(place, name).is_file() for name in ("run.json", "probes.parquet")):
            found.left_out.append(LeftOut(before.rstrip("/"), "it is a run, whose images are no originals"))
            continue
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    name = before + shown(entry.name)
                    if entry.name.startswith("."):
                        found.others["hidden"] += 1
                    elif entry.is_symlink():
                        _link(found, name, entry.path, home)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, name + "/"))
                    else:
                        _file(found, name, entry.path, entry.is_file(follow_symlinks=False))
        except OSError as error:
            reason = f"the folder cannot be read: {error.strerror}"
            found.left_out.append(LeftOut(before.rstrip("/") or folder.name, reason))
    found.files = dict(sorted(found.files.items()))
    found.left_out.sort()
    return found


def _link(found: Walk, name: str, path: str, home: str) -> None:
    """A link within the folder is as good as the file it leads to; one to a folder would only show its files again."""
    target = os.path.realpath(path)
    if target != home and not target.startswith(home.rstrip(os.sep) + os.sep):
        found.left_out.append(LeftOut(name, "it is a link that leads out of the folder, and is not followed"))
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        reason = "it is a link that leads " + ("in a circle" if error.errno == errno.ELOOP else "to no file")
        if _ending(name) in SUFFIXES:
            _keep(found, name, File(Path(path), reason=reason))
        else:
            found.left_out.append(LeftOut(name, reason))
        return
    if S_ISDIR(mode):
        found.left_out.append(LeftOut(name, "it is a link to a folder, whose files are read where they lie"))
    else:
        _file(found, name, path, S_ISREG(mode))


def _file(found: Walk, name: str, path: str, regular: bool) -> None:
    ending = _ending(name)
    if not regular:
        found.left_out.append(LeftOut(name, "it is a pipe, a socket or a device, and is never opened"))
    elif ending in SUFFIXES:
        _keep(found, name, File(Path(path)))
    elif ending == ".tar":
        _archive(found, name, Path(path))
    elif ending in _PACKED:
        found.left_out.append(LeftOut(name, "it is a packed archive: unpack it, or make it an uncompressed tar"))
    else:
        if ending in TABLES and ("/" not in name or name.rpartition("/")[2].lower() in _BELOW):
            found.tables[name] = Path(path)
        _other(found, ending)


_BELOW = tuple(f"metadata{ending}" for ending in TABLES)


def _archive(found: Walk, name: str, path: Path) -> None:
    try:
        for member in members(path):
            full = f"{name}/{member.name}" if member.name else name
            if member.reason:
                found.left_out.append(LeftOut(full, member.reason))
            elif any(part.startswith(".") for part in member.name.split("/")):
                found.others["hidden"] += 1
            elif (ending := _ending(member.name)) not in SUFFIXES:
                _other(found, ending)
            else:
                reason = "" if member.size else "it is empty"
                _keep(found, full, File(path, member.offset, member.size, reason))
    except FolderError as error:
        reason = str(error).removeprefix(shown(path.name)).lstrip(": ").rstrip(".")
        found.left_out.append(LeftOut(name, reason))


def _keep(found: Walk, name: str, file: File) -> None:
    if name in found.files:
        found.left_out.append(LeftOut(name, "another file before it has the same name"))
    else:
        found.files[name] = file


def _ending(name: str) -> str:
    stem, point, ending = name.rpartition("/")[2].rpartition(".")
    return f".{ending.lower()}" if stem and point else ""


def _other(found: Walk, ending: str) -> None:
    usual = 1 < len(ending) <= _LONGEST_ENDING and ending[1:].isalnum()
    found.others[ending if usual else "other endings"] += 1
