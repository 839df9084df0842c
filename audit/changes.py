"""How one run differs from another, question by question: shares, gaps, and images without a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from audit.compared import Settings, match
from audit.comparison import compare_counts
from audit.corrections import Evidence
from audit.counts import LOST, Counts, eligible
from audit.pairs import Question
from audit.reference import Reference
from audit.statistics.gap_change import GapChange, gap_change
from audit.statistics.intervals import Floats, shares
from audit.statistics.noninferiority import quantile, worsening

GAP_CHANGES = (
    *("classifier", "attribute", "reference", "claim", "baseline", "other", "probes", "baseline_gap", "other_gap"),
    *("change", "low", "high", "p_value", "p_adjusted", "pairs", "conclusion"),
)
"""Columns of gap_changes.csv."""
LOSSES = (
    *("classifier", "attribute", "baseline", "other", "baseline_asked", "baseline_lost", "other_asked", "other_lost"),
    *("difference", "low", "high", "p_value", "p_adjusted", "pairs", "conclusion"),
)
"""Columns of lost_changes.csv."""
LOST_OR_NOT = ("lost", "labelled")
ENOUGH = 0.9
"""Part of the labelled images of each run that must be in pairs: shares of pairs alone would leave out the others."""


def share_changes(question: Question, names: tuple[str, str], settings: Settings) -> pd.DataFrame:
    """The rows of comparison.csv for the probes that ask for one person and do not name a class, and the pairs used.

    Images are compared in pairs where at least 90 % of the labelled images of each run are in pairs. Where more were
    lost in one of the runs, all labelled images are compared, and not as pairs: those that a change made unreadable
    would otherwise leave both sides.

    Args:
        question: answers in two runs.
        names: what the two are called.
        settings: level, δ, claim, draws and seed.

    Returns:
        Columns of comparison.csv, and: `pairs`, images with a class in both runs, 0 where they are not compared as
        pairs; `baseline_share` and `other_share`, for all probes the mean over those with images in both. No row if
        there is no such probe.
    """
    places = np.flatnonzero(eligible(question.baseline, question.probes))
    if not places.size:
        return pd.DataFrame()
    sides = [part(each, places) for each in (question.baseline, question.other)]
    pairs = None if question.pairs is None else question.pairs[places]
    if pairs is not None and pairs.sum() < ENOUGH * max(each.array().sum() for each in sides):
        pairs = None
    table = compare_counts(sides[0], sides[1], names, settings, paired=pairs, evidence=question.evidence)
    number = np.zeros(len(places), dtype=np.int64) if pairs is None else pairs.sum(axis=(1, 2))
    k = len(question.baseline.classes)
    found = [shares(each.array()) for each in sides]
    both = ~np.isnan(found[0] + found[1]).any(axis=1)
    means = [each[both].mean(axis=0) if both.any() else np.full(k, np.nan) for each in found]
    return table.assign(
        baseline_share=np.concatenate([means[0], found[0].ravel()]),
        other_share=np.concatenate([means[1], found[1].ravel()]),
        pairs=np.concatenate([np.full(k, number.sum()), np.repeat(number, k)]),
    )


def gap_changes(
    question: Question, references: Sequence[Reference], names: tuple[str, str], settings: Settings
) -> pd.DataFrame:
    """How much the gap from each reference changed, with an interval at level 1 − α.

    For a claim about a list: `audit.statistics.noninferiority.worsening` at α/2 for each end. For a claim about such
    probes the same from the subjects' mean changes, with Student's t in the place of the normal quantile, and never
    narrower. `higher` and `lower` need an interval beyond ±δ (beyond 0 for people's labels), `close` one within ±δ.

    Args:
        question: answers in two runs.
        references: what to compare with; those that know no probe have no row.
        names: what the two are called.
        settings: level, δ and claim.

    Returns:
        The rows of gap_changes.csv.
    """
    shown = eligible(question.baseline, question.probes)
    rows = []
    for reference in references:
        matched = match(question.baseline, question.probes, shown, reference)
        if np.isnan(matched.whole).all():
            continue
        change = _change(question, matched.whole, settings)
        if not int(change.probes[0]):
            continue
        found = worsening(change, settings.alpha / 2)
        value, low, high = (float(each[0]) for each in found)
        rows.append(
            {
                **dict(zip(("classifier", "attribute"), (question.classifier, question.attribute), strict=True)),
                **{"reference": reference.name, "claim": settings.claim, "baseline": names[0], "other": names[1]},
                "probes": int(change.probes[0]),
                "baseline_gap": float(np.sqrt(max(0.0, change.old[0]))),
                "other_gap": float(np.sqrt(max(0.0, change.new[0]))),
                **{"change": value, "low": low, "high": high},
                "p_value": (p := _two_sided(float(change.squared[0]), float(change.error[0]))),
                "p_adjusted": p,
                "pairs": 0 if question.pairs is None else int(question.pairs[shown].sum()),
                "conclusion": _conclude(low, high, _margin(question.evidence, settings), settings.delta),
            }
        )
    return pd.DataFrame(rows, columns=list(GAP_CHANGES))


def lost_changes(question: Question, names: tuple[str, str], settings: Settings) -> pd.DataFrame:
    """How much the share of images without a class changed, over the probes that ask for one person.

    By `audit.comparison.compare_counts` for a claim about this list; `higher` means that more are lost.

    Returns:
        The row of lost_changes.csv; none if no probe asks for one person.
    """
    places = np.flatnonzero([probe.people == "one" for probe in question.probes])
    if not places.size:
        return pd.DataFrame(columns=list(LOSSES))
    sides = [_lost_or_not(part(each, places)) for each in (question.baseline, question.other)]
    pairs = None if question.lost is None else question.lost[places]
    facts = Evidence(people=True)
    settings = settings._replace(claim="list")
    table = compare_counts(sides[0], sides[1], names, settings, paired=pairs, evidence=(facts, facts))
    row = table[(table["probe_id"] == "") & (table["class"] == LOST_OR_NOT[0])].rename(
        columns={f"{side}_{old}": f"{side}_{new}" for side in ("baseline", "other") for old, new in _SAID_AS}
    )
    return row.assign(pairs=0 if pairs is None else int(pairs.sum()))[list(LOSSES)]


_SAID_AS = (("count", "lost"), ("n", "asked"))


def part(counts: Counts, places: Sequence[int] | np.ndarray[Any, Any]) -> Counts:
    """The counts of the probes at some places."""
    return replace(counts, table=counts.table.iloc[list(places)].reset_index(drop=True))


def _change(question: Question, reference: Floats, settings: Settings) -> GapChange:
    x_old, x_new = question.baseline.array(), question.other.array()
    ordered, pairs = question.baseline.ordered, question.pairs
    how: Any = {"paired": pairs, "ordered": ordered, "same": question.same}
    whole = gap_change(x_new, x_old, reference, **how)
    if settings.claim == "list" or not int(whole.probes[0]):
        return whole
    each = gap_change(x_new, x_old, reference, **how, lists=len(x_old))
    return _of_population(whole, each, question.baseline.table["subject"].to_numpy(), settings.alpha)


def _of_population(whole: GapChange, each: GapChange, subjects: np.ndarray[Any, Any], alpha: float) -> GapChange:
    """The change over subjects. Errors are scaled so that z of them is t of the subjects' spread."""
    columns = pd.DataFrame({name: getattr(each, name) for name in ("squared", "total", "old", "new")})
    means = columns.groupby(subjects, sort=False).mean().dropna()
    number = len(means)
    error = total_error = np.full(1, 1e6)  # of one subject nothing is known: the interval is all of −1 … 1
    if number > 1:
        t = float(special.stdtrit(number - 1, 1 - alpha / 2))
        spread = means.std(ddof=1) / np.sqrt(number) * t / quantile(alpha / 2)
        error = np.maximum(whole.error, spread["squared"])
        total_error = np.maximum(whole.total_error, spread["total"])
    values = {str(name): np.array([means[name].mean()]) for name in means}
    return whole._replace(**values, error=error, total_error=total_error)


def _two_sided(value: float, error: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * special.ndtr(-abs(value) / error))


def _margin(evidence: tuple[Evidence, Evidence], settings: Settings) -> float:
    return 0.0 if all(each.people for each in evidence) else settings.delta


def _conclude(low: float, high: float, margin: float, delta: float) -> str:
    if low > margin:
        return "higher"
    if high < -margin:
        return "lower"
    return "close" if low >= -delta and high <= delta else "inconclusive"


def _lost_or_not(counts: Counts) -> Counts:
    """The same images by whether they have a class."""
    labelled = counts.array().sum(axis=1)
    asked = counts.table["asked"].to_numpy(dtype=np.float64)
    table = counts.table.drop(columns=counts.columns).assign(
        class__lost=asked - labelled, class__labelled=labelled, **dict.fromkeys(LOST, 0)
    )
    return replace(counts, classes=LOST_OR_NOT, ordered=False, table=table)
