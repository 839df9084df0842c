"""References: the distributions that a model's pictures are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from probes.plan import digest_of
from probes.probe import nearest

if TYPE_CHECKING:
    from audit.classifiers.base import Question
    from probes.probe import Probe

REFERENCES = Path(__file__).parent / "references"
EVERY = "*"
"""Subject of a row that holds for every probe without a row of its own."""
PROBE = "probe:"
"""Beginning of the name of a row that holds for one probe only: `probe:nurse.en.photo`."""
RUN, TRAINING = "run:", "training:"
"""Beginnings of references that are counts: `run:PATH` of another run, `training:PATH` of a training set."""
PARTS = ("no-gender", "gender")
"""Parts of an audited training set, `training:RUN#PART`: captions that name no gender, and those that name one."""

Shares = npt.NDArray[np.float64]


class ReferenceDataError(Exception):
    """A reference cannot be used as it is. The message is one line: what was wrong, what was got, what to do."""


class Coverage(NamedTuple):
    """How many of the probes that could be compared a reference knows."""

    known: int
    all: int


@dataclass(frozen=True)
class Seen:
    """The images that a reference counts, and what people answered for some of them: sums by row."""

    answers: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    """attribute → row → answer of the classifier (a class, `unclear`, `no_person`, `several_people`) → images."""
    labels: Mapping[str, Mapping[str, Mapping[tuple[str, str], tuple[float, float]]]] = field(default_factory=dict)
    """attribute → row → answers of people and of the classifier → sum of the weights of these images, and of their
    squares; empty where people have labelled none."""


@dataclass(frozen=True)
class Reference:
    """Shares of the classes of attributes, by row.

    A probe finds its row by its key, else by its own id, else by its subject, else it takes the row `*`.
    """

    name: str
    card: Mapping[str, object]
    """What a report says of the reference, JSON-able: title, source, year, universe, mapping, caveats (list), url."""
    table: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict, repr=False)
    """attribute → row → class → share, 0 to 1."""
    overlapping: frozenset[str] = frozenset()
    """Attributes in which one person may count in several classes, or in none, so that the shares of a row need not
    add up to 1."""
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """attribute → class as classifiers call it → class as this reference calls it."""
    optional: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """attribute → classes that a classifier may lack: the shares are then those among the people of the others, such
    as among adults where no class is `child`."""
    sizes: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)
    """attribute → row → number that was counted, for references that are counts."""
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)
    """row → its own year and source, where they differ by row."""
    path: Path | None = field(default=None, compare=False, repr=False)
    """The CSV that it was read from."""
    images: str = ""
    """Who labelled the images that it counts, `classifier` or `people`; empty where it is no count of images."""
    seen: Seen | None = field(default=None, compare=False, repr=False)
    """What else is known of these images; None if nothing."""

    def shares(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str], probe_id: str = ""
    ) -> Shares | None:
        """The k shares of the classes, in their order, adding up to 1.

        None where the reference says nothing of this probe's attribute, divides it into other classes, or into classes
        that overlap (see `one_vs_rest`). A class that the reference does not name has share 0.

        Raises:
            ReferenceDataError: if the probe's key is no row of this reference, or if the reference names a class that
                is not among `classes` though others are, or nearly are.
        """
        row = self._row(attribute, subject, keys, probe_id)
        if row is None or attribute in self.overlapping or not self._same_classes(attribute, row, classes):
            return None
        found = np.array([row.get(self._own(attribute, c), 0.0) for c in classes], dtype=np.float64)
        if not found.any():
            return None
        scaled: Shares = found / found.sum()
        return scaled

    def one_vs_rest(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str], probe_id: str = ""
    ) -> Shares | None:
        """The k shares of the classes, each against the rest, NaN where this reference does not name the class.

        They need not add up to 1, since one person may count in several classes; no gap over the classes may be made
        of them. None where the reference says nothing of this probe's attribute.

        Raises:
            ReferenceDataError: if the probe's key is no row of this reference.
        """
        row = self._row(attribute, subject, keys, probe_id)
        if row is None:
            return None
        found = np.array([row.get(self._own(attribute, c), np.nan) for c in classes], dtype=np.float64)
        return None if np.isnan(found).all() else found

    def knows(self, attribute: str, classes: Sequence[str], probe: Probe) -> bool:
        """Whether the reference has shares to compare this probe with, of all classes or of each against the rest."""
        whose: dict[str, Any] = {"subject": probe.subject, "keys": probe.keys, "probe_id": probe.probe_id}
        whole = self.shares(attribute, classes, **whose)
        return whole is not None or self.one_vs_rest(attribute, classes, **whose) is not None

    def size(self, attribute: str, *, subject: str, keys: Mapping[str, str], probe_id: str = "") -> int | None:
        """The number that was counted for the row of a probe; None where the reference is no count."""
        row = self._place(attribute, subject, keys, probe_id)
        return None if row is None else self.sizes.get(attribute, {}).get(row)

    def row_of(self, attribute: str, probe: Probe) -> str | None:
        """Name of the row that holds for a probe; None if there is none."""
        return self._place(attribute, probe.subject, probe.keys, probe.probe_id)

    def digest(self) -> str:
        """SHA-256 (hexadecimal) over everything that `shares` and `one_vs_rest` depend on."""
        optional = {attribute: sorted(names) for attribute, names in self.optional.items()}
        return digest_of(
            [self.name, self.table, sorted(self.overlapping), self.aliases, *([optional] if optional else ())]
        )

    def _row(self, attribute: str, subject: str, keys: Mapping[str, str], probe_id: str) -> Mapping[str, float] | None:
        place = self._place(attribute, subject, keys, probe_id)
        return None if place is None else self.table[attribute][place]

    def _place(self, attribute: str, subject: str, keys: Mapping[str, str], probe_id: str) -> str | None:
        """Name of the row that holds for a probe."""
        rows = self.table.get(attribute, {})
        key = keys.get(self.name)
        if key is None:
            return next((name for name in (PROBE + probe_id, subject, EVERY) if name in rows), None)
        if not any(key in others for others in self.table.values()):
            known = {row for others in self.table.values() for row in others}
            raise ReferenceDataError(
                f"reference {self.name!r} has no row {key!r} (of {subject!r}): {nearest(key, known)}"
            )
        return key if key in rows else None

    def _own(self, attribute: str, name: str) -> str:
        return self.aliases.get(attribute, {}).get(name, name)

    def _same_classes(self, attribute: str, row: Mapping[str, float], classes: Sequence[str]) -> bool:
        """Whether the row divides the attribute as the classes do; an error if it nearly does."""
        asked = [self._own(attribute, c) for c in classes]
        free = self.optional.get(attribute, frozenset())
        unknown = [c for c in row if c not in asked and c not in free]
        if not unknown:
            return any(c in row for c in asked)
        partly = any(c in row for c in asked) or any(get_close_matches(c, asked, n=1) for c in unknown)
        if partly:
            raise ReferenceDataError(
                f"reference {self.name!r} names class {unknown[0]!r} of {attribute!r}, which the classifier does not: "
                f"{nearest(unknown[0], classes)} The reference has {', '.join(row)}; the classifier has "
                f"{', '.join(classes)}. Use the same classes in both."
            )
        return False


@dataclass(frozen=True)
class Uniform(Reference):
    """Equal shares of all classes of any attribute."""

    def shares(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str], probe_id: str = ""
    ) -> Shares | None:
        """1/k for each of the k classes."""
        return np.full(len(classes), 1 / len(classes))

    def one_vs_rest(
        self, attribute: str, classes: Sequence[str], *, subject: str, keys: Mapping[str, str], probe_id: str = ""
    ) -> Shares | None:
        """1/k for each of the k classes."""
        return self.shares(attribute, classes, subject=subject, keys=keys)


def coverage(reference: Reference, probes: Iterable[Probe], question: Question) -> Coverage:
    """How many probes the reference knows, among those that ask for one person and do not name the attribute.

    A probe without a row is shown and counted, and left out of the gap from this reference.

    Raises:
        ReferenceDataError: if a probe's key is no row of the reference, or the classes do not match.
    """
    asked = [probe for probe in probes if probe.people == "one" and question.attribute not in probe.asked]
    known = sum(reference.knows(question.attribute, question.classes, probe) for probe in asked)
    return Coverage(known, len(asked))


def reference_names() -> list[str]:
    """Names of the built-in references, sorted."""
    return sorted(["uniform", "phantom-world", *(path.stem for path in REFERENCES.glob("*.csv"))])


def load_reference(name_or_path: str) -> Reference:
    """A built-in reference by name, an own one by the path of its CSV, or counts.

    The CSV is long: one line per row and class, with the columns `subject` (or `key`), `attribute`, `class` and
    `share` (or `count`); `*` as subject holds for every probe. A YAML of the same name beside it, if there is one, is
    its card. `run:PATH` (or `run:PATH@CLASSIFIER`) is what another run has shown. `training:PATH` is a run of
    `rolecall training`, with `#no-gender` or `#gender` behind it only its captions that name no gender, or one; or a
    CSV of counts of a training set.

    Raises:
        ReferenceDataError: if the name is unknown, or the file or run cannot be read as a reference; in one line.
    """
    from audit.reference_files import read_counts, read_reference
    from audit.reference_runs import is_run, read_run, read_training

    if name_or_path == "uniform":
        return _uniform()
    if name_or_path == "phantom-world":
        return _phantom_world()
    if name_or_path in reference_names():
        return _read_built_in(name_or_path)
    if name_or_path.startswith(RUN):
        return read_run(name_or_path.removeprefix(RUN))
    if name_or_path.startswith(TRAINING) and is_run(name_or_path.removeprefix(TRAINING)):
        return read_training(name_or_path.removeprefix(TRAINING))
    if name_or_path.startswith(TRAINING):
        return read_counts(_own_file(name_or_path.removeprefix(TRAINING)))
    if Path(name_or_path).suffix == ".csv" or Path(name_or_path).is_file():
        return read_reference(_own_file(name_or_path))
    raise ReferenceDataError(
        f"unknown reference {name_or_path!r}: {nearest(name_or_path, reference_names())} An own reference is given by "
        "the path of its CSV, another run as run:PATH, counts of a training set as training:PATH."
    )


def expand(names: Iterable[str]) -> list[str]:
    """The names, with `training:RUN#no-gender` behind every plain `training:RUN` whose captions are of both kinds.

    So amplification is told with the captions that name a gender and without them.
    """
    from audit.reference_runs import has_parts

    given = list(names)
    found: list[str] = []
    for name in given:
        part = f"{name}#{PARTS[0]}"
        more = name.startswith(TRAINING) and part not in given and has_parts(name.removeprefix(TRAINING))
        found += [name, part] if more else [name]
    return found


def _own_file(path: str) -> Path:
    if Path(path).stem in reference_names():
        raise ReferenceDataError(f"{Path(path).name} has the name of a built-in reference. Rename the file.")
    return Path(path)


@lru_cache
def _read_built_in(name: str) -> Reference:
    from audit.reference_files import read_reference

    return read_reference(REFERENCES / f"{name}.csv")


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
