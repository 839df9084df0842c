"""Whole audits with known truth: drawings of the planted world, the phantom's classifier made worse, 100 human labels.

Each audit draws its own images of 16 occupations, has the real classifier label them, spoils its answers with a
confusion that favours some classes, takes the truth of 100 random images as people's labels, and makes the tables. What
counts is how often the corrected intervals of the table hold the planted shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from audit.calibration import Calibration, tabulate
from audit.classifiers.base import NOT_MEASURED, Labels, Question
from audit.corrections import Evidence
from audit.counts import Counts
from audit.findings import find
from audit.reference import load_reference
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 10
IMAGES = 40
"""Images a probe: as many as `rolecall run` asks for unless told otherwise."""
LABELS = 100
"""Human labels an audit."""
ACCURACIES = (0.9, 0.75)


def confusion(k: int, accuracy: float) -> np.ndarray:
    """P(named | right answer) of a spoilt classifier: it knows the first class better than the last, its errors go to
    the neighbour more often than elsewhere, and a few images become unclear (last column)."""
    right = accuracy + np.linspace(0.05, -0.05, k)
    matrix = np.zeros((k, k + 1))
    for y in range(k):
        wrong = np.array([0.0 if c == y else 2.0 if c == (y + 1) % k else 1.0 for c in range(k)])
        matrix[y, :k] = (1 - right[y]) * wrong / wrong.sum()
        matrix[y, y] = right[y]
    matrix[:, k] = np.linspace(0.01, 0.03, k)
    matrix[:, :k] *= 1 - matrix[:, k:]
    return matrix


def spoil(labels: Labels, accuracy: float, rng: np.random.Generator) -> list[str]:
    """Answers made worse; those without a class stay."""
    classes = labels.classes
    matrix = confusion(len(classes), accuracy).cumsum(axis=1)
    answers = [*classes, "unclear"]
    place = {name: y for y, name in enumerate(classes)}
    draws = rng.random(len(labels.answer))
    return [
        answers[min(int(np.searchsorted(matrix[place[a]], u)), len(classes))] if a in place else a
        for a, u in zip(labels.answer, draws, strict=True)
    ]


def audits(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """So many audits: how many intervals were made, and how many of them hold the planted share."""
    import torch

    from audit.classifiers.registry import load_classifier
    from probes.generators.base import Request
    from probes.generators.registry import load_generator
    from probes.suite import load_suite

    torch.set_num_threads(1)
    generator, classifier = load_generator("phantom-drawn", threads=1), load_classifier("phantom")
    suite = load_suite("phantom")
    probes = [p for p in suite.probes if p.kind == "occupation" and p.language == "en" and not p.asked]
    found: dict[str, list[float]] = {f"{a}": [0, 0, 0, 0] for a in ACCURACIES}
    cells: dict[str, list[int]] = {f"{a} cells": [] for a in ACCURACIES}
    for _ in range(repeats):
        order = [probe for probe in probes for _ in range(int(cell["images"]))]
        drawn = generator.generate([Request(probe.text, int(rng.integers(2**62))) for probe in order])
        labels = classifier.label([result.image for result in drawn if result.image is not None])
        truth = [result.details["truth"] for result in drawn]
        chosen = rng.choice(len(order), LABELS, replace=False)
        for accuracy in ACCURACIES:
            spoilt = {each.attribute: spoil(each, accuracy, rng) for each in labels}
            shares = tables(probes, order, truth, spoilt, classifier.questions, chosen, int(rng.integers(2**31)))
            tally = found[f"{accuracy}"]
            planted = shares["reference_share"]
            tally[0] += len(shares)
            held = ((shares["corrected_low"] <= planted) & (planted <= shares["corrected_high"])).to_numpy()
            tally[1] += int(held.sum())
            known = cells[f"{accuracy} cells"] or [0] * len(held)
            cells[f"{accuracy} cells"] = (np.array(known) + held).tolist()
            tally[2] += int(((shares["share_low"] <= planted) & (planted <= shares["share_high"])).sum())
            tally[3] += float(np.mean([a == t[q] for q in spoilt for a, t in zip(spoilt[q], truth, strict=True)]))
    return {"audits": repeats, **found, **cells}


def tables(
    probes: Sequence[Any],
    order: Sequence[Any],
    truth: Sequence[dict[str, Any]],
    answers: dict[str, list[str]],
    questions: Sequence[Question],
    chosen: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """shares.csv of one audit, from the answers of its images and people's labels of some of them."""
    counts, evidence = [], {}
    for question in questions:
        rows = pd.DataFrame(
            {
                "probe_id": [probe.probe_id for probe in order],
                "true": [each[question.attribute] for each in truth],
                "predicted": answers[question.attribute],
            }
        )
        counts.append(counted(question, probes, rows))
        labelled = rows.iloc[chosen].assign(sampling_probability=len(chosen) / len(rows))
        evidence["spoilt", question.attribute] = Evidence(calibrated(question, labelled))
    world = load_reference("phantom-world")
    return find(counts, probes, [world], claim="list", evidence=evidence, draws=200, seed=seed).shares


def calibrated(question: Question, rows: pd.DataFrame) -> Calibration:
    """The calibration of one question from labelled images."""
    return tabulate("spoilt", question, rows, "audited", ["truth"])


def counted(question: Question, probes: Sequence[Any], rows: pd.DataFrame) -> Counts:
    """Answers counted by probe."""
    table = pd.crosstab(rows["probe_id"], rows["predicted"])
    lines = []
    for probe in probes:
        own = table.loc[probe.probe_id]
        known = {
            f: getattr(probe, f) for f in ("probe_id", "subject", "kind", "language", "form", "template", "people")
        }
        lines.append(
            {
                **known,
                **dict.fromkeys(("asked", "made"), int(own.sum())),
                **dict.fromkeys(("refused", "failed"), 0),
                **{answer: int(own.get(answer, 0)) for answer in NOT_MEASURED},
                **{f"class__{c}": int(own.get(c, 0)) for c in question.classes},
            }
        )
    return Counts("spoilt", question.attribute, question.classes, question.ordered, pd.DataFrame(lines))


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """Coverage of the corrected and of the naive intervals, by accuracy of the classifier."""
    number = sum(result["audits"] for _, result in results)
    figures, naive, met = [], [], True
    for accuracy in ACCURACIES:
        made, right, raw, rate = (sum(result[f"{accuracy}"][i] for _, result in results) for i in range(4))
        coverage = right / made
        error = slack * standard_error(coverage, number * 10)
        met &= 0.93 - error <= coverage <= 0.985 + error
        cells = np.sum([result[f"{accuracy} cells"] for _, result in results], axis=0) / number
        figures.append(f"{coverage:.1%}, worst cell {cells.min():.1%} (classifier right for {rate / number:.0%})")
        naive.append(f"{raw / made:.1%}")
    return Line(
        f"`phantom-drawn`, {number} whole audits with planted shares",
        "corrected intervals cover ≥ 93 % of the planted shares, mean ≤ 98.5 %",
        "; ".join(figures),
        "; ".join(naive),
        met,
    )


EXPERIMENTS = (
    Experiment(
        name="phantom-drawn audits",
        target="≥ 93 %, ≤ 98.5 %",
        cells=[{"block": block, "images": IMAGES} for block in range(30)],
        run=audits,
        judge=judge,
        repeats=10,
        small=2,
        tested=[{"block": 0, "images": 10}],
    ),
)
