"""How fast the statistics are: intervals of all shares, resampling beside scipy, tests by simulation.

150 probes with 2, 9 and 7 classes (perceived gender, age, ethnicity) and 100 images each.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from audit.statistics.heterogeneity import prompts_differ
from audit.statistics.intersections import independence
from audit.statistics.intervals import shares, simultaneous, wilson
from audit.statistics.resampling import bootstrap
from benchmarks.common import Row, interleaved, row

_PROBES, _IMAGES, _CLASSES = 150, 100, (2, 9, 7)
_DRAWS = 10_000


def rows(repeats: int, seed: int) -> list[Row]:
    """Intervals against one call of scipy a share, resampling against `scipy.stats.bootstrap`, and seconds of tests."""
    rng = np.random.default_rng(seed)
    tables = [rng.multinomial(_IMAGES, rng.dirichlet(np.full(k, 3.0), size=_PROBES)) for k in _CLASSES]
    return [_intervals(tables, repeats), *_resampling(tables, repeats, seed), *_tests(tables, repeats, rng)]


def _intervals(tables: list[np.ndarray], repeats: int) -> Row:
    """Two intervals for each of 2,700 shares."""

    def ours() -> None:
        for x in tables:
            wilson(x, x.sum(axis=1, keepdims=True))
            simultaneous(x)

    def one_by_one() -> None:
        for x in tables:
            level = 0.95 if x.shape[1] == 2 else 1 - 0.05 / x.shape[1]
            for count in x.ravel():
                stats.binomtest(int(count), _IMAGES).proportion_ci(method="wilson")
                stats.beta.interval(level, count + 0.5, _IMAGES - count + 0.5)

    seconds = interleaved({"ours": ours, "one by one": one_by_one}, repeats)
    met = seconds["ours"] < 0.02
    note = f"{seconds['ours'] * 1e3:.1f} ms for {sum(x.size for x in tables):,} shares (target: under 20 ms)"
    return Row("share intervals", seconds["one by one"] / seconds["ours"], 1.0, met, note)


def _resampling(tables: list[np.ndarray], repeats: int, seed: int) -> list[Row]:
    """Means over probes of the share of every class, 10,000 resamples of the probes."""
    every = np.column_stack([shares(x) for x in tables])
    found = []
    for values, name, target in ((every, "18 mean shares", 6.0), (every[:, :1], "1 mean share", 0.0)):
        for method, theirs in (("percentile", "percentile"), ("bca", "BCa")):
            ways = {
                "ours": lambda v=values, m=method: bootstrap(v, _DRAWS, np.random.default_rng(seed), method=m),
                "scipy": lambda v=values, m=theirs: stats.bootstrap(
                    (v,), np.mean, n_resamples=_DRAWS, method=m, vectorized=True, rng=np.random.default_rng(seed)
                ),
            }
            seconds = interleaved(ways, repeats)
            note = f"{seconds['ours'] * 1e3:.0f} ms beside {seconds['scipy'] * 1e3:.0f} ms"
            found.append(row(f"resampling, {name}, {method}", seconds["scipy"] / seconds["ours"], target, note))
    return found


def _tests(tables: list[np.ndarray], repeats: int, rng: np.random.Generator) -> list[Row]:
    """Seconds of the tests by simulation: the ratio is that to what is allowed."""
    joint = rng.multinomial(_IMAGES, np.full(63, 1 / 63), size=_PROBES).reshape(_PROBES, 7, 9)
    ways = {
        "do 150 prompts differ, 9 classes, 2,000 tables": lambda: prompts_differ(tables[1], 2_000, rng),
        "independence, 150 prompts, 7 × 9 cells, 2,000 tables": lambda: independence(joint, 2_000, rng),
    }
    seconds = interleaved(ways, max(1, min(repeats, 3)))
    return [row(name, 1.5 / took, 1.0, f"{took:.2f} s (target: under 1.5 s)") for name, took in seconds.items()]
