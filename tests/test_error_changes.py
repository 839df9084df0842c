"""Whether a classifier's errors differ between two runs. Oracles: exact enumeration of the hypergeometric distribution,
and rates put back into what a classifier reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from stored import CLASSES, drawn, store_run

import audit


def answers(seed: int, tilt: float = 0.0) -> dict[str, np.ndarray]:
    """Answers of a model that shows so many women more than half."""
    women = np.linspace(0.3, 0.6, 12) + tilt
    return {"gender": drawn(np.column_stack([women, 1 - women]), 30, CLASSES["gender"], np.random.default_rng(seed))}


def labelled(folder: Path, given: dict[str, np.ndarray], wrong: int, number: int, chance: float = 0.1) -> Path:
    """A run of which people labelled the first images perceived as women: in `wrong` of them they saw a man."""
    store_run(folder, given)
    samples = audit.open(folder).samples()
    women = samples[given["gender"].ravel() == "woman"].head(number)
    rows = pd.DataFrame({"sample_id": women["sample_id"], "rater": "anna", "attribute": "gender"})
    rows = rows.assign(**{"class": ["man"] * wrong + ["woman"] * (number - wrong), "stratum": "all"})
    chances = np.where(np.arange(number) < wrong, 0.1, chance)
    rows.assign(sampling_probability=chances).to_csv(folder / "labels.csv", index=False)
    audit.read_labels(folder, [folder / "labels.csv"], report=False)
    return folder


def test_whether_the_errors_differ_is_tested_where_people_labelled_both(tmp_path: Path) -> None:
    """Of what people call a man all was called a woman; of what they call a woman, too: nothing differs. Where the new
    run's men are called men, it does: exact enumeration over the hypergeometric distribution."""
    labelled(tmp_path / "old", answers(1), 4, 40)
    labelled(tmp_path / "new", answers(2), 4, 40)
    new = tmp_path / "new" / "men.csv"
    samples = audit.open(tmp_path / "new").samples()
    men = samples[answers(2)["gender"].ravel() == "man"].head(12)
    rows = pd.DataFrame({"sample_id": men["sample_id"], "rater": "anna", "attribute": "gender", "class": "man"})
    rows.assign(stratum="all", sampling_probability=0.1).to_csv(new, index=False)
    before = audit.compare(tmp_path / "new", tmp_path / "old").errors()
    assert set(before.query("attribute == 'gender'")["conclusion"]) == {"not_shown"}
    audit.read_labels(tmp_path / "new", [new], report=False)
    found = audit.compare(tmp_path / "new", tmp_path / "old", check=True).errors().set_index(["attribute", "class"])
    row = found.loc["gender", "woman"]
    assert [row[f"baseline_{name}"] for name in ("labels", "errors")] == [40, 4]
    assert [row[f"other_{name}"] for name in ("labels", "errors")] == [52, 4]
    # Of 20 men in all, 8 were called women: 4 of the 4 of the old run, 4 of the 16 of the new one.
    count = np.arange(5)
    chance = stats.hypergeom.pmf(count, 20, 8, 4)
    exact = chance[np.abs(count - 4 * 8 / 20) >= 4 - 4 * 8 / 20 - 1e-9].sum()
    assert row["p_value"] == pytest.approx(exact, abs=0.02)
    assert row["conclusion"] == "differ"
    assert row["other_expected"] == pytest.approx(16 * 8 / 20)


def test_labels_that_were_chosen_by_the_answers_tell_nothing_about_two_runs(tmp_path: Path) -> None:
    labelled(tmp_path / "old", answers(1), 4, 40)
    labelled(tmp_path / "new", answers(2), 20, 40, chance=0.3)
    found = audit.compare(tmp_path / "new", tmp_path / "old")
    assert set(found.errors()["conclusion"]) == {"unknown"}
    assert "errors of chosen in gender: unknown, as people have not labelled" in str(found)


def test_the_difference_of_rates_that_explains_a_change_makes_it(tmp_path: Path) -> None:
    store_run(tmp_path / "old", answers(1))
    store_run(tmp_path / "skewed", answers(2, tilt=0.3))
    skewed = audit.compare(tmp_path / "skewed", tmp_path / "old")
    whole = skewed.changes().query("probe_id == '' and attribute == 'gender'").set_index("class")
    for name, row in skewed.errors().query("attribute == 'gender'").set_index("class").iterrows():
        share = whole.loc[name, ["baseline_share", "other_share"]].mean()
        for rate, part in (("sensitivity", share), ("specificity", 1 - share)):
            if np.isnan(row[rate]):
                assert abs(row["difference"]) > part
            else:
                assert row[rate] * part == pytest.approx(abs(row["difference"]))
                assert row[f"least_{rate}"] * part == pytest.approx(min(abs(row["low"]), abs(row["high"])))
