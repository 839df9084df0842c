"""Folders of parts: immutable files, each named after the range of batches that it holds.

`000012-000012.parquet` holds batch 12, `000000-000255.parquet` the batches 0 to 255. A part is written to a temporary
name, synced and renamed, so it is there whole or not at all. Small parts are merged into large ones when a run is
complete; a part whose range lies within another part's range is superseded, so that a merge can be killed anywhere.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from audit.errors import UsageError

MERGE = 256
"""Batches in a merged part."""
FORGOTTEN = "forgotten:"
"""How the id of a sample begins whose image was removed from the run (audit/forgetting.py)."""

_NAME = re.compile(r"(\d+)-(\d+)$")


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file under a temporary name, then sync it and give it its name.

    Raises:
        UsageError: if the disk is full or the place cannot be written; nothing that was there is lost.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Give a file its content, whole or not at all; errors as `write_atomically`."""
    write_atomically(path, lambda file: file.write(data))


def cannot_write(path: Path, error: OSError) -> UsageError:
    """The one line for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UsageError(
            f"the disk is full: {path} could not be written. What was made before is kept; "
            "free some room and run the same command again to continue."
        )
    return UsageError(f"{path} could not be written: {error.strerror or error}. Choose another --out.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, order=True)
class Part:
    """One file, with the batches `first` to `last` (both included)."""

    first: int
    last: int
    path: Path


@dataclass(frozen=True)
class Parts:
    """The parts in one folder, with one file name ending (such as `.parquet`)."""

    folder: Path
    suffix: str

    def path(self, first: int, last: int) -> Path:
        """Where the part with these batches lies."""
        return self.folder / f"{first:07d}-{last:07d}{self.suffix}"

    def present(self) -> list[Part]:
        """The parts in order of their batches, without superseded ones."""
        found = []
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                match = _NAME.match(path.stem)
                if match and path.suffix == self.suffix:
                    found.append(Part(int(match[1]), int(match[2]), path))
        found.sort(key=lambda part: (part.first, -part.last))
        kept: list[Part] = []
        for part in found:
            if not kept or part.last > kept[-1].last:
                kept.append(part)
        return kept

    def batches(self) -> set[int]:
        """Numbers of the batches that are there."""
        return {number for part in self.present() for number in range(part.first, part.last + 1)}

    def write(self, number: int, write: Callable[[BinaryIO], object], last: int | None = None) -> None:
        """Store batch `number`, or the batches `number` to `last`."""
        write_atomically(self.path(number, number if last is None else last), write)

    def merge(self, join: Callable[[Iterable[Path], BinaryIO], object]) -> None:
        """Merge whole runs of `MERGE` batches into one part each. Called when all batches are there."""
        for group in _groups(self.present()):
            first, last = group[0].first, group[-1].last
            if len(group) > 1:
                paths = [part.path for part in group]
                write_atomically(self.path(first, last), partial(join, paths))
        keep = {part.path for part in self.present()}
        for path in list(self.folder.glob(f"*{self.suffix}")):
            if _NAME.match(path.stem) and path not in keep:
                path.unlink()


def _groups(parts: list[Part]) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        if group and part.first // MERGE != group[0].first // MERGE:
            yield group
            group = []
        group.append(part)
    if group:
        yield group
