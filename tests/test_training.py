"""Training data audited as a reference: the same counts from every layout, nothing kept of single images.

Oracle: the drawings of the phantom, of which caption, subject and people are known.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import call, contents, refused
from helpers import Tint
from PIL import Image

import audit
from audit.reference import ReferenceDataError, expand, load_reference
from audit.training import kept
from probes.phantom.captions import understand
from probes.phantom.data import Example, planted_example
from probes.phantom.world import load_world

DRAWINGS = 600
PHANTOM = {"suite": "phantom", "classifier": "phantom", "reference": ("phantom-world",), "threads": 1, "draws": 200}


def png(example: Example) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(example.pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def drawings() -> list[Example]:
    return [planted_example(seed) for seed in range(DRAWINGS)]


@pytest.fixture(scope="module")
def folder(drawings: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawings as files with captions beside them."""
    root = tmp_path_factory.mktemp("drawings") / "secret-name"
    root.mkdir()
    for number, example in enumerate(drawings):
        (root / f"face-{number:04d}.png").write_bytes(png(example))
        (root / f"face-{number:04d}.txt").write_text(example.caption, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """The audit of the folder, with the images that people shall label."""
    out = tmp_path_factory.mktemp("runs") / "drawings-training"
    return audit.import_training(folder, out=out, keep_images=150, name="drawings", **PHANTOM)


def small(folder: Path, captions: dict[str, str]) -> Path:
    """Reddish and greenish images by their names, with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, caption in captions.items():
        tint = (200, 20, 20) if name.startswith("red") else (20, 200, 20)
        Image.new("RGB", (8, 8), tint).save(folder / f"{name}.png", comment="somebody")
        (folder / f"{name}.txt").write_text(caption, encoding="utf-8")
    return folder


@pytest.fixture
def tint(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instrument with embeddings and scores in the place of `faces`."""
    monkeypatch.setattr("audit.classifiers.registry.load_classifier", lambda name, **_: Tint())


SMALL = {
    "red1": "a nurse",
    "red2": "a female nurse",
    "green1": "a nurse",
    "green2": "a chef and his knife",
    "x": "a sea",
}
QUIET: dict[str, Any] = {"reference": ("uniform",), "threads": 1, "draws": 200, "report": False}


# -- the same from every layout --------------------------------------------------------------------------------------


def test_folder_tar_and_parquet_give_the_same_counts(
    drawings: list[Example], trained: audit.Run, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "drawings.tar", "w") as archive:
        for number, example in enumerate(drawings):
            for name, data in ((f"{number}.png", png(example)), (f"{number}.txt", example.caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    images = [{"bytes": png(example), "path": None} for example in drawings]
    table = pa.table({"image": images, "text": [example.caption for example in drawings]})
    pq.write_table(table, tmp_path / "drawings.parquet", row_group_size=100)
    for name in ("drawings.tar", "drawings.parquet"):
        run = audit.import_training(tmp_path / name, out=tmp_path / f"run-{name}", **PHANTOM, report=False)
        for table_name in ("shares", "missing", "amplification"):
            pd.testing.assert_frame_equal(run.table(table_name), trained.table(table_name))


def test_captions_choose_subject_and_kind(drawings: list[Example], trained: audit.Run) -> None:
    """Oracle: the captions' own words, understood by the phantom, not by the importer."""
    world = load_world()
    counted: Counter[str] = Counter()
    for example in drawings:
        found = understand(world, example.caption)
        assert found is not None
        counted[f"{example.subject}.names-{'' if 'gender' in found.named else 'no-'}gender"] += 1
    assert trained.missing().drop_duplicates("probe_id").set_index("probe_id")["asked"].to_dict() == counted
    told = trained.record["training"]
    assert told["entries"] == told["matched"] == DRAWINGS
    assert told["names_gender"] == sum(n for name, n in counted.items() if name.endswith("names-gender"))
    assert told["left_out"] == {}


# -- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tint")
def test_nothing_of_single_images_is_kept(tmp_path: Path) -> None:
    run = audit.import_training(small(tmp_path / "secret", SMALL), out=tmp_path / "run", name="data", **QUIET)
    run.report()
    samples, labels = run.samples(), run.labels()
    assert samples["outcome"].tolist() == ["ok"] * 4
    assert set(samples[["file", "sha256", "details"]].to_numpy().ravel()) == {""}
    assert samples[["offset", "length", "width", "height", "seed"]].to_numpy().sum() == 0
    assert [len(scores) for scores in labels["scores"]] == [0] * 4
    assert sorted(labels["class"]) == ["man", "man", "woman", "woman"]
    assert {path.name for path in run.path.iterdir() if path.is_dir()} == {"labels", "samples", "tables"}
    record = run.record
    assert (record["plan"]["seed"], record["identity"]["image_store"]) == (None, "none")
    assert record["training"]["left_out"] == {"the caption names no subject of the suite": 1}
    stored = [path for path in run.path.rglob("*") if path.is_file()]
    unpacked = "".join(str(pq.read_table(path).to_pylist()) for path in stored if path.suffix == ".parquet")
    whole = unpacked.encode() + b"".join(path.read_bytes() for path in stored)
    for word in (b"red1", b"green2", b"secret", b"his knife", b"female nurse", b"somebody", b"data:image/webp"):
        assert word not in whole, word
    assert b"pictures of real people" in whole


@pytest.mark.usefixtures("tint")
def test_images_are_kept_if_asked_for_and_forgotten(tmp_path: Path) -> None:
    captions = {f"red{i}": "a nurse" for i in range(12)} | {f"green{i}": "a baker" for i in range(8)}
    source = small(tmp_path / "secret", captions)
    run = audit.import_training(source, out=tmp_path / "run", keep_images=5, **QUIET)
    run.report()
    files = [path for path in (run.path / "images").rglob("*") if path.is_file()]
    assert len(files) == len(kept(run.path)) == run.record["training"]["kept_images"] == 5
    assert not any(b"somebody" in path.read_bytes() for path in files)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "5 pictures, chosen at random, are kept" in page
    assert "<img" not in page
    again = audit.import_training(source, out=tmp_path / "again", keep_images=5, **QUIET)
    assert kept(again.path) == kept(run.path)
    before = run.shares()
    sheet = audit.annotate(run.path)
    assert sheet.read_text(encoding="utf-8").count("data:image") >= 5
    done = audit.forget(run.path, kept(run.path))
    assert (done.samples, done.images) == (5, 5)
    assert not sheet.exists()
    assert kept(run.path) == []
    assert not [path for path in (run.path / "images").rglob("*") if path.is_file()]
    audit.analyze(run.path, report=False)
    pd.testing.assert_frame_equal(run.shares(), before)
    assert before["count"].sum() == 20


@pytest.mark.usefixtures("tint")
def test_what_needs_images_is_refused(tmp_path: Path) -> None:
    source = small(tmp_path / "secret", SMALL)
    run = audit.import_training(source, out=tmp_path / "run", **QUIET).path
    for answer in (call("annotate", run), call("export", run, "--imagefolder", tmp_path / "out")):
        assert "keeps no images, only counts" in refused(answer)
    assert not (tmp_path / "out").exists()
    with pytest.raises(audit.UsageError, match="cannot be labelled again"):
        audit.label(run, classifier="tint", name="other")
    sample = audit.open(run).samples()["sample_id"].iloc[0]
    before = audit.open(run).shares()
    assert audit.forget(run, [sample]).samples == 1
    audit.analyze(run)
    pd.testing.assert_frame_equal(audit.open(run).shares(), before)


@pytest.mark.usefixtures("tint")
def test_a_run_that_keeps_images_is_never_marked_as_made_by_ai(tmp_path: Path) -> None:
    run = audit.import_training(small(tmp_path / "a", SMALL), out=tmp_path / "run", keep_images=2, **QUIET)
    done = audit.export(run.path, imagefolder=tmp_path / "out")
    assert (done.images, done.marked) == (2, 0)


# -- going on, and bad input -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tint")
def test_a_run_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = {f"{'red' if i % 3 else 'green'}{i:03d}": "a nurse" if i % 2 else "a female baker" for i in range(70)}
    source = small(tmp_path / "a", captions)
    whole = audit.import_training(source, out=tmp_path / "whole", keep_images=9, **QUIET)
    seen = []

    def killed(self: Tint, images: list[Image.Image]) -> Any:
        seen.append(len(images))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return Tint.label_embeddings(self, self.embed(images))

    with monkeypatch.context() as patch:
        patch.setattr(Tint, "label", killed)
        with pytest.raises(KeyboardInterrupt):
            audit.import_training(source, out=tmp_path / "run", keep_images=9, **QUIET)
    run = audit.import_training(source, out=tmp_path / "run", keep_images=9, **QUIET)
    pd.testing.assert_frame_equal(run.samples(), whole.samples())
    pd.testing.assert_frame_equal(run.labels(), whole.labels())
    (source / "red001.txt").write_text("a chef")
    with pytest.raises(audit.UsageError, match="holds a run of another configuration"):
        audit.import_training(source, out=tmp_path / "run", keep_images=9, **QUIET)


@pytest.mark.usefixtures("tint")
def test_images_that_cannot_be_read_are_failed_with_the_reason(tmp_path: Path) -> None:
    source = small(tmp_path / "a", SMALL)
    (source / "red1.png").write_bytes(b"no image")
    (source / "red2.png").write_bytes((source / "red2.png").read_bytes()[:45])
    (source / "green1.png").write_bytes(b"")
    samples = audit.import_training(source, out=tmp_path / "run", **QUIET).samples()
    assert Counter(samples["outcome"]) == {"failed": 3, "ok": 1}
    reasons = samples.loc[samples["outcome"] == "failed", "reason"]
    assert all(reason.startswith("the image cannot be read") and "<" not in reason for reason in reasons)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["data", "--keep-images", "-1"], "keep_images must be 0 or more (got -1)"),
        (["data", "--suite", "berufe"], "no caption of the collection names one subject of the suite 'berufe' (5: the"),
        (["data", "--suite", "ocupations"], "did you mean 'occupations'"),
        (["empty"], "holds no images with captions"),
    ],
)
@pytest.mark.usefixtures("tint")
def test_bad_input_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(tmp_path / "data", SMALL)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert message in refused(call("training", *arguments, "--quiet"))
    assert contents(tmp_path / "runs") == {}


@pytest.mark.usefixtures("tint")
def test_the_command_tells_the_run(tmp_path: Path) -> None:
    small(tmp_path / "data", SMALL)
    answer = call(
        *("training", tmp_path / "data", "--out", tmp_path / "run", "--threads", 1, "--draws", 200),
        *("--reference", "uniform", "--json", "--quiet"),
    )
    assert answer.code == 0, answer
    assert json.loads(answer.out)["samples"] == 4


# -- as a reference --------------------------------------------------------------------------------------------------


def share(name: str, subject: str) -> tuple[float, int | None]:
    reference = load_reference(name)
    found = reference.shares("gender", ("woman", "man"), subject=subject, keys={})
    assert found is not None
    return float(found[0]), reference.size("gender", subject=subject, keys={})


@pytest.mark.usefixtures("tint")
def test_a_training_run_is_a_reference_with_two_parts(tmp_path: Path) -> None:
    run = audit.import_training(small(tmp_path / "a", SMALL), out=tmp_path / "faces-training", **QUIET).path
    assert share(f"training:{run}", "nurse") == (pytest.approx(2 / 3), 3)
    assert share(f"training:{run}#no-gender", "nurse") == (0.5, 2)
    assert share(f"training:{run}@tint#gender", "nurse") == (1.0, 1)
    names = [load_reference(name).name for name in expand([f"training:{run}", "uniform"])]
    assert names == ["training-faces", "training-faces-no-gender", "uniform"]
    assert expand([f"training:{run}#gender"]) == [f"training:{run}#gender"]
    with pytest.raises(ReferenceDataError, match="'no-gander' is no part: did you mean 'no-gender'"):
        load_reference(f"training:{run}#no-gander")
    chefs = small(tmp_path / "b", {"red": "a chef and her knife"})
    only = audit.import_training(chefs, out=tmp_path / "only", **QUIET).path
    assert expand([f"training:{only}"]) == [f"training:{only}"]
    with pytest.raises(ReferenceDataError, match="has no labelled image"):
        load_reference(f"training:{only}#no-gender")
    assert "labelled images a subject" in call("references", f"training:{run}").out


def test_another_run_is_no_training_data() -> None:
    frozen = Path(__file__).parent / "data" / "run-schema-1"
    with pytest.raises(ReferenceDataError, match="is no audit of training data"):
        load_reference(f"training:{frozen}")


def test_a_model_beside_its_training_data_with_labels_on_both_sides(
    drawings: list[Example], trained: audit.Run, tmp_path: Path
) -> None:
    """The drawn phantom beside the drawings that its world was planted in: by δ, then with people's labels of both."""
    reference = f"training:{trained.path}"
    made = {"model": "phantom-drawn", "languages": "en", "images": 14, "threads": 1, "draws": 200}
    run = audit.run(**made, reference=("phantom-world", reference), out=str(tmp_path / "run"))
    names = ["training-drawings", "training-drawings-no-gender"]
    assert run.record["references"] == ["phantom-world", *names]
    table = run.table("amplification")
    assert set(table.loc[table["reference"] == "phantom-world", "evidence"]) == {""}
    assert set(table.loc[table["reference"] != "phantom-world", "evidence"]) == {"delta rule"}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "People have not labelled enough pictures on both sides" in page

    audit.annotate(trained.path, images=1000, attributes="gender")
    sheet = pd.concat(pd.read_csv(path) for path in (trained.path / "human").glob("sheet-*.csv"))
    digest = trained.record["model"]["fingerprint"]["digest"]
    by_sample = {sample_of(digest, number): example for number, example in enumerate(drawings)}
    rows = [
        {**row, "rater": "anna", "attribute": "gender", "class": by_sample[row["sample_id"]].person.gender}
        for row in sheet.to_dict("records")
    ]
    assert len(rows) == 150
    labels = pd.DataFrame(rows)[["sample_id", "rater", "attribute", "class", "stratum", "sampling_probability"]]
    labels.to_csv(tmp_path / "labels.csv", index=False)
    audit.read_labels(trained.path, [tmp_path / "labels.csv"], report=False)
    audit.read_truth(run.path, images=150, attributes="gender", report=False)
    audit.analyze(run.path, reference=["phantom-world", reference])
    with_labels = run.table("amplification")
    gender = with_labels[with_labels["attribute"] == "gender"].set_index("reference")
    assert gender.loc["training-drawings", "evidence"] == "labels on both sides"
    assert "people have labelled pictures on both sides" in (run.path / "report.html").read_text().lower()
    truth = np.mean([planted_growth(drawings, subject) for subject in planted()])
    row = gender.loc["training-drawings"]
    assert row["growth_low"] <= truth <= row["growth_high"]

    trained_path = trained.path.rename(trained.path.with_name("moved"))
    try:
        audit.analyze(run.path, report=False)
        pd.testing.assert_frame_equal(run.table("amplification"), with_labels)
    finally:
        trained_path.rename(trained.path)


def sample_of(digest: str, position: int) -> str:
    from probes.plan import digest_of

    return digest_of({"training": digest, "position": position})


def planted() -> list[str]:
    return [subject.id for subject in load_world().asking("one")]


def planted_growth(drawings: list[Example], subject: str) -> float:
    """Planted share less that of these drawings, in the direction of the planted one: captions that name a gender are
    balanced, so that the model of the world leans further than its training data."""
    shown = [each.person.gender == "woman" for each in drawings if each.subject == subject and each.person]
    entry = load_world().subjects[subject]
    women = entry.shares["gender"][0]
    return (1 if women > 0.5 else -1) * (women - float(np.mean(shown)))
