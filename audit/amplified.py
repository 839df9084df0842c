"""Does a model lean further from even than the images that a reference counts? What may be claimed, and on what.

Two sets of images on which a classifier errs differently differ without any true difference. So that a model amplifies
what it was shown is claimed with people's labels on both sides, or beyond δ, and not otherwise (docs/training-data.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from audit.compared import Settings
from audit.corrections import NOTHING, Evidence, evidence_of
from audit.counts import ANSWERED, Counts, eligible
from audit.statistics.growth import Growth, Side, growth, growth_with_labels
from audit.statistics.intervals import Floats

if TYPE_CHECKING:
    import pandas as pd

    from audit.reference import Reference
    from probes.probe import Probe

LABELS, DELTA = "labels on both sides", "delta rule"
"""What a claim rests on: `evidence` in amplification.csv."""


class _Found(NamedTuple):
    growth: Growth
    evidence: str
    margin: float


def claim(
    table: pd.DataFrame,
    counts: Sequence[Counts],
    probes: Sequence[Probe],
    references: Sequence[Reference],
    evidence: Mapping[tuple[str, str], Evidence],
    settings: Settings,
) -> pd.DataFrame:
    """amplification.csv with difference, growth, evidence and conclusion in the rows whose reference counts images.

    Args:
        table: the rows, with all columns of `AMPLIFICATION`; rows of other references stay as they are.
        counts: one for each classifier and attribute.
        probes: the probes of the run.
        references: what was compared with.
        evidence: what is known of the errors of the instruments, by classifier and attribute.
        settings: level and δ.
    """
    counted = {reference.name: reference for reference in references if reference.images}
    given = {(each.classifier, each.attribute): each for each in counts}
    named = {probe.probe_id: probe for probe in probes}
    rows = table.astype({"evidence": object, "conclusion": object}) if len(table) else table
    for place, row in table.iterrows():
        if row["reference"] not in counted:
            continue
        each = given[row["classifier"], row["attribute"]]
        c = each.classes.index(row["class"])
        known = evidence_of(evidence, each)
        found = _compare(each, named, counted[row["reference"]], known, c, settings)
        for name in ("difference", "growth"):
            ends = getattr(found.growth, name)
            rows.loc[place, [name, f"{name}_low", f"{name}_high"]] = [float(end) for end in ends]
        rows.loc[place, ["evidence", "conclusion"]] = [found.evidence, _word(found, settings)]
    return rows


def _compare(
    counts: Counts, probes: Mapping[str, Probe], reference: Reference, evidence: Evidence, c: int, settings: Settings
) -> _Found:
    k = len(counts.classes)
    level = 1 - settings.alpha / (k if k > 2 else 1)
    rows, own = _rows(counts, probes, reference)
    model, theirs = _side(counts, rows, own, evidence), _reference_side(reference, counts, rows)
    people = evidence.people, reference.images == "people"
    if model is not None and theirs is not None and not all(people):
        found = growth_with_labels(model, theirs, c, k, even=1 / k, level=level)
        if found is not None:
            return _Found(found, LABELS, 0.0)
    x, y = _summed(counts.array(), own, len(rows)), _reference_counts(reference, counts, rows)
    found = growth(x[:, c], x.sum(axis=1), y[:, c], y.sum(axis=1), even=1 / k, level=level)
    return _Found(found, LABELS, 0.0) if all(people) else _Found(found, DELTA, settings.delta)


def _word(found: _Found, settings: Settings) -> str:
    """`amplified`, `reduced`, `close`, `inconclusive`; empty without a subject on both sides."""
    value, low, high = (float(end) for end in found.growth.growth)
    if np.isnan(value):
        return ""
    if low > found.margin:
        return "amplified"
    if high < -found.margin:
        return "reduced"
    return "close" if low >= -settings.delta and high <= settings.delta else "inconclusive"


def _rows(counts: Counts, probes: Mapping[str, Probe], reference: Reference) -> tuple[list[str], list[int]]:
    """The rows of the reference that probes with an image have, and the row's number of every probe; −1 for none.

    Probes of one row are one subject: what the reference counts for it is counted once.
    """
    own = [probes[name] for name in counts.table["probe_id"]]
    usable = eligible(counts, own) & (counts.array().sum(axis=1) > 1)
    names: dict[str, int] = {}
    places = []
    for probe, used in zip(own, usable, strict=True):
        row = reference.row_of(counts.attribute, probe) if used else None
        places.append(-1 if row is None else names.setdefault(row, len(names)))
    return list(names), places


def _summed(values: Floats, places: Sequence[int], rows: int) -> Floats:
    """Values of probes added up by row."""
    found = np.zeros((rows, *values.shape[1:]))
    chosen = np.array(places) >= 0
    np.add.at(found, np.array(places)[chosen], values[chosen])
    return found


def _side(counts: Counts, rows: Sequence[str], places: Sequence[int], evidence: Evidence = NOTHING) -> Side | None:
    """The audited images; None where people have not labelled any of them."""
    answers = _summed(counts.answers(), places, len(rows))
    if evidence.people:
        return _all_labelled(answers)
    calibration = evidence.calibration
    if calibration is None or not calibration.by_probe:
        return None
    nothing = np.zeros_like(calibration.table)
    names = counts.table["probe_id"].tolist()
    sums = [
        _summed(np.stack([parts.get(name, nothing) for name in names]), places, len(rows))
        for parts in (calibration.by_probe, calibration.squares_by_probe)
    ]
    return Side(answers, sums[0], sums[1])


def _reference_side(reference: Reference, counts: Counts, rows: Sequence[str]) -> Side | None:
    """The images that the reference counts; None where people have not labelled any of them."""
    seen = reference.seen
    if seen is None:
        return None
    predicted = (*counts.classes, *ANSWERED)
    given = seen.answers.get(counts.attribute, {})
    answers = np.array([[given.get(row, {}).get(name, 0) for name in predicted] for row in rows], dtype=np.float64)
    answers = answers.reshape(len(rows), len(predicted))
    if reference.images == "people":
        return _all_labelled(answers)
    cells = seen.labels.get(counts.attribute, {})
    others = [name for name in ANSWERED if any(viewer == name for each in cells.values() for viewer, _ in each)]
    viewers = (*counts.classes, *others)
    if not cells or any(viewer not in viewers for each in cells.values() for viewer, _ in each):
        return None
    both = np.zeros((2, len(rows), len(viewers), len(predicted)))
    for j, row in enumerate(rows):
        for (viewer, answer), sums in cells.get(row, {}).items():
            both[:, j, viewers.index(viewer), predicted.index(answer)] = sums
    return Side(answers, both[0], both[1])


def _reference_counts(reference: Reference, counts: Counts, rows: Sequence[str]) -> Floats:
    """Images by row and class, as whole numbers."""
    table, sizes = reference.table[counts.attribute], reference.sizes[counts.attribute]
    found: Any = [[round(table[row].get(name, 0.0) * sizes[row]) for name in counts.classes] for row in rows]
    return np.array(found, dtype=np.float64).reshape(len(rows), len(counts.classes))


def _all_labelled(answers: Floats) -> Side:
    """Images that people labelled themselves: every answer is what they perceived."""
    tables = answers[:, :, None] * np.eye(answers.shape[1])
    return Side(answers, tables, tables)
