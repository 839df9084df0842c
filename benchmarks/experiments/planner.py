"""Does the planner foretell how often the statements of an audit come out as planned?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from audit.statistics.gap import squared_distance
from audit.statistics.gap_change import gap_change
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noise import lang_reiczigel
from audit.statistics.noninferiority import worsening
from audit.statistics.power import power_among_many, power_of_test
from audit.statistics.power_gap import Change, changed, power_of_gap_change, power_of_gate, typical_shares
from audit.statistics.power_noise import power_with_noise
from audit.statistics.significance import binomial
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 9
HALF = np.array([0.5, 0.5])
CHUNK = 500
"""Audits held in memory at once."""

TESTS = (
    {"kind": "test", "share": 0.6, "reference": 0.5, "images": 100},
    {"kind": "test", "share": 0.1, "reference": 0.03, "images": 60},
)
MANY = (
    {"kind": "many", "share": 0.7, "reference": 0.5, "images": 60, "probes": 50, "differing": 0.5},
    {"kind": "many", "share": 0.65, "reference": 0.5, "images": 100, "probes": 100, "differing": 0.2},
)
NOISE = (
    {"kind": "noise", "share": 0.7, "reference": 0.5, "images": 150, "rates": [0.9, 0.85], "labels": 150},
    {"kind": "noise", "share": 0.6, "reference": 0.5, "images": 400, "rates": [0.95, 0.9], "labels": 300},
)
GAPS = (
    {"kind": "list", "gap": 0.3, "after": 0.35, "probes": 50, "images": 60, "correlation": 0.0},
    {"kind": "list", "gap": 0.3, "after": 0.35, "probes": 50, "images": 40, "correlation": 0.5},
    {"kind": "list", "gap": 0.6, "after": 0.55, "probes": 20, "images": 50, "correlation": 0.0},
    {"kind": "population", "gap": 0.3, "after": 0.4, "probes": 30, "images": 50, "correlation": 0.0},
    {"kind": "population", "gap": 0.4, "after": 0.33, "probes": 60, "images": 30, "correlation": 0.5},
    {"kind": "gate", "gap": 0.3, "after": 0.3, "probes": 50, "images": 60, "correlation": 0.0},
    {"kind": "gate", "gap": 0.3, "after": 0.3, "probes": 50, "images": 40, "correlation": 0.5},
    {"kind": "gate", "gap": 0.1, "after": 0.12, "probes": 50, "images": 50, "correlation": 0.0},
)
CELLS = (*TESTS, *MANY, *NOISE, *GAPS)


def simulate(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Planned and simulated chance of one kind of statement, and what a textbook's formula says."""
    planned, naive, found = _KINDS[cell["kind"]](cell, repeats, rng)
    return {"planned": planned, "naive": naive, "found": found, "repeats": repeats}


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """Every cell within 3 points."""
    off = {which: [abs(r[which] - r["found"]) for _, r in results] for which in ("planned", "naive")}
    met = all(
        error <= 0.03 + slack * standard_error(r["found"], r["repeats"])
        for error, (_, r) in zip(off["planned"], results, strict=True)
    )
    mean = {which: float(np.mean(errors)) for which, errors in off.items()}
    return Line(
        "planner against simulation: error of the planned chance",
        "± 3 points",
        f"at most {100 * max(off['planned']):.1f} points (mean {100 * mean['planned']:.1f})",
        f"at most {100 * max(off['naive']):.0f} points (mean {100 * mean['naive']:.0f}) with z-formulas of one share, "
        "or of images alone",
        met,
        f"{len(results)} plans: one probe, many probes, corrected shares, gap changes of both claims, the gate.",
    )


Outcome = tuple[float, float, float]
"""Planned, naive and simulated chance."""


def _test(cell: Cell, repeats: int, rng: np.random.Generator) -> Outcome:
    share, reference, n = cell["share"], cell["reference"], cell["images"]
    x = rng.binomial(n, share, size=repeats)
    return (
        float(power_of_test(share, reference, n)),
        _textbook(cell),
        float((_p_values(n, reference)[x] <= 0.05).mean()),
    )


def _many(cell: Cell, repeats: int, rng: np.random.Generator) -> Outcome:
    share, reference, n, probes = (cell[name] for name in ("share", "reference", "images", "probes"))
    differs = np.arange(probes) < round(cell["differing"] * probes)
    x = rng.binomial(n, np.where(differs, share, reference), size=(max(200, repeats // 10), probes))
    found = [benjamini_hochberg(row)[differs] <= 0.05 for row in _p_values(n, reference)[x]]
    planned = power_among_many(share, reference, n, probes, differing=cell["differing"])
    return planned, _textbook(cell), float(np.mean(found))


def _noise(cell: Cell, repeats: int, rng: np.random.Generator) -> Outcome:
    share, reference, n, m = (cell[name] for name in ("share", "reference", "images", "labels"))
    se, sp = cell["rates"]
    x = rng.binomial(n, share * se + (1 - share) * (1 - sp), size=repeats)
    shown = rng.binomial(m, share, size=repeats)
    ends = lang_reiczigel(x, n, rng.binomial(shown, se), shown, rng.binomial(m - shown, sp), m - shown)
    planned = power_with_noise(share, reference, n, sensitivity=se, specificity=sp, labels=m)
    return planned, _textbook(cell), float(((ends.low > reference) | (ends.high < reference)).mean())


def _gap(cell: Cell, repeats: int, rng: np.random.Generator) -> Outcome:
    probes, n, kind = cell["probes"], cell["images"], cell["kind"]
    change = _change(cell, 200 if kind == "population" else probes)
    images_alone = power_of_gap_change(change, probes, n)
    gate = kind == "gate"
    planned = power_of_gate(change, probes, n) if gate else power_of_gap_change(change, probes, n, claim=kind)
    found = 0
    for start in range(0, repeats, CHUNK):
        lists = min(CHUNK, repeats - start)
        if kind == "population":
            before = _draw_shares(cell, lists * probes, rng)
            rows = (before, changed(before, HALF, cell["after"] / cell["gap"]))
        else:
            rows = (np.tile(change.before, (lists, 1)), np.tile(change.after, (lists, 1)))
        old, new, pairs = _draw_pairs(*rows, n, cell["correlation"], rng)
        if kind == "population":
            d = (squared_distance(new, HALF) - squared_distance(old, HALF)).reshape(lists, probes)
            found += int((stats.ttest_1samp(d, 0, axis=1).pvalue <= 0.05).sum())
            continue
        measured = gap_change(new, old, HALF, paired=pairs if cell["correlation"] else None, lists=lists)
        if kind == "list":
            found += int((np.abs(measured.squared) > special.ndtri(0.975) * measured.error).sum())
        else:
            found += int((worsening(measured).high < 0.05).sum())
    naive = _normal_gate(change, probes, n) if gate else images_alone
    return planned, naive, found / repeats


def _change(cell: Cell, rows: int) -> Change:
    before = typical_shares(cell["gap"], cell["gap"] / 2, rows=rows)
    return Change(before, changed(before, HALF, cell["after"] / cell["gap"]), HALF, cell["correlation"])


def _draw_shares(cell: Cell, number: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Probes drawn from the beta distribution whose quantiles the plan takes."""
    gap = cell["gap"]
    mean, variance = 0.5 + np.sqrt(0.75) * gap / 2, (gap / 4) ** 2
    size = mean * (1 - mean) / variance - 1
    share = rng.beta(mean * size, (1 - mean) * size, size=number)
    return np.column_stack([share, 1 - share])


def _draw_pairs(
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    n: int,
    correlation: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Counts before and after of two classes, and the table of pairs with the same seed."""
    p, q = before[:, 0], after[:, 0]
    both = p * q + correlation * np.sqrt(p * (1 - p) * q * (1 - q))
    both = np.clip(both, np.maximum(p + q - 1, 0), np.minimum(p, q))
    chances = np.column_stack([both, p - both, q - both, np.maximum(1 - p - q + both, 0)])
    pairs = rng.multinomial(n, chances / chances.sum(axis=1, keepdims=True)).reshape(-1, 2, 2)
    return pairs.sum(axis=2), pairs.sum(axis=1), pairs


def _textbook(cell: Cell) -> float:
    """The z-formula for one share, labels taken as true and other probes left out."""
    share, reference, n = cell["share"], cell["reference"], cell["images"]
    reach = special.ndtri(0.975) * np.sqrt(reference * (1 - reference) / n)
    return float(special.ndtr((abs(share - reference) - reach) / np.sqrt(share * (1 - share) / n)))


def _normal_gate(change: Change, probes: int, n: int) -> float:
    """The gate as a z-test of the difference of plug-in gaps, as if G were a mean of |2p − 1|."""
    tilt = 2 * np.stack([change.before[:, 0], change.after[:, 0]]) - 1
    error = np.sqrt(((1 - tilt**2) / n).sum(axis=0).mean() / probes)
    worse = np.sqrt((tilt**2).mean(axis=1))
    return float(special.ndtr((0.05 - (worse[1] - worse[0])) / error - special.ndtri(0.95)))


@cache
def _p_values(n: int, reference: float) -> npt.NDArray[np.float64]:
    return binomial(np.arange(n + 1), n, reference)


_KINDS = {"test": _test, "many": _many, "noise": _noise, "list": _gap, "population": _gap, "gate": _gap}
EXPERIMENTS = [
    Experiment(
        "planner", "± 3 points", CELLS, simulate, judge, repeats=10_000, small=800,
        tested=(TESTS[0], MANY[0], NOISE[0], GAPS[1], GAPS[3], GAPS[5]),
    )
]  # fmt: skip
