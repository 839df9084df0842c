"""Two models or conditions whose images a classifier errs on differently.

One error matrix for both invents differences: sensitivities of .95 and .85 make 93 of 100 comparisons of equal models
significant. A difference may be claimed with labels on both sides; without them only if it exceeds what differing
errors may explain. Whether the errors of several groups of images differ, `equal_errors` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class EqualErrors(NamedTuple):
    """Errors of a classifier in each of S groups of images, and whether it errs there as it does elsewhere."""

    labels: Floats
    """Labelled images."""
    errors: Floats
    """Images for which the classifier answers otherwise than people."""
    expected: Floats
    """As many of them as there would be on average if it erred alike in all groups."""
    p_value: Floats
    """Test of just that; NaN where no other group has an image of which people say the same."""


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


def equal_errors(
    tables: npt.ArrayLike,
    right: npt.NDArray[np.bool_],
    rngs: Sequence[np.random.Generator],
    *,
    draws: int = 10_000,
) -> EqualErrors:
    """Whether a classifier answers alike in each group and in all others, for images of which people say the same.

    For each group the statistic is the sum, over people's answers y, of Pearson's X² of the table group or others ×
    classifier's answers. If errors are equal, it does not matter which of the images of answer y belong to the group:
    its answers are a draw of n_sy of them without putting back, for each y apart (conditional test of independence
    within strata; Mantel 1963, Birch 1965). p is the part of such draws, and of the data, whose statistic is as large:
    exact but for the draws, at least 1/(draws + 1), and cautious with few labels. As it asks about all answers, an
    image not answered at all counts like one answered wrongly. It holds where images were chosen by the classifier's
    answers, too.

    Args:
        tables: S × Y × C labelled images: people's answers × the classifier's.
        right: Y × C, true where the two answers are the same.
        rngs: S generators of random numbers.
        draws: random draws a group.

    Returns:
        S numbers each.

    Raises:
        ValueError: if a count is negative or broken, or the shapes do not fit.
    """
    given = counts(tables)
    if given.ndim != 3 or right.shape != given.shape[1:] or len(rngs) != len(given):
        raise ValueError(
            f"tables must be groups × people's answers × the classifier's, with a mark for each pair of answers and "
            f"random numbers for each group (got shapes {given.shape} and {right.shape}, and {len(rngs)} generators)."
        )
    whole = given.sum(axis=0)
    wrong = np.where(right, 0.0, 1.0)
    all_labels = np.maximum(whole.sum(axis=1), 1)
    labels, errors = given.sum(axis=(1, 2)), (given * wrong).sum(axis=(1, 2))
    expected = (given.sum(axis=2) * (whole * wrong).sum(axis=1) / all_labels).sum(axis=1)
    p_value = [_equal_p(each, whole, rng, draws) for each, rng in zip(given, rngs, strict=True)]
    return EqualErrors(labels, errors, expected, np.array(p_value, dtype=np.float64))


def _equal_p(own: Floats, whole: Floats, rng: np.random.Generator, draws: int) -> float:
    seen, drawn, known = 0.0, np.zeros(draws), False
    for mine, every in zip(own, whole, strict=True):
        n, total = int(mine.sum()), int(every.sum())
        if not 0 < n < total:
            continue
        known = True
        mean = n * every[every > 0] / total
        other = rng.multivariate_hypergeometric(every.astype(np.int64), n, size=draws)[:, every > 0]
        scale = total / (total - n)
        seen += scale * ((mine[every > 0] - mean) ** 2 / mean).sum()
        drawn += scale * ((other - mean) ** 2 / mean).sum(axis=1)
    return float((1 + (drawn >= seen - 1e-9).sum()) / (draws + 1)) if known else float("nan")


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
