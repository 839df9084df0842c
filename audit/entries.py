"""The samples of a run with all their labels, one after the other, a part at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit import human

if TYPE_CHECKING:
    import pyarrow as pa

    from audit.parts import Part
    from audit.store import Store
    from probes.probe import Probe

PEOPLE = "people"
"""Stands in the place of a classifier for what most people answered."""

Found = dict[tuple[str, str], tuple[str, float | None]]
"""Classifier and attribute → answer, and its score from 0 to 1 where the classifier gives one."""


@dataclass(frozen=True)
class Entry:
    """One sample with all that is exported of it."""

    sample: Mapping[str, Any]
    """Its row in samples/."""
    probe: Probe
    place: int
    """Which probe of the run it is, counted from 1."""
    labels: Found
    """classifier and attribute → answer, and its score from 0 to 1 where the classifier gives one."""
    details: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Classifier → the people it found whose place is known, the most prominent first: rows of people/. Every
    classifier of `finders` is there."""

    def columns(self) -> dict[str, Any]:
        """What every layout says of a sample, in order."""
        own = (self.details.get(name) for name in ("prompt", "caption"))
        return {
            "text": next((text for text in own if text and isinstance(text, str)), self.probe.text),
            "revised_prompt": str(self.details.get("revised_prompt") or ""),
            "probe_id": self.probe.probe_id,
            "subject": self.probe.subject,
            "language": self.probe.language,
            "template": self.probe.template,
            "index": self.sample["index"],
            "seed": self.sample["seed"],
            "sample_id": self.sample["sample_id"],
            "outcome": self.sample["outcome"],
        }


def entries(store: Store) -> Iterator[Entry]:
    """All samples of a run with their labels, in order of their batches, a part at a time."""
    probes = {probe.probe_id: (place, probe) for place, probe in enumerate(store.probes(), 1)}
    people = _people(store)
    kinds = columns_of(store)
    blank = dict.fromkeys(kinds, ("", None))
    reader = _Reader(store)
    for part in store.samples.present():
        known = reader.labels(part.first, part.last)
        found = reader.people(part.first, part.last)
        for row in reader.table(part.path).to_pylist():
            place, probe = probes[row["probe_id"]]
            sample = row["sample_id"]
            labels = {**blank, **known.get(sample, {}), **people.get(sample, {})}
            details = json.loads(row["details"]) if row["details"] else {}
            yield Entry(row, probe, place, labels, details, {name: by.get(sample, []) for name, by in found.items()})


def columns_of(store: Store) -> list[tuple[str, str]]:
    """Classifier and attribute of every label of a run; `people` at the end, if people have labelled images."""
    record = store.record()["classifiers"]
    asked = [
        (name, question["attribute"])
        for name in human.ordered_classifiers(store)
        for question in record[name]["questions"]
    ]
    given = human.labels(store)
    return asked + [(PEOPLE, str(attribute)) for attribute in dict.fromkeys(given["attribute"])]


def finders(store: Store) -> dict[str, tuple[str, ...]]:
    """The classifiers of a run that say where the people are whom they found, with the attributes of their answers."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def placed(part: Part) -> bool:
        return bool(pc.any(pc.is_valid(pq.read_table(part.path, columns=["left"])["left"])).as_py())

    questions = {name: entry["questions"] for name, entry in store.record()["classifiers"].items()}
    return {
        name: tuple(question["attribute"] for question in questions[name])
        for name in human.ordered_classifiers(store)
        if any(map(placed, store.people(name).present()))
    }


class _Reader:
    """Reads labels by ranges of batches. The table read last is kept for each kind of part."""

    def __init__(self, store: Store) -> None:
        record = store.record()["classifiers"]
        self._parts: dict[str, list[Part]] = {
            name: store.labels(name).present() for name in human.ordered_classifiers(store)
        }
        self._classes = {
            (name, question["attribute"]): tuple(question["classes"])
            for name in self._parts
            for question in record[name]["questions"]
        }
        self._people = {name: store.people(name).present() for name in finders(store)}
        self.table = lru_cache(maxsize=len(self._parts) + len(self._people) + 1)(_read)

    def labels(self, first: int, last: int) -> dict[str, Found]:
        """sample_id → labels, for all images of the batches `first` to `last` (and perhaps of their neighbours)."""
        found: dict[str, Found] = {}
        for name, parts in self._parts.items():
            for part in parts:
                if part.first <= last and part.last >= first:
                    table = self.table(part.path)
                    columns = (table[key].to_pylist() for key in ("sample_id", "attribute", "class", "scores"))
                    for sample, attribute, answer, scores in zip(*columns, strict=True):
                        key = (name, attribute)
                        score = _score(answer, self._classes.get(key, ()), scores or ())
                        found.setdefault(sample, {})[key] = (answer, score)
        return found

    def people(self, first: int, last: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Classifier → sample_id → people with a place, of the same batches."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in self._people}
        for name, parts in self._people.items():
            for part in parts:
                if part.first <= last and part.last >= first:
                    for row in self.table(part.path).to_pylist():
                        if row["left"] is not None:
                            found[name].setdefault(row["sample_id"], []).append(row)
        return found


def _read(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _score(answer: str, classes: tuple[str, ...], scores: Any) -> float | None:
    if answer not in classes or len(scores) != len(classes):
        return None
    score = scores[classes.index(answer)]
    return float(score) if score is not None and np.isfinite(score) else None


def _people(store: Store) -> dict[str, Found]:
    given = human.labels(store)
    found: dict[str, Found] = {}
    if not given.empty:
        table = human.majority(given)
        for sample, attribute, answer in zip(table["sample_id"], table["attribute"], table["class"], strict=True):
            found.setdefault(sample, {})[PEOPLE, attribute] = (answer, None)
    return found
