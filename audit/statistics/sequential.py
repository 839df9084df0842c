"""Deciding early: e-values and confidence sequences, which hold at every look at the images that came in so far.

An e-process E starts at 1 and, if the reference is true, is a martingale of images that come one by one (it falls on
average where the reference excludes a class). By Ville's inequality it then ever reaches 1/α with probability α at
most, however often one looks and whenever one stops. Its logarithm is what is computed here, which does not overflow.
Images without a class are left out before: shares are those of the images that have one, as in any audit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import check
from audit.statistics.intervals import Floats, Interval, shares

DIFFERS, CLOSE, OPEN = "differs", "close", "open"
"""What is known of a probe: its share differs from the reference, lies close to it, or neither is known yet."""
CONCENTRATION = 10.0
"""Prior images in the Dirichlet mixture around the reference."""


class Decision(NamedTuple):
    """What is decided of J probes."""

    state: npt.NDArray[np.str_]
    """J times `differs`, `close` or `open`."""
    log_e: Floats
    """J natural logarithms of e-values against the reference; NaN without a reference."""
    share: Floats
    """J × k shares; NaN without an image."""
    low: Floats
    """J × k lower ends of the confidence sequences, of all classes of a probe at once."""
    high: Floats


def bernoulli_log_e(x: npt.ArrayLike, n: npt.ArrayLike, p0: npt.ArrayLike) -> Floats:
    """Log e-value of one share against p0, all shares mixed by Beta(½, ½) (Ville 1939; Robbins 1970).

    E = B(x+½, n−x+½) / B(½, ½) / (p0^x (1−p0)^(n−x)), a martingale of single images if the share is p0.

    Args:
        x: counts of the class.
        n: images they are out of; broadcast with `x`.
        p0: share in the reference; NaN where it is unknown. Broadcast too.

    Returns:
        Logarithms in the broadcast shape: 0 at n = 0, infinite for a count that p0 = 0 or 1 excludes, NaN where p0 is.

    Raises:
        ValueError: if a count is not whole, negative or above n, or p0 lies outside 0 … 1.
    """
    x_, n_ = _counted(x, n)
    p = np.asarray(p0, dtype=np.float64)
    if np.any((p < 0) | (p > 1)):
        raise ValueError(f"a share of a reference lies between 0 and 1 (got {np.nanmin(p):g} … {np.nanmax(p):g}).")
    log_e: Floats = _log_mixture(x_, n_) - (special.xlogy(x_, p) + special.xlog1py(n_ - x_, -p))
    return log_e


def multinomial_log_e(x: npt.ArrayLike, r: npt.ArrayLike) -> Floats:
    """Log e-value of each probe's shares against its reference (Lindon & Malek 2022).

    The likelihood mixed by a Dirichlet distribution with a_c = max(½, 10 r_c), over the likelihood of the reference:
    E = B(a + x) / B(a) / Π r_c^x_c. A class that the reference excludes (r_c = 0) makes E infinite once it occurs.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.

    Returns:
        J logarithms: 0 without an image, NaN without a reference.

    Raises:
        ValueError: if a count is not whole or negative, the shapes do not fit, or the shares of a reference do not add
            up to 1.
    """
    counts, reference = check(x, r)
    _counted(counts, np.inf)
    prior = np.maximum(0.5, CONCENTRATION * reference)
    mixed = _log_beta(prior + counts) - _log_beta(prior)
    log_e: Floats = mixed - special.xlogy(counts, reference).sum(axis=1)
    return log_e


def paired_log_e(n10: npt.ArrayLike, n01: npt.ArrayLike) -> Floats:
    """Log e-value against equal shares of a class in two models asked with the same seeds.

    Only pairs in which one model shows the class and the other does not tell them apart; without a difference, each
    kind is as probable as the other: `bernoulli_log_e` of n10 out of n10 + n01 against ½.

    Args:
        n10: pairs with the class in the first model only.
        n01: pairs with the class in the second model only; broadcast.

    Returns:
        Logarithms in the broadcast shape.

    Raises:
        ValueError: if a count is not whole or negative.
    """
    first, second = np.asarray(n10, dtype=np.float64), np.asarray(n01, dtype=np.float64)
    _counted(second, np.inf)
    return bernoulli_log_e(first, first + second, 0.5)


def confidence_sequence(x: npt.ArrayLike, n: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Interval of one share that holds at all looks at once: the p0 with E(p0) < 1/α (Robbins 1970).

    With chance `level` no interval of a growing number of images ever misses the share. E is that of
    `bernoulli_log_e`; its two crossings of 1/α are found by Newton's method in θ = log(p/(1−p)), where log E is convex,
    from starts outside of them, so that every step stays outside and none can fail.

    Args:
        x: counts.
        n: images they are out of; broadcast with `x`.
        level: confidence level for all looks together.

    Returns:
        The ends, in the broadcast shape; (0, 1) where n = 0.

    Raises:
        ValueError: if a count is not whole, negative or above n, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    x_, n_ = _counted(x, n)
    bound = -np.log1p(-level) - _log_mixture(x_, n_)
    low = np.where(x_ == 0, 0.0, special.expit(-_crossing(n_ - x_, n_, bound)))
    high = np.where(x_ == n_, 1.0, special.expit(_crossing(x_, n_, bound)))
    return Interval(low, high)


def simultaneous_sequence(x: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Confidence sequences of all k shares of a probe at once: each at α/k; two classes are one statement.

    Args:
        x: counts, J × k (or any shape with the classes last).
        level: confidence level for all looks and all classes of a probe together.

    Returns:
        The ends, in the shape of `x`; (0, 1) for a probe without an image.

    Raises:
        ValueError: if a count is not whole or negative, or the level is not between 0 and 1.
    """
    counts = np.asarray(x, dtype=np.float64)
    k = counts.shape[-1]
    return confidence_sequence(counts, counts.sum(axis=-1, keepdims=True), 1 - (1 - level) / (k if k > 2 else 1))


def decide(x: npt.ArrayLike, r: npt.ArrayLike, *, delta: float = 0.05, alpha: float = 0.05) -> Decision:
    """Whether each probe differs from its reference, is close to it, or is still open. Valid at every look.

    `differs`: E ≥ 1/α, with E that of `bernoulli_log_e` for two classes (the confidence sequence then excludes the
    reference) and of `multinomial_log_e` for more. `close`: else, if the confidence sequences of all classes lie within
    r ± δ. A probe that matches its reference is ever said to differ with probability α at most; one that is farther
    than δ is ever said to be close with probability α at most.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know: they stay open.
        delta: what counts as close.
        alpha: chance of a wrong decision of each kind, per probe.

    Returns:
        The decisions.

    Raises:
        ValueError: as `multinomial_log_e`; or if delta or alpha do not lie between 0 and 1.
    """
    counts, reference = check(x, r)
    if counts.shape[1] == 2:
        log_e = bernoulli_log_e(counts[:, 0], counts.sum(axis=1), reference[:, 0])
    else:
        log_e = multinomial_log_e(counts, reference)
    return _decide(counts, reference, log_e, delta, alpha)


def decide_each(x: npt.ArrayLike, p0: npt.ArrayLike, *, delta: float = 0.05, alpha: float = 0.05) -> Decision:
    """The same for references whose classes overlap: each class that the reference knows, one against the rest.

    E is the mean of the e-values of these classes, which is an e-value under any dependence (Vovk & Wang 2021).

    Args:
        x: counts, J × k.
        p0: shares of the reference, J × k; NaN for classes that it does not know. They need not add up to 1.
        delta: what counts as close.
        alpha: chance of a wrong decision of each kind, per probe.

    Returns:
        The decisions.

    Raises:
        ValueError: as `bernoulli_log_e`; or if delta or alpha do not lie between 0 and 1.
    """
    counts, reference = np.asarray(x, dtype=np.float64), np.asarray(p0, dtype=np.float64)
    if counts.ndim != 2 or counts.shape != reference.shape:
        raise ValueError(f"references must fit counts of shape {counts.shape} (got shape {reference.shape}).")
    single = bernoulli_log_e(counts, counts.sum(axis=1, keepdims=True), reference)
    known = ~np.isnan(reference)
    size = known.sum(axis=1)
    mean = special.logsumexp(np.where(known, single, -np.inf), axis=1) - np.log(np.maximum(size, 1))
    return _decide(counts, reference, np.where(size > 0, mean, np.nan), delta, alpha)


def _decide(counts: Floats, reference: Floats, log_e: Floats, delta: float, alpha: float) -> Decision:
    if not (0 < alpha < 1 and 0 <= delta < 1):
        raise ValueError(f"alpha and delta lie between 0 and 1 (got {alpha:g} and {delta:g}).")
    ends = simultaneous_sequence(counts, 1 - alpha)
    known = ~np.isnan(reference)
    near = (ends.low >= reference - delta) & (ends.high <= reference + delta)
    close = known.any(axis=1) & (near | ~known).all(axis=1)
    state = np.where(log_e >= -np.log(alpha), DIFFERS, np.where(close, CLOSE, OPEN))
    return Decision(state, log_e, shares(counts), ends.low, ends.high)


def _crossing(x: Floats, n: Floats, bound: Floats) -> Floats:
    """The larger θ with n log(1 + e^θ) − xθ = bound, for x < n; other entries are of no meaning.

    The left side is at least (n − x)θ, so it exceeds the bound at the start; it is convex, so that Newton's steps
    never pass the solution.
    """
    rest = np.maximum(n - x, 1)
    theta = bound / rest
    for _ in range(100):
        share = special.expit(theta)
        slope = np.maximum(n * share - x, 1e-300)
        value = rest * theta + n * np.logaddexp(0.0, -theta) - bound
        step = np.divide(value, slope, out=np.zeros_like(value), where=(n > x) & (value > 0))
        theta = theta - step
        if np.all(np.abs(step) <= 1e-13 * np.maximum(1, np.abs(theta))):
            break
    return theta


def _log_mixture(x: Floats, n: Floats) -> Floats:
    """log of the mean likelihood of x out of n when the share is drawn from Beta(½, ½)."""
    mixed: Floats = special.betaln(x + 0.5, n - x + 0.5) - special.betaln(0.5, 0.5)
    return mixed


def _log_beta(a: Floats) -> Floats:
    whole: Floats = special.gammaln(a).sum(axis=-1) - special.gammaln(a.sum(axis=-1))
    return whole


def _counted(x: npt.ArrayLike, n: npt.ArrayLike) -> tuple[Floats, Floats]:
    x_, n_ = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64))
    off = (x_ < 0) | (x_ != np.floor(x_)) | np.isnan(n_)
    if off.any():
        raise ValueError(f"counts must be whole numbers of 0 or more (got {x_[off][0]:g}). Count each image once.")
    if np.any(x_ > n_):
        worst = x_ > n_
        raise ValueError(f"a count must not exceed the images it is out of (got {x_[worst][0]:g} of {n_[worst][0]:g}).")
    return x_, n_
