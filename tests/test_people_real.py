"""Pictures of several people, for real: images of DALL·E 3 as people labelled them and as their faces were told apart.

Oracles: pandas on the raw cells; `any_of` on the people that `faces` gives when it is asked directly.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.json
import pytest
from commands import call
from crowd import stored_people
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

import audit
from audit.classifiers.faces import FacesClassifier
from audit.classifiers.people import any_of
from audit.classifiers.registry import load_classifier
from audit.store import Store

CODES = """
file: image_file
subjects: {swe: software_developer}
attributes:
  gender:
    column: gender
    codes: {woman: [F, female], man: [M, male], several_people: {both: [woman, man], females: [woman]}}
"""
MODELS = {"dall_e_3": "gpt.csv", "flux_dev": "flux.csv"}


def imported(folder: Path, table: Path, out: Path, *more: object) -> audit.Run:
    codes = out.parent / "codes.yaml"
    codes.write_text(CODES, encoding="utf-8")
    answer = call(
        "import", folder, "--folders", "subject/condition", "--suite", "occupations", "--human-labels", table,
        "--codes", codes, "--threads", 1, "--draws", 200, "--reference", "uniform", "--out", out, "--quiet", *more,
    )  # fmt: skip
    assert answer.code == 0, answer
    return audit.open(out)


@pytest.fixture(scope="module")
def images(shared_data: Path) -> Path:
    if not (shared_data / "images" / "dall_e_3").is_dir():
        pytest.skip("no folder images/dall_e_3 in shared/data")
    return shared_data / "images"


@pytest.mark.parametrize("model", MODELS)
def test_any_woman_as_people_labelled_the_images(images: Path, tmp_path: Path, model: str) -> None:
    run = imported(images / model, images / model / MODELS[model], tmp_path / "run")
    raw = pd.read_csv(images / model / MODELS[model], encoding="utf-8-sig", keep_default_na=False)
    cells = raw["gender"].str.strip().str.lower()
    table = run.table("people").set_index(["probe_id", "template", "class"])
    for setting in ("baseline", "controlled", ""):
        seen = cells[raw["setting"].isin(["baseline", "controlled"] if not setting else [setting])]
        women = seen.isin(["f", "female", "both", "females"]).sum()
        men = seen.isin(["m", "male", "both"]).sum()
        several = seen.isin(["both", "females"]).sum()
        for name, shown in (("woman", women), ("man", men)):
            row = table.loc["", setting, name]
            assert (row["any_count"], row["any_n"], row["any_unknown"]) == (shown, len(seen), 0)
            assert row["any_share"] == pytest.approx(shown / len(seen))
            assert (row["any_low"], row["any_high"]) == pytest.approx(
                proportion_confint(shown, len(seen), method="wilson"), abs=1e-8
            )
            assert (row["one"], row["several"]) == (len(seen) - several, several)
            assert pd.isna(row["person_share"]) == (several > 0)  # `Both` says no number
    if model == "dall_e_3":
        assert table.loc["", "controlled", "woman"][["any_count", "several"]].tolist() == [41, 23]
        page = (run.path / "report.html").read_text(encoding="utf-8")
        (section,) = re.findall(r'<h2 id="persons">.*?</section>', page, re.S)
        text = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", section)).replace("\u00a0", " ")
        assert "23 of 100 pictures with people show several (23 %)" in text
        assert "82 %" in text and "41 of 50" in text


@pytest.fixture(scope="module")
def told(images: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """Ten images of DALL·E 3, six of several people, labelled by people and by their faces."""
    out = tmp_path_factory.mktemp("told")
    for name in ("teacher/controlled", "nurse/controlled"):
        (out / "images" / name).mkdir(parents=True)
        for path in sorted((images / "dall_e_3" / name).glob("*.jpg"))[:5]:
            shutil.copy(path, out / "images" / name)
    return imported(out / "images", images / "dall_e_3" / "gpt.csv", out / "run", "--classifier", "faces")


@pytest.fixture(scope="module")
def faces() -> FacesClassifier:
    classifier = load_classifier("faces")
    assert isinstance(classifier, FacesClassifier)
    return classifier


def test_faces_are_stored_as_they_are_found(told: audit.Run, faces: FacesClassifier) -> None:
    store = Store.open(told.path)
    kept = stored_people(store, "faces")
    samples = told.samples()
    found = faces.people([Image.open(told.path / file).convert("RGB") for file in samples["file"]])
    assert any(len(people) > 1 for people in found)
    for sample, people in zip(samples["sample_id"], found, strict=True):
        stored = kept.get(sample, [])
        assert [(p["left"], p["top"], p["right"], p["bottom"]) for p in stored] == [
            (p.left, p.top, p.right, p.bottom) for p in people
        ]
        assert [p["answers"] for p in stored] == [[p.answers["gender"], p.answers["age"]] for p in people]
        assert [(p["pose"], p["enlarged"]) for p in stored] == [(p.pose, p.enlarged) for p in people]
    table = told.table("people").query("classifier == 'faces' and probe_id == '' and template == ''")
    for name in ("woman", "man"):
        row = table[table["class"] == name].iloc[0]
        counts = any_of(found, "gender", name)
        assert (row["any_count"], row["any_unknown"], row["none"]) == (counts.shown, counts.unknown, counts.nobody)
        assert (row["people"], row["person_count"]) == (counts.people, counts.of_class)


def test_boxes_are_exported_as_others_read_them(told: audit.Run, tmp_path: Path) -> None:
    kept = stored_people(Store.open(told.path), "faces")
    audit.export(told.path, imagefolder=tmp_path / "folder")
    path = tmp_path / "folder" / "train" / "metadata.jsonl"
    lines = pyarrow.json.read_json(path).to_pylist()  # as `datasets` reads it: one type for every column
    assert sum(len(line["faces/people"]["bbox"]) for line in lines) == sum(map(len, kept.values()))
    for line in lines:
        people = kept.get(line["sample_id"], [])
        assert line["faces/people"]["gender"] == [person["answers"][0] for person in people]
        with Image.open(tmp_path / "folder" / "train" / line["file_name"]) as image:
            for (x, y, width, height), person in zip(line["faces/people"]["bbox"], people, strict=True):
                assert 0 <= x < x + width <= image.width and 0 <= y < y + height <= image.height
                assert (x, y) == (max(person["left"], 0), max(person["top"], 0))
    assert "human/people" not in lines[0]  # people who labelled the images drew no boxes
    assert "`faces/people`" in (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    audit.export(told.path, fiftyone=tmp_path / "fiftyone")
    for sample in json.loads((tmp_path / "fiftyone" / "samples.json").read_text(encoding="utf-8"))["samples"]:
        field = sample["people_by_faces"]
        assert field["_cls"] == "Detections"
        assert len(field["detections"]) == len(kept.get(sample["sample_id"], []))
        for one in field["detections"]:
            assert one["_cls"] == "Detection" and one["label"] == one["perceived_gender"]
            x, y, width, height = one["bounding_box"]
            assert 0 <= x < x + width <= 1 and 0 <= y < y + height <= 1


def test_the_report_says_what_faces_did_not_find(told: audit.Run, tmp_path: Path) -> None:
    for lang, headings in (("en", ("No face found", "Several faces")), ("de", ("Kein Gesicht gefunden", "Mehrere"))):
        page = told.report(tmp_path / f"{lang}.html", lang=lang).read_text(encoding="utf-8")
        (section,) = re.findall(r'<h2 id="missing">.*?</section>', page, re.S)
        first, *others = re.findall(r"<thead>.*?</thead>", section, re.S)
        assert all(heading in first for heading in headings)
        nobody = "No person" if lang == "en" else "Niemand"
        assert nobody not in first
        assert any(nobody in other for other in others)  # people who looked did say so
