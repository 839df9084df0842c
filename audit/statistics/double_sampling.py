"""Shares from a classifier's answers to all images and people's answers to some of these very images.

With q_c the part of the images that the classifier answers c, and P(y|c) what people answer to them,
p_y = Σ_c q_c P(y|c) (Tenenbein 1970, 1972; the categorical form of prediction-powered inference). The errors of the
classifier are measured where they matter, so nothing is assumed to carry over from other images, and labels may be
stratified by prediction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats
from audit.statistics.noise import Estimate, check_table, counts

RIGHT, WRONG = 1.0, 1.0
"""Pseudo-labels of a column: on the classifier's own class, and on all other answers together."""
FEW = 3.0
"""A column with m labels gets min(1, (FEW/m)²) labels more, against the share at each end."""


def post_stratified(
    predicted: npt.ArrayLike,
    table: npt.ArrayLike,
    *,
    k: int | None = None,
    finite: bool = False,
    level: float = 0.95,
) -> Estimate:
    """Shares of all Y answers of people: p_y = Σ_c q_c P(y|c) (Tenenbein 1972).

    Variance Σ_c q_c² P(1−P)/m_c + Σ_c q_c (P(y|c) − p_y)²/N; for a statement about these very images only
    Σ_c q_c² P(1−P)/m_c·(1 − m_c/N_c). See `post_stratified_classes` for the interval.

    Args:
        predicted: … × C counts of the classifier's answers to all images.
        table: … × Y × C labels of some of these images, a random sample at least within each column.
        k: the first k rows and columns stand for the same answers; by default as many as there are rows.
        finite: whether the statement is about these images only.
        level: confidence level.

    Returns:
        Value and ends, … × Y. NaN and (0, 1) without images.

    Raises:
        ValueError: if a count is negative or broken, the shapes do not fit, or more images are labelled than there are.
    """
    answers, labels = _check(predicted, table)
    rows = labels.shape[-2]
    return _estimate(answers, labels, min(rows, labels.shape[-1]) if k is None else k, rows, finite, level)


def post_stratified_classes(
    predicted: npt.ArrayLike,
    table: npt.ArrayLike,
    k: int,
    *,
    finite: bool = False,
    level: float = 0.95,
) -> Estimate:
    """Shares of the k classes among the images that people give a class: Σ_c q_c P(y|c) / Σ_{j<k} Σ_c q_c P(j|c).

    The interval holds every t that a score test does not reject: the squared distance of the estimate from t is at most
    z² times the variance (of the ratio, by the delta method) under t, where P(y|c) is shifted on the logit scale until
    the share is t, most in the columns that add most to the variance. Two pseudo-labels a column, one on its own class
    and one spread over the other answers as the classifier gave them, make an error that was not seen a possible one
    in that variance. A score test is too sure of a column with three labels or fewer: at each end such a column gets a
    label against the share, and one without labels can be all or nothing. The value uses no pseudo-labels: with no
    error seen it is the raw share.

    Args:
        predicted: … × C counts of the classifier's answers to all images: the k classes, then others.
        table: … × Y × C labels of some of these images: people's answers (the k classes, then others) × the
            classifier's, a random sample at least within each column.
        k: number of classes.
        finite: whether the statement is about these images only.
        level: confidence level.

    Returns:
        Value and ends, … × k. A column without labels is taken at its word in the value. NaN and (0, 1) without images.

    Raises:
        ValueError: if a count is negative or broken, the shapes do not fit, or more images are labelled than there are.
    """
    answers, labels = _check(predicted, table)
    if not 1 < k <= min(labels.shape[-2:]):
        raise ValueError(
            f"labels need a row and a column for each of 2 classes or more (got {k} classes and a table of "
            f"{labels.shape[-2]} × {labels.shape[-1]})."
        )
    return _estimate(answers, labels, k, k, finite, level)


def _check(predicted: npt.ArrayLike, table: npt.ArrayLike) -> tuple[Floats, Floats]:
    answers, labels = counts(predicted), check_table(table)
    if answers.shape != labels.shape[:-2] + labels.shape[-1:]:
        raise ValueError(
            f"answers and labels must have the same columns (got shapes {answers.shape} and {labels.shape})."
        )
    excess = labels.sum(axis=-2) - answers
    if excess.size and excess.max() > 1e-6:
        raise ValueError(
            f"people cannot have labelled more images than there are (by {excess.max():g} for one answer). "
            "Give the answers to all audited images; for labels of other images use `corrected_shares`."
        )
    return answers, labels


def _estimate(answers: Floats, labels: Floats, k: int, targets: int, finite: bool, level: float) -> Estimate:
    """Shares of the first `targets` rows among themselves."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1 (got {level:g}).")
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    images = answers.sum(axis=-1, keepdims=True)
    q = answers / np.maximum(images, 1)
    value = np.where(images > 0, _value(q, labels, k, targets), np.nan)
    labelled = labels.sum(axis=-2)
    smoothed = labels + _pseudo_labels(answers, labels.shape[-2], k)
    size = smoothed.sum(axis=-2)
    given = np.moveaxis(smoothed[..., :targets, :], -2, -1) / size[..., None]
    part = _Columns(q, given, size, np.maximum(images[..., 0], 1))
    unlabelled = 1 - labelled / np.maximum(answers, 1) if finite else np.ones_like(q)
    least, most = _sparse_ends(q, labels, unlabelled, targets)
    low = _end(part, least, -1.0, z2, unlabelled, finite)
    high = _end(part, most, 1.0, z2, unlabelled, finite)
    known = ~np.isnan(value)
    return Estimate(
        value,
        np.where(known, np.fmin(low, value), 0.0),
        np.where(known, np.fmax(high, value), 1.0),
    )


def _value(q: Floats, labels: Floats, k: int, targets: int) -> Floats:
    rows, columns = labels.shape[-2:]
    labelled = labels.sum(axis=-2, keepdims=True)
    own = np.zeros((rows, columns))
    own[np.arange(k), np.arange(k)] = 1
    marginal = labels.sum(axis=-1, keepdims=True)
    whole = marginal.sum(axis=-2, keepdims=True)
    typical = np.where(whole > 0, marginal / np.where(whole > 0, whole, 1.0), 0.0)
    word = np.where(np.arange(columns) < k, own, typical)
    given = np.where(labelled > 0, labels / np.where(labelled > 0, labelled, 1.0), word)
    part = np.einsum("...c,...yc->...y", q, given)[..., :targets]
    total = part.sum(axis=-1, keepdims=True)
    return np.where(total > 0, part / np.where(total > 0, total, 1.0), np.nan)


def _sparse_ends(q: Floats, labels: Floats, unlabelled: Floats, targets: int) -> tuple[Floats, Floats]:
    """The shares with a label against, and one for, each target in every column that has few labels."""
    labelled = labels.sum(axis=-2, keepdims=True)
    extra = np.minimum(1.0, (FEW / np.maximum(labelled, 1)) ** 2) * unlabelled[..., None, :]
    of_targets = labels[..., :targets, :].sum(axis=-2, keepdims=True)
    given, size = labels[..., :targets, :], np.maximum(labelled + extra, 1e-12)
    weight = q[..., None, :]
    mine, all_targets = (weight * given / size).sum(axis=-1), (weight * of_targets / size).sum(axis=-1)
    added = (weight * extra / size).sum(axis=-1)
    total = np.maximum(all_targets + added, 1e-12)
    return mine / total, (mine + added) / total


def _pseudo_labels(answers: Floats, rows: int, k: int) -> Floats:
    """… × Y × C: RIGHT on the own class, WRONG spread over the other rows as the classifier gave these answers."""
    columns = answers.shape[-1]
    likely = np.ones((*answers.shape[:-1], rows))
    likely[..., :k] += answers[..., :k]
    likely[..., k:] += answers[..., k:].sum(axis=-1, keepdims=True) / max(rows - k, 1)
    spread = np.repeat(likely[..., None], columns, axis=-1)
    own = np.arange(k)
    spread[..., own, own] = 0
    spread *= WRONG / spread.sum(axis=-2, keepdims=True)
    spread[..., own, own] = RIGHT
    return spread


class _Columns:
    """Of each table and answer c: its weight, the targets' shares within it, and its labels."""

    def __init__(self, q: Floats, given: Floats, size: Floats, images: Floats) -> None:
        within = given.sum(axis=-1)
        self.q, self.size, self.images = q, size, images
        self.within = within
        """σ_c, … × C: the part of the images answered c that is given one of the targets."""
        self.logit = special.logit(np.clip(given / within[..., None], 1e-12, 1 - 1e-12))
        self.total = (q * within).sum(axis=-1)
        self.weight = q * within / np.maximum(self.total, 1e-12)[..., None]
        pull = self.weight / size
        self.pull = np.maximum(pull / np.maximum(pull.max(axis=-1, keepdims=True), 1e-300), 0.1)

    def shifted(self, shift: Floats) -> tuple[Floats, Floats]:
        """Shares of the targets within the columns, … × C × targets, and overall, … × targets."""
        share = special.expit(self.logit + shift[..., None, :] * self.pull[..., None])
        return share, (self.weight[..., None] * share).sum(axis=-2)

    def variance(self, share: Floats, overall: Floats, unlabelled: Floats, finite: bool) -> Floats:
        """Of the estimated overall shares, … × targets."""
        sigma, away = self.within[..., None], share - overall[..., None, :]
        inside = sigma * share * (1 - share) + sigma * (1 - sigma) * away**2
        of_labels = ((self.q**2 * unlabelled / self.size)[..., None] * inside).sum(axis=-2)
        of_images = 0.0 if finite else (self.q[..., None] * (sigma * away) ** 2).sum(axis=-2) / self.images[..., None]
        variance: Floats = (of_labels + of_images) / np.maximum(self.total, 1e-12)[..., None] ** 2
        return variance


def _end(columns: _Columns, value: Floats, side: float, z2: float, unlabelled: Floats, finite: bool) -> Floats:
    """The last share on one side of the estimate that is not rejected, by bisection of the shift."""
    outside = np.full(value.shape, side * 400.0)
    inside = _shift_to(columns, value)
    for _ in range(40):
        middle = (inside + outside) / 2
        share, overall = columns.shifted(middle)
        accepted = (overall - value) ** 2 <= z2 * columns.variance(share, overall, unlabelled, finite)
        inside, outside = np.where(accepted, middle, inside), np.where(accepted, outside, middle)
    return columns.shifted(inside)[1]


def _shift_to(columns: _Columns, value: Floats) -> Floats:
    """The shift at which the overall share is the given one."""
    low, high = np.full(value.shape, -400.0), np.full(value.shape, 400.0)
    for _ in range(50):
        middle = (low + high) / 2
        below = columns.shifted(middle)[1] < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    found: Floats = (low + high) / 2
    return found
