"""Intervals of shares: how often they hold the true share, exactly, without simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from audit.statistics.intervals import Interval, clopper_pearson, simultaneous, wilson
from benchmarks.experiments.base import Cell, Experiment, Line, Result

ORDER = 1

_IMAGES = (10, 20, 30, 50, 100, 200)
_SHARES = np.arange(1, 50) / 50
"""True shares, .02 to .98."""
_LEAST = 5.0
"""Images expected with a class, and without it, from which on coverage is promised."""


def _wald(x: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    p = np.asarray(x) / np.asarray(n)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(p * (1 - p) / n)
    return Interval(p - half, p + half)


def _exactly(interval: Callable[..., Interval], n: int) -> npt.NDArray[np.float64]:
    """Coverage for each of `_SHARES`, summed over all counts."""
    x = np.arange(n + 1)
    low, high = interval(x, n)
    p = _SHARES[:, None]
    chance = stats.binom.pmf(x, n, p)
    held: npt.NDArray[np.float64] = np.where((low <= p) & (p <= high), chance, 0).sum(axis=1)
    return held


def _one_share(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    n = cell["n"]
    ours, exact, wald = (_exactly(each, n) for each in (wilson, clopper_pearson, _wald))
    full = np.minimum(_SHARES, 1 - _SHARES) * n >= _LEAST
    return {
        "mean": float(ours.mean()),
        "least": float(ours[full].min()) if full.any() else 1.0,
        "least_elsewhere": float(ours[~full].min()) if not full.all() else 1.0,
        "guaranteed": float(exact.min()),
        "wald": float(wald.min()),
    }


def _judge_one_share(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    mean = float(np.mean([r["mean"] for _, r in results]))
    least, elsewhere = (min(r[name] for _, r in results) for name in ("least", "least_elsewhere"))
    wald = {cell["n"]: r["wald"] for cell, r in results}
    return Line(
        "intervals of one share",
        "mean 94.5–96.5 %; ≥ 92 % where np and n(1−p) ≥ 5",
        f"mean {mean:.1%}; least {least:.1%}; {elsewhere:.1%} where fewer are expected",
        f"Wald: least {wald.get(20, min(wald.values())):.0%} at n = 20",
        0.945 <= mean <= 0.965 and least >= 0.92,
        "Wilson, summed over all counts, for n = 10 to 200 and p = .02 to .98: no Monte-Carlo error.",
    )


def _judge_guaranteed(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    least = min(r["guaranteed"] for _, r in results)
    return Line(
        "guaranteed intervals of one share",
        "≥ 95 % everywhere",
        f"least {least:.1%}",
        f"Wald: least {min(r['wald'] for _, r in results):.0%}",
        least >= 0.95,
        "Clopper–Pearson, summed over all counts.",
    )


def _truths(k: int) -> npt.NDArray[np.float64]:
    """Distributions of k classes: even, one class in two thirds, falling by half, and nine at random."""
    one = np.full(k, 1 / (3 * (k - 1)))
    one[0] = 2 / 3
    falling = 0.5 ** np.arange(k)
    random = np.random.default_rng(k).dirichlet(np.ones(k), size=9)
    return np.vstack([np.full(k, 1 / k), one, falling / falling.sum(), random])


def _at_once(interval: Interval, truth: npt.NDArray[np.float64]) -> float:
    """Chance that all classes lie within their intervals, exactly.

    An interval depends on the count of its class alone, so the chance is that of counts within sets: a coefficient of
    the product of the classes' generating functions Σ p^x/x!, each restricted to its set (Poisson counts, given n).

    Args:
        interval: ends for 0 … n images of a class.
        truth: shares.
    """
    n = len(interval.low) - 1
    x = np.arange(n + 1)
    product = np.ones(1)
    for share in truth:
        held = (interval.low <= share) & (share <= interval.high)
        product = np.convolve(product, np.where(held, stats.poisson.pmf(x, n * share), 0))[: n + 1]
    return float(product[n] / stats.poisson.pmf(n, n))


def _all_shares(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    n, k = cell["n"], cell["k"]
    truths = _truths(k)
    x = np.arange(n + 1)
    table = np.zeros((n + 1, k))
    table[:, 0], table[:, 1] = x, n - x
    ours = simultaneous(table)
    ways = {
        "ours": Interval(ours.low[:, 0], ours.high[:, 0]),
        "guaranteed": clopper_pearson(x, n, 1 - 0.05 / (k if k > 2 else 1)),
        "wald": _wald(x, n),
    }
    full = np.minimum(truths, 1 - truths).min(axis=1) * n >= _LEAST
    covered = {name: [_at_once(interval, truth) for truth in truths] for name, interval in ways.items()}
    return {**covered, "full": full.tolist()}


def _judge_all_shares(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    whole: dict[str, Any] = {name: np.concatenate([r[name] for _, r in results]) for name in ("ours", "wald", "full")}
    mean, least = float(whole["ours"].mean()), float(whole["ours"][whole["full"]].min(initial=1.0))
    elsewhere = float(whole["ours"][~whole["full"]].min(initial=1.0))
    return Line(
        "intervals of all k shares at once",
        "mean 94.5–96.5 %; ≥ 92 % where every np and n(1−p) ≥ 5",
        f"mean {mean:.1%}; least {least:.1%}; {elsewhere:.1%} where fewer are expected",
        f"Wald for each class: mean {whole['wald'].mean():.0%}, least {whole['wald'].min():.0%}",
        0.945 <= mean <= 0.965 and least >= 0.92,
        "Jeffreys at α/k, for k = 2, 3, 7 and 9, n = 10 to 200 and 12 distributions each, summed over all counts.",
    )


def _judge_guaranteed_all(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    least = min(min(r["guaranteed"]) for _, r in results)
    wald = np.concatenate([r["wald"] for _, r in results])
    return Line(
        "guaranteed intervals of all k shares",
        "≥ 95 % everywhere",
        f"least {least:.1%}",
        f"Wald for each class: least {wald.min():.0%}",
        least >= 0.95,
        "Clopper–Pearson at α/k, summed over all counts.",
    )


_ONE = [{"n": n} for n in _IMAGES]
_ALL = [{"n": n, "k": k} for n in _IMAGES for k in (2, 3, 7, 9)]

EXPERIMENTS = [
    Experiment(
        "intervals of one share", "mean 94.5–96.5 %; ≥ 92 % in the middle", _ONE, _one_share, _judge_one_share, 1, 1
    ),
    Experiment("guaranteed intervals of one share", "≥ 95 % everywhere", _ONE, _one_share, _judge_guaranteed, 1, 1),
    Experiment(
        "intervals of all k shares at once",
        "mean 94.5–96.5 %; ≥ 92 % in the middle",
        _ALL,
        _all_shares,
        _judge_all_shares,
        1,
        1,
    ),
    Experiment(
        "guaranteed intervals of all k shares",
        "≥ 95 % everywhere",
        _ALL,
        _all_shares,
        _judge_guaranteed_all,
        1,
        1,
    ),
]
