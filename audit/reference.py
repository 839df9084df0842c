"""References: the distributions that a model's pictures are compared with."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from probes.expand import read_mapping
from probes.plan import digest_of
from probes.probe import SuiteError, nearest

REFERENCES = Path(__file__).parent / "references"
EVERY = "*"
"""Subject of a row that holds for every probe without a row of its own."""
_COLUMNS = ("subject", "key", "attribute", "class", "share")
_CARD_KEYS = ("title", "source", "year", "universe", "caveats", "url", "overlapping", "classes")
_TOLERANCE = 0.005
"""Shares of published tables are rounded: a row may miss 1 by this much, and is then scaled to 1."""

Shares = npt.NDArray[np.float64]


class ReferenceDataError(Exception):
    """A reference cannot be used as it is. The message is one line: what was wrong, what was got, what to do."""


@dataclass(frozen=True)
class Reference:
    """Shares of the classes of attributes, by row; a probe finds its row by its key, else by its subject."""

    name: str
    card: Mapping[str, object]
    """What a report says of the reference, JSON-able: title, source, year, universe, caveats (list), url."""
    table: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict, repr=False)
    """attribute → row → class → share, 0 to 1."""
    overlapping: frozenset[str] = frozenset()
    """Attributes in which one person may count in several classes, so that the shares of a row exceed 1."""
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """attribute → class as classifiers call it → class as this reference calls it."""

    def shares(self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str]) -> Shares | None:
        """The k shares of the classes, in their order, adding up to 1.

        None where the reference says nothing of this probe's attribute, divides it into other classes, or into classes
        that overlap (see `one_vs_rest`). A class that the reference does not name has share 0.

        Raises:
            ReferenceDataError: if the probe's key is no row of this reference, or if the reference names a class that
                is not among `classes` though others are, or nearly are.
        """
        row = self._row(attribute, subject, keys)
        if row is None or attribute in self.overlapping or not self._same_classes(attribute, row, classes):
            return None
        found = np.array([row.get(self._own(attribute, c), 0.0) for c in classes], dtype=np.float64)
        scaled: Shares = found / found.sum()
        return scaled

    def one_vs_rest(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str]
    ) -> Shares | None:
        """The k shares of the classes, each against the rest, NaN where this reference does not name the class.

        They need not add up to 1, since one person may count in several classes; no gap over the classes may be made
        of them. None where the reference says nothing of this probe's attribute.

        Raises:
            ReferenceDataError: if the probe's key is no row of this reference.
        """
        row = self._row(attribute, subject, keys)
        if row is None:
            return None
        found = np.array([row.get(self._own(attribute, c), np.nan) for c in classes], dtype=np.float64)
        return None if np.isnan(found).all() else found

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over everything that `shares` and `one_vs_rest` depend on."""
        return digest_of([self.name, self.table, sorted(self.overlapping), self.aliases])

    def _row(self, attribute: str, subject: str, keys: Mapping[str, str]) -> Mapping[str, float] | None:
        rows = self.table.get(attribute, {})
        key = keys.get(self.name)
        if key is None:
            return rows.get(subject, rows.get(EVERY))
        if not any(key in others for others in self.table.values()):
            known = {row for others in self.table.values() for row in others}
            raise ReferenceDataError(
                f"reference {self.name!r} has no row {key!r} (of {subject!r}): {nearest(key, known)}"
            )
        return rows.get(key)

    def _own(self, attribute: str, name: str) -> str:
        return self.aliases.get(attribute, {}).get(name, name)

    def _same_classes(self, attribute: str, row: Mapping[str, float], classes: Sequence[str]) -> bool:
        """Whether the row divides the attribute as the classes do; an error if it nearly does."""
        asked = [self._own(attribute, c) for c in classes]
        unknown = [c for c in row if c not in asked]
        if not unknown:
            return True
        partly = len(unknown) < len(row) or any(get_close_matches(c, asked, n=1) for c in unknown)
        if partly:
            raise ReferenceDataError(
                f"reference {self.name!r} names class {unknown[0]!r} of {attribute!r}, which the classifier does not: "
                f"{nearest(unknown[0], classes)}"
            )
        return False


@dataclass(frozen=True)
class Uniform(Reference):
    """Equal shares of all classes of any attribute."""

    def shares(self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str]) -> Shares | None:
        """1/k for each of the k classes."""
        return np.full(len(classes), 1 / len(classes))

    def one_vs_rest(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str]
    ) -> Shares | None:
        """1/k for each of the k classes."""
        return self.shares(attribute, classes, subject=subject, keys=keys)


def reference_names() -> list[str]:
    """Names of the built-in references, sorted."""
    return sorted(["uniform", "phantom-world", *(path.stem for path in REFERENCES.glob("*.csv"))])


def load_reference(name_or_path: str) -> Reference:
    """A built-in reference by name, or an own one by the path of its CSV.

    The CSV is long: one line per row and class, with the columns `subject` (or `key`), `attribute`, `class` and
    `share`; `*` as subject holds for every probe. Further columns are refused. A YAML of the same name beside it, if
    there is one, is its card.

    Raises:
        ReferenceDataError: if the name is unknown, or the file cannot be read as a reference; in one line.
    """
    if name_or_path == "uniform":
        return _uniform()
    if name_or_path == "phantom-world":
        return _phantom_world()
    path = Path(name_or_path)
    if name_or_path in reference_names():
        return _read_built_in(name_or_path)
    if path.suffix == ".csv" or path.is_file():
        if path.stem in reference_names():
            raise ReferenceDataError(f"{path.name} has the name of a built-in reference. Rename the file.")
        return _read(path)
    raise ReferenceDataError(
        f"unknown reference {name_or_path!r}: {nearest(name_or_path, reference_names())} "
        "An own reference is given by the path of its CSV."
    )


@lru_cache
def _read_built_in(name: str) -> Reference:
    return _read(REFERENCES / f"{name}.csv")


def _uniform() -> Reference:
    card = {
        "title": "Equal shares of all classes",
        "source": "No data: a yardstick.",
        "year": "",
        "universe": "",
        "caveats": [
            "Equal shares describe no labour market and no population; they show how far a model leans to any class.",
            "The gap depends on how many classes an attribute is divided into.",
        ],
    }
    return Uniform(name="uniform", card=card)


def _phantom_world() -> Reference:
    from probes.phantom.world import load_world  # draws figures: imported where it is used

    world = load_world()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for subject, attribute, name, share in world.planted():
        table.setdefault(attribute, {}).setdefault(subject, {})[name] = share
    card: dict[str, object] = {
        "title": "The phantom's own world",
        "source": f"probes/phantom/world.yaml, version {world.version}: the shares that were planted in its training.",
        "year": "",
        "universe": "The drawn figures that the phantom was trained on.",
        "caveats": [
            "The shares are invented, in order to be known; they describe no labour market and no people.",
            "The peoples of the phantom (ivory, honey, copper, umber) are drawing conventions, no ethnicities.",
            "A distance from this reference is the error of the phantom and of the classifier together.",
        ],
    }
    return Reference("phantom-world", card, table)


def _read(path: Path) -> Reference:
    card = _card(path)
    overlapping = card.pop("overlapping", [])
    classes = card.pop("classes", {})
    if not isinstance(overlapping, list) or not isinstance(classes, dict):
        raise ReferenceDataError(f"{path.stem}.yaml: overlapping must be a list and classes a mapping. Correct it.")
    aliases = {attribute: {str(k): str(v) for k, v in names.items()} for attribute, names in classes.items()}
    table = _table(_text(path), path.name)
    for attribute, rows in table.items():
        for key, row in rows.items():
            total = sum(row.values())
            if attribute not in overlapping and abs(total - 1) > _TOLERANCE:
                raise ReferenceDataError(
                    f"{path.name}: the shares of {attribute!r} for {key!r} add up to {total:.4g}, not 1. "
                    "Give the share of every class."
                )
    return Reference(path.stem, card, table, frozenset(str(a) for a in overlapping), aliases)


def _table(text: str, where: str) -> dict[str, dict[str, dict[str, float]]]:
    """attribute → row → class → share, from the long CSV."""
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = list(lines.fieldnames or ())
    for column in columns:
        if column not in _COLUMNS:
            raise ReferenceDataError(f"{where}: column {column!r} is unknown: {nearest(column, _COLUMNS)}")
    names = [c for c in ("subject", "key") if c in columns]
    missing = [c for c in _COLUMNS[2:] if c not in columns]
    if missing or len(names) != 1 or len(set(columns)) < len(columns):
        raise ReferenceDataError(
            f"{where} needs the columns subject (or key), attribute, class and share, once each "
            f"(got {', '.join(columns) or 'none'})."
        )
    table: dict[str, dict[str, dict[str, float]]] = {}
    try:
        for line in lines:
            at = f"{where}: line {lines.line_num}"
            key, attribute, name = (str(line[c] or "").strip() for c in (names[0], "attribute", "class"))
            if not (key and attribute and name) or None in line:
                raise ReferenceDataError(f"{at} has an empty cell or one too many. Put names with commas in quotes.")
            row = table.setdefault(attribute, {}).setdefault(key, {})
            if name in row:
                raise ReferenceDataError(f"{at} gives {name!r} of {attribute!r} for {key!r} a second time. Remove one.")
            row[name] = _share(at, str(line["share"] or "").strip())
    except csv.Error as error:
        raise ReferenceDataError(f"{where}: line {lines.line_num} is no CSV: {error}. Correct it.") from None
    if not table:
        raise ReferenceDataError(f"{where} holds no row. Add at least one.")
    return table


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
