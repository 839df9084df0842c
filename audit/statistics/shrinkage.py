"""Shares of single probes drawn towards those of all, for ranking and display only: few images exaggerate extremes.

The shares of probes are taken as draws from one Dirichlet distribution (empirical Bayes; Efron & Morris 1975). No
interval, test or gap is made from what comes out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.intervals import Floats, shares


class Shrunk(NamedTuple):
    """Shares drawn towards the common ones."""

    shares: Floats
    """J × k; each row adds up to 1. A probe with no image has the common shares."""
    common: Floats
    """k mean shares of the probes."""
    concentration: float
    """How many images the common shares are worth; infinite where probes differ no more than by chance."""


def shrunk(x: npt.ArrayLike) -> Shrunk:
    """Posterior mean shares (x + a·μ)/(n + a) under a Dirichlet distribution of shares with mean μ.

    The concentration a is found by moments, from estimators without bias: with W the mean of Σ_c x(x−1)/(n(n−1)) over
    probes and B the mean of Σ_c p̂_jc p̂_lc over pairs of different probes, 1/(a+1) = (W − B)/(1 − B). The mean μ
    weighs a probe by n(a+1)/(n+a), which is n where probes are alike and 1 where they are not.

    Args:
        x: counts, J × k.

    Returns:
        The shares, the mean and the concentration. With fewer than 2 probes that have 2 images, or where probes do not
        differ, all shares are the pooled ones; NaN where there is no image at all.

    Raises:
        ValueError: if counts are not probes × classes, or one is negative.
    """
    counts = np.asarray(x, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] < 2:
        raise ValueError(f"counts must be probes × classes, with 2 classes or more (got shape {counts.shape}).")
    raw = shares(counts)
    n = counts.sum(axis=1)
    if not n.any():
        return Shrunk(raw, np.full(counts.shape[1], np.nan), float("nan"))
    a = _concentration(counts, raw, n)
    seen = n > 0
    weight = n[seen] if np.isinf(a) else n[seen] * (a + 1) / (n[seen] + a)
    common = weight @ raw[seen] / weight.sum()
    if np.isinf(a):
        return Shrunk(np.tile(common, (len(n), 1)), common, a)
    if a == 0:
        return Shrunk(np.where(seen[:, None], raw, common), common, a)
    return Shrunk((counts + a * common) / (n + a)[:, None], common, a)


def _concentration(counts: Floats, raw: Floats, n: Floats) -> float:
    """a by moments: 0 where every probe shows one class only, infinite where probes do not differ."""
    many = n > 1
    probes = int(many.sum())
    if probes < 2:
        return float("inf")
    counts, raw, n = counts[many], raw[many], n[many]
    within = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    whole = raw.sum(axis=0)
    across = float(whole @ whole - (raw**2).sum()) / (probes * (probes - 1))
    correlation = (within - across) / (1 - across) if across < 1 else 0.0
    return max(0.0, 1 / correlation - 1) if correlation > 1e-9 else float("inf")
