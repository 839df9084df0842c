"""Two runs beside each other. Oracles: pairs counted one by one, scipy's binomial, distances between all images."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from grids import drawn_grid
from hypothesis import given
from hypothesis import strategies as st
from noise_audit import noise_audit
from scipy import stats

import audit
from audit.changes import gap_changes, lost_changes, share_changes
from audit.compared import Settings
from audit.errors import UsageError
from audit.pairs import Answers, Match, Question, match_runs, pair_tables, read_answers
from audit.reference import load_reference
from audit.statistics.intervals import shares
from audit.store import Store

ANSWERS = ("woman", "man", "unclear", "no_person")
SETTINGS = Settings(claim="list", declared=("", "", ""), alpha=0.05, delta=0.05, draws=2000, seed=0, sequential=False)
NAMES = ("one", "other")


def frame(rows: dict[tuple[str, int], str]) -> pd.DataFrame:
    probes, indices = ([key[place] for key in rows] for place in (0, 1))
    return pd.DataFrame({"probe_id": probes, "index": indices, "class": list(rows.values())})


LABELS = st.dictionaries(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), st.sampled_from(ANSWERS), max_size=40)


@given(LABELS, LABELS)
def test_pairs_are_those_counted_one_by_one(old: dict[tuple[str, int], str], new: dict[tuple[str, int], str]) -> None:
    found = pair_tables(frame(old), frame(new), ["c", "a", "b"], ["woman", "man"])
    seen = Counter((key[0], old[key], new[key]) for key in old.keys() & new.keys())
    for j, probe in enumerate("cab"):
        for a, one in enumerate(("woman", "man")):
            for b, two in enumerate(("woman", "man")):
                assert found[j, a, b] == seen[probe, one, two]


@given(LABELS, LABELS, st.permutations(["a", "b", "c", "d"]))
def test_pairs_turn_with_the_runs_and_follow_the_order(
    old: dict[tuple[str, int], str], new: dict[tuple[str, int], str], order: list[str]
) -> None:
    found = pair_tables(frame(old), frame(new), "abcd", ["woman", "man"])
    assert np.array_equal(pair_tables(frame(new), frame(old), "abcd", ["woman", "man"]), found.swapaxes(1, 2))
    assert np.array_equal(pair_tables(frame(old), frame(new), "abcd", ["man", "woman"]), found[:, ::-1, ::-1])
    turned = pair_tables(frame(old).iloc[::-1], frame(new), order, ["woman", "man"])
    assert np.array_equal(turned, found[["abcd".index(name) for name in order]])


def test_an_image_with_two_labels_is_refused() -> None:
    twice = pd.DataFrame({"probe_id": ["a", "a"], "index": [0, 0], "class": ["woman", "man"]})
    with pytest.raises(ValueError, match="two labels"):
        pair_tables(twice, frame({("a", 0): "man"}), ["a"], ["woman", "man"])


def test_a_large_run_is_paired_without_a_loop_over_its_images() -> None:
    rng = np.random.default_rng(1)
    names, index = [f"p{j}" for j in range(150)], np.tile(np.arange(100), 150)
    labels = [
        pd.DataFrame({"probe_id": np.repeat(names, 100), "index": index, "class": rng.choice(ANSWERS, 15_000)})
        for _ in range(2)
    ]
    began = time.process_time()
    tables = [pair_tables(*labels, names, ANSWERS[:2]) for _ in range(3)]
    assert time.process_time() - began < 10
    assert tables[0].shape == (150, 2, 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """Cells of the drawn grid."""
    grid = drawn_grid(tmp_path_factory.getbasetemp())
    return {name: read_answers(Store.open(run.path)) for name, run in grid.runs.items()}


def gender(match: Match) -> Question:
    return next(each for each in match.questions if each.attribute == "gender")


def labels_of(answers: Answers, attribute: str) -> pd.DataFrame:
    labels = answers.labels["phantom"]
    return labels[labels["attribute"] == attribute].set_index(["probe_id", "index"])["class"]


def test_lost_images_are_paired_too(runs: dict[str, Answers]) -> None:
    question = gender(match_runs(runs["base"], runs["shy"]))
    assert question.lost is not None and question.pairs is not None
    assert (question.lost.sum(axis=(1, 2)) == 24).all()
    for table, side in ((question.lost.sum(axis=2), question.baseline), (question.lost.sum(axis=1), question.other)):
        assert np.array_equal(table[:, 1], side.array().sum(axis=1))
    assert np.array_equal(question.lost[:, 1, 1], question.pairs.sum(axis=(1, 2)))
    lost = lost_changes(question, NAMES, SETTINGS).iloc[0]
    one, two = int(question.lost[:, 1, 0].sum()), int(question.lost[:, 0, 1].sum())
    exact = stats.binomtest(min(one, two), one + two).pvalue - stats.binom.pmf(min(one, two), one + two, 0.5)
    assert lost["p_value"] == pytest.approx(exact)
    assert lost["conclusion"] == "higher"
    assert (lost["other_lost"] - lost["baseline_lost"]) / 72 == pytest.approx(lost["difference"])
    assert lost["low"] < lost["difference"] < lost["high"]


def test_changes_of_shares_are_those_of_the_pairs(runs: dict[str, Answers]) -> None:
    question = gender(match_runs(runs["base"], runs["women"]))
    table = share_changes(question, NAMES, SETTINGS)
    old, new = (labels_of(runs[name], "gender") for name in ("base", "women"))
    both = pd.concat([old, new], axis=1, keys=["old", "new"]).dropna()
    both = both[both.isin(["woman", "man"]).all(axis=1)]
    moved = (both["new"] == "woman").astype(int) - (both["old"] == "woman").astype(int)
    women = table[table["class"] == "woman"].set_index("probe_id")
    for probe, mean in moved.groupby("probe_id").mean().items():
        assert women.loc[probe, "difference"] == pytest.approx(mean)
    assert women.loc["", "difference"] == pytest.approx(moved.groupby("probe_id").mean().mean())
    assert women.loc["", "pairs"] == len(both)
    up, down = int((moved > 0).sum()), int((moved < 0).sum())
    exact = stats.binomtest(min(up, down), up + down).pvalue - stats.binom.pmf(min(up, down), up + down, 0.5)
    assert women.loc["", "p_value"] == pytest.approx(exact)
    assert women.loc["builder.en.portrait", "conclusion"] == "higher"


def test_where_many_images_are_lost_all_labelled_images_are_compared(runs: dict[str, Answers]) -> None:
    question = gender(match_runs(runs["base"], runs["shy"]))
    table = share_changes(question, NAMES, SETTINGS)
    assert set(table["pairs"]) == {0}
    assert set(table["method"]) == {"cochran_mantel_haenszel"}
    women = table[(table["class"] == "woman") & (table["probe_id"] != "")]
    expected = shares(question.other.array()) - shares(question.baseline.array())
    assert women["difference"].tolist() == pytest.approx(expected[:, 0].tolist())
    both = table["other_share"] - table["baseline_share"]
    assert both.tolist() == pytest.approx(table["difference"].tolist())


def distance(images: npt.NDArray[np.int64], reference: npt.NDArray[np.float64]) -> float:
    """Mean product of the vectors of two different images, over the largest possible one: G² without bias."""
    vectors = np.eye(len(reference))[images] - reference
    products = [float(vectors[i] @ vectors[j]) for i, j in combinations(range(len(images)), 2)]
    return float(np.mean(products) / max(np.square(np.eye(len(reference)) - reference).sum(axis=1)))


def test_the_change_of_the_gap_is_that_of_distances_between_images(runs: dict[str, Answers]) -> None:
    for attribute, classes in (("gender", ["woman", "man"]), ("ethnicity", ["ivory", "honey", "copper", "umber"])):
        question = next(q for q in match_runs(runs["base"], runs["women"]).questions if q.attribute == attribute)
        row = gap_changes(question, [load_reference("uniform")], NAMES, SETTINGS).iloc[0]
        squared = []
        for name in ("base", "women"):
            seen = labels_of(runs[name], attribute)
            seen = seen[seen.isin(classes)]
            reference = np.full(len(classes), 1 / len(classes))
            coded = [np.array([classes.index(c) for c in each]) for _, each in seen.groupby("probe_id")]
            squared.append(np.mean([distance(each, reference) for each in coded]))
        old, new = np.sqrt(np.maximum(squared, 0))
        assert row["baseline_gap"] == pytest.approx(old)
        assert row["other_gap"] == pytest.approx(new)
        assert row["change"] == pytest.approx(new - old)
        assert row["low"] <= row["change"] <= row["high"]


def test_a_run_beside_itself_has_not_changed(runs: dict[str, Answers]) -> None:
    """Where the same answers come from what is known to be the same, the change is known too."""
    for other in ("base", "same"):
        match = match_runs(runs["base"], runs[other])
        assert (match.unpaired, match.left_out) == ("", ())
        for question in match.questions:
            gaps = gap_changes(question, [load_reference("uniform")], NAMES, SETTINGS)
            assert (gaps["change"] == 0).all() and (gaps["p_value"] == 1).all()
            assert ((gaps["low"] == 0) & (gaps["high"] == 0)).all() == (other == "base")
            assert ((gaps["low"] <= 0) & (gaps["high"] >= 0)).all()
            table = share_changes(question, NAMES, SETTINGS)
            assert (table["difference"] == 0).all() and (table["p_value"] == 1).all()


def test_turned_around_every_change_has_the_other_sign(runs: dict[str, Answers]) -> None:
    there, back = (gender(match_runs(*pair)) for pair in ((runs["base"], runs["women"]), (runs["women"], runs["base"])))
    one, two = (share_changes(each, NAMES, SETTINGS) for each in (there, back))
    assert one["difference"].to_numpy() == pytest.approx(-two["difference"].to_numpy())
    assert one["p_value"].to_numpy() == pytest.approx(two["p_value"].to_numpy())
    one, two = (gap_changes(each, [load_reference("uniform")], NAMES, SETTINGS).iloc[0] for each in (there, back))
    assert (one["change"], one["low"]) == pytest.approx((-two["change"], -two["high"]), abs=0.05)


def test_for_a_claim_about_such_probes_the_interval_is_no_narrower(runs: dict[str, Answers]) -> None:
    question = gender(match_runs(runs["base"], runs["women"]))
    found = [
        gap_changes(question, [load_reference("uniform")], NAMES, SETTINGS._replace(claim=claim)).iloc[0]
        for claim in ("list", "population")
    ]
    assert found[0]["change"] == pytest.approx(found[1]["change"])
    assert found[1]["high"] - found[1]["low"] >= found[0]["high"] - found[0]["low"]
    assert found[1]["claim"] == "population"


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    return read_answers(Store.open(noise_audit(tmp_path_factory.mktemp("noise") / "a", report=False)))


def test_what_is_no_pair_says_why(noise: Answers) -> None:
    assert match_runs(noise, noise).unpaired == ""

    def other(**changes: object) -> Answers:
        return dataclasses.replace(noise, name="b", record={**noise.record, **changes})

    for changes, said in (
        ({"plan": {**noise.record["plan"], "seed": 2}}, "different seeds (1 and 2)"),
        ({"plan": {"batches": 1}}, "made by others"),
        ({"model": {"fingerprint": {"kind": "images-api", "seeded": False}}}, "takes no seeds"),
    ):
        match = match_runs(noise, other(**changes))
        assert said in match.unpaired
        (question,) = match.questions
        assert question.pairs is None and question.lost is None
        assert set(share_changes(question, NAMES, SETTINGS)["pairs"]) == {0}
        assert lost_changes(question, NAMES, SETTINGS)["pairs"].tolist() == [0]
        assert len(gap_changes(question, [load_reference("uniform")], NAMES, SETTINGS)) == 1


def test_runs_that_do_not_fit_are_refused_in_one_line(noise: Answers, runs: dict[str, Answers]) -> None:
    with pytest.raises(UsageError, match="no probe in common"):
        match_runs(noise, runs["base"])
    probe = dataclasses.replace(noise.probes[0], text="another prompt")
    with pytest.raises(UsageError, match="is another prompt in b"):
        match_runs(noise, dataclasses.replace(noise, name="b", probes=(probe,)))
    entry = {**noise.record["classifiers"]["tint"], "fingerprint": {"kind": "tint", "margin": 0.5}}
    other = dataclasses.replace(noise, name="b", record={**noise.record, "classifiers": {"tint": entry}})
    with pytest.raises(UsageError, match=r"no classifier and attribute in common: tint is another .* rolecall label"):
        match_runs(noise, other)


def test_probes_of_one_run_alone_are_named_and_left_out(noise: Answers) -> None:
    counts = {
        key: dataclasses.replace(each, table=each.table.iloc[:1].reset_index(drop=True))
        for key, each in noise.counts.items()
    }
    match = match_runs(noise, dataclasses.replace(noise, name="b", probes=noise.probes[:1], counts=counts))
    assert match.left_out == ("1 probes are only in a.",)
    assert [len(question.probes) for question in match.questions] == [1]


def test_a_run_of_another_length_is_paired_as_far_as_both_go(noise: Answers, tmp_path: Path) -> None:
    longer = read_answers(Store.open(noise_audit(tmp_path / "b", images=20, report=False)))
    (question,) = match_runs(noise, longer).questions
    assert question.pairs is not None and question.lost is not None
    assert (question.lost.sum(axis=(1, 2)) == 12).all()
    assert np.array_equal(question.lost[:, 1, 1], question.pairs.sum(axis=(1, 2)))
    assert not question.lost[:, 0, 1].any() and not question.lost[:, 1, 0].any()
    assert audit.open(tmp_path / "b").complete
