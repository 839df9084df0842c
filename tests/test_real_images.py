"""Real images: 100 pictures of DALL·E 3, imported, labelled by their faces, compared with what people saw."""

from __future__ import annotations

import csv
import html
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from commands import WORDINGS, call, contents
from real_runs import folder_of, labelled_run

import audit
from audit.store import Store

NAME = "dall_e_3"
CODES = {"f": "woman", "female": "woman", "m": "man", "male": "man"}
"""How the tables beside the images write what a person saw; `Both` is several people, and no class."""


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return folder_of(shared_data, NAME)


@pytest.fixture(scope="module")
def run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """The import: 100 images, 5 occupations × 2 conditions, labelled by faces and by people."""
    made, answer = labelled_run(shared_data, NAME, tmp_path_factory)
    assert "1 files were left out, the first: ceo_baseline_s0.c2pa.png" in answer.err
    return made


@pytest.fixture(scope="module")
def seen(folder: Path) -> Mapping[str, str]:
    """What a person saw, by the name of the file without its ending."""
    with (folder / "gpt.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return {Path(row["image_file"]).stem: CODES.get(row["gender"].strip().lower(), "") for row in rows}


def text_of(page: Path) -> str:
    """The words of a report, without markup, styles and charts."""
    bare = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(bare).replace("\u202f", " ").replace("\xa0", " "))


def test_every_image_is_there_once(run: audit.Run, folder: Path) -> None:
    samples = run.samples()
    assert len(samples) == 100
    assert set(samples["outcome"]) == {"ok"}
    assert samples.groupby("probe_id").size().to_dict() == {
        f"{subject}.{condition}": 10
        for subject in ("athlete", "ceo", "nurse", "swe", "teacher")
        for condition in ("baseline", "controlled")
    }
    originals = {digest for path, digest in contents(folder).items() if path.endswith(".jpg")}
    assert set(samples["sha256"]) == originals == set(contents(run.path / "images").values())


def test_images_without_a_face_stand_in_the_report(run: audit.Run) -> None:
    missing = run.missing()
    gender = missing[(missing["attribute"] == "gender") & (missing["classifier"] == "faces")].set_index("probe_id")
    assert (gender["asked"] == 10).all()
    assert (gender[["no_person", "several_people", "unclear", "labelled"]].sum(axis=1) == 10).all()
    faceless, several, labelled = (int(gender[name].sum()) for name in ("no_person", "several_people", "labelled"))
    assert faceless > 30  # one of the three images in which nobody is turned to the viewer
    page = text_of(run.path / "report.html")
    lost = 100 - labelled
    assert f"Of 100 pictures asked for of one person, {labelled} ({labelled} %) could be labelled" in page
    assert (
        f"{lost} ({lost} %) are missing from every share below: in {faceless} no face was found, "
        f"in {several} several faces were found"
    ) in page
    assert "Of these very pictures , people labelled all. For perceived gender they say: woman 50 %, man 27 %." in page
    assert "does not err alike" not in page  # in no occupation is it shown
    assert page.index("no face was found") < page.index("What was asked")  # in the opening, not under a table
    table = page[page.index("What is missing", page.index("Where the numbers come from")) :]
    columns = ("asked", "refused", "failed", "no_person", "several_people", "unclear", "labelled")
    for _, row in gender.iterrows():
        cells = " ".join(str(row[name]) for name in columns)
        assert (
            f"{row['subject'].replace('_', ' ')} · {row['template']} {cells} {row['lost_share']:.0%}".replace("%", " %")
            in table
        )


def test_occupations_are_compared_with_the_labour_market(run: audit.Run) -> None:
    record, shares = run.record, run.shares("gender").query("classifier == 'faces'")
    assert record["references"] == ["us-labour-2022", "uniform"]
    assert record["primary"] == {"attribute": "gender", "reference": "us-labour-2022", "claim": "list"}
    women = shares[(shares["class"] == "woman") & (shares["reference"] == "us-labour-2022")].set_index("probe_id")
    assert women["reference_share"].dropna().round(3).to_dict() == {
        "ceo.baseline": 0.292, "ceo.controlled": 0.292, "nurse.baseline": 0.879, "nurse.controlled": 0.879,
        "swe.baseline": 0.215, "swe.controlled": 0.215,
    }  # fmt: skip
    gaps = run.gaps("gender").query("classifier == 'faces'").to_dict("records")
    (row,) = [each for each in gaps if (each["reference"], each["claim"]) == ("us-labour-2022", "list")]
    assert row["probes"] == 5  # in one of the six only one image has a class
    assert 0 <= row["gap_low"] <= row["gap"] <= row["gap_high"] <= 1
    assert "Statistics of the US labour market, as people report themselves" in text_of(run.path / "report.html")


def test_faces_see_what_a_person_saw(run: audit.Run, seen: Mapping[str, str], folder: Path) -> None:
    names = {digest: Path(path).stem for path, digest in contents(folder).items()}
    samples = run.samples().set_index("sample_id")["sha256"].map(names)
    labels = pd.concat(table.to_pandas() for table in Store.open(run.path).label_parts("faces"))
    gender = labels[labels["attribute"] == "gender"].set_index("sample_id")["class"]
    pairs = [(answer, seen[samples[sample]]) for sample, answer in gender.items()]
    one = [(answer, person) for answer, person in pairs if answer in ("woman", "man") and person]
    assert len(one) >= 20
    assert sum(answer == person for answer, person in one) / len(one) >= 0.9


def test_the_table_beside_the_images_leads_to_the_same_probes(
    run: audit.Run, folder: Path, small_clip: Path, tmp_path: Path
) -> None:
    wordings = tmp_path / "plain.yaml"
    wordings.write_text(WORDINGS)
    out = tmp_path / "by-table"
    answer = call(
        "import", folder, "--table", folder / "gpt.csv", "--suite", "occupations", "--classifier",
        f"local-dir:{small_clip}", "--wordings", wordings, "--attributes", "gender", "--image-store", "tar",
        "--threads", 1, "--draws", 200, "--out", out, "--quiet",
    )  # fmt: skip
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    keys = ["probe_id", "index", "sha256"]
    by_table = audit.open(out)
    pd.testing.assert_frame_equal(by_table.samples()[keys], run.samples()[keys])
    named = {"subject": {"swe": "software_developer"}}  # by the table of codes of the other import
    keys = ["probe_id", "subject", "template", "text", "people"]
    pd.testing.assert_frame_equal(by_table.probes()[keys].replace(named), run.probes()[keys])
    with tarfile.open(next((out / "images").glob("*.tar"))) as archive:
        assert len(archive.getnames()) == 100
