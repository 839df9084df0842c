"""agreement.csv: raters among each other, people and classifiers, classifiers with each other.

Oracle: agreement and κ are counted anew from the labels; α is Krippendorff's coincidence formula in plain Python.
"""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Tint, noise_run

from audit import human
from audit.agreements import AGREEMENT, agreement_table
from audit.annotation import draw
from audit.errors import UsageError
from audit.progress import Progress
from audit.runner import label
from audit.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_run(tmp_path_factory.mktemp("noise") / "run", images=40)[0].root


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(made, tmp_path / "run")))


def labels(store: Store, shares: dict[str, slice], wrong: float = 0.3) -> pd.DataFrame:
    """Answers of raters to parts of one draw: what the instrument says, but for a random part."""
    samples = draw(store, 90, 0).table["sample_id"]
    said = human.predictions(store, "tint", samples).set_index("sample_id")["predicted"]
    rng = np.random.default_rng(0)
    rows = []
    for rater, part in shares.items():
        for sample in samples[part]:
            answer = rng.choice(["woman", "man", "unclear"]) if rng.random() < wrong else said[sample]
            rows.append((sample, rater, "gender", answer, "all", 0.5))
    table = human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in rows)
    human.write(store, table)
    return table


def alpha(table: pd.DataFrame) -> float:
    """1 − observed / expected disagreement of the coincidences (Krippendorff 2004, nominal)."""
    pairs: Counter[tuple[str, str]] = Counter()
    for _, rows in table.groupby("sample_id"):
        for one, two in permutations(rows["class"], 2):
            pairs[one, two] += 1 / (len(rows) - 1)  # type: ignore[assignment]
    totals: Counter[str] = Counter()
    for (one, _), number in pairs.items():
        totals[one] += number
    n = sum(totals.values())
    observed = sum(number for (one, two), number in pairs.items() if one != two)
    expected = sum(totals[a] * totals[b] for a in totals for b in totals if a != b) / (n - 1)
    return 1 - observed / expected


def test_without_labels_and_with_one_classifier_there_are_no_rows(store: Store) -> None:
    table = agreement_table(store)
    assert list(table) == list(AGREEMENT)
    assert table.empty
    with pytest.raises(UsageError, match=r"^nobody has labelled images of .*: agreement needs two raters\."):
        agreement_table(store, strict=True)


def test_raters_pairs_and_people_with_the_classifier(store: Store) -> None:
    given = labels(store, {"anna": slice(0, 60), "ben": slice(30, 90), "carla": slice(80, 90)})
    table = agreement_table(store, strict=True).set_index(["first", "second"])
    assert list(table.index) == [("raters", "raters"), ("anna", "ben"), ("ben", "carla"), ("people", "tint")]
    assert table["images"].tolist() == [40, 30, 10, 90]
    common = given[given.duplicated("sample_id", keep=False)]
    assert table.loc[("raters", "raters"), "alpha"] == pytest.approx(alpha(common), abs=1e-12)
    both = given[given["rater"] != "carla"]
    both = both[both.duplicated("sample_id", keep=False)]
    row = table.loc[("anna", "ben")]
    assert row["alpha"] == pytest.approx(alpha(both), abs=1e-12)
    wide = both.pivot(index="sample_id", columns="rater", values="class")
    observed = (wide["anna"] == wide["ben"]).mean()
    chance = sum((wide["anna"] == answer).mean() * (wide["ben"] == answer).mean() for answer in set(both["class"]))
    assert row["agreement"] == pytest.approx(observed)
    assert row["kappa"] == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)
    people = human.majority(given).set_index("sample_id")["class"]
    said = human.predictions(store, "tint", people.index).set_index("sample_id")["predicted"]
    assert table.loc[("people", "tint"), "agreement"] == pytest.approx((people == said.loc[people.index]).mean())
    assert np.isnan(table.loc[("raters", "raters"), "kappa"])
    assert (table["alpha_low"] <= table["alpha"]).all() and (table["alpha"] <= table["alpha_high"]).all()
    assert set(table["reading"]) <= {"usable", "tentative", "not_measurable"}
    pd.testing.assert_frame_equal(agreement_table(store), agreement_table(store))


def test_raters_who_agree_are_usable_and_guessing_is_not_measurable(store: Store) -> None:
    labels(store, {"anna": slice(0, 90), "ben": slice(0, 90)}, wrong=0)
    assert set(agreement_table(store)["reading"]) == {"usable"}
    labels(store, {"anna": slice(0, 90), "ben": slice(0, 90)}, wrong=1)
    assert set(agreement_table(store)["reading"]) == {"not_measurable"}


def test_raters_without_an_image_in_common_have_no_row(store: Store) -> None:
    labels(store, {"anna": slice(0, 40), "ben": slice(40, 90)})
    table = agreement_table(store)
    assert table[["first", "second"]].to_numpy().tolist() == [["people", "tint"]]
    with pytest.raises(
        UsageError, match=r"\(anna, ben\) have no image in common: their agreement cannot be computed\."
    ):
        agreement_table(store, strict=True)
    labels(store, {"anna": slice(0, 40)})
    with pytest.raises(UsageError, match=r"^only anna has labelled images of .*: agreement needs two raters\."):
        agreement_table(store, strict=True)


def test_two_classifiers_are_compared_on_the_runs_images(store: Store) -> None:
    strict = Tint(margin=4)
    strict.name = "strict"
    record = store.record()["classifiers"]
    entry = {**record["tint"], "fingerprint": strict.fingerprint()}
    store.update(classifiers={**record, "strict": entry})
    label(store, strict, progress=Progress())
    (row,) = agreement_table(store).to_dict("records")
    samples = draw(store, 999, 0).table["sample_id"]
    one, two = (human.predictions(store, n, samples).set_index("sample_id")["predicted"] for n in ("tint", "strict"))
    assert (row["first"], row["second"], row["images"]) == ("tint", "strict", len(samples))
    assert row["agreement"] == pytest.approx((one == two.loc[one.index]).mean())
    assert 0 < row["agreement"] < 1
