"""Two equal models on which the classifier errs differently: how often is a difference claimed?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.statistics.difference import difference_unpaired
from audit.statistics.differential import delta_verdict, difference_with_labels
from audit.statistics.intervals import Floats
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error
from benchmarks.experiments.noise import label

ORDER = 3
N = 5000
"""Images a side."""
RATES = (((0.95, 0.95), (0.85, 0.95)), ((0.95, 0.9), (0.85, 0.97)), ((0.9, 0.9), (0.9, 0.9)))
"""Sensitivity and specificity on the two sides."""


def matrices(cell: Cell) -> tuple[Floats, Floats]:
    """M of the two sides."""
    first, second = (np.array([[se, 1 - se], [1 - sp, sp]]) for se, sp in cell["rates"])
    return first, second


def run_labelled(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Labels on both sides; naive: the classifier's own shares compared."""
    p = np.array([cell["share"], 1 - cell["share"]])
    sides = []
    for matrix in matrices(cell):
        table = label(matrix, p, cell["m"], repeats, rng)
        sides.append((table.sum(axis=1) + rng.multinomial(N - cell["m"], p @ matrix, size=repeats), table))
    (predicted_a, table_a), (predicted_b, table_b) = sides
    found = difference_with_labels(predicted_a, table_a, predicted_b, table_b, 2)
    raw = difference_unpaired(predicted_a[:, 0], N, predicted_b[:, 0], N)
    return {
        "alarms": float(((found.low > 0) | (found.high < 0))[:, 0].mean()),
        "naive": float(((raw.low > 0) | (raw.high < 0)).mean()),
        "repeats": repeats,
    }


def run_delta(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """No labels: a difference is claimed beyond δ = .05; naive: beyond 0."""
    p = np.array([cell["share"], 1 - cell["share"]])
    x_a, x_b = (rng.binomial(cell["n"], (p @ matrix)[0], size=repeats) for matrix in matrices(cell))
    found = delta_verdict(x_a, cell["n"], x_b, cell["n"])
    return {
        "alarms": float((found.conclusion != 0).mean()),
        "naive": float(((found.low > 0) | (found.high < 0)).mean()),
        "repeats": repeats,
    }


def judge_labelled(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """False alarms of 4–6 % in every cell."""
    alarms, naive = (np.array([result[name] for _, result in results]) for name in ("alarms", "naive"))
    room = slack * np.array([standard_error(0.05, result["repeats"]) for _, result in results])
    return Line(
        "differential error, labels on both sides",
        "false alarms 4–6 %",
        f"{alarms.min():.1%} to {alarms.max():.1%}, mean {alarms.mean():.1%}",
        f"classifier's shares compared: {naive.min():.1%} to {naive.max():.1%}",
        bool(((alarms >= 0.04 - room) & (alarms <= 0.06 + room)).all()),
        f"{len(results)} cells: equal models, sensitivities up to .10 apart, {N} images a side.",
    )


def moved(cell: Cell) -> float:
    """By how much the differing errors alone move the share."""
    p = np.array([cell["share"], 1 - cell["share"]])
    first, second = matrices(cell)
    return abs(float((p @ (first - second))[0]))


def judge_delta(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """False alarms of at most 5 % in every cell whose errors move the shares by at most δ."""
    within = [result for cell, result in results if moved(cell) <= 0.05 + 1e-9]
    beyond = [(moved(cell), result["alarms"]) for cell, result in results if moved(cell) > 0.05 + 1e-9]
    alarms, naive = (np.array([result[name] for result in within]) for name in ("alarms", "naive"))
    room = slack * np.array([standard_error(result["alarms"], result["repeats"]) for result in within])
    remark = "Judged where the error rates move the shares by at most δ = .05."
    if beyond:
        remark += (
            f" Where they move them by {max(beyond)[0]:.3f}, up to {max(each[1] for each in beyond):.1%} are false:"
        )
        remark += " only labels on both sides help."
    return Line(
        "differential error, δ-verdict without labels",
        "false alarms ≤ 5 %",
        f"highest {alarms.max():.1%}",
        f"δ left out: up to {naive.max():.1%}",
        bool((alarms <= 0.05 + room).all()),
        remark,
    )


LABELLED = [
    {"rates": rates, "share": share, "m": m} for rates in RATES for share in (0.1, 0.3, 0.5) for m in (200, 500)
]
DELTA = [
    {"rates": rates, "share": share, "n": n}
    for rates in (RATES[0], ((0.92, 0.9), (0.85, 0.93)), RATES[2], ((0.95, 0.9), (0.85, 0.93)))
    for share in (0.1, 0.3, 0.5)
    for n in (100, 1000, 10_000)
]

EXPERIMENTS = (
    Experiment(
        "differential error, labels on both sides",
        "false alarms 4–6 %",
        LABELLED,
        run_labelled,
        judge_labelled,
        20_000,
        1000,
        LABELLED[:4],
    ),
    Experiment(
        "differential error, δ-verdict without labels",
        "false alarms ≤ 5 %",
        DELTA,
        run_delta,
        judge_delta,
        5000,
        1000,
    ),
)
