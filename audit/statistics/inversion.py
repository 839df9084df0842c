"""Corrected shares of probes: what people would perceive, from what a classifier answered and a table of its errors.

The interval of a share is the set of all t that a score test does not reject. With A the inverse of the error matrix M
and p̂ = qA, it holds the t with

    (p̂_y − t Σ_j p̂_j)² ≤ z² [ Σ_j π_j(t) v_j(t)/n + Σ_j π_j(t)² (v_j(t) − μ_j(t)²)/m_j ]

where π(t) is the composition with share t of class y and the others as estimated, v_j and μ_j are the mean square and
the mean of A[c,y] − t Σ_j A[c,j] over the answers c to an image of class j, and m_j is the number of labels of class j.
The first term is the sampling of images, the second that of labels. As in Wilson's interval (which it is if the
classifier is perfect and its labels without number), the variance is that under the hypothesis, so that rare classes
are covered; as in Fieller's, what cannot be inverted gives a wide interval and not a wrong one. Like Lang & Reiczigel
(2014) for two classes it smooths the rows of M, with pseudo-labels on the class itself and on the other answers, there
in proportion to what the classifier answered in the probe. Intervals from Dirichlet draws of M and of the observed
shares cover rare classes less often, and change with the random numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.double_sampling import post_stratified_classes
from audit.statistics.intervals import Floats, Interval
from audit.statistics.noise import Estimate, check_table, counts, error_matrix, lang_reiczigel, likely_composition

OWN_LABELS = 20
"""Labels of its own from which a probe is post-stratified on them."""
IN_VALUE = (0.2, 0.1)
"""Pseudo-labels of a row of M in the estimate: on the class itself, and on all other answers together."""
RIGHT = 1.0
"""The same in the variance, on the class itself; `wrong_in_variance` on all other answers."""


class Corrected(NamedTuple):
    """Corrected shares of J probes and k classes."""

    value: Floats
    low: Floats
    high: Floats
    method: npt.NDArray[np.str_]
    """J words: how the interval was made (`lang_reiczigel`, `score_inversion`, `post_stratified`)."""


def corrected_shares(
    x: npt.ArrayLike,
    table: npt.ArrayLike,
    *,
    k: int,
    labelled: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Corrected:
    """Shares of the k classes that people would perceive among the images that they would give a class.

    A probe with at least 20 labels of its own is post-stratified on them. Otherwise the answers are inverted: by Lang &
    Reiczigel's interval if there are two classes and the classifier gave every labelled image of them one, else by the
    score interval of this module. The value is the composition that makes the answers most likely under the plain
    table, so that a classifier without a labelled error gives exactly the raw shares; the interval holds it. No random
    numbers are used. Shares below 1 % in seven classes are covered less often than the level says where a probe has
    1000 images or more, or 20 or fewer (docs/validity.md).

    Answers that are no class: all of the classifier's are taken as one answer, and all of people's as one. Where the
    labels hold images without a class that the classifier recognised as such, this is a row of M like the others. Where
    it recognised none of them, they are left out of M: their part is then assumed small, or alike in all probes.

    Args:
        x: the classifier's answers, J × C: the k classes, then its other answers.
        table: labelled images, Y × C: people's answers (the k classes, then others) × the classifier's; or J × Y × C,
            a table a probe.
        k: number of classes.
        labelled: J × Y × C, the labels of each probe's own images, if the labels are from audited images.
        level: confidence level of each share.

    Returns:
        Value and ends, J × k, and the method of each probe. Without images: NaN and (0, 1).

    Raises:
        ValueError: if a count is negative or broken, or the shapes do not fit.
    """
    answers, errors = _check(x, table, k)
    model = merged_model(answers, errors, k)
    value = _value(model, k)
    plain = k == 2 and model.rows == 2 and not errors[..., :2, 2:].any()
    if plain:
        found = _two_classes(answers, errors, level)
    else:
        ends = _score_interval(model, k, level)
        found = Estimate(value, np.fmin(ends.low, value), np.fmax(ends.high, value))
    method = np.full(len(answers), "lang_reiczigel" if plain else "score_inversion", dtype="<U15")
    if labelled is None:
        return Corrected(*found, method)
    return _with_own_labels(answers, check_table(labelled), Corrected(*found, method), k, level)


def score_interval(x: npt.ArrayLike, table: npt.ArrayLike, *, k: int, level: float = 0.95) -> Interval:
    """The score interval of this module for any k, two classes included.

    Args:
        x: the classifier's answers, J × C.
        table: labelled images, Y × C.
        k: number of classes.
        level: confidence level of each share.

    Returns:
        The ends, J × k.

    Raises:
        ValueError: if a count is negative or broken, or the shapes do not fit.
    """
    return _score_interval(merged_model(x, table, k), k, level)


class Model(NamedTuple):
    """Answers and labels, with all answers that are no class taken as one."""

    answers: Floats
    """J × rows; the last column holds the answers that are no class, where they are used."""
    table: Floats
    """rows × (rows, or one more column for answers that are no class)."""
    rows: int
    """k, or k + 1 where images without a class are a row of their own."""


def _check(x: npt.ArrayLike, table: npt.ArrayLike, k: int) -> tuple[Floats, Floats]:
    answers, errors = counts(x), check_table(table)
    if k < 2 or answers.ndim != 2 or errors.shape[:-2] not in ((), answers.shape[:1]):
        raise ValueError(
            f"shares need 2 classes or more, probes × answers and a table of labels "
            f"(got {k} classes, shapes {answers.shape} and {errors.shape})."
        )
    if answers.shape[1] != errors.shape[-1] or answers.shape[1] < k or errors.shape[-2] < k:
        raise ValueError(
            f"answers and labels must have the same columns, {k} or more, and the labels {k} rows or more "
            f"(got {answers.shape[1]} columns in the answers, a table of {errors.shape[-2]} × {errors.shape[-1]})."
        )
    return answers, errors


def merged_model(x: npt.ArrayLike, table: npt.ArrayLike, k: int) -> Model:
    """Answers and labels with all answers that are no class taken as one: a row of M if any of them was recognised.

    Args:
        x: the classifier's answers, J × C: the k classes, then its other answers.
        table: labelled images, Y × C: people's answers (the k classes, then others) × the classifier's.
        k: number of classes.

    Returns:
        Both in one form, with k or k + 1 rows and answers.

    Raises:
        ValueError: if a count is negative or broken, or the shapes do not fit.
    """
    answers, labels = _check(x, table, k)
    merged = np.zeros((*labels.shape[:-2], k + 1, k + 1))
    merged[..., :k, :k], merged[..., :k, k] = labels[..., :k, :k], labels[..., :k, k:].sum(axis=-1)
    merged[..., k, :k], merged[..., k, k] = labels[..., k:, :k].sum(axis=-2), labels[..., k:, k:].sum(axis=(-2, -1))
    rows = k + 1 if (merged[..., k, k] > 0).all() else k
    columns = k + 1 if merged[..., :rows, k].any() else k
    given = np.column_stack([answers[:, :k], answers[:, k:].sum(axis=1)])
    return Model(given[:, :rows], merged[..., :rows, :columns], rows)


def _value(model: Model, k: int) -> Floats:
    matrix: Floats = error_matrix(model.table)
    known = ~np.isnan(matrix).any(axis=-1, keepdims=True)
    square = np.where(known, matrix, np.eye(model.rows, matrix.shape[-1]))[..., : model.rows]
    seen = square.sum(axis=-1)
    square = np.where(seen[..., None] > 0, square / np.where(seen > 0, seen, 1.0)[..., None], np.eye(model.rows))
    part = (likely_composition(model.answers, square) / np.where(seen > 0, seen, 1.0))[:, :k]
    total = part.sum(axis=1, keepdims=True)
    return np.where(total > 0, part / np.where(total > 0, total, 1.0), np.nan)


def _two_classes(answers: Floats, table: Floats, level: float) -> Estimate:
    tp, fn, fp, tn = table[..., 0, 0], table[..., 0, 1], table[..., 1, 0], table[..., 1, 1]
    n = answers[:, :2].sum(axis=1)
    first = lang_reiczigel(answers[:, 0], n, tp, tp + fn, tn, tn + fp, level)
    return Estimate(
        *(
            np.stack(pair, axis=1)
            for pair in ((first.value, 1 - first.value), (first.low, 1 - first.high), (first.high, 1 - first.low))
        )
    )


def _score_interval(model: Model, k: int, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    images = model.answers.sum(axis=1)
    q = model.answers / np.maximum(images, 1)[:, None]
    shown, _ = _composition(q, _smoothed(model, IN_VALUE)[0])
    # Fewer answers that are no class than any composition gives: no share of the classes is above 1. Left as large as
    # the inverse makes them, they would be measured on another scale than their variance, and look certain.
    shown = shown / np.maximum(shown[:, :k].sum(axis=1, keepdims=True), 1.0)
    matrix, labels = _smoothed(model, (RIGHT, wrong_in_variance(model.rows)))
    typical, inside = _composition(q, matrix)
    variance = _variance(matrix, labels, typical, np.maximum(inside * images, 1e-3), k)
    of_classes = shown[:, :k].sum(axis=1, keepdims=True)
    usable = (images > 0)[:, None] & (of_classes > 1e-6)
    centre = np.clip(shown[:, :k] / np.where(usable, of_classes, 1.0), 0, 1)
    margin = _margin(z2 * variance, shown[:, :k], of_classes)
    # Answers that every share is rejected by say that the labels do not hold here: taken from the nearest share.
    explained = _at(margin, centre) >= 0
    margin = _margin(z2 * variance, np.where(explained, shown[:, :k], centre * of_classes), of_classes)
    low = _root(margin, np.zeros_like(centre), centre)
    high = _root(margin, np.ones_like(centre), centre)
    return Interval(np.where(usable, low, 0.0), np.where(usable, high, 1.0))


def _margin(bound: Floats, shown: Floats, of_classes: Floats) -> Floats:
    """z² V(t) − L(t)² as coefficients of t⁰ … t⁴: the t of the interval are those where it is 0 or more."""
    margin = bound.copy()
    margin[..., 0] -= shown**2
    margin[..., 1] += 2 * shown * of_classes
    margin[..., 2] -= of_classes**2
    return margin


def _composition(q: Floats, matrix: Floats) -> tuple[Floats, Floats]:
    """Shares of the rows of M by inversion, unbounded, and the part of the images that belongs to these rows."""
    shown = np.einsum("jc,jcy->jy", q, _inverse(matrix))
    inside = np.clip(shown.sum(axis=1), 1e-3, None)
    return shown / inside[:, None], inside


def _inverse(matrix: Floats) -> Floats:
    inverse = np.linalg.inv(matrix + 1e-9 * np.eye(matrix.shape[-1])).astype(np.float64)
    return inverse


def _smoothed(model: Model, pseudo: tuple[float, float]) -> tuple[Floats, Floats]:
    """M of each probe with pseudo-labels, J × rows × rows, and the labels behind its rows."""
    table = model.table + pseudo_labels(model, *pseudo)
    labels = table.sum(axis=2)
    return (table / labels[:, :, None])[:, :, : model.rows], labels


def wrong_in_variance(rows: int) -> float:
    """Pseudo-labels on all wrong answers of a row of M together: an error that was not seen is not an impossible one.

    1 for two answers, as in Lang & Reiczigel's interval, and 3 for seven, where fewer do not cover rare classes; on the
    line through both between and beyond.

    Args:
        rows: answers of people that M has rows for.
    """
    return 1 + 0.4 * (rows - 2)


def pseudo_labels(model: Model, right: float, wrong: float) -> Floats:
    """J × rows × columns: some on the diagonal, the rest spread as the classifier answered in the probe."""
    rows, columns = model.table.shape[-2:]
    answers = np.zeros((len(model.answers), columns))
    answers[:, :rows] = model.answers
    answers += 1.0
    spread = np.repeat(answers[:, None, :], rows, axis=1)
    own = np.arange(rows)
    spread[:, own, own] = 0
    spread *= wrong / spread.sum(axis=2, keepdims=True)
    spread[:, own, own] = right
    return spread


def _variance(matrix: Floats, labels: Floats, shown: Floats, images: Floats, k: int) -> Floats:
    """V(t) of each probe and class as coefficients of t⁰ … t⁴, from its values at five t."""
    rows, inverse = matrix.shape[1], _inverse(matrix)
    is_class = np.arange(rows) < k
    own = np.eye(k, rows)
    wanted, all_classes = inverse[:, :, :k], inverse[:, :, :k].sum(axis=2)
    squares = np.einsum("jrc,jcy->jyr", matrix, wanted**2)
    crossed = np.einsum("jrc,jcy->jyr", matrix, wanted * all_classes[:, :, None])
    totals = np.einsum("jrc,jc->jr", matrix, all_classes**2)[:, None, :]
    bounded = np.clip(shown, 1e-12, None)
    bounded /= bounded.sum(axis=1, keepdims=True)
    of_classes = bounded[:, :k].sum(axis=1)[:, None, None]
    others = np.where(own == 1, 0.0, np.where(is_class, bounded[:, None, :], 0.0))
    mass = others.sum(axis=2, keepdims=True)
    others = np.where(mass > 0, others / np.where(mass > 0, mass, 1.0), (is_class & (own == 0)) / (k - 1))
    nodes = np.linspace(0, 1, 5)
    values = []
    for t in nodes:
        shares = of_classes * (t * own + (1 - t) * others) + np.where(is_class, 0.0, bounded[:, None, :])
        square = squares - 2 * t * crossed + t * t * totals
        mean = own - t * is_class
        of_labels = np.maximum(square - mean**2, 0) / labels[:, None, :]
        values.append((shares * square).sum(axis=2) / images[:, None] + (shares**2 * of_labels).sum(axis=2))
    coefficients: Floats = np.stack(values, axis=-1) @ np.linalg.inv(np.vander(nodes, 5, increasing=True)).T
    return coefficients


def _root(margin: Floats, end: Floats, centre: Floats) -> Floats:
    """Where a polynomial that is not negative at the centre becomes negative towards an end; the end if nowhere."""
    outside, inside = end.copy(), centre.copy()
    for _ in range(45):
        middle = (outside + inside) / 2
        accepted = _at(margin, middle) >= 0
        inside = np.where(accepted, middle, inside)
        outside = np.where(accepted, outside, middle)
    return np.where(_at(margin, end) >= 0, end, outside)


def _at(polynomial: Floats, t: Floats) -> Floats:
    value = np.zeros_like(t)
    for power in range(polynomial.shape[-1] - 1, -1, -1):
        value = value * t + polynomial[..., power]
    return value


def _with_own_labels(answers: Floats, labelled: Floats, found: Corrected, k: int, level: float) -> Corrected:
    if labelled.ndim != 3 or labelled.shape[0] != len(answers) or labelled.shape[2] != answers.shape[1]:
        raise ValueError(f"labels by probe must fit the answers of shape {answers.shape} (got shape {labelled.shape}).")
    own = labelled[:, :k].sum(axis=(1, 2)) >= OWN_LABELS
    if not own.any():
        return found
    better = post_stratified_classes(answers[own], labelled[own], k, level=level)
    value, low, high = found.value.copy(), found.low.copy(), found.high.copy()
    value[own], low[own], high[own] = better
    return Corrected(value, low, high, np.where(own, "post_stratified", found.method))
