"""`rolecall import` of a folder full of damage and traps: all is in the run with its reason, nothing anywhere else."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from commands import WORDINGS, Answer, call, contents, refused
from importers.metadata_files import a1111, png_texts
from importers.mixed_files import Mixed, mixed
from PIL import Image

import audit

FILES = 170


@pytest.fixture(scope="module")
def cheap(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Options for an instrument that costs little."""
    wordings = tmp_path_factory.mktemp("wordings") / "plain.yaml"
    wordings.write_text(WORDINGS)
    return (
        *("--classifier", f"local-dir:{small_clip}", "--wordings", wordings, "--attributes", "gender"),
        *("--threads", 1, "--draws", 200),
    )


@pytest.fixture(scope="module")
def imported(cheap: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixed, audit.Run, Answer]:
    root = tmp_path_factory.mktemp("all")
    folder = mixed(root / "caf\udce9 <b>", FILES)
    before = contents(root)
    answer = call("import", folder.root, "--suite", "occupations", *cheap, "--out", root / "run")
    assert answer.code == 0, answer
    after = contents(root)
    assert {name: digest for name, digest in after.items() if Path(name).relative_to(root).parts[0] != "run"} == before
    return folder, audit.open(root / "run"), answer


def test_asked_is_ok_and_failed_and_what_is_left_has_its_reason(imported: tuple[Mixed, audit.Run, Answer]) -> None:
    folder, run, _ = imported
    samples = run.samples()
    outcomes = samples["outcome"].value_counts().to_dict()
    assert outcomes == {"ok": len(folder.good), "failed": len(folder.bad)}
    assert (samples.loc[samples["outcome"] == "failed", "reason"] != "").all()
    missing = run.missing().groupby("attribute")[["asked", "failed"]].sum()
    assert missing.loc["gender"].to_dict() == {"asked": len(samples), "failed": len(folder.bad)}
    record = run.record
    assert len(record["left_out"]) == len(folder.left_out)
    assert record["other_files"] == folder.others
    with (run.path / "left_out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{row['file']} ({row['reason']})" for row in rows] == record["left_out"]
    assert {row["file"] for row in rows} == set(folder.left_out)
    assert all(re.search(folder.left_out[row["file"]], row["reason"]) for row in rows)


def test_what_is_left_out_is_summed_up(imported: tuple[Mixed, audit.Run, Answer]) -> None:
    folder, run, answer = imported
    told = f"{len(folder.left_out)} files were left out: "
    (line,) = [line for line in answer.err.splitlines() if line.startswith(told)]
    assert "4: its name leads out of the archive; " in line
    assert line.endswith("left_out.csv")
    assert "7 other files are no images: 2 .txt, 2 hidden, 1 " in answer.err
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert told in page
    assert "<img src=x" not in page
    assert "onerror=alert(1)>" not in page


def test_the_same_command_finds_its_run_complete(
    imported: tuple[Mixed, audit.Run, Answer], cheap: tuple[object, ...]
) -> None:
    folder, run, _ = imported
    before = contents(run.path / "samples", run.path / "images", run.path / "labels")
    answer = call("import", folder.root, "--suite", "occupations", *cheap, "--out", run.path, "--quiet")
    assert answer.code == 0, answer
    assert contents(run.path / "samples", run.path / "images", run.path / "labels") == before


def test_a_run_in_the_folder_is_not_imported_again(cheap: tuple[object, ...], tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "1.png")
    options = ("import", tmp_path, *cheap, "--out", tmp_path / "runs" / "one", "--quiet")
    first, again = call(*options), call(*options)
    assert (first.code, again.code) == (0, 0), (first, again)
    assert len(audit.open(tmp_path / "runs" / "one").samples()) == 1


def test_a_folder_whose_name_is_no_text(cheap: tuple[object, ...], tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    Image.new("RGB", (20, 20)).save(folder / "1.png")
    answer = call("import", folder, *cheap, "--out", tmp_path / "run", "--quiet")
    assert answer.code == 0, answer
    run = audit.open(tmp_path / "run")
    assert run.record["model"]["name"] == "caf\\xe9"
    assert list(run.probes()["subject"]) == ["caf-xe9"]


def test_hugging_faces_metadata_and_prompts_of_a_suite(cheap: tuple[object, ...], tmp_path: Path) -> None:
    """Each folder has its table; images of both are called alike."""
    folder = tmp_path / "set"
    rows = {"train": ["a photo of a nurse", "two wolves"], "test": ["ein Foto einer Ärztin", "a photo of two nurses"]}
    for part, prompts in rows.items():
        (folder / part).mkdir(parents=True)
        lines = []
        for number, prompt in enumerate(prompts):
            (folder / part / f"{number}.png").write_bytes(png_texts({"parameters": a1111("a chef")}))
            lines.append(json.dumps({"file_name": f"{number}.png", "text": prompt, "size": [1, 2], "note": None}))
        (folder / part / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    answer = call("import", folder, "--suite", "occupations", *cheap, "--out", tmp_path / "run")
    assert answer.code == 0, answer
    run = audit.open(tmp_path / "run")
    assert sorted(run.probes()["text"]) == ["a photo of a nurse", "a photo of two nurses"]
    assert set(run.probes()["subject"]) == {"nurse"}
    reason = "(the prompt names no subject of the suite)"
    assert sorted(run.record["left_out"]) == [f"test/0.png {reason}", f"train/1.png {reason}"]
    details = [json.loads(each) for each in run.samples()["details"]]
    assert {each["size"] for each in details} == {"[1, 2]"}
    assert {each["generator"] for each in details} == {"automatic1111"}


def test_grids_are_not_split_under_labels_of_people(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,gender\n")
    answer = call(
        *("import", tmp_path, "--human-labels", tmp_path / "labels.csv", "--codes", tmp_path / "codes.yaml"),
        *("--grids", "always"),
    )
    assert "--human-labels are given to whole files, so grids cannot be split" in refused(answer)
