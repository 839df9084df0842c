"""The gap of models that match their reference, and of others; and what compares a model with a varying reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from audit.statistics.amplification import amplification
from audit.statistics.gap import (
    Gap,
    gap_of_list,
    gap_of_population,
    largest_squared_distance,
    squared_distance,
    total_variation,
)
from audit.statistics.heterogeneity import prompts_differ
from audit.statistics.intersections import expected, independence
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 5

Floats = npt.NDArray[np.float64]

_BLOCK = 200
"""Lists of probes simulated at once."""


def _references(kind: str, probes: int, k: int) -> Floats:
    if kind == "even":
        return np.full((probes, k), 1 / k)
    return np.random.default_rng(k).dirichlet(np.full(k, 2.0), size=probes)


def _matching(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """A model that matches its reference: G², G, lower ends, and the plug-in |p̂ − r|."""
    n, k, probes = cell["n"], cell["k"], 50
    r = _references(cell["reference"], probes, k)
    largest = largest_squared_distance(r)
    squared, floor = [], 0.0
    ends = {"list": 0, "population": 0}
    checked = min(repeats, 1_000)
    for start in range(0, repeats, _BLOCK):
        lists = rng.multinomial(n, r, size=(min(_BLOCK, repeats - start), probes))
        flat, wanted = lists.reshape(-1, k), np.tile(r, (len(lists), 1))
        u = squared_distance(flat, wanted).reshape(-1, probes) / largest
        squared.append(u.mean(axis=1))
        floor += float(total_variation(flat, wanted).sum()) / probes
        for x in lists[: max(0, checked - start)]:
            ends["list"] += gap_of_list(x, r).low == 0
            ends["population"] += gap_of_population(x, r, np.arange(probes) // 2).low == 0
    found = np.concatenate(squared)
    return {
        "squared": float(found.mean()),
        "error": float(found.std() / np.sqrt(repeats)),
        "gap": float(np.sqrt(np.maximum(found, 0)).mean()),
        "floor": floor / repeats,
        "zero": {name: count / checked for name, count in ends.items()},
        "checked": checked,
    }


def _judge_matching(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    at_50 = max((r["gap"] for cell, r in results if cell["n"] == 50), default=0.0)
    bias = max(abs(r["squared"]) - slack * r["error"] for _, r in results)
    zero = min(min(r["zero"].values()) for _, r in results)
    inverse = np.array([1 / cell["n"] for cell, _ in results])
    squared, error = (np.array([r[name] for _, r in results]) for name in ("squared", "error"))
    weight = error**-2
    off = inverse - np.average(inverse, weights=weight)
    trend, trend_error = (weight * off) @ squared / ((weight * off) @ off), ((weight * off) @ off) ** -0.5
    floors = [r["floor"] for cell, r in results if (cell["n"], cell["k"], cell["reference"]) == (8, 2, "even")]
    met = at_50 <= 0.03 and bias < 0.002 and zero >= 0.95 - slack * standard_error(0.95, results[0][1]["checked"])
    return Line(
        "gap of a model that matches its reference",
        "mean G ≤ .03 at 50 × 50; no trend of G² in n; |bias of G²| < .002; lower end 0 in ≥ 95 %",
        f"mean G {at_50:.3f} at 50 × 50; trend of G² in 1/n {trend:+.4f} ± {trend_error:.4f}; "
        f"|bias| ≤ {max(bias, 0):.4f}; lower end 0 in ≥ {zero:.1%}",
        f"plug-in |f − ½| at n = 8: {floors[0]:.3f}" if floors else "–",
        bool(met and abs(trend) < 3 * trend_error),
        "50 probes, n = 5 to 200, k = 2 and 7, even and varying references; the trend is judged at 3 standard errors.",
    )


def _tilted(kind: str, strength: float, r: Floats) -> Floats:
    """Shares that lie between the reference and single classes, `strength` of the way on average."""
    probes, k = r.shape
    far = np.eye(k)[np.zeros(probes, dtype=int) if kind == "shared" else np.arange(probes) % k]
    way = strength * np.linspace(0.5, 1.5, probes)[:, None]
    tilted: Floats = r + np.clip(way, 0, 1) * (far - r)
    return tilted


def _listed(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Coverage of the interval for this very list of probes."""
    r = _references(cell["reference"], cell["probes"], cell["k"])
    p = _tilted(cell["tilt"], cell["strength"], r)
    ordered = cell.get("ordered", False)
    axes = np.cumsum(p - r, axis=1)[:, :-1] if ordered else p - r
    largest = largest_squared_distance(r, ordered=ordered)
    truth = float(np.sqrt(((axes**2).sum(axis=1) / largest).mean()))
    held = naive = 0
    for x in rng.multinomial(cell["n"], p, size=(repeats, cell["probes"])):
        found = gap_of_list(x, r, ordered=ordered)
        held += found.low <= truth <= found.high
        over = x / cell["n"] - r
        over = np.cumsum(over, axis=1)[:, :-1] if ordered else over
        excess = ((over**2).sum(axis=1) / largest).mean() - found.squared
        naive += found.low**2 + excess <= truth**2 <= found.high**2 + excess
    return {"held": held / repeats, "naive": naive / repeats, "truth": truth, "repeats": repeats}


def _judge_intervals(results: Sequence[tuple[Cell, Result]], slack: float, name: str, naive: str, remark: str) -> Line:
    repeats = results[0][1]["repeats"]
    held = np.array([r["held"] for _, r in results])
    seen = np.array([r.get("seen", 1.0) > 0.95 for _, r in results])
    least, mean = float(held[seen].min()), float(held[seen].mean())
    beside = f"; {held[~seen].min():.1%} where rare subjects may not be drawn" if (~seen).any() else ""
    worst = min((r["held"], index) for index, (_, r) in enumerate(results) if seen[index])[1]
    return Line(
        name,
        "every cell ≥ 93 %, mean ≤ 98.5 %",
        f"least {least:.1%}; mean {mean:.1%}{beside}",
        naive,
        least >= 0.93 - slack * standard_error(0.93, repeats) and mean <= 0.985,
        f"{remark} Least at {', '.join(f'{key} {value}' for key, value in results[worst][0].items())}.",
    )


def _judge_listed(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    naive = np.array([r["naive"] for _, r in results])
    return _judge_intervals(
        results,
        slack,
        "gap intervals for this list",
        f"the same around the plug-in G²: {naive.min():.0%}–{naive.max():.0%}",
        "20 to 150 probes, 10 to 100 images, gaps of .08 to .6. Near 0 they are wide on purpose.",
    )


_TILTS: dict[str, Any] = {
    "even": lambda rng, size: rng.beta(2, 2, size),
    "skewed": lambda rng, size: rng.beta(2, 0.7, size),
    "opposed": lambda rng, size: rng.beta(0.5, 0.5, size),
    "near one half": lambda rng, size: rng.beta(20, 20, size),
    "one in five extreme": lambda rng, size: np.where(rng.random(size) < 0.2, 0.95, 0.5),
}
"""Distributions of a class's share over the population of subjects, against ½."""


def _population(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Coverage of the interval for such probes, and of the interval for the list taken for it."""
    tilt, subjects, templates, n = _TILTS[cell["tilt"]], cell["subjects"], cell["templates"], cell["n"]
    truth = float(np.sqrt(((2 * tilt(np.random.default_rng(0), 1_000_000) - 1) ** 2).mean()))
    names = np.repeat(np.arange(subjects), templates)
    held = {"population": 0, "list": 0}
    for _ in range(repeats):
        p = np.repeat(tilt(rng, subjects), templates)
        x = rng.binomial(n, p)
        counts = np.column_stack([x, n - x])
        both: dict[str, Gap] = {
            "population": gap_of_population(counts, [0.5, 0.5], names),
            "list": gap_of_list(counts, [0.5, 0.5]),
        }
        for name, found in both.items():
            held[name] += found.low <= truth <= found.high
    return {
        "held": held["population"] / repeats,
        "list": held["list"] / repeats,
        "seen": 1 - 0.8**subjects if cell["tilt"] == "one in five extreme" else 1.0,
        "repeats": repeats,
    }


def _judge_population(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    naive = np.array([r["list"] for _, r in results])
    return _judge_intervals(
        results,
        slack,
        "gap intervals for such prompts",
        f"errors of images only: {naive.min():.0%}–{naive.max():.0%}",
        "Student's t over subjects, 10 to 150 of them, five distributions of tilts. Where one in five is extreme, 10 "
        "subjects show none 11 % of the time.",
    )


def _portfolio(cell: Cell, subjects: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Counts, images and reference of subjects with their own tilt around a line in log odds."""
    r = rng.beta(cell["spread"], cell["spread"], size=subjects)
    line = 0.2 + cell["slope"] * special.logit(np.clip(r, 0.005, 0.995))
    p = special.expit(line + cell["tilt"] * rng.standard_normal(subjects))
    n = rng.integers(cell["n"] // 2, cell["n"] * 3 // 2 + 1, size=subjects).astype(np.float64)
    return rng.binomial(n.astype(int), p).astype(np.float64), n, r


_FIGURES = ("slope", "excess", "correlation")


def _amplified(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Coverage of the slope, the excess and the correlation of a population of subjects."""
    x, n, r = _portfolio(cell, 400_000, np.random.default_rng(0))
    truth = amplification(x, n, r)
    held = dict.fromkeys(_FIGURES, 0)
    naive = 0
    for _ in range(repeats):
        x, n, r = _portfolio(cell, cell["subjects"], rng)
        found = amplification(x, n, r)
        for name in _FIGURES:
            low, high = getattr(found, f"{name}_low"), getattr(found, f"{name}_high")
            held[name] += low <= getattr(truth, name) <= high
        naive += abs(found.slope - truth.slope) <= (found.slope_high - found.slope) / np.sqrt(max(1, found.dispersion))
    return {**{name: count / repeats for name, count in held.items()}, "naive": naive / repeats, "repeats": repeats}


def _judge_amplified(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    repeats = results[0][1]["repeats"]
    held = {name: np.array([r[name] for _, r in results]) for name in _FIGURES}
    error = slack * standard_error(0.93, repeats)
    met = all(v.min() >= 0.93 - error and v.mean() <= 0.985 for name, v in held.items() if name != "correlation")
    naive = np.array([r["naive"] for _, r in results])
    return Line(
        "amplification intervals",
        "slope and excess: every cell ≥ 93 %, mean ≤ 98.5 %",
        "; ".join(f"{name} {v.min():.1%}–{v.max():.1%}, mean {v.mean():.1%}" for name, v in held.items()),
        f"slope without over-dispersion: {naive.min():.0%}–{naive.max():.0%}",
        met,
        "20, 45 and 150 subjects with different numbers of images, reference shares spread out or near 0 and 1, tilts "
        "beyond the line. Truth: the same figures of 400,000 subjects with as many images.",
    )


_DRAWS = 199


def _patterns(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """False alarms of tests over several probes or attributes where there is nothing to find."""
    truth = np.random.default_rng(1).dirichlet(np.full(cell["k"], 3.0))
    fewest = truth.min() * cell["n"]
    if cell["test"] == "prompts differ":
        found = [prompts_differ(rng.multinomial(cell["n"], truth, size=20), _DRAWS, rng) for _ in range(repeats)]
        p = np.array([each.p_value for each in found])
        naive = stats.chi2.sf([each.chi_square for each in found], 19 * (cell["k"] - 1))
    else:
        margin = np.array([0.35, 0.65])
        joint = rng.multinomial(cell["n"], np.outer(margin, truth).ravel(), size=repeats).reshape(repeats, 2, -1)
        p = independence(joint, _DRAWS, rng)
        product = expected(joint) * cell["n"]
        x2 = ((joint - product) ** 2 / np.where(product > 0, product, 1)).sum(axis=(1, 2))
        freedom = [(cells.any(axis=1).sum() - 1) * (cells.any(axis=0).sum() - 1) for cells in joint]
        naive, fewest = stats.chi2.sf(x2, freedom), 0.35 * fewest
    return {
        "alarms": float(np.mean(p <= 0.05)),
        "naive": float(np.mean(np.asarray(naive) <= 0.05)),
        "sparse": bool(fewest < 10),
        "repeats": repeats,
    }


def _judge_patterns(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    alarms, naive = (np.array([r[name] for _, r in results]) for name in ("alarms", "naive"))
    full = ~np.array([r["sparse"] for _, r in results])
    least = alarms[full].min(initial=0.05)
    error = slack * standard_error(0.05, results[0][1]["repeats"])
    return Line(
        "tests at the null: prompts differ, independence",
        "≤ 6 %; where cells are not sparse ≥ 3.5 %",
        f"≤ {alarms.max():.1%}; ≥ {least:.1%}; sparse cells {alarms[~full].min(initial=0.05):.1%} or more",
        f"χ² without simulation: {naive.min():.1%}–{naive.max():.1%}",
        bool(alarms.max() <= 0.06 + error and least >= 0.035 - error),
        "20 probes, or 2 × k cells of one probe; 8 to 200 images, 2 to 9 classes. Sparse: fewer than 10 images "
        "expected in some cell; given its margins, a table of few images has few ways to look.",
    )


_PATTERNS = [
    {"test": test, "n": n, "k": k}
    for test in ("prompts differ", "independence")
    for n, k in ((8, 4), (30, 2), (100, 2), (50, 9), (200, 4))
]
_MATCHING = [
    {"n": n, "k": k, "reference": kind} for n in (5, 8, 20, 50, 200) for k in (2, 7) for kind in ("even", "varying")
]
_LISTED: list[Cell] = [
    {"strength": strength, "k": k, "n": n, "probes": probes, "tilt": tilt, "reference": kind}
    for strength in (0.1, 0.3, 0.6)
    for k, kind in ((2, "even"), (7, "varying"))
    for n, probes in ((10, 150), (50, 20), (100, 50))
    for tilt in ("shared", "spread")
]
_LISTED += [{**cell, "ordered": True} for cell in _LISTED if cell["k"] == 7 and cell["probes"] == 50]
_POPULATION = [
    {"tilt": tilt, "subjects": subjects, "templates": templates, "n": n}
    for tilt in _TILTS
    for subjects, templates, n in ((10, 1, 50), (25, 2, 40), (50, 1, 50), (150, 1, 20))
]
_AMPLIFIED = [
    {"spread": spread, "subjects": subjects, "n": n, "slope": slope, "tilt": tilt}
    for spread in (1.2, 0.4)
    for subjects in (20, 45, 150)
    for n, slope, tilt in ((20, 1.0, 0.5), (100, 1.8, 1.0), (100, 0.0, 0.8))
]

EXPERIMENTS = [
    Experiment(
        "gap of a model that matches its reference",
        "mean G ≤ .03 at 50 × 50; no trend; no bias; lower end 0 in ≥ 95 %",
        _MATCHING,
        _matching,
        _judge_matching,
        10_000,
        200,
        [cell for cell in _MATCHING if cell["n"] in (8, 50) and cell["reference"] == "varying"],
    ),
    Experiment(
        "gap intervals for this list",
        "every cell ≥ 93 %, mean ≤ 98.5 %",
        _LISTED,
        _listed,
        _judge_listed,
        2_500,
        150,
        _LISTED[3::6],
    ),
    Experiment(
        "gap intervals for such prompts",
        "every cell ≥ 93 %, mean ≤ 98.5 %",
        _POPULATION,
        _population,
        _judge_population,
        2_000,
        150,
        [cell for cell in _POPULATION if cell["subjects"] == 50],
    ),
    Experiment(
        "amplification intervals",
        "slope and excess: every cell ≥ 93 %, mean ≤ 98.5 %",
        _AMPLIFIED,
        _amplified,
        _judge_amplified,
        2_000,
        100,
        _AMPLIFIED[::5],
    ),
    Experiment(
        "tests at the null: prompts differ, independence",
        "≤ 6 %; where cells are not sparse ≥ 3.5 %",
        _PATTERNS,
        _patterns,
        _judge_patterns,
        5_000,
        200,
    ),
]
