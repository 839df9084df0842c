"""Two models or conditions whose images a classifier errs on differently.

One error matrix for both invents differences: sensitivities of .95 and .85 make 93 of 100 comparisons of equal models
significant. A difference may be claimed with labels on both sides; without them only if it exceeds what differing
errors may explain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.difference import difference_unpaired
from audit.statistics.double_sampling import post_stratified_classes
from audit.statistics.intervals import Floats
from audit.statistics.noise import Estimate, counts


class Verdict(NamedTuple):
    """Whether shares of two sides differ by more than errors may explain. Arrays of one shape."""

    difference: Floats
    """Share on the first side less that on the second; NaN where a side has no image."""
    low: Floats
    high: Floats
    """Ends of its sampling error."""
    conclusion: npt.NDArray[np.int64]
    """1: higher on the first side; −1: lower; 0: not shown."""


class Explanation(NamedTuple):
    """Differences of error rates that alone would make a difference of shares. Infinite where none up to 1 does."""

    sensitivity: Floats
    specificity: Floats
    smallest: Floats
    """The smaller of the two."""


def difference_with_labels(
    predicted_a: npt.ArrayLike,
    table_a: npt.ArrayLike,
    predicted_b: npt.ArrayLike,
    table_b: npt.ArrayLike,
    k: int,
    *,
    level: float = 0.95,
) -> Estimate:
    """Difference of the shares that people perceive, with labels on both sides (a − b).

    Both sides are post-stratified on their own labels, so that each may err in its own way. With values v and intervals
    l … u: d = v_a − v_b, from d − sqrt((v_a − l_a)² + (u_b − v_b)²) to d + sqrt((u_a − v_a)² + (v_b − l_b)²) (Zou &
    Donner 2008).

    Args:
        predicted_a: … × C counts of the classifier's answers to all images of the first side.
        table_a: … × Y × C labels of some of these images.
        predicted_b: the same of the second side.
        table_b: the same of the second side.
        k: number of classes.
        level: confidence level.

    Returns:
        Differences and ends, … × k.

    Raises:
        ValueError: if a count is wrong or the shapes do not fit.
    """
    a = post_stratified_classes(predicted_a, table_a, k, level=level)
    b = post_stratified_classes(predicted_b, table_b, k, level=level)
    difference = a.value - b.value
    low = difference - np.sqrt((a.value - a.low) ** 2 + (b.high - b.value) ** 2)
    high = difference + np.sqrt((a.high - a.value) ** 2 + (b.value - b.low) ** 2)
    return Estimate(difference, np.maximum(low, -1), np.minimum(high, 1))


def delta_verdict(
    x_a: npt.ArrayLike,
    n_a: npt.ArrayLike,
    x_b: npt.ArrayLike,
    n_b: npt.ArrayLike,
    *,
    delta: float = 0.05,
    level: float = 0.95,
) -> Verdict:
    """Whether two shares differ by more than δ beyond sampling error, for sides that nobody labelled.

    A difference is claimed if the whole score interval (Miettinen & Nurminen 1985) lies beyond ±δ. This is wrong in at
    most (1 − level)/2 of comparisons of equal models as long as differing errors move the shares by at most δ: by
    p·ΔSe − (1 − p)·ΔSp. What would have to hold otherwise, `explaining_difference` says.

    Args:
        x_a: counts of the class on the first side.
        n_a: images they are out of; all broadcast.
        x_b: counts on the second side.
        n_b: images they are out of.
        delta: largest difference that errors may make.
        level: confidence level.

    Returns:
        The verdicts.

    Raises:
        ValueError: if a count is wrong or `delta` is not from 0 to 1.
    """
    if not 0 <= delta < 1:
        raise ValueError(f"a difference that errors may make lies between 0 and 1 (got {delta:g}).")
    xa, na, xb, nb = np.broadcast_arrays(*(counts(each) for each in (x_a, n_a, x_b, n_b)))
    ends = difference_unpaired(xa, na, xb, nb, level)
    known = (na > 0) & (nb > 0)
    difference = np.where(known, xa / np.maximum(na, 1) - xb / np.maximum(nb, 1), np.nan)
    conclusion = np.where(ends.low > delta, 1, np.where(ends.high < -delta, -1, 0)).astype(np.int64)
    return Verdict(difference, ends.low, ends.high, conclusion)


def explaining_difference(difference: npt.ArrayLike, share: npt.ArrayLike) -> Explanation:
    """Smallest difference of the error rates between two sides that would make a difference without a true one.

    A class with perceived share p on both sides is reported as p·Se + (1 − p)(1 − Sp): a difference d needs
    sensitivities that differ by |d|/p, or specificities that differ by |d|/(1 − p).

    Args:
        difference: difference of the reported shares, or the end of its interval nearest to 0.
        share: perceived share of the class if there is no difference; both broadcast.

    Returns:
        What the sensitivities, or the specificities, would have to differ by.

    Raises:
        ValueError: if a difference is not from −1 to 1, or a share not from 0 to 1.
    """
    d, p = np.broadcast_arrays(np.abs(np.asarray(difference, dtype=np.float64)), np.asarray(share, dtype=np.float64))
    if np.any(d > 1) or np.any((p < 0) | (p > 1)):
        raise ValueError("a difference lies between −1 and 1, and a share between 0 and 1. Give shares, not counts.")
    sensitivity, specificity = _needed(d, p), _needed(d, 1 - p)
    return Explanation(sensitivity, specificity, np.minimum(sensitivity, specificity))


def _needed(difference: Floats, share: Floats) -> Floats:
    possible = difference <= share
    needed = np.where(possible, difference / np.where(possible & (share > 0), share, 1.0), np.inf)
    return np.where(np.isnan(difference) | np.isnan(share), np.nan, np.where(difference == 0, 0.0, needed))
