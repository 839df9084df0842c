"""Human labels of 300 real images, as untidy as they came: one audit a model, against counts made here with pandas.

Oracles: pandas on the raw cells, statsmodels for the intervals.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Answer, call, refused
from labelled import CODES, ROWS, SEEN, labelled_folder
from real_runs import TABLES, codes_of_the_document, folder_of
from statsmodels.stats.proportion import proportion_confint

import audit
from audit.classifiers.codes import read_codes


def imported(folder: Path, table: Path, codes: Path, out: Path, *more: object) -> Answer:
    return call(
        "import", folder, "--folders", "subject/condition", "--suite", "occupations", "--human-labels", table,
        "--codes", codes, "--threads", 1, "--draws", 500, "--out", out, *more,
    )  # fmt: skip


# -- a small example -------------------------------------------------------------------------------------------------


def test_an_untidy_table_becomes_an_audit(tmp_path: Path) -> None:
    images, table, codes = labelled_folder(tmp_path, {**ROWS, "/ceo/baseline/c0.png": ("F", "white")})
    answer = imported(images, table, codes, tmp_path / "run")
    assert answer.code == 0, answer
    assert (
        "1 rows of human labels belong to no image, the first: /ceo/baseline/c0.png (labels.csv, line 10)" in answer.err
    )
    run = audit.open(tmp_path / "run")
    assert run.record["left_out"] == ["/ceo/baseline/c0.png (labels.csv, line 10)"]
    assert list(run.record["classifiers"]) == ["human"]
    assert run.record["config"]["resolved"]["classifier"] == ["human"]
    labels = run.labels()
    for probe, attributes in SEEN.items():
        for attribute, expected in attributes.items():
            of_probe = labels[(labels["probe_id"] == probe) & (labels["attribute"] == attribute)]
            assert of_probe["class"].value_counts().to_dict() == {name: n for name, n in expected.items() if n}
    probes = run.probes().set_index("probe_id")
    assert probes["subject"].to_dict() == {"nurse.baseline": "nurse", "swe.baseline": "software_developer"}
    shares = run.shares("gender").query("reference == 'us-labour-2022' and `class` == 'woman'").set_index("subject")
    assert shares["reference_share"].round(3).to_dict() == {"nurse": 0.879, "software_developer": 0.215}
    hispanic = run.shares("ethnicity").query("`class` == 'hispanic' and reference == 'uniform'")
    assert (hispanic["count"] == 0).all()
    assert (hispanic["share_high"] > 0.4).all()  # never chosen, yet not absent


def test_people_and_a_machine_side_by_side(tmp_path: Path, small_clip: Path) -> None:
    images, table, codes = labelled_folder(tmp_path)
    machine = f"local-dir:{small_clip}"
    answer = imported(
        images, table, codes, tmp_path / "run", "--classifier", machine, "--attributes", "gender", "--quiet"
    )
    assert answer.code == 0, answer
    run = audit.open(tmp_path / "run")
    assert len(run.record["classifiers"]) == 2
    assert set(run.shares()["classifier"]) == set(run.record["classifiers"])
    again = imported(
        images, table, codes, tmp_path / "run", "--classifier", machine, "--attributes", "gender", "--quiet"
    )
    assert again == answer  # the same command continues, here with nothing to do


def test_other_labels_are_another_run(tmp_path: Path) -> None:
    images, table, codes = labelled_folder(tmp_path)
    assert imported(images, table, codes, tmp_path / "run", "--quiet").code == 0
    labelled_folder(tmp_path, {**ROWS, "/swe/baseline/b0.jpg": ("F", "Black")})
    message = refused(imported(images, table, codes, tmp_path / "run", "--quiet"))
    assert "holds a run of another configuration: classifiers.human.table_sha256" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("man: [M, male]", "man: [M]", "labels.csv, line 7: 'male' in column 'Gender' is no code of gender"),
        ("swe: software_developer", "swe: software_develper", "did you mean 'software_developer'?"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_written(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    images, table, codes = labelled_folder(tmp_path)
    codes.write_text(CODES.replace(old, new))
    assert message in refused(imported(images, table, codes, tmp_path / "run", "--quiet"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--human-labels", "labels.csv"], "--human-labels labels.csv needs --codes"),
        (["--codes", "codes.yaml"], "Give their table with --human-labels"),
        (["--classifier", "human"], "human labels belong to images that are imported"),
    ],
)
def test_half_of_the_options(tmp_path: Path, options: list[str], message: str) -> None:
    images, _, _ = labelled_folder(tmp_path)
    assert message in refused(call("import", images, *options, "--out", tmp_path / "run", "--quiet"))


# -- the real images -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, audit.Run]:
    """One import a model, by the command line, with the codes of the document."""
    out = tmp_path_factory.mktemp("labelled")
    codes = codes_of_the_document(out)
    made = {}
    for model, table in TABLES.items():
        folder = folder_of(shared_data, model)
        answer = imported(folder, folder / table, codes, out / model, "--quiet")
        assert answer == (0, f"Report: {out / model / 'report.html'}\n", ""), answer
        made[model] = audit.open(out / model)
    return made


def cells(shared_data: Path, model: str) -> pd.DataFrame:
    """The raw table, read on its own: what each of the 100 images shows, where it shows one person."""
    raw = pd.read_csv(shared_data / "images" / model / TABLES[model], encoding="utf-8-sig", keep_default_na=False)
    gender, race = raw["gender"].str.strip().str.lower(), raw["race"].str.strip()
    one = ~gender.isin(["both", "females"]) & (race != "mixed")
    women = gender.isin(["f", "female"])
    assert set(gender[one]) <= {"f", "female", "m", "male"}
    return pd.DataFrame(
        {
            "probe_id": raw["category"] + "." + raw["setting"],
            "one": one,
            "gender": np.where(one, np.where(women, "woman", "man"), ""),
            "ethnicity": np.where(one, race, ""),
        }
    )


@pytest.mark.parametrize("model", TABLES)
@pytest.mark.parametrize("attribute", ["gender", "ethnicity"])
def test_shares_by_occupation_and_condition(
    runs: dict[str, audit.Run], shared_data: Path, model: str, attribute: str
) -> None:
    seen = cells(shared_data, model)
    expected = pd.crosstab(seen["probe_id"], seen[attribute]).drop(columns="", errors="ignore")
    shares = runs[model].shares(attribute).query("reference == 'uniform'")
    assert shares["probe_id"].nunique() == 10
    counts = shares.pivot(index="probe_id", columns="class", values="count")
    pd.testing.assert_frame_equal(counts[expected.columns], expected, check_dtype=False, check_names=False)
    assert counts.drop(columns=expected.columns).to_numpy().sum() == 0
    n = shares["probe_id"].map(seen.groupby("probe_id")["one"].sum())
    assert (shares["n"] == n).all()
    low, high = proportion_confint(shares["count"].to_numpy(), shares["n"].to_numpy(), method="wilson")
    assert shares["share"].to_numpy() == pytest.approx((shares["count"] / n).to_numpy(), abs=1e-12)
    assert shares["share_low"].to_numpy() == pytest.approx(low, abs=1e-8)
    assert shares["share_high"].to_numpy() == pytest.approx(high, abs=1e-8)


@pytest.mark.parametrize(("model", "several"), [("dall_e_3", 23), ("flux_dev", 12), ("sdxl_turbo", 0)])
def test_images_of_several_people_are_counted(runs: dict[str, audit.Run], model: str, several: int) -> None:
    missing = runs[model].missing()
    for attribute in ("gender", "ethnicity"):
        rows = missing[missing["attribute"] == attribute]
        assert rows["several_people"].sum() == several
        assert (rows["labelled"] + rows["several_people"] == 10).all()
    if model == "dall_e_3":
        assert rows[rows["template"] == "controlled"]["several_people"].sum() == 23  # of 50 images


def test_subjects_are_those_of_the_suite(runs: dict[str, audit.Run]) -> None:
    """`swe` is a software engineer: the suite calls her a software developer, and the labour market has a row."""
    for run in runs.values():
        probes = run.probes().set_index("probe_id")["subject"]
        assert probes["swe.baseline"] == probes["swe.controlled"] == "software_developer"
        known = run.shares("gender").query("reference == 'us-labour-2022' and `class` == 'woman'")
        assert len(known) == 10  # probes without a row are shown
        with_row = known.dropna(subset="reference_share")
        assert sorted(set(with_row["subject"])) == ["ceo", "nurse", "software_developer"]
        gap = run.gaps("gender").query("reference == 'us-labour-2022' and claim == 'list'")
        assert gap["probes"].item() == 6  # and left out of the gap


def test_ten_images_a_cell_decide_little(runs: dict[str, audit.Run]) -> None:
    """Nothing is concluded from a cell unless all of its images agree, or nearly so."""
    every = pd.concat([run.shares() for run in runs.values()])
    if "conclusion" not in every:
        pytest.skip("the tables have no conclusions")
    told = every[every["reference"].notna() & every["reference_share"].notna()]
    counts = told["conclusion"].value_counts()
    assert set(counts.index) <= {"higher", "lower", "close", "inconclusive", "empty"}
    assert counts["inconclusive"] > len(told) / 2
    assert "close" not in counts  # ten images never show that a share is within five points of its reference
    women = told[(told["class"] == "woman") & (told["reference"] == "uniform")]
    split = women["share"].between(0.2, 0.8)
    assert split.sum() >= 10
    assert (women.loc[split, "conclusion"] == "inconclusive").all()


def test_people_are_no_classifier_to_correct(runs: dict[str, audit.Run]) -> None:
    for run in runs.values():
        card = run.record["classifiers"]["human"]["card"]
        assert card["people"] is True
        assert "wrote down" in card["construct"]


def test_the_codes_of_the_document_refuse_what_they_do_not_know(shared_data: Path, tmp_path: Path) -> None:
    """Each code that the three tables use is needed: without it the import is refused, with the row."""
    codes = codes_of_the_document(tmp_path)
    text = codes.read_text(encoding="utf-8")
    folder = folder_of(shared_data, "flux_dev")
    assert [each.question.classes for each in read_codes(codes).attributes] == [
        ("woman", "man"),
        ("white", "black", "asian"),
    ]
    for old, new, code in (
        ("[F, female]", "[F]", "female"),
        (", females: [woman]}", "}", "females"),
        ("[mixed]", "[]", "mixed"),
    ):
        codes.write_text(text.replace(old, new), encoding="utf-8")
        message = refused(imported(folder, folder / "flux.csv", codes, tmp_path / "run", "--quiet"))
        assert re.search(rf"flux\.csv, line \d+: '{code}' in column .* is no code of", message), message
