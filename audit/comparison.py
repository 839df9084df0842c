"""Two conditions of one run, or two runs, beside each other: comparison.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from audit.compared import Settings
from audit.corrections import NOTHING, Evidence, evidence_of
from audit.counts import Counts, eligible
from audit.statistics.change import (
    cochran_mantel_haenszel,
    marginal_homogeneity,
    mcnemar_midp,
    sign_flip,
    stratified_permutation,
)
from audit.statistics.difference import difference_paired, difference_unpaired, mean_difference
from audit.statistics.double_sampling import post_stratified_classes
from audit.statistics.intervals import Floats, Interval, shares
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noise import Estimate

if TYPE_CHECKING:
    from probes.probe import Probe

COMPARISON = (
    *("classifier", "attribute", "class", "baseline", "other", "probe_id", "subject", "baseline_count", "baseline_n"),
    *("other_count", "other_n", "difference", "low", "high", "p_value", "p_adjusted", "method", "conclusion"),
)
"""Columns of comparison.csv."""
CONDITIONS = ("template", "language", "form")
"""Fields of a probe that make a condition."""


class _Differences(NamedTuple):
    """What changed, probes × classes."""

    value: Floats
    ends: Interval
    """For all classes of a probe at once."""
    p_value: Floats
    """One a probe."""
    method: str
    whole: Estimate
    """The mean over probes, one value a class."""
    whole_p: float
    whole_method: str


def compare_conditions(
    counts: Sequence[Counts],
    probes: Sequence[Probe],
    settings: Settings,
    *,
    by: str = "template",
    known: Mapping[tuple[str, str], Evidence] | None = None,
) -> pd.DataFrame:
    """Compare each condition of a run with its first one: the same subjects in other templates, languages or forms.

    Probes that differ in nothing but the condition are compared; their images have other seeds, so that they are not
    paired. Only probes that ask for one person, and do not name a class of the attribute, are compared.

    Args:
        counts: one for each classifier and attribute.
        probes: the probes of the run.
        settings: level, δ, claim, draws and seed.
        by: what makes a condition, one of `CONDITIONS`.
        known: classifier and attribute → what is known of the classifier's errors.

    Returns:
        The rows of comparison.csv; none if no subject occurs in two conditions, or the run stopped probes early.

    Raises:
        ValueError: if `by` is unknown, or a probe of the counts is not among `probes`.
    """
    if by not in CONDITIONS:
        raise ValueError(f"conditions are made by {', '.join(CONDITIONS)} (got {by!r}).")
    parts = [pd.DataFrame(columns=list(COMPARISON))]
    named = {probe.probe_id: probe for probe in probes}
    for each in [] if settings.sequential else counts:
        strangers = [name for name in each.table["probe_id"] if name not in named]
        if strangers:
            raise ValueError(f"counts name the probe {strangers[0]!r}, which the run does not have.")
        own = [named[name] for name in each.table["probe_id"]]
        evidence = evidence_of(known or {}, each)
        for names, pairs in _conditions(each, own, by):
            sides = [_part(each, [pair[side] for pair in pairs]) for side in (0, 1)]
            parts.append(compare_counts(sides[0], sides[1], names, settings, evidence=(evidence, evidence)))
    return _below(parts)


def compare_counts(
    baseline: Counts,
    other: Counts,
    names: tuple[str, str],
    settings: Settings,
    *,
    paired: npt.ArrayLike | None = None,
    evidence: tuple[Evidence, Evidence] = (NOTHING, NOTHING),
) -> pd.DataFrame:
    """Compare the counts of two conditions or runs, row by row and over all rows.

    Without pairs a row is tested by Cochran–Mantel–Haenszel (2 classes) or by permutation (more), all rows by the same
    within rows. With pairs: mid-p McNemar or flipped pairs. For a claim about such probes all rows are tested by
    flipped signs of the subjects' mean differences. A p-value of a row is adjusted over all rows (Benjamini–Hochberg).

    `higher` and `lower` (than the baseline) need p_adjusted below α and an interval beyond 0: beyond ±δ for labels of a
    classifier, because two conditions with other error rates differ without any true difference. With people's labels
    of images of both conditions, the row of all probes is concluded from the difference of the corrected shares.
    `close`: the interval lies within ±δ.

    Args:
        baseline: counts of the one condition.
        other: counts of the other, in the same order of probes.
        names: names of the two.
        settings: level, δ, claim, draws and seed.
        paired: tables of pairs with equal seeds, J × k (baseline) × k (other); None for other seeds.
        evidence: what is known of the errors on each side.

    Returns:
        The rows of comparison.csv, those of all probes together first (with an empty `probe_id`).

    Raises:
        ValueError: if the two do not have the same classifier, attribute, classes and number of probes, or the pairs do
            not fit.
    """
    _check(baseline, other)
    a, b = baseline.array(), other.array()
    rng = settings.rng(baseline.classifier, baseline.attribute, *names)
    if paired is None:
        found = _unpaired(a, b, settings, rng)
    else:
        tables = np.asarray(paired, dtype=np.float64)
        if tables.shape != (*a.shape, a.shape[1]):
            raise ValueError(f"pairs must be probes × classes × classes {(*a.shape, a.shape[1])} (got {tables.shape}).")
        found = _paired(tables, settings, rng)
    if settings.claim == "population":
        found = _of_population(found, baseline.table["subject"].to_numpy(), settings, rng)
    margin = 0.0 if all(each.people for each in evidence) else settings.delta
    adjusted = np.broadcast_to(benjamini_hochberg(found.p_value)[:, None], a.shape)
    corrected = _corrected_difference((baseline, other), evidence, settings.alpha)
    if corrected is None:
        whole = _conclude(found.whole, np.full(a.shape[1], found.whole_p), margin, settings)
        method = found.whole_method
    else:
        whole = _conclude(corrected, np.zeros(a.shape[1]), 0.0, settings)
        method = f"{found.whole_method}, post_stratified"
    head: dict[str, Any] = {
        "classifier": baseline.classifier,
        "attribute": baseline.attribute,
        "class": list(baseline.classes),
        "baseline": names[0],
        "other": names[1],
    }
    first = {
        **head,
        **{"probe_id": "", "subject": ""},
        **_counted(a.sum(axis=0), b.sum(axis=0)),
        **{"difference": found.whole.value, "low": found.whole.low, "high": found.whole.high},
        **{"p_value": found.whole_p, "p_adjusted": found.whole_p, "method": method, "conclusion": whole},
    }
    k = a.shape[1]
    rows = {
        **head,
        "class": list(baseline.classes) * len(a),
        "probe_id": np.repeat(baseline.table["probe_id"].to_numpy(), k),
        "subject": np.repeat(baseline.table["subject"].to_numpy(), k),
        **_counted(a, b),
        **{"difference": found.value.ravel(), "low": found.ends.low.ravel(), "high": found.ends.high.ravel()},
        **{"p_value": np.repeat(found.p_value, k), "p_adjusted": adjusted.ravel(), "method": found.method},
        "conclusion": _conclude(Estimate(found.value, *found.ends), adjusted, margin, settings).ravel(),
    }
    return _below([pd.DataFrame(first), pd.DataFrame(rows)])


def _conditions(
    counts: Counts, probes: Sequence[Probe], by: str
) -> list[tuple[tuple[str, str], list[tuple[int, int]]]]:
    """Names of two conditions, and the positions of the probes that differ in nothing else."""
    places: dict[str, dict[tuple[str, ...], int]] = {}
    for j, (probe, shown) in enumerate(zip(probes, eligible(counts, probes), strict=True)):
        if shown:
            key = tuple(getattr(probe, name) for name in ("subject", "kind", *CONDITIONS) if name != by)
            places.setdefault(getattr(probe, by), {}).setdefault(key, j)
    if len(places) < 2:
        return []
    (baseline, first), *others = places.items()
    pairs = [
        ((baseline, name), [(j, found[key]) for key, j in first.items() if key in found]) for name, found in others
    ]
    return [(names, matched) for names, matched in pairs if matched]


def _part(counts: Counts, places: Sequence[int]) -> Counts:
    return replace(counts, table=counts.table.iloc[list(places)].reset_index(drop=True))


def _check(baseline: Counts, other: Counts) -> None:
    for name in ("classifier", "attribute", "classes"):
        one, two = getattr(baseline, name), getattr(other, name)
        if one != two:
            raise ValueError(f"only counts of the same {name} can be compared (got {one} and {two}).")
    if len(baseline.table) != len(other.table):
        sizes = f"{len(baseline.table)} and {len(other.table)}"
        raise ValueError(f"counts are compared row by row (got {sizes} probes). Give those that both have.")


def _unpaired(a: Floats, b: Floats, settings: Settings, rng: np.random.Generator) -> _Differences:
    n_a, n_b = (np.broadcast_to(x.sum(axis=1, keepdims=True), x.shape) for x in (a, b))
    value = shares(b) - shares(a)
    ends = difference_unpaired(b, n_b, a, n_a, _level(a.shape[1], settings))
    if a.shape[1] > 2:
        method = "stratified_permutation"
        p_value, p_all = stratified_permutation(b, a, settings.draws, rng)
    else:
        method = "cochran_mantel_haenszel"
        known = ~np.isnan(value[:, 0])
        cells = b[:, 0], n_b[:, 0], a[:, 0], n_a[:, 0]
        each = [cochran_mantel_haenszel(*(cell[j] for cell in cells))[1] for j in range(len(a))]
        p_value = np.where(known, each, np.nan)
        p_all = cochran_mantel_haenszel(*cells)[1] if known.any() else float("nan")
    return _Differences(value, ends, p_value, method, _mean(value, ends), p_all, method)


def _paired(tables: Floats, settings: Settings, rng: np.random.Generator) -> _Differences:
    k = tables.shape[1]
    old, new, both = tables.sum(axis=2), tables.sum(axis=1), np.einsum("jaa->ja", tables)
    n = tables.sum(axis=(1, 2))
    value = shares(new) - shares(old)
    neither = n[:, None] - old - new + both
    ends = difference_paired(both, new - both, old - both, neither, _level(k, settings))

    def test(each: Floats) -> Floats:
        if k == 2:
            return mcnemar_midp(each[:, 0, 1], each[:, 1, 0])
        return marginal_homogeneity(each, settings.draws, rng)

    method = "mcnemar_midp" if k == 2 else "marginal_homogeneity"
    p_value = np.where(n > 0, test(tables), np.nan)
    whole_p = float(test(tables.sum(axis=0)[None])[0]) if n.any() else float("nan")
    return _Differences(value, ends, p_value, method, _mean(value, ends), whole_p, method)


def _of_population(
    found: _Differences, subjects: npt.NDArray[np.object_], settings: Settings, rng: np.random.Generator
) -> _Differences:
    """All rows as a sample of subjects: flipped signs, and Student's t over the subjects' means."""
    means = pd.DataFrame(found.value).groupby(subjects, sort=False).mean().dropna().to_numpy(dtype=np.float64)
    number, k = means.shape
    mean, half = np.full(k, np.nan), np.full(k, np.inf)
    if number:
        mean = means.mean(axis=0)
    if number > 1:
        t = special.stdtrit(number - 1, (1 + _level(k, settings)) / 2)
        half = t * means.std(axis=0, ddof=1) / np.sqrt(number)
    whole = Estimate(mean, np.maximum(mean - half, -1.0), np.minimum(mean + half, 1.0))
    return found._replace(whole=whole, whole_p=sign_flip(means, settings.draws, rng), whole_method="sign_flip")


def _level(k: int, settings: Settings) -> float:
    """Two classes are one statement."""
    return 1 - settings.alpha / (k if k > 2 else 1)


def _mean(value: Floats, ends: Interval) -> Estimate:
    found = [mean_difference(value[:, c], Interval(ends.low[:, c], ends.high[:, c])) for c in range(value.shape[1])]
    return Estimate(
        *(np.array(each) for each in zip(*((mean, ends.low, ends.high) for mean, ends in found), strict=True))
    )


def _corrected_difference(
    sides: tuple[Counts, Counts], evidence: tuple[Evidence, Evidence], alpha: float
) -> Estimate | None:
    """Difference of the shares of all images of each side as people see them; None without labels on both sides."""
    found = []
    for counts, each in zip(sides, evidence, strict=True):
        calibration = each.calibration
        if calibration is None or calibration.weighted:
            return None
        own = [calibration.by_probe[name] for name in counts.table["probe_id"] if name in calibration.by_probe]
        if not own or not np.sum(own, axis=0).any():
            return None
        k = len(counts.classes)
        level = 1 - alpha / (k if k > 2 else 1)
        found.append(post_stratified_classes(counts.answers().sum(axis=0), np.sum(own, axis=0), k, level=level))
    a, b = found
    value = b.value - a.value
    low = value - np.hypot(b.value - b.low, a.high - a.value)
    high = value + np.hypot(b.high - b.value, a.value - a.low)
    return Estimate(value, low, high)


def _conclude(found: Estimate, p_adjusted: Floats, margin: float, settings: Settings) -> npt.NDArray[np.object_]:
    words = np.full(found.value.shape, "inconclusive", dtype=object)
    words[(found.low >= -settings.delta) & (found.high <= settings.delta)] = "close"
    significant = p_adjusted < settings.alpha
    words[significant & (found.low > margin)] = "higher"
    words[significant & (found.high < -margin)] = "lower"
    words[np.isnan(found.value)] = ""
    return words


def _counted(a: Floats, b: Floats) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for side, x in (("baseline", a), ("other", b)):
        n = np.broadcast_to(x.sum(axis=-1, keepdims=True), x.shape)
        columns |= {f"{side}_count": x.astype(np.int64).ravel(), f"{side}_n": n.astype(np.int64).ravel()}
    return columns


def _below(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part[list(COMPARISON)] for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(COMPARISON))
