"""agreement.csv: do raters see the same, do people and classifiers, do two classifiers?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audit import human
from audit.calibration import questions_of
from audit.classifiers.base import NOT_MEASURED
from audit.errors import UsageError
from audit.statistics.agreement import cohen_kappa, compare_labels, krippendorff, percent_agreement, reading

if TYPE_CHECKING:
    import pandas as pd

    from audit.store import Store

AGREEMENT = (
    *("attribute", "first", "second", "images", "agreement", "kappa"),
    *("alpha", "alpha_low", "alpha_high", "reading"),
)
"""Columns of agreement.csv."""
RATERS, PEOPLE = "raters", "people"
"""All raters among each other; and what most of them answered."""
IMAGES = 5_000
"""Two classifiers are compared on at most so many images: α is then within ± .03 or so."""

Codes = npt.NDArray[np.int64]


def agreement_table(store: Store, *, strict: bool = False) -> pd.DataFrame:
    """Agreement of raters, of people with classifiers and of classifiers with each other, by attribute.

    `unclear`, `no_person` and `several_people` are answers like the classes. All figures are about the images that both
    labelled, each counted once, however they were sampled; two classifiers are compared on 5,000 random images of the
    run, if it has more. Raters without an image in common have no row.

    Args:
        store: the run.
        strict: refuse labels that say nothing of the agreement of raters.

    Returns:
        Columns of agreement.csv. `first` and `second` are both `raters` for all raters among each other, without κ;
        `people` stands for what most raters answered.

    Raises:
        UsageError: with `strict`, if there are not two raters with an image in common.
    """
    import pandas as pd

    given = human.labels(store)
    if strict:
        _has_common(store, given)
    rows = [*_of_people(store, given), *_of_classifiers(store)]
    order = {name: place for place, name in enumerate(human.answers(store))}
    return pd.DataFrame(sorted(rows, key=lambda row: order[str(row[0])]), columns=list(AGREEMENT))


def _of_people(store: Store, given: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    known, asked = human.answers(store), questions_of(store)
    if given.empty:
        return
    seen = human.majority(given)
    said = {name: human.predictions(store, name, seen["sample_id"]) for name in asked}
    for attribute, rows in given.groupby("attribute", sort=False):
        answers = known[str(attribute)]
        wide = rows.assign(code=_codes(rows["class"], answers)).pivot(index="sample_id", columns="rater", values="code")
        matrix = wide.fillna(-1).to_numpy(np.int64).T
        names = [str(name) for name in wide.columns]
        if ((matrix >= 0).sum(axis=0) > 1).any():
            yield _row(str(attribute), RATERS, RATERS, matrix, len(answers))
        for (i, one), (j, two) in combinations(enumerate(names), 2):
            pair = matrix[[i, j]]
            if (pair >= 0).all(axis=0).any():
                yield _row(str(attribute), one, two, pair, len(answers))
        people = seen[seen["attribute"] == attribute].set_index("sample_id")["class"]
        for name, questions in asked.items():
            own = {answer for each in questions if each.attribute == attribute for answer in each.classes}
            if not own or not set(people) <= {*own, *NOT_MEASURED}:
                continue
            theirs = said[name][said[name]["attribute"] == attribute].set_index("sample_id")["predicted"]
            theirs = theirs.reindex(people.index)
            pair = np.stack([_codes(people, answers), _codes(theirs, answers)])
            yield _row(str(attribute), PEOPLE, name, pair, len(answers))


def _of_classifiers(store: Store) -> Iterator[tuple[object, ...]]:
    asked = questions_of(store)
    if len(asked) < 2:
        return
    samples = _some(store)
    said = {
        name: human.predictions(store, name, samples).pivot(index="sample_id", columns="attribute", values="predicted")
        for name in asked
    }
    for one, two in combinations(asked, 2):
        for question in asked[one]:
            same = [each for each in asked[two] if each.attribute == question.attribute]
            if not same or set(same[0].classes) != set(question.classes) or not samples:
                continue
            answers = (*question.classes, *NOT_MEASURED)
            pair = np.stack([_codes(said[name][question.attribute].reindex(samples), answers) for name in (one, two)])
            yield _row(question.attribute, one, two, pair, len(answers))


def _row(attribute: str, first: str, second: str, matrix: Codes, k: int) -> tuple[object, ...]:
    """One row of agreement.csv from answers as numbers, raters × images, −1 where missing."""
    digest = hashlib.sha256("|".join([attribute, first, second]).encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    alpha = krippendorff(matrix, k, rng=rng)
    tables = [compare_labels(matrix[i], matrix[j], k) for i, j in combinations(range(len(matrix)), 2)]
    kappa = float(cohen_kappa(tables[0]).value) if first != RATERS else np.nan
    share = percent_agreement(np.sum(tables, axis=0))
    return (
        attribute,
        first,
        second,
        alpha.images,
        share,
        kappa,
        alpha.value,
        alpha.low,
        alpha.high,
        reading(alpha.value),
    )


def _codes(answers: pd.Series[str], known: Sequence[str]) -> Codes:
    """Answers as their places among the known ones, −1 for anything else."""
    places = {name: place for place, name in enumerate(known)}
    return np.array([places.get(answer, -1) for answer in answers], dtype=np.int64)


def _some(store: Store) -> list[str]:
    """At most `IMAGES` images of the run. Sample ids are digests: the first ones in their order are a random choice."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[str] = []
    for *_, table in store.sample_parts(["sample_id", "outcome"]):
        ids: pa.ChunkedArray = table.filter(pc.equal(table["outcome"], "ok"))["sample_id"]
        found = sorted([*found, *ids.to_pylist()])[:IMAGES]
    return found


def _has_common(store: Store, given: pd.DataFrame) -> None:
    raters = list(dict.fromkeys(given["rater"]))
    if len(raters) < 2:
        who = f"only {raters[0]} has" if raters else "nobody has"
        raise UsageError(f"{who} labelled images of {store.root}: agreement needs two raters. Give both one sheet.")
    if len(human.strangers(given)) == len(raters) * (len(raters) - 1) // 2:
        raise UsageError(
            f"the raters of {store.root} ({', '.join(raters)}) have no image in common: their agreement cannot be "
            "computed. Give both one sheet."
        )
