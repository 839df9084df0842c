"""References in files: a long CSV of shares or counts, and a card in the YAML of the same name beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from audit.reference import Reference, ReferenceDataError, Seen
from probes.expand import read_mapping
from probes.probe import SuiteError, nearest

_COLUMNS = ("subject", "key", "attribute", "class", "share", "count", "year", "source")
_CARD_KEYS = (
    *("title", "source", "year", "universe", "mapping", "caveats", "url"),
    *("overlapping", "optional", "classes", "images"),
)
_ANSWERS = ("key", "attribute", "viewer", "predicted", "weight", "squares")
"""Columns of NAME.answers.csv; `viewer` is empty where all images of an answer are counted."""
_TOLERANCE = 0.005
"""Shares of published tables are rounded: a row may miss 1 by this much, and is then scaled to 1."""
_TRAINING = {
    "title": "Counts of a training set",
    "universe": "The images of the training set, as whoever counted them labelled them.",
    "caveats": [
        "Counts of a training set say what a model was shown, not what it should show.",
        "Another instrument has labelled the training set than the pictures, unless its card says otherwise; part of a "
        "distance may be the instruments'.",
        "The counts are taken as they are: their own sampling error is not in the tests and intervals.",
    ],
}

Nested = dict[str, dict[str, dict[str, float]]]


@dataclass
class _Rows:
    """What a CSV holds, attribute → row → class → share or count."""

    values: Nested = field(default_factory=dict)
    counted: bool = False
    origins: dict[str, str] = field(default_factory=dict)


def read_reference(path: Path) -> Reference:
    """The reference in a CSV, with its card if there is one.

    Raises:
        ReferenceDataError: if the CSV or its card cannot be used; in one line that names the file.
    """
    card = _card(path)
    overlapping = card.pop("overlapping", [])
    if not isinstance(overlapping, list):
        raise ReferenceDataError(f"{path.stem}.yaml: overlapping must be a list of attributes. Correct it.")
    aliases = {a: {str(k): str(v) for k, v in n.items()} for a, n in _by_attribute(path, card, "classes", dict).items()}
    optional = {a: frozenset(map(str, names)) for a, names in _by_attribute(path, card, "optional", list).items()}
    images = str(card.pop("images", ""))
    if images not in ("", "classifier", "people"):
        raise ReferenceDataError(
            f"{path.stem}.yaml: images must say who labelled them, classifier or people (got {images!r}). Correct it."
        )
    rows = read_rows(_text(path), path.name)
    if not rows.counted:
        _check_sums(path, rows.values, overlapping)
    reference = Reference(
        path.stem,
        card,
        rows.values,
        overlapping=frozenset(map(str, overlapping)),
        aliases=aliases,
        optional=optional,
        origins=rows.origins,
        path=path,
        images=images,
        seen=_seen(_beside(path)) if images else None,
    )
    return from_counts(reference, path.name) if rows.counted else reference


def read_counts(path: Path) -> Reference:
    """The counts of a training set: columns subject (or key), attribute, class and count.

    Raises:
        ReferenceDataError: if the CSV cannot be used, or has shares where counts are needed.
    """
    reference = read_reference(path)
    if not reference.sizes:
        raise ReferenceDataError(
            f"{path.name} has no column count, which a training set needs. Give counts, or leave out 'training:'."
        )
    own = {} if path.with_suffix(".yaml").is_file() else _TRAINING
    return replace(reference, card={**reference.card, **own}, images=reference.images or "classifier")


def from_counts(reference: Reference, where: str) -> Reference:
    """The same with shares in place of the counts in its table, which are kept as sizes of the rows.

    Raises:
        ReferenceDataError: if the counts of a row add up to 0.
    """
    table: Nested = {}
    sizes: dict[str, dict[str, int]] = {}
    for attribute, rows in reference.table.items():
        for key, row in rows.items():
            total = sum(row.values())
            if not total:
                raise ReferenceDataError(
                    f"{where}: the counts of {attribute!r} for {key!r} add up to 0. Leave out rows without a count."
                )
            table.setdefault(attribute, {})[key] = {name: count / total for name, count in row.items()}
            sizes.setdefault(attribute, {})[key] = int(total)
    return replace(reference, table=table, sizes=sizes)


def files_of(reference: Reference) -> dict[str, bytes]:
    """The reference as files, name → content: what `read_reference` needs to read it again without its origin.

    Files of the user are taken as they are; of counts of images the counts are written, with what people answered.
    """
    if reference.path is not None and not reference.images:
        paths = (reference.path, reference.path.with_suffix(".yaml"))
        return {path.name: path.read_bytes() for path in paths if path.is_file()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    sourced = ["source"] if reference.origins else []
    writer.writerow(["key", "attribute", "class", "count" if reference.sizes else "share", *sourced])
    for attribute, rows in reference.table.items():
        for key, row in rows.items():
            n = reference.sizes.get(attribute, {}).get(key)
            for name, share in row.items():
                origin = [reference.origins.get(key, "")] if sourced else []
                writer.writerow([key, attribute, name, repr(share) if n is None else round(share * n), *origin])
    extra: dict[str, object] = {
        "images": reference.images,
        "overlapping": sorted(reference.overlapping),
        "optional": {attribute: sorted(names) for attribute, names in reference.optional.items()},
        "classes": {attribute: dict(names) for attribute, names in reference.aliases.items()},
    }
    card = {**reference.card, **{key: value for key, value in extra.items() if value}}
    written = yaml.safe_dump(card, allow_unicode=True, sort_keys=False, width=118)
    files = {f"{reference.name}.csv": text.getvalue().encode(), f"{reference.name}.yaml": written.encode()}
    if reference.seen is not None:
        files[_beside(Path(f"{reference.name}.csv")).name] = _written(reference.seen)
    return files


def _beside(path: Path) -> Path:
    """Where the answers of classifier and people lie that belong to counts of images."""
    return path.with_name(f"{path.stem}.answers.csv")


def _written(seen: Seen) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_ANSWERS)
    for attribute, rows in seen.answers.items():
        for key, answers in rows.items():
            writer.writerows([key, attribute, "", answer, repr(count), ""] for answer, count in answers.items())
    for attribute, labelled in seen.labels.items():
        for key, cells in labelled.items():
            writer.writerows([key, attribute, *pair, repr(w), repr(square)] for pair, (w, square) in cells.items())
    return text.getvalue().encode()


def _seen(path: Path) -> Seen | None:
    if not path.is_file():
        return None
    answers: Nested = {}
    labels: dict[str, dict[str, dict[tuple[str, str], tuple[float, float]]]] = {}
    try:
        for line in csv.DictReader(io.StringIO(_text(path), newline=""), strict=True):
            key, attribute, viewer, predicted, weight, square = (line[name] for name in _ANSWERS)
            if viewer:
                cells = labels.setdefault(attribute, {}).setdefault(key, {})
                cells[viewer, predicted] = (float(weight), float(square))
            else:
                answers.setdefault(attribute, {}).setdefault(key, {})[predicted] = float(weight)
    except (csv.Error, KeyError, ValueError, TypeError):
        raise ReferenceDataError(f"{path.name} is damaged. Restore it, or name the reference again.") from None
    return Seen(answers, labels)


def read_rows(text: str, where: str) -> _Rows:
    """The rows of the long CSV in `text`; `where` names the file in errors.

    Raises:
        ReferenceDataError: if it cannot be read, or a line says something impossible or twice.
    """
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = list(lines.fieldnames or ())
    naming, value = _header(columns, where)
    rows = _Rows(counted=value == "count")
    try:
        for line in lines:
            at = f"{where}: line {lines.line_num}"
            key, attribute, name = (str(line[c] or "").strip() for c in (naming, "attribute", "class"))
            if not (key and attribute and name) or None in line:
                raise ReferenceDataError(f"{at} has an empty cell or one too many. Put names with commas in quotes.")
            row = rows.values.setdefault(attribute, {}).setdefault(key, {})
            if name in row:
                raise ReferenceDataError(f"{at} gives {name!r} of {attribute!r} for {key!r} a second time. Remove one.")
            given = str(line[value] or "").strip()
            row[name] = _count(at, given) if rows.counted else _share(at, given)
            origin = ", ".join(part for c in ("year", "source") if (part := str(line.get(c) or "").strip()))
            if origin:
                rows.origins[key] = origin
    except csv.Error as error:
        raise ReferenceDataError(f"{where}: line {lines.line_num} is no CSV: {error}. Correct it.") from None
    if not rows.values:
        raise ReferenceDataError(f"{where} holds no row. Add at least one.")
    return rows


def _header(columns: list[str], where: str) -> tuple[str, str]:
    """Which column names the rows, and which holds the numbers."""
    for column in columns:
        if column not in _COLUMNS:
            raise ReferenceDataError(f"{where}: column {column!r} is unknown: {nearest(column, _COLUMNS)}")
    names = [c for c in ("subject", "key") if c in columns]
    values = [c for c in ("share", "count") if c in columns]
    missing = [c for c in ("attribute", "class") if c not in columns]
    if missing or len(names) != 1 or len(values) != 1 or len(set(columns)) < len(columns):
        raise ReferenceDataError(
            f"{where} needs the columns subject (or key), attribute, class and share (or count), once each "
            f"(got {', '.join(columns) or 'none'})."
        )
    return names[0], values[0]


def _share(where: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise ReferenceDataError(
            f"{where}: share must be a number from 0 to 1 (got {text!r}). Leave out rows that are not known."
        ) from None
    if not 0 <= share <= 1:
        hint = " Divide percentages by 100." if 1 < share <= 100 else ""
        raise ReferenceDataError(f"{where}: share must be from 0 to 1 (got {text}).{hint}")
    return share


def _count(where: str, text: str) -> float:
    try:
        count = float(text)
    except ValueError:
        count = -1
    if not (count >= 0 and count.is_integer()):
        raise ReferenceDataError(
            f"{where}: count must be a whole number of 0 or more (got {text or 'nothing'}). Count each image once."
        )
    return count


def _check_sums(path: Path, table: Mapping[str, Mapping[str, Mapping[str, float]]], overlapping: list[object]) -> None:
    for attribute, rows in table.items():
        for key, row in rows.items():
            off = sum(row.values()) - 1
            if attribute not in overlapping and abs(off) > _TOLERANCE:
                raise ReferenceDataError(
                    f"{path.name}: the shares of {attribute!r} for {key!r} add up to {1 + off:.4g}, not 1 "
                    f"({abs(off):.4g} too {'much' if off > 0 else 'little'}). Give the share of every class."
                )


def _by_attribute(path: Path, card: dict[str, object], key: str, kind: type) -> dict[str, Any]:
    """A key of the card that maps attributes to lists or mappings."""
    value = card.pop(key, {})
    if not isinstance(value, dict) or not all(isinstance(each, kind) for each in value.values()):
        what = "list" if kind is list else "mapping"
        raise ReferenceDataError(f"{path.stem}.yaml: {key} must map attributes, each to a {what}. Correct it.")
    return value


def _card(path: Path) -> dict[str, object]:
    file = path.with_suffix(".yaml")
    card: dict[str, object] = {
        "title": f"Own reference {path.name}",
        "source": path.name,
        "year": "",
        "universe": "",
        "caveats": [],
    }
    if not file.is_file():
        return card
    try:
        raw = read_mapping(_text(file), file.name)
    except SuiteError as error:
        raise ReferenceDataError(str(error)) from None
    for key in raw:
        if key not in _CARD_KEYS:
            raise ReferenceDataError(f"{file.name}: unknown key {key!r}: {nearest(key, _CARD_KEYS)}")
    return card | raw


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReferenceDataError(f"{path.name} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise ReferenceDataError(f"reference file {path} cannot be read: {error.strerror}. Check the path.") from None
