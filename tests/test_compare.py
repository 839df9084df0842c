"""`rolecall compare`. Oracles: statsmodels' and scipy's tests, distances between all images, exact enumeration of
errors. Real pairs are in test_real_pairs.py."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests
from stored import CLASSES, drawn, probes_of, store_run

import audit
from audit.comparing import TABLES, compare_answers
from audit.counting import counts_of
from audit.pairs import Answers, read_answers
from audit.store import Store

PROBES, IMAGES = 12, 30
SIGNED = ("change", "difference")


def answers(seed: int, tilt: float = 0.0, lost: float = 0.0) -> dict[str, np.ndarray]:
    """Answers of a model that shows so many women more than half, and of which some images show nobody."""
    rng = np.random.default_rng(seed)
    base = np.linspace(0.3, 0.6, PROBES) + tilt
    found = {
        "gender": drawn(np.column_stack([base, 1 - base]), IMAGES, CLASSES["gender"], rng),
        "age": drawn(np.tile([0.3, 0.4, 0.3], (PROBES, 1)), IMAGES, CLASSES["age"], rng),
    }
    gone = rng.random((PROBES, IMAGES)) < lost
    return {name: np.where(gone, "no_person", values) for name, values in found.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one suite."""
    folder = tmp_path_factory.mktemp("runs")
    store_run(folder / "old", answers(1))
    store_run(folder / "skewed", answers(2, tilt=0.3, lost=0.03))
    store_run(folder / "reseeded", answers(3, tilt=0.1, lost=0.2), seed=7)
    audit.export_baseline(folder / "old", folder / "old.json")
    audit.export_baseline(folder / "skewed", folder / "skewed.json")
    return folder


@pytest.fixture(scope="module")
def skewed(runs: Path) -> audit.Comparison:
    return audit.compare(runs / "skewed", runs / "old")


def tables(found: audit.Comparison) -> dict[str, pd.DataFrame]:
    return {name: found.table(name) for name in TABLES}


# -- figures -----------------------------------------------------------------------------------------------------------


def squared_gap(labels: np.ndarray, classes: tuple[str, ...], reference: np.ndarray) -> float:
    """Mean product of the deviations of two different images from the reference, of its largest value."""
    vectors = np.array([[answer == name for name in classes] for answer in labels if answer in classes]) - reference
    products = vectors @ vectors.T
    largest = max(((row - reference) ** 2).sum() for row in np.eye(len(classes)))
    return float(products[~np.eye(len(vectors), dtype=bool)].mean() / largest)


def test_gaps_are_those_of_all_pairs_of_images(skewed: audit.Comparison) -> None:
    row = skewed.gaps().iloc[0]
    assert (row["attribute"], row["status"], row["conclusion"]) == ("gender", "declared", "higher")
    half = np.full(2, 0.5)
    for column, side in (("baseline_gap", answers(1)), ("other_gap", answers(2, tilt=0.3, lost=0.03))):
        squared = np.mean([squared_gap(labels, CLASSES["gender"], half) for labels in side["gender"]])
        assert row[column] == pytest.approx(np.sqrt(max(squared, 0.0)))
    assert row["low"] < row["change"] < row["high"]
    assert row["change"] == pytest.approx(row["other_gap"] - row["baseline_gap"])


def test_probes_that_moved_are_those_of_the_adjusted_tests_of_their_pairs(skewed: audit.Comparison) -> None:
    old, new = answers(1)["gender"], answers(2, tilt=0.3, lost=0.03)["gender"]
    p = []
    for one, two in zip(old, new, strict=True):
        up, down = (int(((one == a) & (two == b)).sum()) for a, b in (("man", "woman"), ("woman", "man")))
        least = stats.binom.pmf(min(up, down), up + down, 0.5)
        p.append(min(1.0, stats.binomtest(up, up + down).pvalue - least))
    adjusted = multipletests(p, method="fdr_bh")[1]
    changes = skewed.changes()
    women = changes[(changes["class"] == "woman") & (changes["probe_id"] != "")]
    assert women["p_adjusted"].tolist() == pytest.approx(adjusted.tolist())
    beyond = (adjusted < 0.05) & (women["low"].to_numpy() > 0.05)
    assert (women["conclusion"] == "higher").tolist() == beyond.tolist()
    assert set(skewed.moved()["class"]) == {"woman"}  # of two classes that change alike, the first
    assert skewed.moved()["probe_id"].nunique() == len(skewed.moved()) == beyond.sum() > 2


def test_without_shared_seeds_it_is_two_samples_and_says_so(runs: Path) -> None:
    found = audit.compare(runs / "reseeded", runs / "old")
    assert not found.paired and "different seeds (0 and 7)" in found.unpaired
    assert "not in pairs: the runs have different seeds (0 and 7)" in str(found)
    sides = [given["gender"] for given in (answers(3, tilt=0.1, lost=0.2), answers(1))]
    cells = [[[int((side[j] == c).sum()) for c in CLASSES["gender"]] for side in sides] for j in range(PROBES)]
    whole = found.changes().query("probe_id == '' and `class` == 'woman'").iloc[0]
    tested = StratifiedTable([np.array(each) for each in cells]).test_null_odds(correction=False)
    assert whole["p_value"] == pytest.approx(tested.pvalue)
    shares = [np.array(cells)[:, side, 0] / np.array(cells)[:, side].sum(axis=1) for side in (0, 1)]
    assert whole["difference"] == pytest.approx((shares[0] - shares[1]).mean())
    lost = found.lost().iloc[0]
    gone = int((sides[0] == "no_person").sum())
    assert (lost["other_lost"], lost["baseline_lost"], lost["conclusion"]) == (gone, 0, "higher")
    assert lost["difference"] == pytest.approx(gone / (PROBES * IMAGES))
    assert lost["pairs"] == 0


@pytest.mark.parametrize("name", ["skewed", "reseeded"])
def test_turned_round_all_changes_turn_their_signs(runs: Path, name: str) -> None:
    there, back = (tables(audit.compare(runs / a, runs / b)) for a, b in ((name, "old"), ("old", name)))
    for table in there:
        one, two = there[table], back[table]
        signed = next(column for column in SIGNED if column in one)
        assert one[signed].tolist() == pytest.approx((-two[signed]).tolist(), abs=1e-12)
        # The width that a gap keeps where all images agree is that of the new run (audit.statistics.gap_change).
        assert one["low"].tolist() == pytest.approx(
            (-two["high"]).tolist(), abs=0.005 if table == "gap_changes" else 1e-9
        )
    assert there["error_changes"]["sensitivity"].tolist() == pytest.approx(
        back["error_changes"]["sensitivity"].tolist(), nan_ok=True
    )


def test_the_same_run_changes_nothing(runs: Path) -> None:
    found = audit.compare(runs / "old", runs / "old")
    assert found.paired and found.old != found.new
    gaps, lost = found.gaps(), found.lost()
    assert gaps[["change", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]] * len(gaps)
    assert set(gaps["p_value"]) == set(found.changes()["p_value"]) == {1.0}
    assert set(found.changes()["difference"]) == set(lost["difference"]) == {0}
    assert found.moved().empty
    assert set(found.errors()["sensitivity"]) == {0}


def test_two_of_one_name_are_told_apart_by_their_folders(runs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(runs / "old", tmp_path / "week-2" / "old"))
    found = audit.compare(copy, runs / "old")
    assert (found.new, found.old) == ("week-2/old", f"{runs.name}/old")
    assert found.folder == copy / "comparisons" / "old"
    assert set(found.gaps()["other"]) == {"week-2/old"}


def test_probes_that_cannot_be_compared_leave_tables_empty(tmp_path: Path) -> None:
    several = probes_of(2, people="several")
    for name, seed in (("old", 1), ("new", 2)):
        given = {"gender": answers(seed)["gender"][:2, :6]}
        store_run(tmp_path / name, given, probes=several)
    found = audit.compare(tmp_path / "new", tmp_path / "old")
    assert all(table.empty and tuple(table) == tuple(TABLES[name]) for name, table in tables(found).items())
    assert str(found) == "new against old: 2 probes, in pairs with equal seeds."
    assert "nothing is compared" in found.report().read_text(encoding="utf-8")


@pytest.mark.parametrize(("new", "old"), [("skewed.json", "old"), ("skewed", "old.json"), ("skewed.json", "old.json")])
def test_baseline_files_stand_for_their_runs(runs: Path, skewed: audit.Comparison, new: str, old: str) -> None:
    found = audit.compare(runs / new, runs / old)
    assert found.paired
    for name, table in tables(found).items():
        pd.testing.assert_frame_equal(table, skewed.table(name))


ORDERS = st.permutations(["young", "middle_aged", "older"])


@given(ORDERS, st.integers(0, 2**16))
@examples(max_examples=10)
def test_other_names_of_the_classes_change_no_figure(order: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = [drawn(np.tile([0.5, 0.2, 0.3], (4, 1)), 8, CLASSES["age"], rng) for _ in range(2)]
    renamed = dict(zip(CLASSES["age"], order, strict=True))
    plain = compare_answers((_chosen("old", draws[0]), _chosen("new", draws[1])), reference="uniform")
    turned = [np.vectorize(renamed.get)(labels) for labels in draws]
    other = compare_answers((_chosen("old", turned[0]), _chosen("new", turned[1])), reference="uniform")
    columns = ["baseline_gap", "other_gap", "change", "low", "high", "p_value"]
    assert other.gaps()[columns].to_numpy() == pytest.approx(plain.gaps()[columns].to_numpy(), abs=1e-9)
    one, two = (each.changes().set_index(["probe_id", "class"])["difference"] for each in (plain, other))
    assert [two[probe, renamed[name]] for probe, name in one.index] == pytest.approx(one.tolist(), nan_ok=True)
    assert other.lost()["difference"].tolist() == plain.lost()["difference"].tolist()


def _chosen(name: str, labels: np.ndarray, seed: int | None = 0) -> Answers:
    """Answers without a run, J × n of three classes that are not ordered."""
    j, n = labels.shape
    probes = tuple(probes_of(j))
    ids = [probe.probe_id for probe in probes]
    question = {"attribute": "age", "classes": list(CLASSES["age"]), "ordered": False}
    frame = pd.DataFrame(
        {"probe_id": np.repeat(ids, n), "index": np.tile(np.arange(n), j), "attribute": "age", "class": labels.ravel()}
    )
    tally = Counter(zip(frame["probe_id"], frame["attribute"], frame["class"], strict=True))
    outcomes = {(probe, "ok"): n for probe in ids}
    counts = counts_of("chosen", question, probes, dict.fromkeys(ids, n), outcomes, tally)
    return _answers(name, probes, counts, {"chosen": frame}, seed)


def _answers(name: str, probes: Any, counts: Any, labels: Any, seed: int | None) -> Answers:
    from audit.corrections import Evidence

    record = {
        "model": {"name": name, "fingerprint": {}},
        "plan": {"seed": seed},
        "config": {"resolved": {"draws": 200}},
        "classifiers": {"chosen": {"fingerprint": {}, "card": {}}},
    }
    key = ("chosen", counts.attribute)
    return Answers(name, record, probes, {key: counts}, labels, {key: Evidence(people=seed is None)})


# -- what is refused, and what is left out -----------------------------------------------------------------------------


def test_only_some_probes_in_common_are_compared_and_said(runs: Path, tmp_path: Path) -> None:
    some = {name: values[:9] for name, values in answers(4).items()}
    store_run(tmp_path / "some", some)
    found = audit.compare(tmp_path / "some", runs / "old")
    assert found.probes == 9 and found.left_out == ("3 probes are only in old.",)
    assert "3 probes are only in old." in str(found) and "3 probes are only in old." in found._repr_html_()
    said = json.loads(call("compare", tmp_path / "some", runs / "old", "--json").out)
    assert (said["probes"], said["left_out"]) == (9, ["3 probes are only in old."])


def test_a_longer_baseline_is_compared_by_the_images_that_both_have(runs: Path, tmp_path: Path) -> None:
    more = {name: np.concatenate([first, first[:, ::-1]], axis=1) for name, first in answers(1).items()}
    longer = audit.compare(runs / "skewed", store_run(tmp_path / "old", more))
    same = audit.compare(runs / "skewed", runs / "old")
    assert longer.left_out == ("old has more images of a probe: those that both have are compared.",)
    for name, table in tables(same).items():
        pd.testing.assert_frame_equal(longer.table(name), table)


def test_of_a_single_subject_nothing_is_known_beyond_it(tmp_path: Path) -> None:
    first = {name: values[:1] for name, values in answers(1).items()}
    found = audit.compare(store_run(tmp_path / "b", first), store_run(tmp_path / "a", first), claim="population")
    assert set(found.gaps()["conclusion"]) == {"inconclusive"}
    assert found.gaps()[["low", "high"]].notna().all(axis=None)


def test_runs_that_do_not_fit_are_refused_in_one_line(runs: Path, tmp_path: Path) -> None:
    given = {name: values[:, :5] for name, values in answers(1).items()}
    store_run(tmp_path / "instrument", given, classifier="another")
    store_run(tmp_path / "classes", {"gender": given["gender"]}, classes={"gender": ("man", "woman")})
    other = [type(each)(each.probe_id, "a drawing", each.subject, each.kind) for each in probes_of(PROBES)]
    store_run(tmp_path / "suite", given, probes=other)
    apart = [type(each)(f"x-{each.probe_id}", each.text, each.subject, each.kind) for each in probes_of(PROBES)]
    store_run(tmp_path / "apart", given, probes=apart)
    for name, said in {
        "instrument": "no classifier and attribute in common: instrument has no gender by chosen.",
        "classes": "gender by chosen has other classes in classes.",
        "suite": "is another prompt in suite",
        "apart": "have no probe in common",
    }.items():
        assert said in refused(call("compare", tmp_path / name, runs / "old"))
        assert not (tmp_path / name / "comparisons").exists()


def test_what_is_no_finished_run_is_refused_in_one_line(runs: Path, tmp_path: Path) -> None:
    begun, changed = (Path(shutil.copytree(runs / "old", tmp_path / name)) for name in ("begun", "changed"))
    record = json.loads((begun / "run.json").read_text())
    record["plan"]["batches"] += 1
    (begun / "run.json").write_text(json.dumps(record))
    assert "is not complete" in refused(call("compare", begun, runs / "old"))
    (labels,) = (changed / "labels" / "chosen").glob("*.parquet")
    labels.write_bytes(labels.read_bytes() + b"\0")
    assert "was changed after the run was analysed" in refused(call("compare", runs / "old", changed))
    assert "no run directory" in refused(call("compare", runs / "old", tmp_path / "nowhere"))
    text = (runs / "old.json").read_text().replace('"old"', '"OLD"')
    (tmp_path / "hand.json").write_text(text)
    assert "was changed after it was written" in refused(call("compare", runs / "old", tmp_path / "hand.json"))


def test_wrong_use_is_refused_in_one_line(runs: Path) -> None:
    old, new = runs / "old", runs / "skewed"
    assert "unknown reference 'unform'" in refused(call("compare", new, old, "--reference", "unform"))
    assert "--out FOLDER" in refused(call("compare", runs / "skewed.json", old))
    assert "'--claim'" in refused(call("compare", new, old, "--claim", "all"))
    with pytest.raises(audit.UsageError, match="no claim 'all'"):
        audit.compare(new, old, claim="all")
    with pytest.raises(audit.UsageError, match="no table 'gap_change'"):
        audit.compare(new, old).table("gap_change")


def test_references_of_either_run_are_used_and_own_ones_are_named(runs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("subject,attribute,class,share\n*,gender,woman,0.3\n*,gender,man,0.7\n")
    given = {"gender": answers(5)["gender"]}
    store_run(tmp_path / "new", given, reference=(str(own), "uniform"))
    found = audit.compare(tmp_path / "new", runs / "old")
    assert set(found.gaps()["reference"]) == {"own", "uniform"}
    assert found.gaps().query("reference == 'own'")["status"].tolist() == ["declared"]
    audit.export_baseline(tmp_path / "new", tmp_path / "new.json")
    files = audit.compare(tmp_path / "new.json", runs / "old.json")
    assert set(files.gaps()["reference"]) == {"uniform"}
    assert any(text.startswith("own is left out: a baseline file") for text in files.left_out)
    named = audit.compare(tmp_path / "new.json", runs / "old.json", reference=str(own))
    columns = ["change", "low", "high"]
    expected = found.gaps().query("reference == 'own'")[columns]
    assert named.gaps()[columns].to_numpy() == pytest.approx(expected.to_numpy())
    own.write_text("subject,attribute,class,share\n*,gender,woman,0.4\n*,gender,man,0.6\n")
    store_run(tmp_path / "later", given, reference=(str(own), "uniform"))
    later = audit.compare(tmp_path / "later", tmp_path / "new")
    assert "different versions of own" in " ".join(later.left_out)


def test_a_claim_about_such_probes_is_wider(runs: Path, skewed: audit.Comparison) -> None:
    wider = audit.compare(runs / "skewed", runs / "old", claim="population")
    assert set(wider.gaps()["claim"]) == {"population"}
    width = [(each.gaps()["high"] - each.gaps()["low"]).to_numpy() for each in (wider, skewed)]
    assert (width[0] >= width[1] - 1e-12).all()


def test_exploratory_rows_are_adjusted_together(runs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("subject,attribute,class,share\n*,gender,woman,0.3\n*,gender,man,0.7\n")
    table = audit.compare(runs / "reseeded", runs / "old", reference=["uniform", str(own)]).gaps()
    free = table[table["status"] == "exploratory"]
    assert len(free) > 1
    adjusted = multipletests(free["p_value"], method="holm")[1]
    assert free["p_adjusted"].tolist() == pytest.approx(adjusted.tolist())
    assert set(free.loc[free["p_adjusted"] >= 0.05, "conclusion"]) <= {"close", "inconclusive"}


# -- the command -------------------------------------------------------------------------------------------------------


def test_it_writes_tables_into_the_new_run_which_stays_as_it_was(runs: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(runs / "skewed", tmp_path / "new"))
    answer = call("compare", new, runs / "old")
    folder = new / "comparisons" / "old"
    assert (answer.code, answer.err) == (0, "") and answer.out.endswith(f"Tables: {folder}\n"), answer
    assert answer.out.startswith(
        "skewed against old: 12 probes, in pairs with equal seeds.\ngap of gender from uniform"
    )
    assert {path.name for path in folder.iterdir()} == {f"{name}.csv" for name in TABLES}
    for name, columns in TABLES.items():
        assert tuple(pd.read_csv(folder / f"{name}.csv", nrows=1).columns) == tuple(columns)
    quiet = call("compare", new, runs / "old.json", "--quiet", "--out", tmp_path / "there")
    assert quiet.out == f"Tables: {tmp_path / 'there'}\n"
    audit.analyze(new, report=False)
    assert call("gate", new, "--baseline", runs / "old").code == 3
    before = read_answers(Store.open(new))
    assert before.name == "skewed" and folder.is_dir()


def test_as_json_it_is_what_the_tables_say(runs: Path, skewed: audit.Comparison, tmp_path: Path) -> None:
    answer = call("compare", runs / "skewed", runs / "old", "--json", "--out", tmp_path)
    said = json.loads(answer.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert said["paired"] and said["report"] is None and said["folder"] == str(tmp_path)
    assert [row["change"] for row in said["gap_changes"]] == pytest.approx(skewed.gaps()["change"].tolist())
    assert len(said["moved"]) == len(skewed.moved())
    assert said["error_changes"][0]["p_value"] is None


def test_a_run_of_the_first_schema_is_compared(tmp_path: Path) -> None:
    old = Path(__file__).parent / "data" / "run-schema-1"
    found = audit.compare(old, old, check=True)
    assert set(found.gaps()["change"]) == {0}
    assert "phantom is compared with its own world only" in refused(
        call("compare", old, old, "--reference", "uniform", "--out", tmp_path)
    )
