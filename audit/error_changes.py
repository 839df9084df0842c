"""Whether a classifier errs otherwise in one run than in another, and what errors alone would make of a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audit.calibration import Calibration
from audit.compared import Settings
from audit.pairs import Question
from audit.statistics.differential import equal_errors, explaining_difference
from audit.statistics.multiplicity import holm

ERROR_CHANGES = (
    *("classifier", "attribute", "class", "baseline", "other", "baseline_labels", "baseline_errors", "other_labels"),
    *("other_errors", "other_expected", "p_value", "p_adjusted", "conclusion", "difference", "low", "high"),
    *("sensitivity", "specificity", "least_sensitivity", "least_specificity"),
)
"""Columns of error_changes.csv."""
DIFFER, NOT_SHOWN, UNKNOWN, PEOPLE = "differ", "not_shown", "unknown", "people"
"""What is known of the errors in two runs; `people`: the labels are people's own."""


def error_changes(
    question: Question, changes: pd.DataFrame, names: tuple[str, str], settings: Settings
) -> pd.DataFrame:
    """Whether the classifier errs alike in both runs, and how far its errors would have to differ to make the changes.

    The test is `audit.statistics.differential.equal_errors` on images of both runs that people labelled: those of the
    probes compared, if all images of a run had the same chance to be labelled. Images that were chosen by what the
    classifier answered would differ between runs whose answers differ, even if its errors do not. The differences that
    would explain a change are those of `explaining_difference`, at the mean of both shares.

    Args:
        question: answers in two runs.
        changes: what `audit.changes.share_changes` found.
        names: what the two are called.
        settings: level, draws and seed.

    Returns:
        A row a class, with the columns of error_changes.csv; `p_adjusted` and `conclusion` follow from `concluded`.
    """
    whole = changes[changes["probe_id"] == ""] if len(changes) else pd.DataFrame()
    if whole.empty:
        return pd.DataFrame(columns=list(ERROR_CHANGES))
    people = all(each.people for each in question.evidence)
    rows = whole[["classifier", "attribute", "class", "baseline", "other", "difference", "low", "high"]]
    tested = _tested(question, names, settings)
    explained = {} if people else _explained(whole)
    found: pd.DataFrame = rows.assign(**tested, **explained, conclusion=PEOPLE if people else "")
    return found.reindex(columns=list(ERROR_CHANGES))


def concluded(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """The rows of all questions with p-values adjusted over them (Holm, as they share images) and conclusions."""
    if table.empty:
        return table
    keys = ["classifier", "attribute"]
    once = table.drop_duplicates(keys)[[*keys, "p_value"]]
    once = once.assign(p_adjusted=holm(once["p_value"].to_numpy(dtype=np.float64)))
    adjusted = table[keys].merge(once, on=keys, how="left")["p_adjusted"].to_numpy()
    words = np.where(np.isnan(adjusted), UNKNOWN, np.where(adjusted < alpha, DIFFER, NOT_SHOWN))
    return table.assign(p_adjusted=adjusted, conclusion=np.where(table["conclusion"] == PEOPLE, PEOPLE, words))


def said(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about the rows of one question."""
    first = rows[0]
    whose = f"errors of {first['classifier']} in {first['attribute']}"
    if first["conclusion"] == DIFFER:
        return (
            f"{whose}: they differ between the runs (p {first['p_adjusted']:.3g}); part of a change may be their own."
        )
    if first["conclusion"] == NOT_SHOWN:
        return f"{whose}: no difference between the runs is shown (p {first['p_adjusted']:.3g})."
    if first["conclusion"] == PEOPLE:
        return f"{first['attribute']}: the labels are people's own."
    row = max(rows, key=lambda each: abs(np.nan_to_num(each["difference"])))
    rates = [row[name] for name in ("sensitivity", "specificity") if not np.isnan(row[name])]
    explained = (
        f"; rates {min(rates):.3f} apart would make the change of {row['class']}" if rates and row["difference"] else ""
    )
    return f"{whose}: unknown, as people have not labelled images of both runs{explained}."


def _tested(question: Question, names: tuple[str, str], settings: Settings) -> dict[str, Any]:
    """Labels and errors of both runs, and the test; nothing where people have not labelled images of both."""
    sides = [each.calibration for each in question.evidence]
    one, two = sides
    if one is None or two is None or any(each.source != "audited" or len(each.chances) > 1 for each in (one, two)):
        return {}
    answers = list(dict.fromkeys([*one.answers, *two.answers]))
    probes = {probe.probe_id for probe in question.probes}
    tables = np.stack([_table(each, answers, probes) for each in (one, two)])
    right = np.array([[viewer == answer for answer in one.predicted] for viewer in answers])
    rngs = [settings.rng("error changes", question.classifier, question.attribute, name) for name in names]
    found = equal_errors(tables, right, rngs, draws=settings.draws)
    return {
        **{"baseline_labels": int(found.labels[0]), "baseline_errors": int(found.errors[0])},
        **{"other_labels": int(found.labels[1]), "other_errors": int(found.errors[1])},
        **{"other_expected": float(found.expected[1]), "p_value": float(found.p_value[1])},
    }


def _table(known: Calibration, answers: list[str], probes: set[str]) -> np.ndarray[Any, Any]:
    """Labelled images of these probes: people's answers, in this order, × the classifier's."""
    places = [answers.index(name) for name in known.answers]
    table = np.zeros((len(answers), len(known.predicted)))
    for probe, images in known.images_by_probe.items():
        if probe in probes:
            table[places] += images
    return table


def _explained(whole: pd.DataFrame) -> dict[str, Any]:
    """What sensitivities or specificities would have to differ by: for the change, and for its smallest likely size."""
    share = (whole["baseline_share"] + whole["other_share"]).to_numpy(dtype=np.float64) / 2
    low, high = (whole[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
    least = np.maximum(np.maximum(low, -high), 0.0)
    found = explaining_difference(whole["difference"].to_numpy(dtype=np.float64), share)
    fewest = explaining_difference(least, share)
    figures = {
        **{"sensitivity": found.sensitivity, "specificity": found.specificity},
        **{"least_sensitivity": fewest.sensitivity, "least_specificity": fewest.specificity},
    }
    return {name: np.where(np.isinf(values), np.nan, values) for name, values in figures.items()}
