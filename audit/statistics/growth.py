"""Two sets of counted images, subject by subject: does one lean further from an even share than the other?

The difference of the shares of a class is averaged over subjects, each with the same weight: once as it is, and once in
the direction in which both sides together lean, where above 0 means that the first side leans further. That direction
is taken from the images of both sides put together, for these are not correlated with the difference where there is
none: a direction taken from one side alone would make that side seem to lean further.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.statistics.difference import difference_unpaired, mean_difference
from audit.statistics.differential import difference_with_labels
from audit.statistics.intervals import Floats, Interval
from audit.statistics.noise import Estimate, counts

ENOUGH = 10
"""Labels, in effect, that it takes on each side and for each direction."""


class Growth(NamedTuple):
    """What differs between two sides; NaN and (−1, 1) where they have no subject in common."""

    difference: Estimate
    """Mean over subjects of the share on the first side less that on the second."""
    growth: Estimate
    """The same in the direction in which both lean: above 0 the first leans further from even."""
    subjects: int
    """Subjects with images on both sides."""


class Side(NamedTuple):
    """The images of one side by subject: J subjects, C answers of a classifier, Y answers of people."""

    answers: Floats
    """J × C counts of the classifier's answers to all images: the k classes, then others."""
    labels: Floats
    """J × Y × C weighted labels of people for some of these images."""
    squares: Floats
    """J × Y × C sums of the squared weights."""


def directions(x_a: npt.ArrayLike, n_a: npt.ArrayLike, x_b: npt.ArrayLike, n_b: npt.ArrayLike, even: float) -> Floats:
    """1 for subjects of which both sides together show the class in `even` or more of their images, −1 for others."""
    x, n = counts(x_a) + counts(x_b), counts(n_a) + counts(n_b)
    return np.where(x >= even * n, 1.0, -1.0)


def growth(
    x_a: npt.ArrayLike, n_a: npt.ArrayLike, x_b: npt.ArrayLike, n_b: npt.ArrayLike, *, even: float, level: float = 0.95
) -> Growth:
    """Differences of shares as a classifier gives them.

    Each subject's interval is the score interval of Miettinen & Nurminen (1985); the mean's adds the squares of their
    distances (Zou & Donner 2008). The sampling of both sides is in it, the classifier's errors are not.

    Args:
        x_a: J counts of the class on the first side.
        n_a: J images they are out of.
        x_b: J counts on the second side.
        n_b: J images they are out of.
        even: the share that is even.
        level: confidence level.

    Returns:
        The mean differences.

    Raises:
        ValueError: if a count is wrong.
    """
    xa, na, xb, nb = np.broadcast_arrays(*(counts(each) for each in (x_a, n_a, x_b, n_b)))
    known = (na > 0) & (nb > 0)
    value = np.where(known, xa / np.maximum(na, 1) - xb / np.maximum(nb, 1), np.nan)
    ends = difference_unpaired(xa, na, xb, nb, level)
    sign = directions(xa, na, xb, nb, even)
    turned = Interval(np.where(sign > 0, ends.low, -ends.high), np.where(sign > 0, ends.high, -ends.low))
    return Growth(_mean(value, ends), _mean(sign * value, turned), int(known.sum()))


def growth_with_labels(a: Side, b: Side, c: int, k: int, *, even: float, level: float = 0.95) -> Growth | None:
    """Differences of the shares that people perceive, with labels on both sides.

    Subjects of either direction are put together, each with the same weight: an image of subject j counts 1/n_j, in the
    answers and in the labels, and the numbers are those of as many images of equal weight (Kish 1965). So what a
    classifier's answer is worth is learned from the mix of subjects for which it is used. Each direction is then
    compared by `difference_with_labels`.

    Args:
        a: the first side.
        b: the second side, of the same J subjects.
        c: which class.
        k: number of classes.
        even: the share that is even.
        level: confidence level.

    Returns:
        The mean differences; None with fewer than `ENOUGH` labels, in effect, on a side for a direction that occurs.

    Raises:
        ValueError: if a count is wrong or the shapes do not fit.
    """
    sizes = [counts(side.answers)[:, :k].sum(axis=1) for side in (a, b)]
    known = (sizes[0] > 0) & (sizes[1] > 0)
    sign = directions(a.answers[:, c], sizes[0], b.answers[:, c], sizes[1], even)
    parts = []
    for each in (1.0, -1.0):
        chosen = known & (sign == each)
        if not chosen.any():
            continue
        pooled = [_pooled(side, size, chosen) for side, size in zip((a, b), sizes, strict=True)]
        if any(table.sum() < ENOUGH for _, table in pooled):
            return None
        (one, left), (two, right) = pooled
        found = difference_with_labels(one, left, two, right, k, level=level)
        parts.append((each, chosen.sum() / known.sum(), Estimate(*(end[c] for end in found))))
    if not parts:
        return None
    plain = [(weight, found) for _, weight, found in parts]
    turned = [(w, f if s > 0 else Estimate(-f.value, -f.high, -f.low)) for s, w, f in parts]
    return Growth(_sum(plain), _sum(turned), int(known.sum()))


def _pooled(side: Side, size: Floats, chosen: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Answers and labels of some subjects as those of so many images of equal weight."""
    answers, weight = side.answers[chosen], 1 / size[chosen]
    total = (weight[:, None] * answers).sum(axis=0)
    images = total.sum() ** 2 / (weight[:, None] ** 2 * answers).sum()
    predicted = np.round(total / total.sum() * images)
    table = np.einsum("j,jyc->yc", weight, side.labels[chosen])
    squares = np.einsum("j,jyc->c", weight**2, side.squares[chosen])
    weights = table.sum(axis=0)
    effective = np.divide(weights**2, squares, out=np.zeros_like(weights), where=squares > 0)
    scale = np.divide(np.minimum(effective, predicted), weights, out=np.zeros_like(weights), where=weights > 0)
    return predicted, table * scale


def _mean(value: Floats, ends: Interval) -> Estimate:
    mean, (low, high) = mean_difference(value, ends)
    return Estimate(np.asarray(mean), np.maximum(low, -1), np.minimum(high, 1))


def _sum(parts: list[tuple[float, Estimate]]) -> Estimate:
    """Weighted sum of independent estimates; the squares of the distances to their ends add."""
    value = np.asarray(sum(weight * each.value for weight, each in parts))
    low = np.sqrt(sum((weight * (each.value - each.low)) ** 2 for weight, each in parts))
    high = np.sqrt(sum((weight * (each.high - each.value)) ** 2 for weight, each in parts))
    return Estimate(value, np.maximum(value - low, -1), np.minimum(value + high, 1))
