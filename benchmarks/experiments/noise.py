"""Do corrected shares cover what people would perceive, with few labels and with labels that are no random sample?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audit.statistics.double_sampling import post_stratified_classes
from audit.statistics.gap import gap_of_list, largest_squared_distance
from audit.statistics.intervals import Floats, wilson
from audit.statistics.inversion import corrected_shares
from audit.statistics.noise import reweighted
from audit.statistics.noisy_gap import corrected_gap
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 2
N = 100
"""Images a probe."""
ALL = 15_000
"""Images of an audit."""
PLANTED: Mapping[int, Sequence[Sequence[float]]] = {
    2: [[p, 1 - p] for p in (0.02, 0.1, 0.3, 0.5, 0.9)],
    7: [
        [1 / 7] * 7,
        [0.45, 0.2, 0.13, 0.1, 0.07, 0.03, 0.02],
        [0.9, 0.04, 0.02, 0.02, 0.01, 0.005, 0.005],
    ],
}
"""What people would perceive in the probes of an audit."""


def error_rates(k: int, right: Sequence[float], spread: str) -> Floats:
    """M of a classifier: `right` on the diagonal, errors even over the other classes or mostly to the next ones."""
    place = np.arange(k)
    apart = np.abs(place[:, None] - place)
    weight = np.where(apart == 1, 10.0, 1.0) if spread == "near" else np.ones((k, k))
    weight[place, place] = 0
    correct = np.broadcast_to(np.asarray(right, dtype=np.float64), (k,))
    matrix: Floats = weight / weight.sum(axis=1, keepdims=True) * (1 - correct)[:, None]
    matrix[place, place] = correct
    return matrix


def label(matrix: Floats, mix: Floats, m: int, repeats: int, rng: np.random.Generator) -> Floats:
    """Tables of m labelled images of this mix, repeats × k × k."""
    return (
        rng.multinomial(m, (mix[:, None] * matrix).ravel(), size=repeats).reshape(repeats, *matrix.shape).astype(float)
    )


def covered(low: Floats, high: Floats, truth: Floats) -> list[float]:
    """Part of the repeats whose interval holds the truth, a number a class."""
    held = (low <= truth + 1e-12) & (truth <= high + 1e-12)
    return [float(each) for each in held.mean(axis=0)]


def naive_coverage(predicted: Floats, truth: Floats) -> list[float]:
    """The same for Wilson's interval of the classifier's own answers."""
    k = len(truth)
    ends = wilson(predicted[:, :k], predicted.sum(axis=1, keepdims=True))
    return covered(ends.low, ends.high, truth)


def run_probe(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """One probe of n images; the table from labels of all audited images, of other images, or of its own images."""
    k, m, n = cell["k"], cell["m"], cell.get("n", N)
    matrix = error_rates(k, cell["right"], cell["spread"])
    planted = np.array(PLANTED[k])
    coverage, naive = [], []
    for p in planted:
        mix = {"audited": planted.mean(axis=0), "other": np.full(k, 1 / k), "own": p}[cell["labels"]]
        table = label(matrix, mix, m, repeats, rng)
        own = cell["labels"] == "own"
        x = rng.multinomial(n - m if own else n, p @ matrix, size=repeats) + (table.sum(axis=1) if own else 0)
        found = corrected_shares(x, table, k=k, labelled=table if own else None)
        coverage += covered(found.low, found.high, p)
        naive += naive_coverage(x, p)
    return {"coverage": coverage, "naive": naive, "repeats": repeats}


def run_all_images(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """All images of an audit, m of them labelled at random."""
    k, m = cell["k"], cell["m"]
    matrix = error_rates(k, cell["right"], cell["spread"])
    coverage, naive = [], []
    for p in np.array(PLANTED[k]):
        table = label(matrix, p, m, repeats, rng)
        predicted = table.sum(axis=1) + rng.multinomial(ALL - m, p @ matrix, size=repeats)
        found = post_stratified_classes(predicted, table, k)
        coverage += covered(found.low, found.high, p)
        naive += naive_coverage(predicted, p)
    return {"coverage": coverage, "naive": naive, "repeats": repeats}


def run_stratified(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Labels in equal numbers for every answer of the classifier; the naive figure leaves the weights out."""
    k, each = cell["k"], cell["m"] // cell["k"]
    matrix = error_rates(k, cell["right"], "even")
    mix = np.array(cell["mix"])
    joint = mix[:, None] * matrix
    said = joint.sum(axis=0)
    table = np.stack([rng.multinomial(each, joint[:, c] / said[c], size=repeats) for c in range(k)], axis=2)
    whole = rng.multinomial(ALL, said, size=repeats)
    weighted = np.stack([reweighted(t, each / np.maximum(w, each)) for t, w in zip(table, whole, strict=True)])
    coverage, naive = [], []
    for p in np.array(PLANTED[k]):
        x = rng.multinomial(N, p @ matrix, size=repeats)
        found, without = (corrected_shares(x, labels, k=k) for labels in (weighted, table))
        coverage += covered(found.low, found.high, p)
        naive += covered(without.low, without.high, p)
    return {"coverage": coverage, "naive": naive, "repeats": repeats}


def run_gap(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """The gap of 50 probes × 50 images against equal shares."""
    k, m = cell["k"], cell["m"]
    matrix = error_rates(k, cell["right"], cell["spread"])
    reference = np.full(k, 1 / k)
    planted = (1 - cell["tilt"]) * reference + cell["tilt"] * np.array(PLANTED[k])
    p = planted[np.arange(50) % len(planted)]
    truth = float(((p - reference) ** 2).sum(axis=1).mean() / largest_squared_distance(reference)[0])
    tables = label(matrix, np.full(k, 1 / k), m, repeats, rng)
    held, naive, errors = 0, 0, []
    for table in tables:
        x = rng.multinomial(50, p @ matrix)
        found, raw = corrected_gap(x, table, reference, k=k), gap_of_list(x, reference)
        held += found.low**2 - 1e-12 <= truth <= found.high**2 + 1e-12
        naive += raw.low**2 - 1e-12 <= truth <= raw.high**2 + 1e-12
        errors.append(found.squared - truth)
    return {
        "coverage": [held / repeats],
        "naive": [naive / repeats],
        "error": float(np.nanmedian(errors)),
        "repeats": repeats,
    }


def judge(name: str, target: str, ceiling: float, naive: str) -> Any:
    """Every figure of every cell at least 93 %, their mean at most `ceiling`; cells with `n` are reported beside it."""

    def line(every: Sequence[tuple[Cell, Result]], slack: float) -> Line:
        results = [each for each in every if "n" not in each[0]]
        figures = np.concatenate([result["coverage"] for _, result in results])
        others = np.concatenate([result["naive"] for _, result in results])
        errors = [standard_error(share, result["repeats"]) for _, result in results for share in result["coverage"]]
        met = bool((figures + slack * np.array(errors) >= 0.93).all() and figures.mean() <= ceiling)
        lowest = min(results, key=lambda each: min(each[1]["coverage"]))
        centres = [abs(result["error"]) for _, result in results if "error" in result]
        remark = f"{len(figures)} shares in {len(results)} cells; lowest at {_words(lowest[0])}."
        for cell, result in (each for each in every if "n" in each[0]):
            at = int(np.argmin(result["coverage"]))
            share = np.concatenate(PLANTED[cell["k"]])[at]
            remark += f" Not judged, {_words(cell)}: lowest {result['coverage'][at]:.1%}, at a share of {share:.1%}."
        if centres:
            remark += f" The median of the squared gap is at most {max(centres):.4f} off in any cell."
        return Line(
            experiment=name,
            target=target,
            figure=f"lowest {figures.min():.1%}, mean {figures.mean():.1%}",
            naive=f"{naive}: lowest {others.min():.1%}, mean {others.mean():.1%}",
            met=met,
            remark=remark,
        )

    return line


def _words(cell: Cell) -> str:
    return ", ".join(f"{name} {value}" for name, value in cell.items())


RATES = ([0.85, 0.85], [0.9, 0.95], [0.99, 0.9], [0.99, 0.99])
"""Sensitivity and specificity."""


def _grid(labels: Sequence[str], sizes: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"k": k, "right": right, "spread": spread, "m": m, "labels": origin}
        for origin in labels
        for k, rates, spreads in ((2, RATES, ("even",)), (7, ([0.85], [0.92], [0.99]), ("even", "near")))
        for right in rates
        for spread in spreads
        for m in sizes
    ]


PROBE = [*_grid(("audited", "other"), (50, 100, 300, 1000)), *_grid(("own",), (20, 50))]
BEYOND = [
    {"k": 7, "right": right, "spread": spread, "m": 1000, "labels": labels, "n": n}
    for right, spread, labels, n in (([0.99], "even", "audited", 20), ([0.85], "near", "other", 1000))
]
WHOLE = [{name: cell[name] for name in ("k", "right", "spread", "m")} for cell in _grid(("",), (50, 100, 300, 1000))]
STRATIFIED = [
    {"k": k, "right": right, "m": m, "mix": mix}
    for k, mixes in ((2, ([0.1, 0.9], [0.3, 0.7], [0.5, 0.5])), (7, (PLANTED[7][1],)))
    for right in ([0.9] * k, [0.97] * k)
    for m in (100, 300)
    for mix in mixes
]
GAPS = [
    {"k": k, "right": right, "spread": "near", "m": m, "tilt": tilt}
    for k, right in ((2, [0.85, 0.95]), (2, [0.95, 0.95]), (7, [0.85]), (7, [0.95]))
    for m in (100, 300)
    for tilt in (0.0, 0.5, 1.0)
]


def _tested(cells: Sequence[Cell], number: int) -> list[Cell]:
    return [cells[int(place)] for place in np.linspace(0, len(cells) - 1, number)]


TARGET = "every cell ≥ 93 %, mean ≤ 98.5 %"

EXPERIMENTS = (
    Experiment(
        "label noise, shares of a probe",
        TARGET,
        [*PROBE, *BEYOND],
        run_probe,
        judge("label noise, shares of a probe", TARGET, 0.985, "uncorrected"),
        3000,
        200,
        _tested(PROBE, 7),
    ),
    Experiment(
        "label noise, shares of all images",
        TARGET,
        WHOLE,
        run_all_images,
        judge("label noise, shares of all images", TARGET, 0.985, "uncorrected"),
        10000,
        200,
        _tested(WHOLE, 5),
    ),
    Experiment(
        "label noise, labels stratified by prediction",
        "≥ 93 % with the weights",
        STRATIFIED,
        run_stratified,
        judge("label noise, labels stratified by prediction", "≥ 93 % with the weights", 1.0, "without the weights"),
        3000,
        200,
        _tested(STRATIFIED, 3),
    ),
    Experiment(
        "label noise, gap",
        "every cell ≥ 93 %",
        GAPS,
        run_gap,
        judge("label noise, gap", "every cell ≥ 93 %", 1.0, "uncorrected"),
        1500,
        100,
        _tested(GAPS, 3),
    ),
)
