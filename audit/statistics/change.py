"""Tests of two models, or two conditions, against each other: paired by seed, or with other seeds.

Equal seeds pair the images of a prompt; the margins of a table of pairs are the counts of the two runs. Tests about
this list count images; tests about such prompts count prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats

_TIES = 1e-9
"""Simulated statistics within this relative distance of the observed one are equal to it."""
_ENUMERATED = 13
"""Up to so many prompts all signs are gone through instead of drawn."""
_FEW = 256
"""Pairs that disagree in a table up to which signs are drawn, instead of binomial numbers of flips."""
_TOGETHER, _AT_ONCE = 256, 1024
"""Tables and draws of one matrix product."""
_FAR, _FEWER = 0.1, 999
"""p-value of a χ² from which on fewer permutations do, and their number."""
_ENOUGH = 10.0
"""Variance of a count, over all prompts, from which on it is taken to be normal."""
_SIGNS = np.array([-1.0, 1.0])


class Permuted(NamedTuple):
    """p-values of a permutation test within prompts."""

    p_value: Floats
    """J p-values, one a prompt; NaN where a run has no image."""
    p_all: float
    """p-value of all prompts together; NaN where there is none with images in both runs."""


def mcnemar_midp(n01: npt.ArrayLike, n10: npt.ArrayLike) -> Floats:
    """Two-sided mid-p McNemar test of pairs of two classes (Fagerland, Lydersen & Laake 2013).

    With n = n₀₁ + n₁₀ pairs that disagree and X ~ Bin(n, ½): 2·P(X < b) + P(X = b), b = min(n₀₁, n₁₀), at most 1.
    For one probe, or for this list on sums over its probes. When prompts change in different directions, the sums test
    this list only: as a test of such prompts they raise 25 % false alarms (use `sign_flip`).

    Args:
        n01: pairs with the second class in the old run and the first in the new one.
        n10: pairs the other way round; broadcast with `n01`.

    Returns:
        p-values in the broadcast shape; 1 where no pair disagrees.

    Raises:
        ValueError: if a count is negative or not whole.
    """
    one, other = np.broadcast_arrays(_whole(n01), _whole(n10))
    least, n = np.minimum(one, other), one + other
    ways = special.gammaln(n + 1) - special.gammaln(least + 1) - special.gammaln(n - least + 1)
    seen = np.exp(ways - n * np.log(2))
    p: Floats = np.where(one == other, 1.0, np.minimum(2 * special.bdtr(least, n.astype(np.int64), 0.5) - seen, 1.0))
    return p


def marginal_homogeneity(pairs: npt.ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """Permutation test that two paired runs have the same shares of k classes: each pair is flipped with chance ½.

    The statistic is d' V⁺ d of the differences d of the margins (Stuart 1955, Maxwell 1970), where V, of Σ_b (N_ab +
    N_ba) on the diagonal and −(N_ab + N_ba) off it, does not change by flips. Tables in which few pairs disagree share
    the signs that are drawn; each turns them in its own random way, so that Monte Carlo errors are uncorrelated.

    Args:
        pairs: tables of pairs, J × k (old) × k (new). One table summed over probes tests this list.
        draws: simulated tables for each.
        rng: generator of random numbers.

    Returns:
        J p-values, (1 + draws at least as large)/(1 + draws); 1 where no pair disagrees.

    Raises:
        ValueError: if a count is negative or not whole, the shape does not fit, or `draws` is below 1.
    """
    tables = _whole(pairs)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2] or tables.shape[1] < 2:
        raise ValueError(f"tables of pairs must be probes × classes × classes (got shape {tables.shape}).")
    _check_draws(draws)
    k = tables.shape[1]
    above, below = np.triu_indices(k, 1)
    moves = np.zeros((above.size, k))
    moves[np.arange(above.size), above] = 1
    moves[np.arange(above.size), below] = -1
    one, other = tables[:, above, below], tables[:, below, above]
    either = (one + other).astype(np.int64)
    # d' V⁺ d is the squared length of the steps' sum; V is a Laplacian, whose first eigenvalue is 0.
    values, vectors = np.linalg.eigh(np.einsum("jc,ca,cb->jab", either, moves, moves))
    known = values > 1e-10 * values[:, -1:]
    steps = moves @ (vectors * np.where(known, np.where(known, values, 1) ** -0.5, 0)[:, None])[:, :, 1:]
    observed = np.square(((one - other)[:, None] @ steps)[:, 0]).sum(axis=1)
    least = observed - _TIES * np.maximum(1.0, observed)
    disagree = either.sum(axis=1)
    reached = np.full(len(tables), float(draws))
    order = np.argsort(disagree, kind="stable")
    none, some = np.searchsorted(disagree[order], [1, _FEW + 1])
    for start in range(none, some, _TOGETHER):
        group = order[start : min(some, start + _TOGETHER)]
        reached[group] = _flipped_together(either[group], steps[group], least[group], draws, rng)
    for j in order[some:]:
        flipped = 2.0 * rng.binomial(either[j], 0.5, size=(draws, above.size)) - either[j]
        reached[j] = np.count_nonzero(np.square(flipped @ steps[j]).sum(axis=1) >= least[j])
    return (1 + reached) / (1 + draws)


def _flipped_together(
    either: npt.NDArray[np.int64], steps: Floats, least: Floats, draws: int, rng: np.random.Generator
) -> Floats:
    """How many of the flips of each table are at least as long as `least`: one matrix of signs for all tables."""
    number, width = len(either), int(either.sum(axis=1).max())
    pairs = np.zeros((number, width, steps.shape[2]))
    for j, each in enumerate(either):
        pairs[j, : each.sum()] = np.repeat(steps[j], each, axis=0)
    pairs *= rng.choice(_SIGNS, size=(number, width, 1))
    columns = pairs.transpose(1, 2, 0).reshape(width, -1)
    reached = np.zeros(number)
    for start in range(0, draws, _AT_ONCE):
        signs = rng.choice(_SIGNS, size=(min(_AT_ONCE, draws - start), width))
        sums = (signs @ columns).reshape(len(signs), -1, number)
        reached += (np.square(sums, out=sums).sum(axis=1) >= least).sum(axis=0)
    return reached


def sign_flip(differences: npt.ArrayLike, draws: int, rng: np.random.Generator) -> float:
    """Test of changes in such prompts: the signs of the prompts' differences are exchangeable (Fisher 1935).

    One difference a prompt (k = 2): |mean|. A vector of differences a prompt: s' (Σ_j d_j d_j')⁺ s of their sum s.
    All signs are gone through for up to 13 prompts, drawn beyond. Prompts of one subject are no independent units: give
    their mean as one row. Below 6 rows no p-value falls under .05.

    Args:
        differences: shares of the new run less those of the old one, J or J × k; rows with NaN are left out.
        draws: signs drawn where they are not gone through.
        rng: generator of random numbers.

    Returns:
        The p-value; NaN without a row.

    Raises:
        ValueError: if the shape does not fit or `draws` is below 1.
    """
    given = np.asarray(differences, dtype=np.float64)
    if given.ndim not in (1, 2):
        raise ValueError(f"differences must be prompts, or prompts × classes (got shape {given.shape}).")
    _check_draws(draws)
    rows = given.reshape(len(given), -1)
    rows = rows[~np.isnan(rows).any(axis=1)]
    if not len(rows):
        return float("nan")
    inverse = _inverse(rows.T @ rows)
    observed = _lengths(rows.sum(axis=0), inverse)
    if len(rows) <= _ENUMERATED:
        # A statistic is the same with all signs turned, so that the first one stays.
        signs = np.array([(1, *rest) for rest in product((1, -1), repeat=len(rows) - 1)], dtype=np.float64)
        return float(np.mean(_lengths(signs @ rows, inverse) >= observed - _TIES * max(1.0, float(observed))))
    signs = rng.choice(_SIGNS, size=(draws, len(rows)))
    return _monte_carlo(observed, _lengths(signs @ rows, inverse))


def cochran_mantel_haenszel(
    x_a: npt.ArrayLike, n_a: npt.ArrayLike, x_b: npt.ArrayLike, n_b: npt.ArrayLike
) -> tuple[float, float]:
    """Test of a share in two runs with other seeds, within prompts (Cochran 1954; Mantel & Haenszel 1959).

    (Σ_j x_a − E x_a)² / Σ_j Var x_a on one degree of freedom, with the hypergeometric mean n_a·m/N and variance
    n_a n_b m (N − m)/(N²(N − 1)) of each prompt. Without a continuity correction: with it the size falls to 2–3 %
    where the nominal one is 5 %.

    Args:
        x_a: counts of the class in the one run, J.
        n_a: images they are out of, J.
        x_b: counts in the other run, J.
        n_b: images they are out of, J.

    Returns:
        The statistic and its p-value; 0 and 1 where no prompt shows both the class and another one.

    Raises:
        ValueError: if a count is negative, not whole or above n.
    """
    xa, na, xb, nb = np.broadcast_arrays(*(np.atleast_1d(_whole(each)) for each in (x_a, n_a, x_b, n_b)))
    if np.any(xa > na) or np.any(xb > nb):
        raise ValueError("a count must not exceed the images it is out of. Count each image once.")
    n, m = na + nb, xa + xb
    off = (xa - na * m / np.maximum(n, 1)).sum()
    variance = (na * nb * m * (n - m) / (np.maximum(n, 1) ** 2 * np.maximum(n - 1, 1))).sum()
    if variance == 0:
        return 0.0, 1.0
    statistic = float(off**2 / variance)
    return statistic, float(special.chdtrc(1, statistic))


def stratified_permutation(x_a: npt.ArrayLike, x_b: npt.ArrayLike, draws: int, rng: np.random.Generator) -> Permuted:
    """Permutation test of k shares in two runs with other seeds: images change runs within their prompt.

    The statistic is s' V⁺ s of the sum s over prompts of x_a less its mean, with V the sum of their covariances
    (Landis, Heyman & Koch 1978), which permutations do not change. Counts of a prompt are multivariate hypergeometric.
    Prompts together are tested by their χ² where each class varies by more than √10 images over all of them, else by
    permutations, too.

    Args:
        x_a: counts of the one run, J × k.
        x_b: counts of the other run, J × k.
        draws: permutations; 999 of a prompt whose χ² is far from significant (p ≥ .1), where more tell nothing.
        rng: generator of random numbers.

    Returns:
        p-values of each prompt alone and of all, (1 + draws at least as large)/(1 + draws); 1 where no prompt shows two
        classes.

    Raises:
        ValueError: if a count is negative or not whole, the shapes do not fit, or `draws` is below 1.
    """
    a, b = _whole(x_a), _whole(x_b)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"both runs need counts of probes × classes (got shapes {a.shape} and {b.shape}).")
    _check_draws(draws)
    tables = [_Permutable(own, other) if own.sum() and other.sum() else None for own, other in zip(a, b, strict=True)]
    usable = [table for table in tables if table is not None]
    p_value = [np.nan if table is None else table.p_value(draws, rng) for table in tables]
    return Permuted(np.array(p_value, dtype=np.float64), _all_permuted(usable, draws, rng))


class _Permutable:
    """Counts of one prompt in two runs, n_a images of n in the first."""

    def __init__(self, a: Floats, b: Floats) -> None:
        self.both, self.n_a = a + b, a.sum()
        n = self.both.sum()
        part = self.both / n
        self.mean = self.n_a * part
        self.off = a - self.mean
        self.covariance = self.n_a * (n - self.n_a) / (n - 1) * (np.diag(part) - np.outer(part, part))

    def permuted(self, draws: int, rng: np.random.Generator) -> Floats:
        """The first run's counts less their mean, draws × k."""
        drawn = rng.multivariate_hypergeometric(
            self.both.astype(np.int64), int(self.n_a), size=draws, method="marginals"
        )
        off: Floats = drawn - self.mean
        return off

    def p_value(self, draws: int, rng: np.random.Generator) -> float:
        inverse = _inverse(self.covariance)
        observed = _lengths(self.off, inverse)
        if draws > _FEWER and _chi_square(observed, self.covariance, inverse) >= _FAR:
            draws = _FEWER
        return _monte_carlo(observed, _lengths(self.permuted(draws, rng), inverse))


def _all_permuted(tables: Sequence[_Permutable], draws: int, rng: np.random.Generator) -> float:
    if not tables:
        return float("nan")
    covariance = np.sum([table.covariance for table in tables], axis=0)
    inverse = _inverse(covariance)
    observed = _lengths(np.sum([table.off for table in tables], axis=0), inverse)
    variance = np.diag(covariance)
    if np.all((variance >= _ENOUGH) | (variance < _TIES)):
        return _chi_square(observed, covariance, inverse)
    simulated = np.zeros((draws, len(covariance)))
    for table in tables:
        simulated += table.permuted(draws, rng)
    return _monte_carlo(observed, _lengths(simulated, inverse))


def _chi_square(observed: Floats, covariance: Floats, inverse: Floats) -> float:
    """p-value by the χ² distribution on as many degrees of freedom as the covariance has; 1 without any."""
    freedom = round(float(np.trace(covariance @ inverse)))
    return float(special.chdtrc(freedom, observed)) if freedom else 1.0


def _inverse(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.pinv(matrix, rcond=1e-10, hermitian=True), dtype=np.float64)


def _lengths(vectors: Floats, inverse: Floats) -> Floats:
    lengths: Floats = ((vectors @ inverse) * vectors).sum(axis=-1)
    return lengths


def _monte_carlo(observed: Floats, simulated: Floats) -> float:
    scale = max(1.0, float(observed))
    return float((1 + np.count_nonzero(simulated >= observed - _TIES * scale)) / (1 + simulated.size))


def _whole(values: npt.ArrayLike) -> Floats:
    counts = np.asarray(values, dtype=np.float64)
    wrong = ~((counts >= 0) & (counts == np.floor(counts)))
    if wrong.any():
        raise ValueError(
            f"counts must be whole numbers of 0 or more (got {counts[wrong][0]:g}). Count each image once."
        )
    return counts


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
