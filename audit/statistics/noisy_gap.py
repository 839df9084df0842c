"""The gap of what people would perceive, from a classifier's answers and a table of its errors.

The squared distance of inverted shares from a reference is too large twice: by the sampling of images, which the pairs
of different images of `gap.squared_distance` leave out, and by the sampling of labels, which all probes share and which
does not average out over them. Both variances are subtracted, and so is the bias of the inverse to second order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.gap import check, largest_squared_distance
from audit.statistics.intervals import Floats
from audit.statistics.inversion import RIGHT, Model, merged_model, pseudo_labels, wrong_in_variance
from audit.statistics.noise import error_matrix


class CorrectedGap(NamedTuple):
    """A noise-corrected gap. All NaN where no probe can be used; without a value, (0, 1) where M has no inverse."""

    value: float
    """sqrt(squared), that clipped to 0 … 1."""
    low: float
    high: float
    squared: float
    """Mean over probes, not clipped: above 1 where an inverse is hardly known."""
    probes: int


def corrected_gap(
    x: npt.ArrayLike,
    table: npt.ArrayLike,
    r: npt.ArrayLike,
    *,
    k: int,
    ordered: bool = False,
    subjects: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> CorrectedGap:
    """G = sqrt(max(0, mean_j U_j / d²max_j)) of the shares that people would perceive.

    With A = M⁻¹ (unconstrained) and the vector v_c = A[c,·] − r Σ_y A[c,y] of an answer c, U_j is the mean product of
    pairs of different images, less Σ_y π_y² tr(v'Σ_y v) and 2 g·b: Σ_y the covariance of row y of M, g the mean vector,
    b = Σ_y π_y A[·,y]'Σ_y v the bias of an estimated inverse. A classifier without a labelled error gives exactly the
    raw gap. The interval is that of a score test on the squared scale, then the root. It holds the sampling of images
    (Hoeffding 1948), or of subjects where these are given (Student's t over their means), and that of labels to first
    order, in proportion to the squared gap under test, and to second order, with smoothed rows of M. Nothing is
    random.

    Args:
        x: the classifier's answers, J × C: the k classes, then others.
        table: labelled images, Y × C: people's answers (the k classes, then others) × the classifier's.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        k: number of classes.
        ordered: whether the classes are ordered.
        subjects: J names of subjects, for a claim about probes such as these.
        level: confidence level.

    Returns:
        The gap over probes with a reference and at least 2 images that the model of errors uses.

    Raises:
        ValueError: if a count is negative or broken, the shapes do not fit, or a reference does not add up to 1.
    """
    model = merged_model(x, table, k)
    if model.table.ndim != 2:
        raise ValueError(f"a gap needs one table of labels for all probes (got shape {np.shape(table)}).")
    _, reference = check(model.answers[:, :k], r)
    used = (model.answers.sum(axis=1) > 1) & ~np.isnan(reference).any(axis=1)
    nan = float("nan")
    if not used.any():
        return CorrectedGap(nan, nan, nan, nan, 0)
    probes = int(used.sum())
    weights, member = _weights(subjects, used)
    model = model._replace(answers=model.answers[used])
    parts = _parts(model, reference[used], k, ordered)
    if parts is None:
        return CorrectedGap(nan, 0.0, 1.0, nan, probes)
    squared = float(weights @ parts.squared)
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    slope, constant = _label_variance(model, parts, weights)
    constant = z2 * constant + _square_half(parts, weights, member, subjects is not None, level)
    low, high = _score_ends(squared, z2 * slope, constant)
    return CorrectedGap(
        float(np.sqrt(np.clip(squared, 0, 1))), float(np.sqrt(low)), float(np.sqrt(high)), squared, probes
    )


def _score_ends(squared: float, slope: float, constant: float) -> tuple[float, float]:
    """The t ≥ 0 with (squared − t)² = slope·t + constant, on both sides, within 0 … 1."""
    middle = squared + slope / 2
    root = np.sqrt(max(middle**2 - squared**2 + constant, 0.0)) if constant == constant else float("nan")
    value = min(1.0, max(0.0, squared))
    low, high = np.clip(middle - root, 0, value), np.clip(middle + root, value, 1)
    return float(low), float(high)


class _Parts(NamedTuple):
    """Of J probes and R rows of M; `axes` is the number of coordinates of a distance."""

    squared: Floats
    """J: U / d²max, corrected."""
    spread: Floats
    """J: its variance from the sampling of images."""
    matrix: Floats
    """M, R × R."""
    shown: Floats
    """π, J × R."""
    vectors: Floats
    """v / d_max, J × R × axes."""
    mean: Floats
    """g / d_max, J × axes."""


def _parts(model: Model, reference: Floats, k: int, ordered: bool) -> _Parts | None:
    rows = model.rows
    matrix = error_matrix(model.table)
    blind = np.isnan(matrix).any(axis=1)
    matrix[blind] = np.eye(rows, matrix.shape[1])[blind]
    square = matrix[:, :rows]
    if np.linalg.cond(square) > 1e8:
        return None
    inverse = np.linalg.inv(square)
    n = model.answers.sum(axis=1)
    shown = model.answers / n[:, None] @ inverse
    of_classes = np.maximum(shown[:, :k].sum(axis=1), 1e-3)
    axes = np.eye(k) if not ordered else (np.arange(k)[:, None] <= np.arange(k - 1)).astype(np.float64)
    scale = of_classes * np.sqrt(largest_squared_distance(reference, ordered=ordered))
    distance = inverse[:, :k] - reference[:, None, :] * inverse[:, :k].sum(axis=1)[:, None]
    vectors = distance @ axes / scale[:, None, None]
    total = np.einsum("jc,jca->ja", model.answers, vectors)
    lengths = (vectors**2).sum(axis=2)
    mean = total / n[:, None]
    pairs = ((total**2).sum(axis=1) - (model.answers * lengths).sum(axis=1)) / (n * (n - 1))
    covariance = _row_covariance(square, np.maximum(model.table.sum(axis=1) - 1, 1.0))
    extra = np.einsum("jy,jca,ycd,jda->j", shown**2, vectors, covariance, vectors, optimize=True)
    bias = np.einsum("jy,cy,ycd,jda->ja", shown, inverse, covariance, vectors, optimize=True)
    squared = pairs - extra - 2 * (mean * bias).sum(axis=1)
    return _Parts(squared, _image_variance(model.answers, vectors), square, shown, vectors, mean)


def _row_covariance(matrix: Floats, labels: Floats) -> Floats:
    """Covariance of each row of M, R × R × R: (diag(M_y) − M_y M_y')/m_y."""
    spread = np.einsum("yc,cd->ycd", matrix, np.eye(matrix.shape[1])) - matrix[:, :, None] * matrix[:, None, :]
    covariance: Floats = spread / labels[:, None, None]
    return covariance


def _image_variance(answers: Floats, vectors: Floats) -> Floats:
    """Var of the mean product of pairs, 4 μ'Σμ/n + 2 tr(Σ²)/(n(n−1)), at smoothed shares of the answers."""
    n = answers.sum(axis=1)
    q = (answers + 1 / answers.shape[1]) / (n + 1)[:, None]
    mean = np.einsum("jc,jca->ja", q, vectors)
    centred = vectors - mean[:, None, :]
    spread = np.einsum("jc,jca,jcb->jab", q, centred, centred, optimize=True)
    along = np.einsum("ja,jab,jb->j", mean, spread, mean)
    variance: Floats = 4 * along / n + 2 * (spread**2).sum(axis=(1, 2)) / (n * (n - 1))
    return variance


def _label_variance(model: Model, parts: _Parts, weights: Floats) -> tuple[float, float]:
    """Variance of the mean from the sampling of labels: its first order per G², and that of the quadratic form."""
    pooled = model._replace(answers=model.answers.sum(axis=0, keepdims=True))
    table = model.table + pseudo_labels(pooled, RIGHT, wrong_in_variance(pooled.rows))[0]
    labels = table.sum(axis=1)
    covariance = _row_covariance((table / labels[:, None])[:, : model.rows], labels)
    along = np.einsum("jca,ja->jc", parts.vectors, parts.mean)
    gradient = 2 * np.einsum("j,jy,jc->yc", weights, parts.shown, along)
    first = np.einsum("yc,ycd,yd->", gradient, covariance, gradient)
    size = model.rows
    form = np.einsum(
        "j,jy,jz,jca,jda->yczd", weights, parts.shown, parts.shown, parts.vectors, parts.vectors, optimize=True
    )
    product = np.einsum("yczd,zde->ycze", form, covariance).reshape(size * size, size * size)
    plugin = float(weights @ (parts.mean**2).sum(axis=1))
    return float(first) / max(plugin, 1e-300), float(2 * np.trace(product @ product))


def _weights(subjects: npt.ArrayLike | None, used: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Weights of the used probes, adding up to 1, and the position of each one's subject."""
    if subjects is None:
        probes = int(used.sum())
        return np.full(probes, 1 / probes), np.arange(probes)
    names = np.asarray(subjects)
    if names.shape != used.shape:
        raise ValueError(f"each probe needs one subject (got {names.size} for {used.size} probes).")
    _, member, size = np.unique(names[used], return_inverse=True, return_counts=True)
    return 1 / (size.size * size[member]), member


def _square_half(parts: _Parts, weights: Floats, member: npt.NDArray[np.intp], by_subject: bool, level: float) -> float:
    """Square of half an interval's width from the sampling of images, or of subjects."""
    if not by_subject:
        return float(special.ndtri((1 + level) / 2) ** 2 * (weights**2 * parts.spread).sum())
    number = int(member.max()) + 1
    if number < 2:
        return float("nan")
    means = np.bincount(member, weights * parts.squared) * number
    return float((special.stdtrit(number - 1, (1 + level) / 2) * means.std(ddof=1)) ** 2 / number)
