"""Deciding early: false alarms with a look at every image, confidence sequences at all times, and images saved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import wilson
from audit.statistics.sequential import bernoulli_log_e, confidence_sequence, decide, multinomial_log_e
from audit.statistics.significance import binomial
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 6
LOOKS = 500
"""Images of a path; it is looked at after each."""
CHUNK = 500
"""Paths held in memory at once."""
SHORT = 100
"""Images in a naive run that is looked at after each."""

ONE_SHARE = ({"shares": [0.5, 0.5]}, {"shares": [0.1, 0.9]}, {"shares": [0.02, 0.98]})
MANY = ({"shares": [1 / 7] * 7}, {"shares": [0.6, 0.2, 0.1, 0.05, 0.03, 0.01, 0.01]})
CELLS = (*ONE_SHARE, *MANY)


def paths(shares: Sequence[float], repeats: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Counts after every image of every path, repeats × looks × classes."""
    p = np.asarray(shares)
    drawn = rng.choice(p.size, p=p, size=(repeats, LOOKS))
    return (drawn[:, :, None] == np.arange(p.size)).cumsum(axis=1)


@cache
def naive_rejects(share: float) -> npt.NDArray[np.bool_]:
    """Whether the exact binomial test rejects, by images and count."""
    n, x = np.meshgrid(np.arange(SHORT + 1), np.arange(SHORT + 1), indexing="ij")
    p = binomial(np.minimum(x, n), n, share)
    return (p <= 0.05) & (x <= n)


@cache
def ends(level: float, naive: bool) -> npt.NDArray[np.float64]:
    """Both ends of the interval of one share, by images and count."""
    n, x = np.meshgrid(np.arange(LOOKS + 1), np.arange(LOOKS + 1), indexing="ij")
    made = (wilson if naive else confidence_sequence)(np.minimum(x, n), n, level)
    return np.stack(made, axis=-1)


def false_alarms(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """How often a reference that is true is ever rejected, at any of the looks."""
    shares = np.asarray(cell["shares"])
    alarms, naive = 0, 0
    for start in range(0, repeats, CHUNK):
        x = paths(shares, min(CHUNK, repeats - start), rng)
        alarms += int((_log_e(x, shares) >= np.log(20)).any(axis=1).sum())
        if shares.size == 2:
            peeks = naive_rejects(float(shares[0]))[np.arange(1, SHORT + 1), x[:, :SHORT, 0]]
            naive += int(peeks.any(axis=1).sum())
    return {"alarms": alarms / repeats, "naive": naive / repeats if shares.size == 2 else None, "repeats": repeats}


def _log_e(x: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What `decide` rejects a reference by, repeats × looks."""
    if shares.size == 2:
        return bernoulli_log_e(x[..., 0], np.arange(1, LOOKS + 1), shares[0])
    return multinomial_log_e(x.reshape(-1, shares.size), shares).reshape(x.shape[:2])


def judge_alarms(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """Every cell at most 5 %."""
    met = all(r["alarms"] <= 0.05 + slack * standard_error(0.05, r["repeats"]) for _, r in results)
    naive = [r["naive"] for _, r in results if r["naive"] is not None]
    return Line(
        "sequential, a look at every image: false alarms",
        "≤ 5 %",
        _range([r["alarms"] for _, r in results]),
        f"{_range(naive)} (exact binomial test after each of {SHORT} images)",
        met,
        f"{LOOKS} looks a path, 2 and 7 classes, references from .5 to .01.",
    )


def coverage(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """How often all shares lie in their confidence sequences at all looks at once."""
    shares = np.asarray(cell["shares"])
    k = shares.size
    tables = [ends(1 - 0.05 / (k if k > 2 else 1), naive) for naive in (False, True)]
    kept = [0, 0]
    n = np.arange(1, LOOKS + 1)[:, None]
    for start in range(0, repeats, CHUNK):
        x = paths(shares, min(CHUNK, repeats - start), rng)
        for which, table in enumerate(tables):
            found = table[n, x]
            inside = (found[..., 0] <= shares) & (shares <= found[..., 1])
            kept[which] += int(inside.all(axis=(1, 2)).sum())
    return {"kept": kept[0] / repeats, "naive": kept[1] / repeats, "repeats": repeats}


def judge_coverage(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """Every cell at least 95 %."""
    met = all(r["kept"] >= 0.95 - slack * standard_error(0.95, r["repeats"]) for _, r in results)
    return Line(
        "confidence sequence, all times and classes at once: coverage",
        "≥ 95 %",
        _range([r["kept"] for _, r in results]),
        f"{_range([r['naive'] for _, r in results])} (Wilson at every image)",
        met,
        f"{LOOKS} looks a path, 2 and 7 classes.",
    )


def savings(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Images asked for until a probe is decided against ½, in rounds of 10 and 100 at most."""
    rounds, step = 10, 10
    share = rng.uniform(size=repeats) if cell["share"] is None else np.full(repeats, cell["share"])
    x = rng.binomial(step, share[:, None], size=(repeats, rounds)).cumsum(axis=1)
    n = np.arange(step, rounds * step + 1, step)
    counts = np.stack([x, n - x], axis=-1).reshape(-1, 2)
    decided = (decide(counts, [0.5, 0.5]).state != "open").reshape(x.shape)
    asked = np.where(decided.any(axis=1), n[decided.argmax(axis=1)], rounds * step)
    return {"images": float(asked.mean()), "decided": float(decided.any(axis=1).mean())}


def judge_savings(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """18 images at p = .9, and half of the images of a portfolio, within a tenth."""
    by_share = {cell["share"]: result for cell, result in results}
    clear, portfolio = by_share[0.9]["images"], 1 - by_share[None]["images"] / 100
    others = ", ".join(
        f"{share:g}: {result['images']:.0f}" for share, result in by_share.items() if share not in (None, 0.9)
    )
    return Line(
        "sequential, rounds of 10 against ½: images asked for",
        "18 instead of 100 at p = .9; 49 % of a portfolio saved",
        f"{clear:.1f} at p = .9; {portfolio:.0%} saved",
        "100; 0 %",
        abs(clear - 18) <= 1.8 and abs(portfolio - 0.49) <= 0.049,
        "The portfolio has shares uniform from 0 to 1; met within a tenth of the figure. What is saved depends on the "
        f"shares: mean images at p = {others}.",
    )


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{high:.1%}" if f"{low:.1%}" == f"{high:.1%}" else f"{low:.1%} to {high:.1%}"


EXPERIMENTS = [
    Experiment(
        "sequential false alarms", "≤ 5 %", CELLS, false_alarms, judge_alarms, repeats=10_000, small=500,
        tested=(CELLS[0], CELLS[3]),
    ),
    Experiment(
        "sequential coverage", "≥ 95 %", CELLS, coverage, judge_coverage, repeats=10_000, small=500,
        tested=(CELLS[1], CELLS[4]),
    ),
    Experiment(
        "sequential savings", "18 images, 49 %", tuple({"share": p} for p in (0.5, 0.6, 0.7, 0.8, 0.9, None)), savings,
        judge_savings, repeats=20_000, small=4_000,
    ),
]  # fmt: skip
