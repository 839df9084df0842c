"""Does the model exaggerate what the reference says? One class against the rest, over probes with their own reference.

Three answers: the *slope* of the model's log odds on the reference's (1: it follows them, above 1: it exaggerates), the
*excess* of its squared distance from even over the reference's own (above 0: it leans further than the reference), and
the correlation of the shares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from audit.statistics.intervals import Floats

CLAMP = 0.005
"""Reference shares below this, or as close to 1, count as this much in the slope: log odds of 0 are infinite, and
those of a rounded .001 would decide the slope alone."""

_Three = tuple[float, float, float]
_Six = tuple[float, float, float, float, float, float]
_NAN = float("nan")
_NO_MEAN: _Three = (_NAN, _NAN, _NAN)
_NO_SLOPE: _Six = (_NAN, _NAN, _NAN, _NAN, _NAN, _NAN)

_STEPS = 1_000
_TOLERANCE = 1e-11


class Glm(NamedTuple):
    """A quasi-binomial regression; all NaN where the maximum of the likelihood is not finite."""

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    dispersion: float
    """Pearson's X²/(J − 2): how many times the binomial variance the probes show."""


class Amplification(NamedTuple):
    """Model beside reference over probes, one class against the rest. All NaN with fewer than 3 usable probes."""

    slope: float
    """Log odds of the model for each unit of log odds of the reference: 1 follows it, more exaggerates it."""
    slope_low: float
    slope_high: float
    intercept: float
    """Log odds of the model where the reference is ½."""
    dispersion: float
    """Variance of the counts around the line, in binomial variances."""
    slope_p_value: float
    """Two-sided p-value of slope = 1: the model neither exaggerates nor levels out what the reference says."""
    excess: float
    """Squared gap of the model from even minus that of the reference; above 0 the model leans further. Unbiased."""
    excess_low: float
    excess_high: float
    correlation: float
    """Pearson's correlation of shares and reference. The sampling of few images pulls it towards 0."""
    correlation_low: float
    correlation_high: float
    probes: int
    """Probes used: those with a reference and at least 2 labelled images."""
    images: int
    """Labelled images of these probes."""


def quasi_binomial_glm(x: npt.ArrayLike, n: npt.ArrayLike, z: npt.ArrayLike) -> Glm:
    """Regression logit(p) = α + βz of shares with over-dispersion, by maximum likelihood (McCullagh & Nelder 1989).

    Iteratively reweighted least squares; the standard errors are the binomial ones times the root of the dispersion.
    With z the reference share minus ½ it is the regression of Kay, Matuszek & Munson (2015).

    Args:
        x: J counts of the class.
        n: J images that they are out of; probes with none are left out.
        z: J values to regress on; probes with NaN are left out.

    Returns:
        The estimates; NaN with fewer than 3 probes, where z does not vary, or where z separates the counts.

    Raises:
        ValueError: if the lengths differ, or a count is negative or above n.
    """
    x_, n_, z_ = _columns(x, n, z)
    used = (n_ > 0) & ~np.isnan(z_)
    fit = _regress(x_[used], n_[used], z_[used], penalty=False)
    scale = float(np.sqrt(fit.dispersion))
    return fit._replace(intercept_se=fit.intercept_se * scale, slope_se=fit.slope_se * scale)


def amplification(
    x: npt.ArrayLike,
    n: npt.ArrayLike,
    r: npt.ArrayLike,
    *,
    subjects: npt.ArrayLike | None = None,
    reference_n: npt.ArrayLike | None = None,
    even: float = 0.5,
    level: float = 0.95,
) -> Amplification:
    """Shares of one class beside a reference that varies by probe, for a claim about probes such as these.

    The subject is the unit: probes of one subject are pooled for slope and correlation (counts added, their reference
    averaged), and averaged for the excess.

    * Slope: quasi-binomial regression of logit(p) on logit(r), with r kept between `CLAMP` and 1 − `CLAMP`, and
      Student's t with (subjects − 2) degrees of freedom. Firth's penalty (1993) keeps it finite where the reference
      separates the counts. Its standard error is the larger of two: with the dispersion (at least 1), and from the
      residuals themselves (HC3), for probes whose reference is near 0 or 1 need not scatter as the others do.
    * Excess: mean of [x(x−1)/(n(n−1)) − 2ex/n + e² − (r − e)²] / max(e, 1 − e)², e the even share, with Student's t
      over subjects. For e = ½ it is the difference of the squared gaps, from −1 to 1.
    * Correlation: Pearson's, its interval by the jackknife of Fisher's z with Student's t, (subjects − 2) degrees of
      freedom. Fisher's own 1/(subjects − 3) covers 87 % where reference shares lie near 0 and 1.

    Args:
        x: J counts of the class.
        n: J images that they are out of.
        r: J shares of the class in the reference; NaN for probes that it does not know.
        subjects: J names of subjects; by default each probe is its own.
        reference_n: J images or people that the reference counts, if they are few: its own sampling is then taken
            out of the excess, and probes with fewer than 2 are left out. By default the reference is known exactly.
            The sampling of the reference flattens the slope and the correlation in any case.
        even: the share that is even: ½, or 1/k for one of k classes.
        level: confidence level.

    Returns:
        The figures. Probes with fewer than 2 images or without a reference are left out; NaN where a figure needs
        more subjects than there are.

    Raises:
        ValueError: if lengths differ, a count is negative or above n, or a share lies outside 0 … 1.
    """
    x_, n_, r_ = _columns(x, n, r)
    if np.any((r_ < 0) | (r_ > 1)):
        raise ValueError(f"a share of a reference lies between 0 and 1 (got {np.nanmin(r_):g} … {np.nanmax(r_):g}).")
    if not (0 < even < 1 and 0 < level < 1):
        raise ValueError(f"the even share and the level lie between 0 and 1 (got {even:g} and {level:g}).")
    known = np.full(x_.shape, np.inf) if reference_n is None else np.asarray(reference_n, dtype=np.float64)
    names = np.arange(x_.size) if subjects is None else np.asarray(subjects)
    for what, given in (("subject", names), ("number of the reference", known)):
        if given.shape != x_.shape:
            raise ValueError(f"each probe needs one {what} (got {given.size} for {x_.size} probes).")
    used = (n_ > 1) & ~np.isnan(r_) & (known > 1)
    x_, n_, r_, known = x_[used], n_[used], r_[used], known[used]
    if x_.size < 3:
        return Amplification(*_NO_SLOPE, *_NO_MEAN, *_NO_MEAN, int(x_.size), int(n_.sum()))
    _, member, size = np.unique(names[used], return_inverse=True, return_counts=True)
    counts, images = (np.bincount(member, v).astype(np.float64) for v in (x_, n_))
    reference, excess = (
        np.bincount(member, v / size[member]).astype(np.float64) for v in (r_, _excess(x_, n_, r_, known, even))
    )
    return Amplification(
        *_slope(counts, images, reference, level),
        *_mean(excess, level),
        *_correlation(counts / images, reference, level),
        int(x_.size),
        int(n_.sum()),
    )


def _excess(x: Floats, n: Floats, r: Floats, known: Floats, even: float) -> Floats:
    """Squared distance of each share from even, without bias, less that of its reference; in units of the largest."""
    model = x * (x - 1) / (n * (n - 1)) - 2 * even * x / n + even**2
    reference = (r - even) ** 2 - r * (1 - r) / (known - 1)
    return (model - reference) / max(even, 1 - even) ** 2


def _slope(x: Floats, n: Floats, r: Floats, level: float) -> _Six:
    """slope, low, high, intercept, dispersion, p-value of slope = 1."""
    z = special.logit(np.clip(r, CLAMP, 1 - CLAMP))
    fit = _regress(x, n, z, penalty=True)
    freedom = x.size - 2
    if freedom < 1 or np.isnan(fit.slope):
        return _NO_SLOPE
    error = max(fit.slope_se * float(np.sqrt(max(1.0, fit.dispersion))), _robust_error(x, n, z, fit))
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error
    p_value = 2 * float(special.stdtr(freedom, -abs(fit.slope - 1) / error))
    return fit.slope, fit.slope - half, fit.slope + half, fit.intercept, fit.dispersion, p_value


def _robust_error(x: Floats, n: Floats, z: Floats, fit: Glm) -> float:
    """Standard error of the slope from the residuals themselves (HC3; MacKinnon & White 1985)."""
    design = np.column_stack([np.ones_like(z), z])
    share = special.expit(fit.intercept + fit.slope * z)
    variance = n * share * (1 - share)
    inverse = np.linalg.inv(design.T @ (design * variance[:, None]))
    leverage = variance * np.einsum("ja,ab,jb->j", design, inverse, design)
    alone = (x - n * share) / np.maximum(1 - leverage, 1e-6)
    return float(np.sqrt(((design @ inverse[1] * alone) ** 2).sum()))


def _regress(x: Floats, n: Floats, z: Floats, *, penalty: bool) -> Glm:
    """The regression with standard errors of plain binomial counts, with Firth's penalty or without."""
    nothing = Glm(_NAN, _NAN, _NAN, _NAN, _NAN)
    if x.size < 3 or np.ptp(z) < 1e-12:
        return nothing
    design = np.column_stack([np.ones_like(z), z])
    coefficients, leverage = np.zeros(2), np.zeros_like(z)
    for _ in range(_STEPS):
        share = special.expit(design @ coefficients)
        variance = n * share * (1 - share)
        information = design.T @ (design * variance[:, None])
        if variance.sum() < 1e-8 or not np.linalg.cond(information) < 1e14:
            return nothing
        inverse = np.linalg.inv(information)
        if penalty:
            leverage = variance * np.einsum("ja,ab,jb->j", design, inverse, design)
        step = inverse @ (design.T @ (x - n * share + leverage * (0.5 - share)))
        step *= min(1.0, 5 / max(float(np.abs(step).max()), 1e-300))
        coefficients = coefficients + step
        if np.abs(step).max() <= _TOLERANCE * (1 + np.abs(coefficients).max()):
            errors = np.sqrt(np.diag(inverse))
            scatter = (x - n * share) ** 2 / np.maximum(variance, np.finfo(np.float64).tiny)
            dispersion = float(scatter.sum() / (x.size - 2))
            return Glm(float(coefficients[0]), float(coefficients[1]), float(errors[0]), float(errors[1]), dispersion)
    return nothing


def _mean(values: Floats, level: float) -> _Three:
    """Mean with Student's t; an interval needs 2 values."""
    mean = float(values.mean())
    if values.size < 2:
        return mean, _NAN, _NAN
    half = float(special.stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(values.size))
    return mean, mean - half, mean + half


def _correlation(p: Floats, r: Floats, level: float) -> _Three:
    """Pearson's correlation, its interval by the jackknife; NaN where one of them does not vary."""
    p, r = p - p.mean(), r - r.mean()
    whole = p @ p, r @ r, p @ r
    if min(whole[:2]) < 1e-14:
        return _NO_MEAN
    z = _fisher(*whole)
    units = p.size
    without = units / (units - 1)
    alone = [total - without * part for total, part in zip(whole, (p * p, r * r, p * r), strict=True)]
    if units < 4 or min(alone[0].min(), alone[1].min()) < 1e-14:
        return float(np.tanh(z)), _NAN, _NAN
    error = np.sqrt((units - 1) * _fisher(*alone).var())
    half = special.stdtrit(units - 2, (1 + level) / 2) * error
    return float(np.tanh(z)), float(np.tanh(z - half)), float(np.tanh(z + half))


def _fisher(pp: npt.ArrayLike, rr: npt.ArrayLike, pr: npt.ArrayLike) -> Floats:
    """Fisher's z of correlations from sums of squares and of products."""
    correlation = np.asarray(pr) / np.sqrt(np.asarray(pp) * np.asarray(rr))
    z: Floats = np.arctanh(np.clip(correlation, -1 + 1e-15, 1 - 1e-15))
    return z


def _columns(*columns: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Counts, images and a third column as vectors of one length, checked."""
    x, n, z = (np.asarray(column, dtype=np.float64) for column in columns)
    if x.ndim != 1 or not x.shape == n.shape == z.shape:
        raise ValueError(f"each probe needs one value of each kind (got shapes {x.shape}, {n.shape} and {z.shape}).")
    if not np.all((x >= 0) & (x <= n)):
        raise ValueError("a count must be at least 0 and at most the images it is out of.")
    return x, n, z
