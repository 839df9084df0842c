"""300 real images: does `faces` see what people see, and do few labels of people make its shares right?

The small version of `python -m benchmarks.real_images`. Oracles: what people said of all images, counted with pandas
from the raw tables; draws of random permutations for the test of equal errors.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call
from real_runs import TABLES, run_of

import audit
from benchmarks.real_draws import Occupations, Whole, agreement, counted, coverage, experiment, paired
from benchmarks.real_images import page

DRAWS = 100
MODEL = "sdxl_turbo"
"""The model on whose images `faces` errs most."""


@pytest.fixture(scope="module")
def run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    return run_of(shared_data, MODEL, tmp_path_factory)


@pytest.fixture(scope="module")
def images(run: audit.Run) -> pd.DataFrame:
    return paired(run)


@pytest.fixture(scope="module")
def found(images: pd.DataFrame) -> tuple[Whole, Occupations]:
    return experiment(images, draws=DRAWS, labels=40, seed=2026)


def raw_women(shared_data: Path, model: str) -> pd.Series:
    """Images of one woman by occupation, from the raw table: not `both`, not `females`, not several ethnicities."""
    raw = pd.read_csv(shared_data / "images" / model / TABLES[model], encoding="utf-8-sig", keep_default_na=False)
    woman = raw["gender"].str.strip().str.lower().isin(["f", "female"]) & (raw["race"].str.strip() != "mixed")
    return woman.groupby(raw["category"].replace("swe", "software_developer")).mean()


@pytest.mark.parametrize("model", TABLES)
def test_answers_are_counted_as_the_run_counts_them(
    model: str, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = run_of(shared_data, model, tmp_path_factory)
    missing = run.missing().query("classifier == 'faces' and attribute == 'gender'").groupby("subject")
    ours = counted(paired(run)).table.set_index("subject")
    for column in ("asked", "no_person", "several_people", "unclear"):
        assert ours[column].to_dict() == missing[column].sum().to_dict()
    table = run.table("overall").query("attribute == 'gender' and `class` == 'woman'").set_index("classifier")
    for column in ("images_share", "images_low", "images_high"):  # people labelled all images
        assert table[column].to_numpy() == pytest.approx(raw_women(shared_data, model).mean(), abs=1e-6)
    assert table.loc["faces", "human_labels"] == 100


def test_where_one_face_is_found_people_see_the_same(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    each = [agreement(paired(run_of(shared_data, model, tmp_path_factory))) for model in TABLES]
    one_face, one_person, same = np.sum(each, axis=0)
    assert one_face > 100
    assert one_person > 90
    assert same / one_person >= 0.9


def test_forty_labels_make_the_share_of_women_right(found: tuple[Whole, Occupations], shared_data: Path) -> None:
    whole, occupations = found
    assert whole.human == pytest.approx(raw_women(shared_data, MODEL).mean())
    assert occupations.human_all == pytest.approx(raw_women(shared_data, MODEL).to_numpy())
    assert whole.corrected.low.shape == (DRAWS,)
    assert coverage(whole.corrected, whole.human) >= 0.92
    assert (whole.corrected.high - whole.corrected.low).mean() < 0.25
    assert not whole.faces.low <= whole.human <= whole.faces.high  # without people's labels it is wrong
    assert (whole.corrected.low >= 0).all() and (whole.corrected.high <= 1).all()
    assert (coverage(occupations.own, occupations.human_all) >= 0.92).all()


def test_occupations_with_errors_of_their_own_are_flagged(
    found: tuple[Whole, Occupations],
    run: audit.Run,
    images: pd.DataFrame,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    table = run.table("errors").query("attribute == 'gender'").set_index("subject")
    assert table["flagged"].to_dict() == {
        **dict.fromkeys(["athlete", "ceo", "nurse", "teacher"], True),
        "software_developer": False,
    }
    assert (table["labels"] == 20).all()
    seen = images.assign(wrong=lambda each: each["true"] != each["predicted"])
    assert table["errors"].to_dict() == seen.groupby("subject")["wrong"].sum().to_dict()
    own = found[1].errors.set_index("subject")
    assert own["errors"].to_dict() == table["errors"].to_dict()
    assert own["flagged"].to_dict() == table["flagged"].to_dict()
    calm = run_of(shared_data, "dall_e_3", tmp_path_factory).table("errors")
    assert set(calm["attribute"]) == {"gender"}  # people have not labelled age, and faces no ethnicity
    assert not calm["flagged"].any()


def test_p_is_that_of_shuffling_the_labels(run: audit.Run, images: pd.DataFrame) -> None:
    """The answers of faces are dealt out anew among the images of which people say the same."""
    seen, rng = images, np.random.default_rng(1)
    subject = "software_developer"
    own = (seen["subject"] == subject).to_numpy()
    known = sorted(set(seen["predicted"]))

    def distance(answers: np.ndarray) -> float:
        total = 0.0
        for said in ("woman", "man"):
            rows = (seen["true"] == said).to_numpy()
            table = np.array([[(answers[rows & group] == each).sum() for each in known] for group in (own, ~own)])
            table = table[:, table.sum(axis=0) > 0]
            expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
            total += float(((table - expected) ** 2 / expected).sum())
        return total

    answers = seen["predicted"].to_numpy(dtype=object)
    observed, draws = distance(answers), 400
    larger = 0
    for _ in range(draws):
        dealt = answers.copy()
        for said in ("woman", "man"):
            places = np.flatnonzero(seen["true"] == said)
            dealt[places] = answers[rng.permutation(places)]
        larger += distance(dealt) >= observed - 1e-9
    table = run.table("errors").query("attribute == 'gender'").set_index("subject")
    p = larger / draws
    assert table.loc[subject, "p_value"] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) * (1 / draws + 1 / 1000)))


def text_of(report: Path) -> str:
    """The words of a report."""
    bare = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", "", report.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(bare))


def test_a_sheet_of_forty_images_does_the_same_by_the_command_line(
    run: audit.Run, shared_data: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run.path, tmp_path / "run"))
    assert call("annotate", copy, "--images", 40, "--attributes", "gender", "--quiet").code == 0
    (sheet,) = (copy / "human").glob("sheet-*.csv")
    labels = audit.open(copy).labels("human").query("attribute == 'gender'").set_index("sample_id")["class"]
    filled = pd.read_csv(sheet).assign(rater="anna", attribute="gender")
    filled["class"] = labels.loc[filled["sample_id"]].to_numpy()
    filled["stratum"] = filled["code"]
    columns = ["sample_id", "rater", "attribute", "class", "stratum", "sampling_probability"]
    filled[columns].to_csv(tmp_path / "anna.csv", index=False)
    assert call("annotate", copy, "--read", tmp_path / "anna.csv", "--quiet").code == 0
    women = audit.open(copy).table("overall").query("classifier == 'faces' and `class` == 'woman'").iloc[0]
    share = raw_women(shared_data, MODEL).mean()
    assert women["human_labels"] == 40
    assert women["images_low"] <= share <= women["images_high"]
    assert 0.1 < women["images_high"] - women["images_low"] < 0.25
    said = text_of(copy / "report.html")
    assert re.search(
        r"Of these very pictures, whatever faces answered, people would say .*?: woman \d+ % \(\d+–\d+ %\)", said
    )


def test_the_page_says_what_was_found(images: pd.DataFrame, found: tuple[Whole, Occupations]) -> None:
    text = page({MODEL: images}, {MODEL: found}, DRAWS, "COMMAND")
    assert text.startswith("# Real images\n\n`COMMAND` made this page.")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert [len(table.splitlines()) - 2 for table in tables] == [2, 6, 1, 5]
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert f"**{100 * coverage(found[0].corrected, found[0].human):.1f} %**" in tables[2]
