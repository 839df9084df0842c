"""What people answered beside what a classifier answered: from a run's own labels, from a CSV, from another run.

Oracle: the tables are counted anew with pandas.crosstab, and weights computed by hand.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Noise, Tint, noise_run, probes, record
from hypothesis import given
from hypothesis import strategies as st
from noise_audit import noise_audit

import audit
from audit import human
from audit.annotation import draw
from audit.calibration import ERRORS, calibration_table, calibrations, errors_table, tabulate
from audit.classifiers.base import NOT_MEASURED, Question
from audit.compared import Settings
from audit.errors import UsageError
from audit.other_images import from_csv, keep, load
from audit.progress import Progress
from audit.runner import make
from audit.sources import GeneratedSource
from audit.statistics.noise import reweighted
from audit.store import Store
from probes.plan import Plan

GENDER = Question("gender", ("woman", "man"))
COLUMNS = ("woman", "man", *NOT_MEASURED)
SETTINGS = Settings("list", ("", "", ""), 0.05, 0.05, 999, 0, sequential=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of noise, 3 probes × 40 images, labelled by colour; never changed."""
    return noise_run(tmp_path_factory.mktemp("noise") / "run", images=40)[0].root


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(made, tmp_path / "run")))


def people(store: Store, images: int, *, stratified: bool = False, seed: int = 0) -> pd.DataFrame:
    """Labels of two raters on a draw: the second sees what the first sees, but for every fifth image."""
    table = draw(store, images, seed, stratified=stratified).table
    rng = np.random.default_rng(seed)
    answers = rng.choice(["woman", "man", "no_person"], len(table), p=[0.5, 0.4, 0.1])
    rows = [
        (sample, rater, "gender", "unclear" if rater == "ben" and number % 5 == 0 else answer, stratum, chance)
        for number, (sample, stratum, chance, answer) in enumerate(
            zip(table["sample_id"], table["stratum"], table["sampling_probability"], answers, strict=True)
        )
        for rater in ("anna", "ben")
    ]
    labels = human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in rows)
    human.write(store, labels)
    return labels


def test_nobody_has_labelled_anything(store: Store) -> None:
    assert calibrations(store) == {}
    assert calibration_table({}).columns.tolist() == [
        *("classifier", "attribute", "viewer", "predicted", "count", "rate")
    ]


def test_own_labels_are_counted_by_probe_with_most_raters_deciding(store: Store) -> None:
    labels = people(store, 50)
    ((key, found),) = calibrations(store).items()
    assert key == ("tint", "gender")
    assert (found.source, found.images, found.raters) == ("audited", 50, ("anna", "ben"))
    assert found.answers == ("woman", "man", "unclear", "no_person")
    assert found.predicted == COLUMNS
    assert not found.weighted
    anna = labels[labels["rater"] == "anna"].set_index("sample_id")["class"]
    ben = labels[labels["rater"] == "ben"].set_index("sample_id")["class"]
    joint = anna.where(anna == ben, "unclear").rename("true").reset_index()
    rows = joint.merge(human.predictions(store, "tint", joint["sample_id"]), on="sample_id")
    counted = pd.crosstab(rows["true"], rows["predicted"]).reindex(index=found.answers, columns=COLUMNS, fill_value=0)
    assert np.array_equal(found.table, counted)
    assert np.array_equal(found.counts, counted)
    assert np.array_equal(found.rows(), counted)
    assert np.array_equal(found.columns(), counted)
    assert np.allclose(sum(found.by_probe.values()), found.table)
    for probe, part in found.by_probe.items():
        own = rows[rows["probe_id"] == probe]
        assert part.sum() == len(own)
        assert part[0, 0] == ((own["true"] == "woman") & (own["predicted"] == "woman")).sum()


def test_unequal_probabilities_are_weighted_and_add_up_to_the_images(store: Store) -> None:
    people(store, 40, stratified=True)
    path = store.human_folder() / "labels.csv"
    labels = pd.read_csv(path)
    labels["sampling_probability"] = np.where(labels["stratum"] == "woman", 0.8, 0.2)
    human.write(store, labels)
    found = calibrations(store)["tint", "gender"]
    assert found.weighted
    assert found.table.sum() == pytest.approx(40)
    assert found.counts.sum() == 40
    women, men = found.counts[:, 0].sum(), found.counts[:, 1].sum()
    one = 40 / (women / 0.8 + men / 0.2)
    assert np.allclose(found.table[:, 0], found.counts[:, 0] * one / 0.8)
    assert np.allclose(found.table[:, 1], found.counts[:, 1] * one / 0.2)
    # Within a column all weights are equal, so that a column is worth its images; a row is worth no more.
    assert np.allclose(found.columns(), found.counts)
    both = (found.counts[:, :2] > 0).all(axis=1)
    rows, counts = found.rows().sum(axis=1), found.counts.sum(axis=1)
    assert (rows[both] <= counts[both] + 1e-9).all()
    by_hand = reweighted(found.counts[:, :2], [0.8, 0.2])
    assert np.allclose(found.rows()[:, :2], by_hand)


def test_images_of_some_probes_alone(store: Store) -> None:
    people(store, 40, stratified=True)
    found = calibrations(store)["tint", "gender"]
    (name, *others) = found.by_probe
    assert np.allclose(sum(found.images_by_probe.values()), found.counts)
    assert found.labelled([name]) == found.images_by_probe[name].sum()
    assert found.labelled([name, *others]) == 40
    assert np.allclose(found.columns([name, *others]), found.columns())
    weights, squares = (part[name].sum(axis=0) for part in (found.by_probe, found.squares_by_probe))
    effective = np.divide(weights**2, squares, out=np.zeros_like(weights), where=squares > 0)
    assert np.allclose(found.columns([name]).sum(axis=0), effective)


def test_images_of_several_random_draws_had_equal_chances(store: Store) -> None:
    drawn = pd.concat([people(store, 30), people(store, 90, seed=1)])
    human.write(store, drawn.drop_duplicates(["sample_id", "rater"]))
    assert calibrations(store)["tint", "gender"].weighted  # as far as is known: they came without a sheet
    for images, seed in ((30, 0), (90, 1)):
        audit.annotate(store.root, images=images, seed=seed)
    found = calibrations(store)["tint", "gender"]
    assert found.images == drawn["sample_id"].nunique() > 90
    assert not found.weighted and np.array_equal(found.table, found.counts)
    mixed = pd.concat([people(store, 30), people(store, 30, stratified=True, seed=1)])
    human.write(store, mixed.drop_duplicates(["sample_id", "rater"]))
    assert calibrations(store)["tint", "gender"].weighted


def test_errors_by_subject_are_counted_from_the_images(store: Store) -> None:
    labels = people(store, 90)
    found = calibrations(store)
    subjects = {probe.probe_id: probe.subject for probe in store.probes()}
    table = errors_table(found, subjects, SETTINGS)
    seen = human.majority(labels).rename(columns={"class": "true"})
    rows = seen.merge(human.predictions(store, "tint", seen["sample_id"]), on=["sample_id", "attribute"])
    rows = rows.assign(subject=rows["probe_id"].map(subjects), wrong=rows["true"] != rows["predicted"])
    by = rows.groupby("subject")["wrong"].agg(["size", "sum"])
    assert (
        table.set_index("subject")[["labels", "errors"]].to_numpy().tolist()
        == by.loc[table["subject"]].to_numpy().tolist()
    )
    expected = rows.assign(wrong=rows.groupby("true")["wrong"].transform("mean")).groupby("subject")["wrong"].sum()
    assert np.allclose(table.set_index("subject")["expected"], expected.loc[table["subject"]])
    assert (table["p_adjusted"] >= table["p_value"]).all()
    assert not table["flagged"].any()  # these answers are random, alike in all probes
    again = errors_table(found, subjects, SETTINGS)
    pd.testing.assert_frame_equal(table, again)


def test_errors_of_one_subject_or_of_other_images_are_no_table(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "photos.csv", BASE, ROWS)
    other = calibrations(store, [str(path)])
    assert len(other) == 1
    assert errors_table(other, {}, SETTINGS).empty
    people(store, 30)
    alone = dict.fromkeys((probe.probe_id for probe in store.probes()), "one")
    assert errors_table(calibrations(store), alone, SETTINGS).empty
    assert errors_table({}, {}, SETTINGS).columns.tolist() == list(ERRORS)


def test_a_classifier_with_other_classes_has_no_calibration(store: Store) -> None:
    labels = people(store, 10)
    labels.loc[:1, "class"] = "child"
    human.write(store, labels)
    assert calibrations(store) == {}


cells = st.lists(
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from(COLUMNS), st.integers(1, 9), st.floats(0.01, 1)), min_size=1
)


@given(cells)
def test_the_table_holds_every_image_once(rows: list[tuple[str, str, int, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["true", "predicted", "count", "sampling_probability"])
    found = tabulate("tint", GENDER, frame, "other")
    images = frame["count"].sum()
    assert found.images == images
    assert found.table.sum() == pytest.approx(images)
    assert found.counts.sum() == images
    assert (found.rows().sum() <= images + 1e-6) and (found.columns().sum() <= images + 1e-6)
    table = calibration_table({("tint", "gender"): found})
    assert table["count"].sum() == pytest.approx(images)
    sums = table.groupby("viewer")["rate"].sum(min_count=1).dropna()
    assert np.allclose(sums, 1)


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


BASE = ("attribute", "true", "predicted", "count")
ROWS = (
    ("gender", "woman", "woman", 90), ("gender", "woman", "man", 10), ("gender", "man", "man", 80),
    ("gender", "man", "unclear", 0), ("gender", "no_person", "woman", 5),
)  # fmt: skip


def test_a_csv_calibrates_with_and_without_counts(tmp_path: Path) -> None:
    counted = from_csv(write(tmp_path / "c.csv", BASE, ROWS), GENDER)
    assert counted.table.tolist() == [[90, 10, 0, 0, 0], [0, 80, 0, 0, 0], [5, 0, 0, 0, 0]]
    assert counted.answers == ("woman", "man", "no_person")
    assert (counted.source, counted.by_probe) == ("other", {})
    assert "From other images (c)" in counted.note
    each = [row[:3] for row in ROWS for _ in range(int(row[3]))]
    assert np.array_equal(from_csv(write(tmp_path / "e.csv", BASE[:3], each), GENDER).table, counted.table)
    with pytest.raises(UsageError, match=r"^c.csv: line 2: unknown attribute 'gender'\. Known: age\."):
        from_csv(tmp_path / "c.csv", Question("age", ("young", "old")))


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        (BASE[:2], [("gender", "woman")], r"^bad.csv lacks the column 'predicted' \(it has attribute, true\)"),
        ((*BASE, "n"), [(*ROWS[0], 1)], r"^bad.csv has an unknown column 'n'\. "),
        (BASE, [("gendre", *ROWS[0][1:])], r"line 2: unknown attribute 'gendre'\. Did you mean 'gender'\?"),
        (BASE, [ROWS[0], ("gender", "womn", "man", 1)], r"line 3: true is 'womn', .* Did you mean 'woman'"),
        (BASE, [("gender", "woman", "w", 1)], r"line 2: predicted is 'w', which is no class of 'gender'"),
        (BASE, [("gender", "woman", "woman", 2.5)], r"count must be a whole number of 0 or more \(got '2.5'\)"),
        (BASE, [("gender", "woman", "woman", -1)], r"count must be a whole number of 0 or more \(got '-1'\)"),
        (BASE, [("gender", "woman", "woman", 0)], r"bad.csv counts no image"),
        ((*BASE, "sampling_probability"), [(*ROWS[0], 0)], r"must be above 0 and at most 1 \(got '0'\)"),
        ((*BASE, "classifier"), [(*ROWS[0], "tin")], r"line 2: .* has no labels of 'tin'\. Did you mean 'tint'\?"),
    ],
)  # fmt: skip
def test_a_bad_csv_is_refused_in_one_line(
    made: Path, tmp_path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]], message: str
) -> None:
    path = write(tmp_path / "bad.csv", columns, rows)
    with pytest.raises(UsageError, match=message) as raised:
        load([str(path)], Store.open(made))
    assert "\n" not in str(raised.value)


def test_a_calibration_travels_with_the_run(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "photos.csv", BASE, ROWS)
    first = load([str(path)], store)["tint", "gender"]
    assert keep([str(path)], store) == ["photos"]
    assert "calibration/photos.csv" in store.digests()
    path.unlink()
    for name in ("photos", str(path)):
        again = load([name], store)["tint", "gender"]
        assert np.array_equal(again.table, first.table)
        assert again.note == first.note
    assert np.array_equal(calibrations(store, ["photos"])["tint", "gender"].table, first.table)
    with pytest.raises(UsageError, match=r"calibration elsewhere.csv does not exist"):
        load(["elsewhere.csv"], store)
    with pytest.raises(UsageError, match=r"two calibrations say what tint answers for 'gender', the second is photos"):
        load(["photos", "photos"], store)
    with pytest.raises(UsageError, match=r"two calibrations are called 'photos'"):
        keep(["photos", "photos.csv"], store)


def test_own_labels_win_over_other_images(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "photos.csv", BASE, ROWS)
    assert calibrations(store, [str(path)])["tint", "gender"].source == "other"
    people(store, 20)
    assert calibrations(store, [str(path)])["tint", "gender"].source == "audited"


def test_a_labelled_run_calibrates_another_of_the_same_instrument(store: Store, tmp_path: Path) -> None:
    other = noise_run(tmp_path / "photographs", images=30, seed=9)[0]
    with pytest.raises(UsageError, match=r"nobody has labelled images of .*photographs\. Run: rolecall annotate"):
        load([str(other.root)], store)
    people(other, 30, stratified=True)
    theirs = calibrations(other)["tint", "gender"]
    ours = load([str(other.root)], store)["tint", "gender"]
    assert np.allclose(ours.table, theirs.table)
    assert (ours.source, ours.by_probe, ours.images) == ("other", {}, 30)
    assert "(photographs)" in ours.note
    keep([str(other.root)], store)
    shutil.rmtree(other.root)
    kept = load(["photographs"], store)["tint", "gender"]
    assert np.allclose(kept.table, theirs.table)
    assert np.allclose(kept.squares, theirs.squares)
    with pytest.raises(UsageError, match=r"is the run itself\. Its own labels are used without --calibration"):
        load([str(store.root)], store)


def test_another_instrument_is_refused(store: Store, tmp_path: Path) -> None:
    generator, tint = Noise(), Tint(margin=20)
    plan = Plan(probes(1), 12, 2, generator.batch_size, generator.fingerprint())
    other = Store.create(tmp_path / "other", record(plan, [tint]), plan.probes, {plan.probes[0].probe_id: 12})
    make(other, GeneratedSource(plan, generator), [tint], progress=Progress())
    people(other, 5)
    with pytest.raises(UsageError, match=r"was labelled by another instrument \(tint\) than .*same one\.") as raised:
        load([str(other.root)], store)
    assert not re.search(r"\n", str(raised.value))


def test_the_gap_is_not_corrected_where_errors_are_flagged(tmp_path: Path) -> None:
    run = Store.open(noise_audit(tmp_path / "run", images=40))
    table = draw(run, 80, 0).table.merge(human.predictions(run, "tint", run_samples(run)), on=["sample_id", "probe_id"])
    wrong = table["probe_id"].eq(table["probe_id"].iloc[0])
    for others, flagged in ((False, False), (True, True)):
        turned = table["predicted"].map({"woman": "man", "man": "woman"}).fillna("unclear")
        answers = turned.where(wrong & others, table["predicted"])
        rows = zip(table["sample_id"], answers, strict=True)
        given = [(sample, "anna", "gender", answer, "all", 1.0) for sample, answer in rows]
        human.write(run, human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in given))
        found = audit.analyze(run.root, report=False)
        assert found.table("errors")["flagged"].any() == flagged
        assert found.gaps()["gap_corrected"].isna().all() == flagged
        assert found.gaps()["gap"].notna().all()


def run_samples(run: Store) -> list[str]:
    return [sample for part in run.label_parts("tint", ["sample_id"]) for sample in part["sample_id"].to_pylist()]
