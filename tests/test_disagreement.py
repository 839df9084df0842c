"""confusion.csv, spread.csv and disagreements.csv: where instruments, and people, disagree.

Oracle: plain loops over the labels as they are stored; pandas.crosstab for the confusion of a run.
"""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import Tint, noise_run
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from audit import human
from audit.annotation import draw
from audit.classifiers.base import NOT_MEASURED, Labels
from audit.corrections import OVERALL
from audit.disagreement import (
    CONFUSION,
    DISAGREEMENTS,
    SHOWN,
    SPREAD,
    Group,
    confusion_table,
    disagreement_tables,
    disagreements_table,
    groups,
    spread_table,
)
from audit.findings import SHARES
from audit.parts import FORGOTTEN
from audit.progress import Progress
from audit.runner import label
from audit.store import KEYS, Store

GENDER = ("woman", "man")
ANSWERS = (*GENDER, *NOT_MEASURED)
NOTHING = pd.DataFrame(columns=list(SHARES)), pd.DataFrame(columns=list(OVERALL))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_run(tmp_path_factory.mktemp("noise") / "run", images=40)[0].root


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    return Store.open(Path(shutil.copytree(made, tmp_path / "run")))


def second(store: Store, name: str, margin: float) -> None:
    """One more instrument labels the run."""
    tint: Any = Tint(margin)
    tint.name = name
    record = store.record()["classifiers"]
    store.update(classifiers={**record, name: {**record["tint"], "fingerprint": tint.fingerprint()}})
    label(store, tint, progress=Progress())


def people(store: Store, n: int) -> pd.DataFrame:
    """Labels of two raters for the first images of a draw, a part of them at random."""
    rng = np.random.default_rng(2)
    rows = [
        (sample, rater, "gender", str(rng.choice(ANSWERS)), "all", 0.5)
        for sample in draw(store, n, 0).table["sample_id"]
        for rater in ("anna", "ben")
    ]
    table = human.frame(dict(zip(human.COLUMNS, row, strict=True)) for row in rows)
    human.write(store, table)
    return table


def said(store: Store) -> dict[str, dict[str, str]]:
    """instrument → sample_id → answer, read without any of the code under test."""
    found: dict[str, dict[str, str]] = {}
    for name in store.record()["classifiers"]:
        rows = pd.concat([table.to_pandas() for table in store.label_parts(name)])
        found[name] = dict(zip(rows["sample_id"], rows["class"], strict=True))
    given = human.labels(store)
    if len(given):
        seen = human.majority(given)
        found["people"] = dict(zip(seen["sample_id"], seen["class"], strict=True))
    return found


def tables(store: Store) -> dict[str, pd.DataFrame]:
    return disagreement_tables(store, *NOTHING)


def test_one_instrument_alone_has_empty_tables(store: Store) -> None:
    found = tables(store)
    assert [list(found[name]) for name in found] == [list(CONFUSION), list(SPREAD), list(DISAGREEMENTS)]
    assert all(table.empty for table in found.values())


def test_confusion_is_that_of_all_images(store: Store) -> None:
    second(store, "strict", 4)
    second(store, "stricter", 12)
    people(store, 50)
    answers = said(store)
    table = tables(store)["confusion"]
    pairs = list(dict.fromkeys(zip(table["first"], table["second"], strict=True)))
    assert pairs == list(combinations(["people", "tint", "strict", "stricter"], 2))
    for first, other in pairs:
        both = sorted(set(answers[first]) & set(answers[other]))
        assert len(both) == (50 if first == "people" else len(answers["tint"]))
        counts = Counter((answers[first][sample], answers[other][sample]) for sample in both)
        rows = table[(table["first"] == first) & (table["second"] == other)]
        cells = dict(zip(zip(rows["first_answer"], rows["second_answer"], strict=True), rows["count"], strict=True))
        assert cells == {(one, two): counts[one, two] for one in ANSWERS for two in ANSWERS}
        shares = pd.crosstab(
            pd.Series([answers[first][s] for s in both]),
            pd.Series([answers[other][s] for s in both]),
            normalize="index",
        )
        for row in rows.itertuples():
            if row.first_answer not in shares.index:
                assert np.isnan(row.share)
            else:
                expected = shares.loc[row.first_answer].get(row.second_answer, 0.0)
                assert row.share == pytest.approx(expected, abs=1e-12)


def test_disagreements_are_chosen_by_digest_and_in_turn(store: Store) -> None:
    second(store, "strict", 12)
    people(store, 30)
    answers = said(store)
    table = tables(store)["disagreements"]
    assert list(table) == list(DISAGREEMENTS)
    assert table["picture"].nunique() == SHOWN
    ways: dict[tuple[str, ...], list[str]] = {}
    for sample in sorted(answers["tint"]):
        way = tuple(answers[name].get(sample, "") for name in ("people", "tint", "strict"))
        if len({answer for answer in way if answer}) > 1:
            ways.setdefault(way, []).append(sample)
    order = sorted(ways, key=lambda way: (-len(ways[way]), way))
    expected: list[str] = []
    for turn in range(SHOWN):
        expected += [ways[way][turn] for way in order if turn < len(ways[way])]
    chosen = table.drop_duplicates("picture")["sample_id"].tolist()
    assert chosen == expected[:SHOWN]
    for _, rows in table.groupby("picture"):
        sample = rows["sample_id"].iloc[0]
        theirs = {name: answers[name][sample] for name in ("people", "tint", "strict") if sample in answers[name]}
        assert dict(zip(rows["instrument"], rows["answer"], strict=True)) == theirs
        way = tuple(theirs.get(name, "") for name in ("people", "tint", "strict"))
        assert (rows["images"] == len(ways[way])).all()


def test_parts_of_any_size_and_order_give_the_same(store: Store) -> None:
    """Labels in other parts, in another order and with an image missing on one side, are matched by sample_id."""
    second(store, "strict", 12)
    people(store, 30)
    before = tables(store)
    rows = pd.concat([table.to_pandas() for table in store.label_parts("strict")]).iloc[::-1]
    last = max(part.last for part in store.samples.present())
    shutil.rmtree(store.root / "labels" / "strict")
    scores = np.stack(rows["scores"].to_numpy())
    keys = {key: rows[key].tolist() for key in KEYS}
    store.write_labels("strict", 0, last, keys, [Labels("gender", GENDER, tuple(rows["class"]), scores)])
    after = tables(store)
    for name, table in before.items():
        assert_frame_equal(after[name], table)
    keys = {key: values[1:] for key, values in keys.items()}
    store.write_labels("strict", 0, last, keys, [Labels("gender", GENDER, tuple(rows["class"][1:]), scores[1:])])
    fewer = tables(store)["confusion"].groupby(["first", "second"])["count"].sum()
    whole = before["confusion"].groupby(["first", "second"])["count"].sum()
    assert fewer["tint", "strict"] == whole["tint", "strict"] - 1
    assert fewer["people", "tint"] == whole["people", "tint"]


def test_forgotten_images_count_and_are_never_shown(store: Store) -> None:
    from audit.forgetting import forget

    second(store, "strict", 12)
    before = tables(store)
    gone = before["disagreements"]["sample_id"].iloc[0]
    forget(store.root, [gone], report=False)
    after = tables(store)
    assert_frame_equal(after["confusion"], before["confusion"])
    assert gone not in set(after["disagreements"]["sample_id"])
    assert not after["disagreements"]["sample_id"].str.startswith(FORGOTTEN).any()


def test_other_classes_are_not_compared(store: Store) -> None:
    second(store, "other", 4)
    record = store.record()["classifiers"]
    questions = [{"attribute": "gender", "classes": ["woman", "man", "girl"], "ordered": False}]
    store.update(classifiers={**record, "other": {**record["other"], "questions": questions}})
    assert tables(store)["confusion"].empty
    people(store, 20)
    found = groups(store)
    assert [group.instruments for group in found] == [("people", "tint"), ("people", "other")]
    assert sorted(disagreements_table(found)["picture"].unique()) == list(range(1, 1 + _shown(found)))


def _shown(found: list[Group]) -> int:
    return sum(min(SHOWN, sum(table.num_rows for table in group.examples)) for group in found)


# -- invariants ------------------------------------------------------------------------------------------------------

patterns = st.dictionaries(
    st.tuples(*[st.one_of(st.none(), st.sampled_from(ANSWERS))] * 3), st.integers(1, 10**9), max_size=12
)


def group_of(counts: dict[Any, int], order: tuple[int, ...] = (0, 1, 2), classes: tuple[str, ...] = GENDER) -> Group:
    names = ("a", "b", "c")
    moved: Counter[Any] = Counter({tuple(way[i] for i in order): n for way, n in counts.items()})
    return Group("gender", classes, tuple(names[i] for i in order), moved)


def cells(table: pd.DataFrame) -> dict[tuple[str, ...], int]:
    """Counts by instrument and answer, whoever comes first."""
    columns = (table[name] for name in ("first", "first_answer", "second", "second_answer", "count"))
    return {tuple(sorted([f"{a}={x}", f"{b}={y}"])): int(n) for a, x, b, y, n in zip(*columns, strict=True)}


@settings(max_examples=40)
@given(patterns, st.permutations([0, 1, 2]))
def test_the_order_of_instruments_does_not_matter(counts: dict[Any, int], order: list[int]) -> None:
    one, two = (confusion_table([group_of(counts, way)]) for way in ((0, 1, 2), tuple(order)))
    assert cells(one) == cells(two)


@settings(max_examples=40)
@given(patterns)
def test_other_names_for_the_classes_change_nothing_else(counts: dict[Any, int]) -> None:
    swap = {"woman": "man", "man": "woman"}
    moved = {tuple(swap.get(a, a) for a in way): n for way, n in counts.items()}
    one, two = confusion_table([group_of(counts)]), confusion_table([group_of(moved, classes=("man", "woman"))])
    renamed = one.replace({"first_answer": swap, "second_answer": swap})
    assert_frame_equal(renamed, two)


@settings(max_examples=40)
@given(patterns)
def test_shares_of_a_row_are_a_whole_and_counts_are_all_images_with_both(counts: dict[Any, int]) -> None:
    table = confusion_table([group_of(counts)])
    sums = table.groupby(["first", "second", "first_answer"])["share"].sum(min_count=1).dropna()
    assert np.allclose(sums, 1)
    for (first, other), rows in table.groupby(["first", "second"]):
        i, j = "abc".index(str(first)), "abc".index(str(other))
        assert rows["count"].sum() == sum(n for way, n in counts.items() if way[i] is not None and way[j] is not None)


# -- spread ----------------------------------------------------------------------------------------------------------


def shares_of(rng: np.random.Generator, classifiers: tuple[str, ...], *, overall: bool = False) -> pd.DataFrame:
    rows = []
    for classifier in classifiers:
        for probe in [""] if overall else ["nurse.en", "ceo.en"]:
            for reference in [None] if overall else ["uniform", "labour"]:
                for name in GENDER:
                    share, half = rng.random(), rng.random() / 5
                    corrected = rng.random() if rng.random() < 0.7 else np.nan
                    rows.append(
                        {
                            **{"classifier": classifier, "attribute": "gender", "class": name},
                            **({} if overall else {"probe_id": probe, "subject": probe[:-3], "reference": reference}),
                            **{"share": share if rng.random() < 0.8 else np.nan},
                            **{"share_low": share - half, "share_high": share + half, "corrected": corrected},
                            **{"corrected_low": corrected - half, "corrected_high": corrected + half},
                            **({} if overall else {"conclusion": str(rng.choice(["higher", "inconclusive", ""]))}),
                        }
                    )
    return pd.DataFrame(rows)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_spread_against_a_loop(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    names = tuple("dcba"[:n])
    shares, overall = shares_of(rng, names), shares_of(rng, names, overall=True)
    found = spread_table([Group("gender", GENDER, ("people", *names))], shares, overall)
    expected = []
    for table in (overall, shares):
        for kind, value in (("raw", "share"), ("corrected", "corrected")):
            keys = [c for c in ("probe_id", "reference", "class") if c in table]
            for key in table[keys].drop_duplicates().itertuples(index=False):
                rows = table[(table[keys] == list(key)).all(axis=1)].sort_values("classifier")
                known = rows[rows[value].notna()]
                if len(known) < 2:
                    continue
                low, high = known[value].min(), known[value].max()
                words = list(rows["conclusion"]) if "conclusion" in rows else [""]
                told = sorted({word for word in words if word})
                expected.append(
                    {
                        "class": key[-1],
                        "probe_id": rows["probe_id"].iloc[0] if "probe_id" in rows else None,
                        "kind": kind,
                        "instruments": len(known),
                        "lowest": low,
                        "lowest_by": known.loc[known[value] == low, "classifier"].iloc[0],
                        "highest": high,
                        "highest_by": known.loc[known[value] == high, "classifier"].iloc[0],
                        "spread": high - low,
                        "low": known[f"{value}_low"].min(),
                        "high": known[f"{value}_high"].max(),
                        "conclusions": ", ".join(told),
                        "conclusion_robust": ("yes" if len(set(words)) == 1 else "no") if told else "",
                    }
                )
    assert list(found) == list(SPREAD)
    wanted = pd.DataFrame(expected, columns=list(expected[0]) if expected else None)
    if not expected:
        assert found.empty
        return
    assert_frame_equal(
        found[list(wanted)].astype({"probe_id": object}),
        wanted.astype({"probe_id": object}),
        check_dtype=False,
    )
    assert (found["spread"] >= 0).all() and (found["low"] <= found["lowest"]).all()


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_spread_does_not_depend_on_the_order_of_instruments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = shares_of(rng, ("a", "b", "c"))
    turned = pd.concat([shares[shares["classifier"] == name] for name in "cab"], ignore_index=True)
    one, two = (
        spread_table([Group("gender", GENDER, order)], table, shares[:0])
        for order, table in ((("a", "b", "c"), shares), (("c", "a", "b"), turned))
    )
    assert_frame_equal(one, two, check_dtype=False)


def test_a_conclusion_of_one_instrument_only_is_not_robust() -> None:
    rows = [
        {
            **{"classifier": name, "attribute": "gender", "class": "woman", "probe_id": "p", "subject": "p"},
            **{"reference": "uniform", "share": share, "share_low": 0.1, "share_high": 0.9, "conclusion": word},
        }
        for name, share, word in (("a", 0.4, "higher"), ("b", 0.6, "higher"), ("c", np.nan, ""))
    ]
    table = pd.DataFrame(rows).assign(corrected=np.nan, corrected_low=np.nan, corrected_high=np.nan)
    group = Group("gender", GENDER, ("a", "b", "c"))
    (row,) = spread_table([group], table, table[:0]).to_dict("records")
    assert (row["instruments"], row["conclusions"], row["conclusion_robust"]) == (2, "higher", "no")
    (row,) = spread_table([group], table[:2], table[:0]).to_dict("records")
    assert row["conclusion_robust"] == "yes"


def test_every_column_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "tables.md").read_text(encoding="utf-8")
    known = {"confusion": CONFUSION, "spread": SPREAD, "disagreements": DISAGREEMENTS}
    for name, columns in known.items():
        (section,) = (part for part in text.split("\n## ") if part.startswith(f"`{name}.csv`"))
        assert [column for column in columns if f"`{column}`" not in section] == []
