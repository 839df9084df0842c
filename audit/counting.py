"""Stored labels → counts: by probe and class, and by the classes of several attributes at once.

Reads one part at a time: memory does not grow with the number of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.classifiers.base import NOT_MEASURED
from audit.counts import Counts, JointCounts
from audit.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from probes.probe import Probe

COLUMNS = ("probe_id", "index", "attribute", "class")
"""What is read of the labels: who they belong to, and the answers."""


def count(store: Store, classifier: str, *, together: bool = True) -> tuple[list[Counts], list[JointCounts]]:
    """The narrow waist: images by probe and class, those without a class in their own columns; and images by the
    classes of several attributes at once (all pairs and triples).

    Args:
        store: the run.
        classifier: name of the classifier.
        together: whether to count by several attributes at once too.
    """
    probes = store.probes()
    planned, outcomes = store.planned(), _outcomes(store)
    questions = store.record()["classifiers"][classifier]["questions"]
    groups = [
        pair
        for size in (range(2, min(len(questions), 3) + 1) if together else ())
        for pair in combinations([question["attribute"] for question in questions], size)
    ]
    answers: Counter[tuple[str, str, str]] = Counter()
    joint: dict[tuple[str, ...], Counter[Any]] = {group: Counter() for group in groups}
    for table in store.label_parts(classifier, COLUMNS):
        answers += _grouped(table, ["probe_id", "attribute", "class"])
        wide = _wide(table, [question["attribute"] for question in questions]) if groups else table
        for group, found in joint.items():
            found.update(_grouped(wide, ["probe_id", *group]))
    classes = {question["attribute"]: tuple(question["classes"]) for question in questions}
    tables = [counts_of(classifier, question, probes, planned, outcomes, answers) for question in questions]
    return tables, [_joint(classifier, group, classes, probes, found) for group, found in joint.items()]


def counts_of(
    classifier: str,
    question: Mapping[str, Any],
    probes: Sequence[Probe],
    planned: Mapping[str, int],
    outcomes: Mapping[tuple[str, str], int],
    answers: Mapping[tuple[str, str, str], int],
) -> Counts:
    """Answers to one question, from numbers by probe and outcome, and by probe, attribute and answer."""
    import pandas as pd

    attribute, classes = question["attribute"], tuple(question["classes"])
    rows = []
    for probe in probes:
        name = probe.probe_id
        made = {outcome: outcomes.get((name, outcome), 0) for outcome in ("ok", "refused", "failed")}
        rows.append(
            {
                "probe_id": name,
                "subject": probe.subject,
                "kind": probe.kind,
                "language": probe.language,
                "form": probe.form,
                "template": probe.template,
                "people": probe.people,
                "asked": planned[name],
                "made": made["ok"],
                "refused": made["refused"],
                "failed": made["failed"],
                **{answer: answers.get((name, attribute, answer), 0) for answer in NOT_MEASURED},
                **{f"class__{c}": answers.get((name, attribute, c), 0) for c in classes},
            }
        )
    return Counts(classifier, attribute, classes, bool(question["ordered"]), pd.DataFrame(rows))


def _wide(table: pa.Table, attributes: Sequence[str]) -> pa.Table:
    """Labels with one row an image and one column an attribute."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [table.filter(pc.equal(table["attribute"], name)) for name in attributes]
    first = parts[0].select(["probe_id", "index"])
    if all(part.select(["probe_id", "index"]).equals(first) for part in parts[1:]):
        columns = {name: part["class"] for name, part in zip(attributes, parts, strict=True)}
        return pa.table({"probe_id": first["probe_id"], **columns})
    joined = parts[0].select(["probe_id", "index", "class"]).rename_columns(["probe_id", "index", attributes[0]])
    for name, part in zip(attributes[1:], parts[1:], strict=True):
        other = part.select(["probe_id", "index", "class"]).rename_columns(["probe_id", "index", name])
        joined = joined.join(other, keys=["probe_id", "index"], join_type="inner")
    return joined


def _joint(
    classifier: str,
    group: tuple[str, ...],
    classes: Mapping[str, tuple[str, ...]],
    probes: Sequence[Probe],
    found: Mapping[Any, int],
) -> JointCounts:
    names = tuple(probe.probe_id for probe in probes)
    place = {name: j for j, name in enumerate(names)}
    positions = [{c: i for i, c in enumerate(classes[attribute])} for attribute in group]
    counts = np.zeros((len(names), *(len(each) for each in positions)))
    for (probe, *answers), number in found.items():
        cell = [known.get(answer) for known, answer in zip(positions, answers, strict=True)]
        if None not in cell:
            counts[(place[probe], *cell)] += number
    return JointCounts(classifier, group, tuple(classes[a] for a in group), names, counts)


def _outcomes(store: Store) -> Counter[tuple[str, str]]:
    outcomes: Counter[tuple[str, str]] = Counter()
    for _, _, table in store.sample_parts(["probe_id", "outcome"]):
        outcomes += _grouped(table, ["probe_id", "outcome"])
    return outcomes


def _grouped(table: pa.Table, keys: Sequence[str]) -> Counter[Any]:
    grouped = table.group_by(list(keys)).aggregate([([], "count_all")])
    columns = [grouped[key].to_pylist() for key in keys]
    return Counter(dict(zip(zip(*columns, strict=True), grouped["count_all"].to_pylist(), strict=True)))
