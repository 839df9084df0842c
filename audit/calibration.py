"""What people answered beside what a classifier answered for the same images: the confusion of an instrument."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from audit import human
from audit.classifiers.base import NOT_MEASURED, Question
from audit.statistics.differential import equal_errors
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.noise import reweighted

if TYPE_CHECKING:
    import pandas as pd

    from audit.compared import Settings
    from audit.store import Store

Floats = npt.NDArray[np.float64]

CONFUSION = ("classifier", "attribute", "viewer", "predicted", "count", "rate")
"""Columns of calibration.csv."""
ERRORS = ("classifier", "attribute", "subject", "labels", "errors", "expected", "p_value", "p_adjusted", "flagged")
"""Columns of errors.csv."""


@dataclass(frozen=True)
class Calibration:
    """Answers of people (rows) and of one classifier (columns) to one question, for the same images.

    With several raters an image counts once, with the answer of most of them; where two answers tie, it is `unclear`.
    Images that were sampled with unequal probabilities are weighted by their inverse (Begg & Greenes 1983); all weights
    together are the number of images.
    """

    classifier: str
    attribute: str
    classes: tuple[str, ...]
    """The k classes of the question, in order."""
    answers: tuple[str, ...]
    """Y answers of people: the k classes, then those of `unclear`, `no_person`, `several_people` that occurred."""
    predicted: tuple[str, ...]
    """C answers of the classifier: the k classes, then `unclear`, `no_person`, `several_people`."""
    table: Floats
    """Y × C weighted counts; whole numbers where all images had the same chance."""
    counts: Floats
    """Y × C images."""
    squares: Floats
    """Y × C sums of the squared weights."""
    source: Literal["audited", "other"]
    """`audited`: a random sample of the run's own images; `other`: images from elsewhere."""
    images: int
    raters: tuple[str, ...] = ()
    by_probe: Mapping[str, Floats] = field(default_factory=dict)
    """probe_id → its part of `table` (Y × C); they add up to `table`. Only for the run's own images."""
    images_by_probe: Mapping[str, Floats] = field(default_factory=dict)
    """The same of `counts`."""
    squares_by_probe: Mapping[str, Floats] = field(default_factory=dict)
    """The same of `squares`."""
    note: str = ""
    """What a reader must know of it, in a sentence or two."""
    strata: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """S × Y × C images: those with the same chance to be labelled lie together."""
    chances: Floats = field(default_factory=lambda: np.zeros(0))
    """S sampling probabilities, up to a common factor."""

    @property
    def weighted(self) -> bool:
        """True if the images had unequal chances to be labelled."""
        return not np.allclose(self.table, self.counts)

    def rows(self) -> Floats:
        """The table with each row scaled to the number of labels that it is worth, for P(classifier | people).

        See `audit.statistics.noise.reweighted`. Equal to `table` without weights.
        """
        return reweighted(self.strata, self.chances) if self.weighted else self.table

    def columns(self, probes: Collection[str] | None = None) -> Floats:
        """The table with each column scaled to its effective number of images, (Σw)²/Σw² (Kish 1965).

        For P(people | classifier). Equal to `table` without weights.

        Args:
            probes: only the images of these probes; the run's own images only.
        """
        table, squares = self.table, self.squares
        if probes is not None:
            table, squares = _of_probes(self.by_probe, probes, table), _of_probes(self.squares_by_probe, probes, table)
        return _scaled(table, table.sum(axis=0, keepdims=True), squares.sum(axis=0, keepdims=True))

    def labelled(self, probes: Collection[str]) -> int:
        """Images of these probes that people labelled."""
        return int(_of_probes(self.images_by_probe, probes, self.counts).sum())


def calibrations(
    store: Store, others: Sequence[str] = (), classifiers: Sequence[str] | None = None
) -> dict[tuple[str, str], Calibration]:
    """What is known of the errors of a run's classifiers, by classifier and attribute.

    From human/labels.csv, else from the labels of people that were imported with the images; where people have not
    labelled the run's own images, from other images. A classifier with other classes than people answered with has
    none.

    Args:
        store: the run.
        others: calibrations from other images, as `audit.other_images.load` takes them.
        classifiers: which classifiers; by default all.

    Returns:
        Empty if nobody has labelled an image.

    Raises:
        UsageError: if labels or calibrations cannot be used; in one line.
    """
    from audit.other_images import load

    names = human.ordered_classifiers(store) if classifiers is None else classifiers
    made = {key: found for key, found in load(others, store).items() if key[0] in names} if others else {}
    given = human.answers_of_people(store)
    if given.empty:
        return made
    asked = questions_of(store)
    for name in names:
        if set(given["rater"]) == {name}:
            continue
        joined = paired(store, name, given)
        for question in asked[name]:
            rows = joined[joined["attribute"] == question.attribute]
            if rows.empty or not set(rows["true"]) <= {*question.classes, *NOT_MEASURED}:
                continue
            raters = sorted(set(given.loc[given["attribute"] == question.attribute, "rater"]))
            made[name, question.attribute] = tabulate(name, question, rows, "audited", raters)
    return made


def paired(store: Store, classifier: str, given: pd.DataFrame) -> pd.DataFrame:
    """Answers of people and of a classifier side by side, one row an image and attribute.

    Args:
        store: the run that the images belong to.
        classifier: name of the classifier.
        given: labels of people, as in human/labels.csv.

    Returns:
        sample_id, attribute, true, sampling_probability, probe_id, predicted.
    """
    seen = human.majority(human.pooled(store, given)).rename(columns={"class": "true"})
    return seen.merge(human.predictions(store, classifier, seen["sample_id"]), on=["sample_id", "attribute"])


def tabulate(
    classifier: str,
    question: Question,
    rows: pd.DataFrame,
    source: Literal["audited", "other"],
    raters: Iterable[str] = (),
    note: str = "",
) -> Calibration:
    """Make the calibration of one classifier and question.

    Args:
        classifier: its name.
        question: attribute and classes.
        rows: columns true, predicted, sampling_probability; `count` where a row stands for several images; `probe_id`
            for the run's own images.
        source: where the images come from.
        raters: who labelled them.
        note: what a reader must know of it.

    Returns:
        The calibration.
    """
    others = [answer for answer in NOT_MEASURED if (rows["true"] == answer).any()]
    answers, predicted = (*question.classes, *others), (*question.classes, *NOT_MEASURED)
    count = rows["count"].to_numpy(np.float64) if "count" in rows else np.ones(len(rows))
    weight = 1 / rows["sampling_probability"].to_numpy(np.float64)
    weight *= count.sum() / (weight * count).sum()
    weight = np.where(np.isclose(weight, 1, rtol=0, atol=1e-12), 1.0, weight)
    cells = (
        rows["true"].map({name: i for i, name in enumerate(answers)}).to_numpy(np.int64),
        rows["predicted"].map({name: i for i, name in enumerate(predicted)}).to_numpy(np.int64),
    )

    def filled(values: Floats, chosen: Any = slice(None)) -> Floats:
        table = np.zeros((len(answers), len(predicted)))
        np.add.at(table, (cells[0][chosen], cells[1][chosen]), values[chosen])
        return table

    chance = rows["sampling_probability"].to_numpy(np.float64)
    chances = np.unique(chance)
    places: Mapping[Any, Any] = {}
    if source == "audited":
        places = rows.reset_index(drop=True).groupby("probe_id", sort=True).indices
    return Calibration(
        classifier=classifier,
        attribute=question.attribute,
        classes=question.classes,
        answers=answers,
        predicted=predicted,
        table=filled(weight * count),
        counts=filled(count),
        squares=filled(weight**2 * count),
        source=source,
        images=int(count.sum()),
        raters=tuple(raters),
        by_probe={str(probe): filled(weight * count, chosen) for probe, chosen in places.items()},
        images_by_probe={str(probe): filled(count, chosen) for probe, chosen in places.items()},
        squares_by_probe={str(probe): filled(weight**2 * count, chosen) for probe, chosen in places.items()},
        note=note,
        strata=np.array([filled(count, chance == each) for each in chances]),
        chances=chances,
    )


def calibration_table(known: Mapping[tuple[str, str], Calibration]) -> pd.DataFrame:
    """calibration.csv: one row for each classifier, attribute, answer of people and answer of the classifier.

    `count` is the weighted number of images, `rate` its share of the row, P(classifier | people), empty in rows without
    an image.
    """
    import pandas as pd

    parts = []
    for each in known.values():
        total = each.table.sum(axis=1, keepdims=True)
        rate = np.divide(each.table, total, out=np.full_like(each.table, np.nan), where=total > 0)
        columns: dict[str, Any] = {
            "classifier": each.classifier,
            "attribute": each.attribute,
            "viewer": np.repeat(each.answers, len(each.predicted)),
            "predicted": np.tile(each.predicted, len(each.answers)),
            "count": each.table.ravel(),
            "rate": rate.ravel(),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)[list(CONFUSION)] if parts else pd.DataFrame(columns=list(CONFUSION))


def errors_table(
    known: Mapping[tuple[str, str], Calibration], subjects: Mapping[str, str], settings: Settings
) -> pd.DataFrame:
    """errors.csv: does a classifier err alike in all subjects? One row for each classifier, attribute and subject.

    Only for labels of the run's own images, of two subjects or more.

    Args:
        known: calibrations, as `calibrations` gives them.
        subjects: probe_id → subject.
        settings: level of the tests, draws and seed.
    """
    import pandas as pd

    parts = []
    for each in known.values():
        tables: dict[str, Floats] = {}
        for probe, table in each.images_by_probe.items():
            tables[subjects[probe]] = tables.get(subjects[probe], np.zeros_like(table)) + table
        if len(tables) < 2:
            continue
        right = np.array([[viewer == answer for answer in each.predicted] for viewer in each.answers])
        rngs = [settings.rng("errors", each.classifier, each.attribute, subject) for subject in tables]
        found = equal_errors(np.stack(list(tables.values())), right, rngs, draws=settings.draws)
        adjusted = benjamini_hochberg(found.p_value)
        columns: dict[str, Any] = {
            "classifier": each.classifier,
            "attribute": each.attribute,
            "subject": list(tables),
            "labels": found.labels.astype(np.int64),
            "errors": found.errors.astype(np.int64),
            "expected": found.expected,
            "p_value": found.p_value,
            "p_adjusted": adjusted,
            "flagged": adjusted < settings.alpha,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(ERRORS))


def questions_of(store: Store) -> dict[str, list[Question]]:
    """classifier → its questions."""
    record = store.record()["classifiers"]
    return {
        name: [Question(entry["attribute"], tuple(entry["classes"])) for entry in record[name]["questions"]]
        for name in human.ordered_classifiers(store)
    }


def _of_probes(parts: Mapping[str, Floats], probes: Collection[str], like: Floats) -> Floats:
    """The parts of these probes together."""
    chosen = [np.zeros_like(like), *(part for probe, part in parts.items() if probe in probes)]
    total: Floats = np.sum(chosen, axis=0)
    return total


def _scaled(table: Floats, weights: Floats, squares: Floats) -> Floats:
    effective = np.divide(weights, squares, out=np.ones_like(weights), where=squares > 0)
    scaled: Floats = table * effective
    return scaled
