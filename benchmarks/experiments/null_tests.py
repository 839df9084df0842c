"""Every test where what it tests for is not there: how often is p ≤ .05?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import special

from audit.statistics.change import (
    cochran_mantel_haenszel,
    marginal_homogeneity,
    mcnemar_midp,
    sign_flip,
    stratified_permutation,
)
from audit.statistics.intervals import Floats
from audit.statistics.significance import binomial, compare_with_reference
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 4
ALPHA = 0.05
MOST, LEAST = 0.06, 0.035
DRAWS = 199
"""With 199 draws a Monte-Carlo p-value of at most .05 has a chance of exactly 5 % without ties."""
RARE = np.array([0.955, 0.03, 0.015])
Pairs = tuple[Floats, Floats]
"""p-values of a test and of a naive one beside it (NaN: none)."""


def _shares(k: int, probes: int, rng: np.random.Generator) -> Floats:
    """Shares that differ by prompt, none of them rare."""
    return 0.5 / k + 0.5 * rng.dirichlet(np.full(k, 2.0), size=probes)


def _binomial(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """One prompt against a reference, two classes; beside it Wald's test."""
    r, n = float(cell["r"]), int(cell["n"])
    x = rng.binomial(n, r, size=repeats).astype(np.float64)
    wald = np.abs(x / n - r) / np.sqrt(np.maximum(x / n * (1 - x / n), 1e-12) / n)
    return binomial(x, n, r), 2 * special.ndtr(-wald)


def _one_prompt(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """One prompt against a reference, several classes; beside it the χ² table."""
    k, n = int(cell["k"]), int(cell["n"])
    r = np.tile(RARE, (repeats, 1)) if cell.get("rare") else _shares(k, repeats, rng)
    x = rng.multinomial(n, r).astype(np.float64)
    x2 = ((x - n * r) ** 2 / (n * r)).sum(axis=1)
    return compare_with_reference(x, r, draws=DRAWS, rngs=rng.spawn(repeats)).p_value, special.chdtrc(k - 1, x2)


def _all_prompts(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """Ten prompts with references of their own together; beside it their plug-in distance, with its floor, by t."""
    k, n, probes = int(cell["k"]), int(cell["n"]), 10
    p, naive = np.empty(repeats), np.empty(repeats)
    for i in range(repeats):
        r = _shares(k, probes, rng)
        x = rng.multinomial(n, r).astype(np.float64)
        p[i] = compare_with_reference(x, r, draws=DRAWS, rngs=rng.spawn(probes)).p_all
        distance = ((x / n - r) ** 2).sum(axis=1)
        naive[i] = special.stdtr(probes - 1, -distance.mean() / (distance.std(ddof=1) / np.sqrt(probes)))
    return p, naive


def _pairs(k: int, probes: int, n: int, rng: np.random.Generator, lists: int = 1) -> Floats:
    """Tables of pairs with equal margins, half of the pairs agreeing of themselves."""
    shares = _shares(k, probes * lists, rng)
    joint = 0.5 * shares[:, :, None] * np.eye(k) + 0.5 * shares[:, :, None] * shares[:, None, :]
    tables = rng.multinomial(n, joint.reshape(-1, k * k) / joint.sum(axis=(1, 2))[:, None])
    return tables.reshape(lists, probes, k, k).astype(np.float64)


def _paired(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """Two models, same seeds, this list of ten prompts; beside it the test for images that are not paired."""
    k = int(cell["k"])
    tables = _pairs(k, 10, int(cell["n"]), rng, repeats).sum(axis=1)
    p = mcnemar_midp(tables[:, 0, 1], tables[:, 1, 0]) if k == 2 else marginal_homogeneity(tables, DRAWS, rng)
    return p, _chi_square(tables.sum(axis=2), tables.sum(axis=1))


def _such_prompts(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """Two models, such prompts: effects vary around 0; beside it McNemar's test of the sums."""
    k, n, probes = int(cell["k"]), int(cell["n"]), int(cell["probes"])
    p, naive = np.empty(repeats), np.empty(repeats)
    for i in range(repeats):
        before = _shares(k, probes, rng)
        effect = rng.normal(0, float(cell["effect"]), size=(probes, k))
        after = np.maximum(before + effect - effect.mean(axis=1, keepdims=True), 0.01)
        after /= after.sum(axis=1, keepdims=True)
        # Neither model is the old one: which is, is chance, so that the differences are symmetric.
        turned = rng.uniform(size=(probes, 1)) < 0.5
        before, after = np.where(turned, after, before), np.where(turned, before, after)
        joint = before[:, :, None] * after[:, None, :]
        tables = rng.multinomial(n, joint.reshape(probes, -1)).reshape(probes, k, k).astype(np.float64)
        p[i] = sign_flip((tables.sum(axis=1) - tables.sum(axis=2)) / n, DRAWS, rng)
        whole = tables.sum(axis=0)
        naive[i] = mcnemar_midp(whole[0, 1], whole[1, 0]) if k == 2 else np.nan
    return p, naive


def _other_seeds(cell: Cell, repeats: int, rng: np.random.Generator) -> Pairs:
    """Two models, other seeds, ten prompts with unequal numbers of images; beside it the sums without prompts."""
    k, n, probes = int(cell["k"]), int(cell["n"]), 10
    p, naive = np.empty(repeats), np.empty(repeats)
    for i in range(repeats):
        shares = _shares(k, probes, rng)
        shares = shares[np.argsort(shares[:, 0])]
        fewer = np.linspace(n // 2, n, probes).astype(np.int64)
        a = rng.multinomial(fewer, shares).astype(np.float64)
        b = rng.multinomial(fewer[::-1], shares).astype(np.float64)
        if k == 2:
            p[i] = cochran_mantel_haenszel(a[:, 0], a.sum(axis=1), b[:, 0], b.sum(axis=1))[1]
        else:
            p[i] = stratified_permutation(a, b, DRAWS, rng).p_all
        naive[i] = _chi_square(a.sum(axis=0)[None], b.sum(axis=0)[None])[0]
    return p, naive


def _chi_square(a: Floats, b: Floats) -> Floats:
    """p-values of the usual test that two rows of counts have equal shares."""
    tables = np.stack([a, b], axis=1)
    n = tables.sum(axis=2, keepdims=True)
    expected = n * tables.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True)
    statistic = ((tables - expected) ** 2 / np.maximum(expected, 1e-12)).sum(axis=(1, 2))
    p: Floats = special.chdtrc(a.shape[1] - 1, statistic)
    return p


TESTS: Mapping[str, Callable[[Cell, int, np.random.Generator], Pairs]] = {
    "binomial": _binomial,
    "X² of a prompt": _one_prompt,
    "all prompts": _all_prompts,
    "McNemar, flipped pairs": _paired,
    "flipped signs": _such_prompts,
    "CMH, permutation": _other_seeds,
}


def run(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Share of p-values up to .05, of the test and of the naive one."""
    used = max(repeats // int(cell.get("cost", 1)), 1)
    p, naive = TESTS[cell["test"]](cell, used, rng)
    share = float(np.mean(naive <= ALPHA)) if not np.isnan(naive).all() else None
    return {"size": float(np.mean(p <= ALPHA)), "naive": share, "repeats": used}


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """Largest size of all tests, smallest of the Monte-Carlo tests on cells that are not sparse."""
    met = True
    sizes: dict[str, list[float]] = {}
    naive: dict[str, list[float]] = {}
    for cell, result in results:
        met &= result["size"] <= MOST + slack * standard_error(MOST, result["repeats"])
        if cell.get("dense"):
            met &= result["size"] >= LEAST - slack * standard_error(LEAST, result["repeats"])
        sizes.setdefault(cell["test"], []).append(result["size"])
        if result["naive"] is not None:
            naive.setdefault(cell["test"], []).append(result["naive"])
    figure = "; ".join(f"{test} {min(found):.1%}–{max(found):.1%}" for test, found in sizes.items())
    beside = "; ".join(f"{NAIVE[test]} up to {max(found):.0%}" for test, found in naive.items())
    dense = [result["size"] for cell, result in results if cell.get("dense")]
    remark = (
        f"Monte-Carlo tests on cells that are not sparse: {min(dense):.1%}–{max(dense):.1%}. Shares differ by prompt."
    )
    return Line(NAME, TARGET, figure, beside, bool(met), remark)


NAME = "tests at the null"
TARGET = "≤ 6 %; Monte-Carlo tests on cells that are not sparse also ≥ 3.5 %; heterogeneous prompts included"
NAIVE = {
    "binomial": "Wald",
    "X² of a prompt": "χ² table",
    "all prompts": "t-test of plug-in distances",
    "McNemar, flipped pairs": "unpaired χ²",
    "flipped signs": "pooled McNemar",
    "CMH, permutation": "χ² of the sums",
}
CELLS: list[Cell] = [
    *({"test": "binomial", "n": n, "r": r} for n in (10, 50, 250) for r in (0.5, 0.1)),
    *({"test": "X² of a prompt", "k": 3, "n": n, "rare": True} for n in (10, 50)),
    *({"test": "X² of a prompt", "k": k, "n": n, "dense": True} for k, n in ((3, 50), (7, 100))),
    *({"test": "all prompts", "k": k, "n": 50, "cost": 2, "dense": True} for k in (2, 3, 7)),
    *({"test": "McNemar, flipped pairs", "k": 2, "n": n} for n in (10, 50)),
    *({"test": "McNemar, flipped pairs", "k": k, "n": 50, "dense": True} for k in (3, 7)),
    *(
        {"test": "flipped signs", "k": k, "n": 50, "probes": probes, "effect": 0.2, "dense": True}
        for k, probes in ((2, 10), (2, 50), (3, 20))
    ),
    *({"test": "CMH, permutation", "k": 2, "n": n} for n in (10, 50)),
    *({"test": "CMH, permutation", "k": k, "n": 50, "cost": 2, "dense": True} for k in (3, 7)),
]
EXPERIMENTS = [Experiment(name=NAME, target=TARGET, cells=CELLS, run=run, judge=judge, repeats=10_000, small=100)]
