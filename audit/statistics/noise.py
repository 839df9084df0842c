"""What a classifier's errors do to shares, and the ways back: error matrices, inverses, two classes in closed form.

A calibration is a table T[y, c] of labelled images: rows what people answered (the k classes, then other answers),
columns what the classifier answered (the k classes, then its other answers). M[y, c] = P(classifier says c | people
say y) carries over to images of another composition; P(y | c) does not. Even with a classifier that is right 95 times
of 100, the usual interval of its answers covers the share that people perceive 19 times of 100 (n = 100, share .02).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats, Interval, wilson


class Estimate(NamedTuple):
    """A value with its interval: three arrays of one shape."""

    value: Floats
    low: Floats
    high: Floats


def rogan_gladen(q: npt.ArrayLike, sensitivity: npt.ArrayLike, specificity: npt.ArrayLike) -> Floats:
    """Share behind the share that a classifier reports: (q + Sp − 1)/(Se + Sp − 1) (Rogan & Gladen 1978).

    Args:
        q: reported share of the class.
        sensitivity: P(classifier says the class | people say it).
        specificity: P(classifier says another | people say another). All three broadcast.

    Returns:
        The corrected shares, clipped to 0 … 1; NaN where `q` is.

    Raises:
        ValueError: if a rate is not between 0 and 1, or Se + Sp is 1 or less.
    """
    q_, se, sp = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (q, sensitivity, specificity)))
    for name, rate in (("a share", q_), ("a sensitivity", se), ("a specificity", sp)):
        outside = rate[(rate < 0) | (rate > 1)]
        if outside.size:
            raise ValueError(f"{name} lies between 0 and 1 (got {outside[0]:g}).")
    youden = se + sp - 1
    if youden.size and not youden.min() > 0:
        raise ValueError(
            f"sensitivity + specificity must exceed 1 (got {youden.min() + 1:g}): these answers tell nothing of the "
            "class. Use another classifier, or swap the two classes."
        )
    share: Floats = np.clip((q_ + sp - 1) / youden, 0, 1)
    return share


def lang_reiczigel(
    x: npt.ArrayLike,
    n: npt.ArrayLike,
    tp: npt.ArrayLike,
    n1: npt.ArrayLike,
    tn: npt.ArrayLike,
    n0: npt.ArrayLike,
    level: float = 0.95,
) -> Estimate:
    """Share of one of two classes from a classifier with estimated error rates (Lang & Reiczigel 2014).

    ñ = n+z², q̃ = (x+z²/2)/ñ, S̃e = (tp+1)/(n₁+2), S̃p = (tn+1)/(n₀+2), J = S̃e+S̃p−1, p̃ = (q̃+S̃p−1)/J,
    dp = 2z²[p̃S̃e(1−S̃e)/(n₁+2) − (1−p̃)S̃p(1−S̃p)/(n₀+2)]; ends
    p̃ + dp ± z·sqrt{q̃(1−q̃)/ñ + p̃²S̃e(1−S̃e)/(n₁+2) + (1−p̃)²S̃p(1−S̃p)/(n₀+2)}/J, clipped to 0 … 1.

    Args:
        x: images that the classifier gives the class.
        n: images it gives either class.
        tp: labelled images of the class that it recognised.
        n1: labelled images of the class.
        tn: labelled images of the other class that it recognised.
        n0: labelled images of the other class.
        level: confidence level. All arguments broadcast.

    Returns:
        Value: Rogan–Gladen with the plain rates, clipped (a rate with no labels is taken as 1; x/n where Se + Sp is 1
        or less). The ends hold it; (0, 1) where the smoothed rates tell nothing of the class (J ≤ 0) or n = 0.

    Raises:
        ValueError: if a count is negative or above what it is out of, or the level is not between 0 and 1.
    """
    z = _quantile(level)
    z2 = z * z
    x_, n_, tp_, n1_, tn_, n0_ = np.broadcast_arrays(*(counts(each, whole=False) for each in (x, n, tp, n1, tn, n0)))
    for part, total in ((x_, n_), (tp_, n1_), (tn_, n0_)):
        if np.any(part > total + 1e-9):
            worst = np.unravel_index(np.argmax(part - total), part.shape)
            raise ValueError(f"a count must not exceed what it is out of (got {part[worst]:g} of {total[worst]:g}).")
    q = (x_ + z2 / 2) / (n_ + z2)
    se, sp = (tp_ + 1) / (n1_ + 2), (tn_ + 1) / (n0_ + 2)
    youden = se + sp - 1
    known = (youden > 1e-9) & (n_ > 0)
    divisor = np.where(known, youden, 1.0)
    p = (q + sp - 1) / divisor
    of_se, of_sp = se * (1 - se) / (n1_ + 2), sp * (1 - sp) / (n0_ + 2)
    middle = p + 2 * z2 * (p * of_se - (1 - p) * of_sp)
    half = z * np.sqrt(q * (1 - q) / (n_ + z2) + p**2 * of_se + (1 - p) ** 2 * of_sp) / divisor
    value = _plain_share(x_, n_, tp_, n1_, tn_, n0_)
    low = np.where(known, np.clip(middle - half, 0, 1), 0.0)
    high = np.where(known, np.clip(middle + half, 0, 1), 1.0)
    return Estimate(value, np.fmin(low, value), np.fmax(high, value))


def error_matrix(table: npt.ArrayLike) -> Floats:
    """P(classifier says c | people say y) of a table of labelled images: T[y, c] / Σ_c T[y, c].

    Args:
        table: … × Y × C counts (fractional where they are weighted).

    Returns:
        … × Y × C; a row that people never answered is NaN.

    Raises:
        ValueError: if a count is negative or the table is not rows × columns.
    """
    counted = check_table(table)
    totals = counted.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counted / np.where(totals > 0, totals, 1.0), np.nan)


def predictive_values(table: npt.ArrayLike, pseudo: float = 0.5) -> Floats:
    """P(people say y | classifier says c): (T[y, c] + pseudo) / Σ_y (T[y, c] + pseudo).

    With pseudo-counts an error that was not seen is not an impossible one.

    Args:
        table: … × Y × C counts of labelled images.
        pseudo: added to every cell.

    Returns:
        … × Y × C, columns adding up to 1; NaN in a column without any count.

    Raises:
        ValueError: if a count is negative or the table is not rows × columns.
    """
    counted = check_table(table) + pseudo
    totals = counted.sum(axis=-2, keepdims=True)
    return np.where(totals > 0, counted / np.where(totals > 0, totals, 1.0), np.nan)


def reweighted(tables: npt.ArrayLike, probability: npt.ArrayLike) -> Floats:
    """One table from labels that were sampled with different probabilities (Begg & Greenes 1983).

    Labels stratified by prediction are no random sample of what people answer: unweighted, the rates of M are wrong.
    Every label counts w = 1/π. Each row is then scaled to its effective number of labels, so that methods that take the
    table for counts see as much information as there is: Σ_c M(1−M) / Σ_c Var M, with one label more in every cell of
    the answers that the classifier gave, and Var M[y,c] by the delta method from the variances Σ w² of the cells. The
    plain (Σw)²/Σw² (Kish 1965) overlooks that the errors are where the large weights are: 85 % coverage instead of
    95 %. A row has at most as many labels as it was given.

    Args:
        tables: S × Y × C counts of labels by stratum; or Y × C for one stratum a column (stratified by prediction).
        probability: S sampling probabilities (with Y × C tables: C), up to a common factor: images labelled / images.

    Returns:
        Y × C weighted counts. P(c | y) of a row is that of all audited images; predictive values must be taken from
        the unweighted table.

    Raises:
        ValueError: if a count is negative, the shapes do not fit, or a stratum with labels has no probability above 0.
    """
    counted = check_table(tables)
    given = np.asarray(probability, dtype=np.float64)
    if counted.ndim == 2:
        counted = counted.T[:, :, None] * np.eye(counted.shape[1])[:, None, :]
    if counted.ndim != 3 or given.shape != counted.shape[:1]:
        raise ValueError(
            f"each stratum needs one sampling probability (got {given.size} for {counted.shape[0]} strata)."
        )
    used = counted.sum(axis=(1, 2)) > 0
    if not (given[used] > 0).all() or not np.isfinite(given[used]).all():
        raise ValueError(
            "a stratum with labels needs a sampling probability above 0. Give labelled / all images of it."
        )
    weight = np.where(used, 1 / np.where(used, given, 1.0), 0.0)
    totals = np.einsum("s,syc->yc", weight, counted)
    mass = totals.sum(axis=1, keepdims=True)
    scaled: Floats = totals / np.where(mass > 0, mass, 1.0) * _effective_labels(counted, weight)[:, None]
    return scaled


def _effective_labels(counted: Floats, weight: Floats) -> Floats:
    counted = counted[:, :, counted.any(axis=(0, 1))]
    by_column = counted.sum(axis=1)
    typical = weight @ by_column / by_column.sum(axis=0)
    cells = np.einsum("s,syc->yc", weight, counted) + typical
    squares = np.einsum("s,syc->yc", weight**2, counted) + typical**2
    mass = np.where(cells.sum(axis=1, keepdims=True) > 0, cells.sum(axis=1, keepdims=True), 1.0)
    rates = cells / mass
    others = squares.sum(axis=1, keepdims=True) - squares
    variance = ((1 - rates) ** 2 * squares + rates**2 * others) / mass**2
    total = variance.sum(axis=1)
    effective = (rates * (1 - rates)).sum(axis=1) / np.where(total > 0, total, 1.0)
    smaller: Floats = np.minimum(effective, counted.sum(axis=(0, 2)))
    return smaller


def unconstrained_inverse(x: npt.ArrayLike, matrix: npt.ArrayLike) -> Floats:
    """Shares p with p M = q by matrix inversion, without the bounds 0 and 1: the check of `likely_composition`.

    Args:
        x: counts (or shares) of the classifier's answers, J × k.
        matrix: M, k × k, rows adding up to 1.

    Returns:
        J × k, rows adding up to 1, entries possibly below 0; NaN for a probe without images.

    Raises:
        ValueError: if the shapes do not fit or the matrix cannot be inverted.
    """
    answers = np.atleast_2d(counts(x, whole=False))
    errors = np.asarray(matrix, dtype=np.float64)
    size = answers.shape[-1]
    if errors.shape != (size, size):
        raise ValueError(f"{size} answers need an error matrix of {size} × {size} (got shape {errors.shape}).")
    if not np.isfinite(errors).all() or np.linalg.cond(errors) > 1e8:
        raise ValueError(
            "the confusion matrix cannot be inverted: the classifier answers two classes alike, or people never gave "
            "one of them. Label more images of these classes, or merge them."
        )
    total = answers.sum(axis=-1, keepdims=True)
    q = np.where(total > 0, answers / np.where(total > 0, total, 1.0), np.nan)
    inverse: Floats = q @ np.linalg.inv(errors)
    return inverse


def likely_composition(x: npt.ArrayLike, matrix: npt.ArrayLike, *, steps: int = 2000) -> Floats:
    """Shares p ≥ 0 that make the classifier's answers most likely: maximum of Σ_c x_c log (p M)_c.

    The inverse of M where that has no negative share, else by EM, p_y ← p_y Σ_c q_c M[y,c]/(pM)_c (Dempster, Laird &
    Rubin 1977). It needs no inverse, so it also exists where M has none.

    Args:
        x: counts of the classifier's answers, J × C.
        matrix: M, Y × C, or one a probe, J × Y × C; rows adding up to 1.
        steps: EM steps at most.

    Returns:
        J × Y, rows adding up to 1; NaN for a probe without images.

    Raises:
        ValueError: if a count is negative or the shapes do not fit.
    """
    answers = np.atleast_2d(counts(x, whole=False))
    errors = np.asarray(matrix, dtype=np.float64)
    if errors.ndim < 2 or errors.shape[-1:] != answers.shape[1:] or errors.shape[:-2] not in ((), (len(answers),)):
        raise ValueError(
            f"an error matrix needs a column for each of the {answers.shape[1]} answers (got shape {errors.shape})."
        )
    errors = np.broadcast_to(errors, (len(answers), *errors.shape[-2:]))
    rows = errors.shape[1]
    total = answers.sum(axis=1, keepdims=True)
    q = np.where(total > 0, answers / np.where(total > 0, total, 1.0), np.nan)
    p = np.where(total > 0, 1 / rows, np.full((len(answers), rows), np.nan))
    todo = total[:, 0] > 0
    if errors.shape[1] == errors.shape[2]:
        direct = todo & (np.linalg.cond(errors) < 1e8)
        p[direct] = np.linalg.solve(errors[direct].swapaxes(1, 2), q[direct][:, :, None])[:, :, 0]
        todo &= ~(direct & (p > -1e-12).all(axis=1))
        p = np.maximum(p, 0)
        p[todo] = np.maximum(p[todo], 1e-3)
        p /= p.sum(axis=1, keepdims=True)
    p[todo] = _em(q[todo], p[todo], errors[todo], steps)
    return p


def band(
    x: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    sensitivity: tuple[float, float],
    specificity: tuple[float, float],
    level: float = 0.95,
) -> Interval:
    """Ends of the share of one of two classes over declared error rates, sampling error included.

    Rogan–Gladen of the ends of the Wilson interval at the corners of the rates: the union of the intervals of all
    classifiers whose rates lie within those declared.

    Args:
        x: images that the classifier gives the class.
        n: images it gives either class.
        sensitivity: lowest and highest P(says the class | people say it).
        specificity: lowest and highest P(says the other | people say the other).
        level: confidence level of the sampling error.

    Returns:
        The ends; (0, 1) where n = 0.

    Raises:
        ValueError: if a range is not ascending and within 0 … 1, Se + Sp can be 1 or less, or a count is wrong.
    """
    for name, (lowest, highest) in (("sensitivities", sensitivity), ("specificities", specificity)):
        if not 0 <= lowest <= highest <= 1:
            raise ValueError(f"a range of {name} ascends within 0 and 1 (got {lowest:g} to {highest:g}).")
    ends = wilson(x, n, level)
    corners = [(se, sp) for se in sensitivity for sp in specificity]
    return Interval(
        np.min([rogan_gladen(ends.low, se, sp) for se, sp in corners], axis=0),
        np.max([rogan_gladen(ends.high, se, sp) for se, sp in corners], axis=0),
    )


def check_table(table: npt.ArrayLike) -> Floats:
    """A table of labelled images as floats, … × Y × C.

    Args:
        table: counts, fractional where they are weighted.

    Returns:
        The same as an array.

    Raises:
        ValueError: if it is not rows × columns or a count is negative.
    """
    counted = counts(table, whole=False)
    if counted.ndim < 2:
        raise ValueError(f"a table of labels is people's answers × classifier's answers (got shape {counted.shape}).")
    return counted


def counts(x: npt.ArrayLike, *, whole: bool = True) -> Floats:
    """Counts as floats, checked.

    Args:
        x: counts of any shape.
        whole: whether they must be whole numbers.

    Returns:
        The same as an array.

    Raises:
        ValueError: if a count is negative, not a number, or not whole where it must be.
    """
    given = np.asarray(x, dtype=np.float64)
    if given.size and not given.min() >= 0:
        raise ValueError(f"counts must be 0 or more (got {given.min():g}).")
    if whole:
        broken = given[given != np.round(given)]
        if broken.size:
            raise ValueError(f"counts must be whole numbers (got {broken[0]:g}). Count each image once.")
    return given


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    return float(special.ndtri((1 + level) / 2))


def _plain_share(x: Floats, n: Floats, tp: Floats, n1: Floats, tn: Floats, n0: Floats) -> Floats:
    """Rogan–Gladen with the plain rates, a rate without labels taken as 1; the classifier's share where J ≤ 0."""
    q = np.where(n > 0, x / np.where(n > 0, n, 1.0), np.nan)
    se = np.where(n1 > 0, tp / np.where(n1 > 0, n1, 1.0), 1.0)
    sp = np.where(n0 > 0, tn / np.where(n0 > 0, n0, 1.0), 1.0)
    usable = se + sp > 1 + 1e-9
    return np.where(usable, np.clip((q + sp - 1) / np.where(usable, se + sp - 1, 1.0), 0, 1), q)


def _em(q: Floats, p: Floats, errors: Floats, steps: int) -> Floats:
    found = p.copy()
    left = np.arange(len(p))
    for _ in range(steps):
        if not left.size:
            break
        expected = np.matmul(p[:, None, :], errors)[:, 0]
        ratio = np.where(q > 0, q / np.where(expected > 0, expected, 1.0), 0.0)
        moved = p * np.matmul(errors, ratio[:, :, None])[:, :, 0]
        moved /= np.maximum(moved.sum(axis=1, keepdims=True), 1e-300)
        found[left] = moved
        moving = np.abs(moved - p).max(axis=1) >= 1e-10
        left, q, p, errors = left[moving], q[moving], moved[moving], errors[moving]
    return found
