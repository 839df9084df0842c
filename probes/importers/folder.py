"""Images in a folder, made by anybody: which probe each belongs to, and nothing else of them is touched.

What was asked is read from a CSV beside the images (columns for the file, the prompt or the subject) or, without one,
from the names of the folders that the images lie in.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from probes.importers.embedded import read_prompt
from probes.importers.subjects import Subjects
from probes.importers.tables import FILE_COLUMNS, FolderError, matches_of, name_of, places_of, rows_of
from probes.probe import Probe, nearest

if TYPE_CHECKING:
    from probes.suite import Suite

SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the files that are taken for images, in small letters."""
LEVELS = ("subject", "condition", "prompt", "language", "*")
"""What a level of folders can be; `*` is passed over."""
_COLUMNS = {
    "prompt": ("prompt", "text", "caption"),
    "subject": ("subject", "occupation", "profession", "category"),
    "condition": ("condition", "setting", "template"),
    "language": ("language", "lang"),
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True)
class ImportedImage:
    """One image that belongs to a probe."""

    probe_id: str
    index: int
    """Place among the images of the probe, from 0, in the order of the file names."""
    path: Path
    """The original; it need not be a readable image, and does not exist if there is a `reason`."""
    details: Mapping[str, object] = field(default_factory=dict)
    """The row of the table, column → text, JSON-able; empty without a table."""
    reason: str = ""
    """Why there is no image, such as `file not found`; empty if there is a file."""


@dataclass(frozen=True)
class Import:
    """What a folder holds."""

    probes: tuple[Probe, ...]
    """In the order of their ids."""
    images: tuple[ImportedImage, ...]
    """In the order of probe and index: paths only, no image is opened."""
    unmatched: tuple[str, ...]
    """Images and rows that belong to no probe: a path and, in brackets, why."""


@dataclass(frozen=True)
class _Asked:
    """What is known of the request for an image."""

    subject: str = ""
    condition: str = ""
    prompt: str = ""
    language: str = ""


@dataclass(frozen=True)
class _Found:
    asked: _Asked
    path: Path
    order: str
    details: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""


def read_folder(
    folder: Path,
    *,
    table: Path | None = None,
    file_column: str | None = None,
    prompt_column: str | None = None,
    folders: str | None = None,
    suite: Suite | None = None,
    subjects: Mapping[str, str] | None = None,
) -> Import:
    """Find the images in `folder`, at any depth, and the probe of each. No image is decoded, nothing is changed.

    With `table`, a CSV with a header, or the one CSV in `folder` that names files and prompts or subjects, the rows
    say what was asked; a file named there may have a leading slash, another ending or lack its folders, as long as it
    is the only one meant. Otherwise, unless `folders` is given, the prompt that a generator wrote into the image or its
    name says it (see `probes.importers.metadata`), and the subject of `suite` that stands in the prompt. For images
    that say nothing the names of the folders do, level by level as in `folders` ("subject/condition"; see `LEVELS`), by
    default the first level is the subject and the rest the condition. Probes take over the keys of references of the
    subject of the same name in `suite`, or of its probe with the same prompt.
    `subjects` says what a subject that is called otherwise here is called there (`{"swe": "software_developer"}`); the
    ids of its probes keep the name it has here.

    Raises:
        FolderError: no such folder, no images, a table, column or level that cannot be used, or a subject in
            `subjects` that the suite does not have.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} is no folder. Give the folder that holds the images.")
    files = dict(sorted(_walk(folder)))
    unmatched: list[str] = []
    source = None if folders and table is None else _table(folder, table, file_column, prompt_column)
    if source is not None:
        found = list(_from_table(files, folder, *source, unmatched))
    else:
        if file_column or prompt_column:
            raise FolderError(f"{folder.name} has no CSV for the columns asked for. Name one with --table.")
        found = list(_from_names(files, folder, folders, suite, unmatched))
    if not found:
        raise FolderError(
            f"{folder.name} has no images that belong to a prompt (got {len(files)} images, looked for "
            f"{' '.join(SUFFIXES)}{'; the first one left out: ' + unmatched[0] if unmatched else ''})."
        )
    return _numbered(found, unmatched, suite, _meant(subjects or {}, suite))


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative path with slashes → path of every image, hidden ones left out."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                path = Path(place) / name
                yield path.relative_to(folder).as_posix(), path


def _from_names(
    files: Mapping[str, Path], folder: Path, folders: str | None, suite: Suite | None, unmatched: list[str]
) -> Iterator[_Found]:
    """What the images themselves say of their prompt; for those that say nothing, the names of their folders."""
    silent = dict(files)
    if folders is None:
        known = Subjects(suite) if suite is not None else None
        for name, path in files.items():
            said = read_prompt(path, known)
            if said is None:
                continue
            del silent[name]
            if said.reason:
                unmatched.append(f"{name} ({said.reason})")
            else:
                asked = _Asked(subject=said.subject, prompt=said.prompt, language=said.language)
                yield _Found(asked, path, name, said.details)
    yield from _from_folders(silent, folder, folders, unmatched)


def _from_folders(
    files: Mapping[str, Path], folder: Path, folders: str | None, unmatched: list[str]
) -> Iterator[_Found]:
    levels = folders.strip("/").split("/") if folders else []
    for level in levels:
        if level not in LEVELS:
            raise FolderError(f"unknown level {level!r} in --folders {folders!r}: {nearest(level, LEVELS)}")
    named = [level for level in levels if level != "*"]
    if levels and (len(set(named)) < len(named) or not {"subject", "prompt"} & set(named)):
        raise FolderError(f"--folders must name a subject or a prompt, and each level once (got {folders!r}).")
    for name, path in files.items():
        parents = PurePosixPath(name).parts[:-1]
        if len(parents) < len(levels):
            unmatched.append(f"{name} (lies {len(parents)} folders deep, --folders has {len(levels)})")
            continue
        if levels:
            words = dict(zip(levels, parents, strict=False))
            words.pop("*", None)
        elif parents:
            words = {"subject": parents[0], "condition": "/".join(parents[1:])}
        else:
            words = {"subject": folder.resolve().name}
        yield _Found(_Asked(**words), path, name)


def _table(
    folder: Path, table: Path | None, file_column: str | None, prompt_column: str | None
) -> tuple[Path, dict[str, str]] | None:
    """The table and its columns: `file` and what is known of `_COLUMNS`. None if there is none to be found."""
    if table is not None:
        columns = _columns(table, file_column, prompt_column)
        if isinstance(columns, str):
            raise FolderError(f"{table.name}: {columns}")
        return table, columns
    usable = []
    for path in sorted(folder.glob("*.csv")):
        columns = _columns(path, file_column, prompt_column)
        if not isinstance(columns, str):
            usable.append((path, columns))
    if len(usable) > 1:
        names = ", ".join(path.name for path, _ in usable)
        raise FolderError(f"{folder.name} has several tables of images ({names}). Name one with --table.")
    return usable[0] if usable else None


def _columns(path: Path, file_column: str | None, prompt_column: str | None) -> dict[str, str] | str:
    """Columns of the table by what they mean, or a sentence that says what is missing."""
    header = next(rows_of(path), (0, {}))[1]
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


def _from_table(
    files: Mapping[str, Path], folder: Path, table: Path, columns: Mapping[str, str], unmatched: list[str]
) -> Iterator[_Found]:
    places = places_of(files)
    seen: dict[str, int] = {}
    for line, row in rows_of(table):
        given = row[columns["file"]]
        where = f"{table.name}, line {line}"
        asked = _Asked(**{meaning: row[column] for meaning, column in columns.items() if meaning != "file"})
        if not given or not (asked.prompt or asked.subject):
            unmatched.append(f"{given or 'a row'} ({where} names no {'prompt' if given else 'file'})")
            continue
        name = name_of(given)
        matches = matches_of(places, name)
        real = matches[0] if len(matches) == 1 else ""
        if (real or name) in seen:
            unmatched.append(f"{given} ({where} names it again, after line {seen[real or name]})")
            continue
        seen[real or name] = line
        if real:
            yield _Found(asked, files[real], real, row)
        else:
            reason = f"{len(matches)} files could be meant: {', '.join(matches[:3])}" if matches else "file not found"
            yield _Found(asked, folder / name, name, row, reason)
    for name in files:
        if name not in seen:
            unmatched.append(f"{name} (not in {table.name})")


def _numbered(found: Sequence[_Found], unmatched: list[str], suite: Suite | None, meant: Mapping[str, str]) -> Import:
    groups: dict[_Asked, list[_Found]] = defaultdict(list)
    for item in found:
        groups[item.asked].append(item)
    names: dict[str, list[_Asked]] = defaultdict(list)
    for asked in groups:
        parts = (asked.subject or asked.prompt, asked.language, asked.condition)
        names[".".join(slug(part)[:60].strip("-") for part in parts if part)].append(asked)
    pairs: dict[str, _Asked] = {}
    for name, same in names.items():
        for asked in same:
            # Different prompts of one subject, or names that differ in their capitals only: told apart by a digest.
            mark = hashlib.sha256("\0".join(vars(asked).values()).encode()).hexdigest()[:8]
            pairs[name if len(same) == 1 else f"{name}.{mark}"] = asked
    probes, images = [], []
    for probe_id in sorted(pairs):
        probes.append(_probe(probe_id, pairs[probe_id], suite, meant))
        group = sorted(groups[pairs[probe_id]], key=lambda item: item.order)
        images += [
            ImportedImage(probe_id, index, item.path, dict(item.details), item.reason)
            for index, item in enumerate(group)
        ]
    return Import(tuple(probes), tuple(images), tuple(unmatched))


def _meant(subjects: Mapping[str, str], suite: Suite | None) -> dict[str, str]:
    """Subjects as they are called here, as slugs → as they are meant."""
    for name, meant in subjects.items():
        if suite is not None and meant not in suite.subjects:
            raise FolderError(
                f"{name!r} is said to be the subject {meant!r}, which the suite {suite.name!r} does not have: "
                f"{nearest(meant, suite.subjects)}"
            )
    return {slug(name): meant for name, meant in subjects.items()}


def _probe(probe_id: str, asked: _Asked, suite: Suite | None, meant: Mapping[str, str]) -> Probe:
    subject = slug(asked.subject or asked.prompt)
    subject = meant.get(subject, subject)
    known = _known(slug(subject), asked.prompt, suite)
    return Probe(
        probe_id=probe_id,
        text=asked.prompt,
        subject=known.subject if known else subject,
        kind="imported",
        language=asked.language or "en",
        template=slug(asked.condition) if asked.condition else "",
        sensitive=known.sensitive if known else False,
        keys=dict(known.keys) if known else {},
        notes="" if asked.prompt else "The prompt is not known.",
    )


def _known(subject: str, prompt: str, suite: Suite | None) -> Probe | None:
    """The suite's probe of the same subject or the same prompt."""
    if suite is None:
        return None
    text = " ".join(prompt.casefold().split())
    for probe in suite.probes:
        if slug(probe.subject) == subject or (text and " ".join(probe.text.casefold().split()) == text):
            return probe
    return None


def slug(text: str) -> str:
    """`text` as part of a probe's id: small letters, digits and dashes; a digest if nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_UMLAUTS))
    kept = re.sub(r"[^a-z0-9]+", "-", "".join(c for c in plain if not unicodedata.combining(c))).strip("-")
    return kept or hashlib.sha256(text.encode()).hexdigest()[:12]
