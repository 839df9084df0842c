"""Two stored runs beside each other: the probes and questions that both have, and tables of their paired images.

Images are pairs if both runs asked for them with the same seed: the same probe, index and seed of the run, and models
that make their images from seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.calibration import calibrations
from audit.corrections import Evidence
from audit.counting import COLUMNS, count
from audit.counts import Counts
from audit.errors import UsageError

if TYPE_CHECKING:
    from audit.store import Store
    from probes.probe import Probe

Tables = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What is read of one run to compare it with others."""

    name: str
    record: Mapping[str, Any]
    probes: tuple[Probe, ...]
    counts: Mapping[tuple[str, str], Counts]
    """Classifier and attribute → counts, probes in the order of `probes`."""
    labels: Mapping[str, pd.DataFrame]
    """Classifier → probe_id, index, attribute, class."""
    evidence: Mapping[tuple[str, str], Evidence]
    """Classifier and attribute → what people's labels say of the classifier's errors."""


@dataclass(frozen=True)
class Question:
    """One classifier's answers to one question in two runs, for the J probes that both have, in the same order."""

    classifier: str
    attribute: str
    probes: tuple[Probe, ...]
    baseline: Counts
    other: Counts
    pairs: Tables | None
    """J × k (baseline) × k (other): paired images with a class in both runs; None if images are not paired."""
    lost: Tables | None
    """J × 2 × 2: paired images without a class, with one; by the baseline (rows) and the other run (columns)."""
    evidence: tuple[Evidence, Evidence]
    same: bool = False
    """Whether both runs asked the same model with the same seeds: what they answer alike is then no chance."""


@dataclass(frozen=True)
class Match:
    """What two runs have in common."""

    questions: tuple[Question, ...]
    unpaired: str
    """Why their images are not pairs, as half a sentence; empty if they are."""
    left_out: tuple[str, ...]
    """What could not be compared and why, a sentence each."""


def read_answers(store: Store) -> Answers:
    """Counts and labels of a run, and what people say of the errors of its classifiers."""
    record = store.record()
    done = store.classifiers()
    names = [name for name in record["classifiers"] if name in done]
    tables = [table for name in names for table in count(store, name, together=False)[0]]
    counts = {(each.classifier, each.attribute): each for each in tables}
    found = calibrations(store, record.get("calibration") or (), names)
    evidence = {
        key: Evidence(found.get(key), people=bool(record["classifiers"][key[0]]["card"].get("people")))
        for key in counts
    }
    return Answers(
        name=str(record.get("name") or store.root.name),
        record=record,
        probes=store.probes(),
        counts=counts,
        labels={name: _labels(store, name) for name in names},
        evidence=evidence,
    )


def match_runs(baseline: Answers, other: Answers) -> Match:
    """The probes and questions that two runs have in common, with tables of paired images.

    Raises:
        UsageError: if they have no probe, or no classifier with the same classes, in common.
    """
    probes, left_out = _common(baseline, other)
    why = unpaired(baseline, other)
    questions, troubles = [], []
    for key in baseline.counts:
        trouble = _trouble(key, baseline, other)
        if trouble:
            troubles.append(trouble)
            continue
        questions.append(_question(key, probes, baseline, other, paired=not why))
    if not questions:
        raise UsageError(
            f"{baseline.name} and {other.name} have no classifier and attribute in common: {' '.join(troubles)} Label "
            "one of them again with: rolecall label RUN --classifier NAME"
        )
    return Match(tuple(questions), why, (*left_out, *troubles))


def unpaired(baseline: Answers, other: Answers) -> str:
    """Why images of two runs with the same index are no pairs, as half a sentence; empty if they are pairs."""
    seeds = []
    for each in (baseline, other):
        seed = (each.record.get("plan") or {}).get("seed")
        if seed is None:
            return f"the images of {each.name} were made by others"
        if ((each.record.get("model") or {}).get("fingerprint") or {}).get("seeded") is False:
            return f"the model of {each.name} takes no seeds"
        seeds.append(seed)
    if seeds[0] != seeds[1]:
        return f"the runs have different seeds ({seeds[0]} and {seeds[1]})"
    return ""


def pair_tables(
    baseline: pd.DataFrame, other: pd.DataFrame, probe_ids: Sequence[str], classes: Sequence[str]
) -> Tables:
    """Images that have a class in both frames, counted by probe and both classes.

    Args:
        baseline: labels of one attribute: probe_id, index, class; other answers than `classes` are left out.
        other: labels of the same attribute in the other run.
        probe_ids: the J probes, in order; labels of other probes are left out.
        classes: the k classes, in order.

    Returns:
        J × k (baseline) × k (other).

    Raises:
        ValueError: if a frame holds two labels of one image.
    """
    width = 1 + max((int(each["index"].max()) for each in (baseline, other) if len(each)), default=0)
    (keys, old), (keys_, new) = (_coded(each, probe_ids, classes, width) for each in (baseline, other))
    both, one, two = np.intersect1d(keys, keys_, assume_unique=True, return_indices=True)
    k = len(classes)
    places = (both // width * k + old[one]) * k + new[two]
    tables: Tables = np.bincount(places, minlength=len(probe_ids) * k * k).reshape(len(probe_ids), k, k)
    return tables


def _coded(frame: pd.DataFrame, probe_ids: Sequence[str], classes: Sequence[str], width: int) -> tuple[Tables, Tables]:
    """Number of the image and of its class, for images of these probes that have one."""
    probe = pd.Index(list(probe_ids)).get_indexer(pd.Index(frame["probe_id"])).astype(np.int64)
    answer = pd.Index(list(classes)).get_indexer(pd.Index(frame["class"])).astype(np.int64)
    known = (probe >= 0) & (answer >= 0)
    keys = probe[known] * width + frame["index"].to_numpy(dtype=np.int64)[known]
    if len(np.unique(keys)) < len(keys):
        raise ValueError("an image has two labels of one attribute. Count each image once.")
    return keys, answer[known]


def _labels(store: Store, classifier: str) -> pd.DataFrame:
    import pyarrow as pa

    parts = list(store.label_parts(classifier, COLUMNS))
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=list(COLUMNS))
    return frame


def _common(baseline: Answers, other: Answers) -> tuple[tuple[Probe, ...], list[str]]:
    theirs = {probe.probe_id: probe for probe in other.probes}
    shared = [probe for probe in baseline.probes if probe.probe_id in theirs]
    for probe in shared:
        if theirs[probe.probe_id].text != probe.text:
            raise UsageError(
                f"probe {probe.probe_id} is another prompt in {other.name} ({theirs[probe.probe_id].text!r}) than in "
                f"{baseline.name} ({probe.text!r}). Compare runs of the same suite."
            )
    if not shared:
        raise UsageError(f"{baseline.name} and {other.name} have no probe in common. Compare runs of the same suite.")
    alone = [(each.name, len(each.probes) - len(shared)) for each in (baseline, other)]
    return tuple(shared), [f"{number} probes are only in {name}." for name, number in alone if number]


def _trouble(key: tuple[str, str], baseline: Answers, other: Answers) -> str:
    """Why the answers to a question cannot be compared; empty if they can."""
    classifier, attribute = key
    if key not in other.counts:
        return f"{other.name} has no {attribute} by {classifier}."
    if baseline.counts[key].classes != other.counts[key].classes:
        return f"{attribute} by {classifier} has other classes in {other.name}."
    made = [each.record["classifiers"][classifier]["fingerprint"] for each in (baseline, other)]
    if made[0] != made[1]:
        return f"{classifier} is another instrument in {other.name}: weights, wordings or margins differ."
    return ""


def _question(
    key: tuple[str, str], probes: tuple[Probe, ...], baseline: Answers, other: Answers, *, paired: bool
) -> Question:
    names = [probe.probe_id for probe in probes]
    sides = [_part(each.counts[key], names) for each in (baseline, other)]
    pairs = lost = None
    if paired:
        frames = []
        for each in (baseline, other):
            labels = each.labels[key[0]]
            frames.append(labels[labels["attribute"] == key[1]])
        classes = sides[0].classes
        pairs = pair_tables(frames[0], frames[1], names, classes)
        lost = _lost(frames, sides, names, pairs.sum(axis=(1, 2)))
    models = [(each.record.get("model") or {}).get("fingerprint") for each in (baseline, other)]
    evidence = (baseline.evidence[key], other.evidence[key])
    return Question(*key, probes, sides[0], sides[1], pairs, lost, evidence, paired and models[0] == models[1])


def _lost(frames: Sequence[pd.DataFrame], sides: Sequence[Counts], names: Sequence[str], both: Tables) -> Tables:
    """Pairs without a class and with one. Only images that both runs asked for are pairs."""
    asked = np.minimum(*(each.table["asked"].to_numpy(dtype=np.int64) for each in sides))
    limit = pd.Series(asked, index=list(names))
    labelled = []
    for frame, side in zip(frames, sides, strict=True):
        kept = frame[frame["class"].isin(side.classes) & (frame["index"] < frame["probe_id"].map(limit))]
        labelled.append(kept["probe_id"].value_counts().reindex(list(names), fill_value=0).to_numpy(dtype=np.int64))
    one, two = labelled
    neither = asked - one - two + both
    tables: Tables = np.stack([np.stack([neither, two - both], axis=1), np.stack([one - both, both], axis=1)], axis=1)
    return tables


def _part(counts: Counts, names: Sequence[str]) -> Counts:
    table = counts.table.set_index("probe_id", drop=False).loc[list(names)].reset_index(drop=True)
    return replace(counts, table=table)
