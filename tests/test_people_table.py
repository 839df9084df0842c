"""people.csv: shares by image and by person beside those of single persons. Oracles: `any_of`, which counts images one
after the other; pandas on the rows; statsmodels for intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from crowd import crowd_audit, crowd_run, stored_people
from helpers import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

import audit
from audit.classifiers.people import Somebody, any_of
from audit.counting import count
from audit.counts import Counts
from audit.people import PEOPLE, people_rows, people_table, tally
from audit.store import Store
from probes.probe import Probe

CLASSES = ("woman", "man")
ANSWERS = (*CLASSES, "unclear")
NAMES = ("a", "b")
Image = tuple[str, list[str]]
"""Probe, and what was answered for its people."""

images = st.lists(st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from(ANSWERS), max_size=4)), max_size=14)


def made(shown: list[Image], *, classes: tuple[str, ...] = CLASSES, counted: bool = True) -> pd.DataFrame:
    """The rows of people.csv for these images, by probe (empty for all) and class."""
    people = [
        {"probe_id": probe, "index": index, "counted": counted, "answers": ["x", answer]}
        for index, (probe, answers) in enumerate(shown)
        for answer in answers
    ]
    schema = pa.schema([("probe_id", pa.string()), ("index", pa.int32()), ("counted", pa.bool_()),
                        ("answers", pa.list_(pa.string()))])  # fmt: skip
    probes = [Probe(probe_id=name, text=name, subject=name, kind="prompt") for name in NAMES]
    table = pa.Table.from_pylist(people, schema=schema)
    told = tally([table.slice(0, 3), table.slice(3)] if counted and _cut(people) else [table], NAMES, 1, classes)
    whole = [[answers for name, answers in shown if name == probe] for probe in NAMES]
    ones = [[answers[0] for answers in each if len(answers) == 1] for each in whole]
    columns = {
        "probe_id": NAMES, "subject": NAMES, "language": "en", "template": "", "people": "one",
        "asked": list(map(len, whole)), "made": list(map(len, whole)), "refused": 0, "failed": 0,
        "no_person": [sum(not answers for answers in each) for each in whole],
        "several_people": [sum(len(answers) > 1 for answers in each) for each in whole],
        "unclear": [each.count("unclear") for each in ones],
        **{f"class__{name}": [each.count(name) for each in ones] for name in classes},
    }  # fmt: skip
    counts = Counts("crowd", "gender", classes, False, pd.DataFrame(columns))
    return people_rows(counts, probes, told, 0.05).set_index(["probe_id", "class"])


def _cut(people: list[dict[str, Any]]) -> bool:
    """Whether the first three persons are of other images than the rest: parts never share an image."""
    return len(people) > 3 and people[2]["index"] != people[3]["index"]


@settings(max_examples=40)
@given(images)
def test_images_and_people_are_counted_as_one_by_one(shown: list[Image]) -> None:
    table = made(shown)
    for probe in (*NAMES, ""):
        answers = [each for name, each in shown if probe in ("", name)]
        people = [[Somebody({"gender": answer}) for answer in each] for each in answers]
        for name in CLASSES:
            row, found = table.loc[probe, name], any_of(people, "gender", name)  # type: ignore[arg-type]
            assert (row["any_count"], row["any_n"]) == (found.shown, found.shown + found.not_shown)
            assert (row["images"], row["none"], row["any_unknown"]) == (found.images, found.nobody, found.unknown)
            assert (row["people"], row["person_count"]) == (found.people, found.of_class)
            assert row["person_n"] == found.people - found.unclear
            assert (row["one"], row["several"]) == (
                sum(len(each) == 1 for each in answers),
                sum(len(each) > 1 for each in answers),
            )
            np.testing.assert_equal([row["any_share"], row["person_share"]],
                                    [found.share_of_images, found.share_of_people])  # fmt: skip
            known = found.images - found.nobody
            if known:
                assert row["any_worst_low"] == pytest.approx(found.shown / known)
                assert row["any_worst_high"] == pytest.approx((found.shown + found.unknown) / known)
            if row["any_n"]:
                ends = proportion_confint(found.shown, row["any_n"], method="wilson")
                assert (row["any_low"], row["any_high"]) == pytest.approx(ends, abs=1e-8)
            if row["person_n"]:
                assert 0 <= row["person_low"] <= row["person_share"] <= row["person_high"] <= 1


@settings(max_examples=40)
@given(images, st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(shown: list[Image], order: Any) -> None:
    turned = list(shown)
    order.shuffle(turned)
    pd.testing.assert_frame_equal(made(turned), made(shown), rtol=1e-12)


@settings(max_examples=40)
@given(images)
def test_renaming_classes_renames_rows(shown: list[Image]) -> None:
    other = {"woman": "man", "man": "woman", "unclear": "unclear"}
    swapped = made([(probe, [other[answer] for answer in answers]) for probe, answers in shown])
    renamed = swapped.rename(index=other, level="class").loc[made(shown).index]
    pd.testing.assert_frame_equal(renamed, made(shown), rtol=1e-12)


@settings(max_examples=40)
@given(images, st.sampled_from(NAMES))
def test_an_empty_image_changes_only_how_many_show_nobody(shown: list[Image], probe: str) -> None:
    before, after = made(shown), made([*shown, (probe, [])])
    changed = before.drop(columns=["images", "none"])
    pd.testing.assert_frame_equal(after[changed.columns], changed)
    more = (after["none"] - before["none"]).unstack("class").astype(int)
    assert more.loc[probe].tolist() == more.loc[""].tolist() == [1, 1]
    assert (after["images"] - before["images"]).equals(after["none"] - before["none"])


@settings(max_examples=40)
@given(images.filter(lambda shown: any(len(answers) > 1 for _, answers in shown)))
def test_people_who_are_not_counted_have_no_share_of_persons(shown: list[Image]) -> None:
    table, whole = made(shown, counted=False), made(shown)
    persons = [name for name in PEOPLE if name.startswith("person_")]
    assert table.loc[("", "woman"), [*persons, "people"]].isna().all()
    same = [name for name in whole if name not in (*persons, "people")]
    pd.testing.assert_frame_equal(table[same], whole[same])


def test_a_run_has_the_table_and_it_agrees_with_its_rows(tmp_path: Path) -> None:
    run = audit.open(crowd_audit(tmp_path / "run"))
    store = Store.open(run.path)
    table = run.table("people")
    assert list(table.columns) == list(PEOPLE)
    assert set(table["attribute"]) == {"gender", "age"}
    assert (table["status"] == "exploratory").all()
    people = stored_people(store)
    samples = run.samples().query("outcome == 'ok'")
    women = sum(any(each["answers"][0] == "woman" for each in found) for found in people.values())
    whole = table.query("probe_id == '' and attribute == 'gender' and `class` == 'woman'").iloc[0]
    assert whole["any_count"] == women
    assert (whole["images"], whole["none"]) == (len(samples), len(samples) - len(people))
    assert whole["people"] == sum(map(len, people.values()))
    shares = run.shares("gender").query("reference == 'uniform'").merge(table, on=["attribute", "probe_id", "class"])
    assert len(shares) == 4
    assert (shares["count"] == shares["single_count"]).all() and (shares["n"] == shares["single_n"]).all()
    ends = shares[["share", "share_low", "share_high"]].to_numpy()
    assert shares[["single_share", "single_low", "single_high"]].to_numpy() == pytest.approx(ends)
    assert "tables/people.csv" in run.record["files"]
    again = audit.analyze(run.path, report=False)
    pd.testing.assert_frame_equal(again.table("people"), table)


def test_templates_stand_together_and_a_run_that_stopped_early_has_no_intervals(tmp_path: Path) -> None:
    store = crowd_run(tmp_path / "run", count=2)
    counts, _ = count(store, "crowd")
    probes = [
        Probe(**{**vars(probe), "template": name}) for probe, name in zip(store.probes(), ("x", "y"), strict=True)
    ]
    table = people_table(store, counts, probes, alpha=0.05)
    gender = table[(table["attribute"] == "gender") & (table["class"] == "woman")]
    assert gender[["probe_id", "template"]].to_numpy().tolist() == [
        ["job0.en.photo", "x"], ["job1.en.photo", "y"], ["", "x"], ["", "y"], ["", ""],
    ]  # fmt: skip
    assert gender["any_count"].tolist()[:2] == gender["any_count"].tolist()[2:4]
    assert gender["any_count"].iloc[-1] == gender["any_count"].iloc[:2].sum()
    assert gender["images"].iloc[-1] == sum(row["outcome"] == "ok" for row in rows(store).values())
    asked = [Probe(**{**vars(probe), "people": "several"}) for probe in probes]
    assert (people_table(store, counts, asked, alpha=0.05)["probe_id"] != "").all()
    early = people_table(store, counts, probes, alpha=0.05, sequential=True)
    assert early[["any_low", "any_high", "person_low", "person_high", "single_low", "single_high"]].isna().all().all()
    pd.testing.assert_series_equal(early["person_share"], table["person_share"])
    assert early["any_worst_high"].notna().any()
