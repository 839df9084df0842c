"""Images in a folder, made by anybody: which probe each belongs to, and nothing else of them is touched.

What was asked is read, in this order, from a table beside the images, from the images themselves, from the names of
the folders that they lie in, and from their own names.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from probes.importers.archives import read_part
from probes.importers.asked import Asked, Found, Matcher, file_words, slug
from probes.importers.embedded import Said, read_said
from probes.importers.filenames import shown
from probes.importers.grids import tiles_in
from probes.importers.listed import find_tables, from_tables
from probes.importers.tables import FolderError
from probes.importers.walking import SUFFIXES, LeftOut, Walk, walk
from probes.probe import Probe, nearest

if TYPE_CHECKING:
    from probes.suite import Suite

__all__ = ["SUFFIXES", "FolderError", "Import", "ImportedImage", "LeftOut", "read_folder", "slug"]

LEVELS = ("subject", "condition", "prompt", "language", "*", "file")
"""What a level of folders can be; `*` is passed over, and `file`, the last, is a prompt in the file's own name."""
Grids = Literal["midjourney", "always", "never"]
"""Whose pictures are looked at for being a grid of four."""


@dataclass(frozen=True, slots=True)
class ImportedImage:
    """One image that belongs to a probe."""

    probe_id: str
    index: int
    """Place among the images of the probe, from 0, in the order of the file names."""
    path: Path
    """The original, or the archive it lies in; it need not be a readable image, and need not exist if there is a
    `reason`."""
    details: Mapping[str, object] = field(default_factory=dict)
    """What the image says of how it was made, and the row of the table, column → text; JSON-able. `prompt_source` is
    where the request was read: `table`, `metadata`, `folder` or `file name`."""
    reason: str = ""
    """Why there is no image, such as `file not found`; empty if there is a file."""
    offset: int = 0
    """Of its first byte in an archive."""
    length: int = 0
    """Bytes in an archive; 0 for a file of its own, read whole."""
    name: str = ""
    """Relative path in the folder, as it can be shown; of a file in an archive `archive.tar/member.png`."""
    tile: int | None = None
    """Which picture of a grid of 2×2 it is: upper left, upper right, lower left, lower right; None for a whole file."""

    def read(self) -> bytes:
        """The bytes of the file; of the grid, if the image is a part of one.

        Raises:
            OSError: if it cannot be read; too large files and everything but regular files are refused.
        """
        return read_part(self.path, self.offset, self.length)


@dataclass(frozen=True)
class Import:
    """What a folder holds."""

    probes: tuple[Probe, ...]
    """In the order of their ids."""
    images: tuple[ImportedImage, ...]
    """In the order of probe and index: paths only, no image is kept."""
    left_out: tuple[LeftOut, ...] = ()
    """Images, rows and whatever else belongs to no probe, with the reason."""
    others: Mapping[str, int] = field(default_factory=dict)
    """Files that are no images: ending, `hidden` or `other endings` → number."""
    tables: tuple[str, ...] = ()
    """The tables that were read, by their relative paths; these are not among the others."""

    @property
    def unmatched(self) -> tuple[str, ...]:
        """What was left out: a path and, in brackets, why."""
        return tuple(map(str, self.left_out))


def read_folder(
    folder: Path,
    *,
    table: Path | None = None,
    file_column: str | None = None,
    prompt_column: str | None = None,
    folders: str | None = None,
    suite: Suite | None = None,
    subjects: Mapping[str, str] | None = None,
    grids: Grids = "midjourney",
) -> Import:
    """Find the images in `folder`, at any depth and in tar archives, and the probe of each. Nothing is changed.

    With `table`, a CSV with a header or JSONL, or the one in `folder` that names files and prompts or subjects, the
    rows say what was asked; a file named there may have a leading slash, another ending or lack its folders, as long as
    it is the only one meant. Otherwise, unless `folders` is given, the prompt that a generator wrote into the image
    says it (see `probes.importers.metadata`). For images that say nothing the names of their folders and files do,
    level by level as in `folders` ("subject/condition"; see `LEVELS`); by default the first level is the subject and
    the rest the condition. With `suite`, subjects are found in prompts and names by `probes.importers.subjects`: an
    image whose prompt names none is left out, a folder or row with another subject keeps it. `docs/importing.md` has
    all of it.

    Args:
        folder: it is read only; links out of it are not followed.
        table: a CSV or JSONL, in the folder or elsewhere.
        file_column: its column of file names, if it has none of the usual names.
        prompt_column: its column of prompts or subjects, likewise.
        folders: levels of folders, with slashes.
        suite: whose subjects and keys of references the probes take over.
        subjects: what a subject that is called otherwise here is called there (`{"swe": "software_developer"}`); the
            ids of its probes keep the name it has here.
        grids: which pictures are looked at for being a grid of 2×2, and split: those of Midjourney, all, or none. No
            other picture is decoded.

    Raises:
        FolderError: no such folder, no images, a table, column or level that cannot be used, or a subject in
            `subjects` that the suite does not have.
    """
    if not folder.is_dir():
        raise FolderError(f"{shown(str(folder))} is no folder. Give the folder that holds the images.")
    matcher = Matcher(suite, subjects or {})
    walked = walk(folder)
    tables = find_tables(walked, folder, table, file_column, prompt_column) if table or not folders else []
    if tables:
        asked = _rows(from_tables(walked, folder, tables), matcher, walked)
    elif file_column or prompt_column:
        raise FolderError(f"{shown(folder.name)} has no table for the columns asked for. Name one with --table.")
    else:
        asked = _names(walked, folder, _levels(folders), matcher)
    probes, images = _numbered(asked, matcher, grids)
    if not images:
        first = f"; the first one left out: {walked.left_out[0]}" if walked.left_out else ""
        raise FolderError(
            f"{shown(folder.name)} has no images that belong to a prompt (got {len(walked.files)} images, looked for "
            f"{' '.join(SUFFIXES)}{first})."
        )
    read = tuple(each.name for each in tables if each.name in walked.tables)
    others = walked.others - Counter(f".{name.rpartition('.')[2].lower()}" for name in read)
    return Import(probes, images, tuple(walked.left_out), dict(sorted(others.items())), read)


def _rows(rows: Iterator[Found], matcher: Matcher, walked: Walk) -> Iterator[Found]:
    """The images that tables name; subjects named there stand, prompts are looked through for one."""
    for found in rows:
        asked = found.asked if found.asked.subject else matcher.by_prompt(found.asked)
        if isinstance(asked, str):
            walked.left_out.append(LeftOut(found.name, asked))
        else:
            said = read_said(found.file, found.name).details
            details = {**said, "prompt_source": "table", **found.details}
            yield Found(asked, found.file, found.name, details)


def _levels(folders: str | None) -> list[str]:
    levels = folders.strip("/").split("/") if folders else []
    for level in levels:
        if level not in LEVELS:
            raise FolderError(f"unknown level {level!r} in --folders {folders!r}: {nearest(level, LEVELS)}")
    named = [level for level in levels if level != "*"]
    asks = {"subject", "prompt", "file"} & set(named)
    if levels and (len(set(named)) < len(named) or not asks or "file" in levels[:-1] or {"prompt", "file"} <= asks):
        raise FolderError(
            f"--folders must name a subject or a prompt, each level once, and `file` last (got {folders!r})."
        )
    return levels


def _names(walked: Walk, folder: Path, levels: Sequence[str], matcher: Matcher) -> Iterator[Found]:
    """What the images themselves say of their prompt; for those that say nothing, the names of folders and files."""
    home = shown(folder.resolve().name)
    for name, file in walked.files.items():
        said = read_said(file, name)
        parents = [re.sub(r"(?i)\.tar$", "", part) for part in name.split("/")[:-1]]
        if levels:
            asked, source = _by_levels(name, parents, levels, matcher), "file name" if "file" in levels else "folder"
        else:
            asked, source = _by_default(name, home, parents, said, matcher)
        if isinstance(asked, str):
            walked.left_out.append(LeftOut(name, asked))
        else:
            yield Found(asked, file, name, {**said.details, "prompt_source": source})


def _by_default(name: str, home: str, parents: Sequence[str], said: Said, matcher: Matcher) -> tuple[Asked | str, str]:
    prompt = Asked(prompt=said.prompt)
    if said.prompt and not (said.named and matcher.suited):
        return matcher.by_prompt(prompt), "file name" if said.named else "metadata"
    asked = matcher.by_names(home, parents, file_words(name), prompt if said.prompt else None)
    return asked, "file name" if isinstance(asked, Asked) and asked.prompt else "folder"


def _by_levels(name: str, parents: Sequence[str], levels: Sequence[str], matcher: Matcher) -> Asked | str:
    depth = len(levels) - (levels[-1] == "file")
    if len(parents) < depth:
        return f"lies {len(parents)} folders deep, --folders has {depth}"
    words = dict(zip(levels[:depth], parents, strict=False))
    words.pop("*", None)
    if levels[-1] == "file":
        words["prompt"] = file_words(name)
        if not words["prompt"]:
            return "its name holds no words"
    asked = Asked(**words)
    return asked if asked.subject else matcher.by_prompt(asked)


def _numbered(
    found: Iterator[Found], matcher: Matcher, grids: Grids
) -> tuple[tuple[Probe, ...], tuple[ImportedImage, ...]]:
    groups: dict[Asked, list[Found]] = defaultdict(list)
    for item in found:
        groups[item.asked].append(item)
    names: dict[str, list[Asked]] = defaultdict(list)
    for asked in groups:
        parts = (asked.subject or asked.prompt, asked.language, asked.condition)
        names[".".join(slug(part)[:60].strip("-") for part in parts if part)].append(asked)
    pairs: dict[str, Asked] = {}
    for name, same in names.items():
        for asked in same:
            # Different prompts of one subject, or names that differ in their capitals only: told apart by a digest.
            mark = hashlib.sha256("\0".join(asked.texts()).encode()).hexdigest()[:8]
            pairs[name if len(same) == 1 else f"{name}.{mark}"] = asked
    probes: list[Probe] = []
    images: list[ImportedImage] = []
    for probe_id in sorted(pairs):
        probes.append(matcher.probe(probe_id, pairs[probe_id]))
        group = sorted(groups.pop(pairs[probe_id]), key=lambda item: item.name)
        images += _images(probe_id, group, grids)
    return tuple(probes), tuple(images)


def _images(probe_id: str, group: Sequence[Found], grids: Grids) -> Iterator[ImportedImage]:
    index = 0
    for item in group:
        for tile in range(4) if _is_grid(item, grids) else (None,):
            file = item.file
            yield ImportedImage(
                probe_id, index, file.path, item.details, file.reason, file.offset, file.length, item.name, tile
            )
            index += 1


def _is_grid(item: Found, grids: Grids) -> bool:
    asked = grids == "always" or (grids == "midjourney" and item.details.get("generator") == "midjourney")
    return asked and not item.file.reason and tiles_in(item.file.read) > 1
