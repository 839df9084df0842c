"""The command as a user runs it: every verb, options over a file, interruptions, and what each leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import PAINTER, WORDINGS, call, contents, spawn, start
from PIL import Image

import audit
from audit.store import Store

HEAVY = {
    "torch", "torchvision", "diffusers", "open_clip", "transformers", "matplotlib", "seaborn", "pandas", "scipy",
    "pyarrow", "pydantic", "numpy", "PIL",
}  # fmt: skip
NURSE, BUILDER, OFFICE = "nurse.en.portrait", "builder.en.portrait", "office.en.photo"


@pytest.fixture(scope="module")
def config(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of a small run of the drawn phantom, with an instrument of random weights."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "plain.yaml").write_text(WORDINGS)
    path = folder / "audit.yaml"
    path.write_text(
        f"""
        model: phantom-drawn
        classifier: local-dir:{small_clip}
        wordings: {folder / "plain.yaml"}
        subjects: [nurse, builder, office]
        languages: [en]
        images: 3
        batch_size: 4
        seed: 1
        draws: 200
        threads: 1
        """
    )
    return path


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: 3 probes × 6 images in batches of 4."""
    out = tmp_path_factory.mktemp("run") / "small"
    answer = call("run", config, "--images", 6, "--out", out, "--json")
    assert answer.code == 0, answer
    (result,) = answer.out.splitlines()
    assert json.loads(result) == {
        "run": str(out), "complete": True, "samples": 18, "report": str(out / "report.html"),
    }  # fmt: skip
    events = [json.loads(line) for line in answer.err.splitlines()]
    assert {event["event"] for event in events} == {"note", "progress"}
    assert [event["done"] for event in events if event["event"] == "progress"] == [0, 18]
    return out


def digests(path: Path) -> dict[str, str]:
    samples = audit.open(path).samples()
    assert samples["sample_id"].is_unique
    return dict(zip(samples["sample_id"], samples["sha256"], strict=True))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["report", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr))\n"
    )
    answer = spawn(*arguments, before=script)
    assert answer.code == 0
    assert "rolecall" in answer.out
    assert "click" in answer.err.split()
    assert not HEAVY & set(answer.err.split())


def test_help_of_every_command() -> None:
    answer = call("--help")
    verbs = ("run", "import", "label", "analyze", "annotate", "report", "power", "suites", "references")
    assert [verb for verb in verbs if re.search(rf"^  {verb} ", answer.out, re.M)] == list(verbs)
    for verb in verbs:
        assert call(verb, "--help").out.startswith(f"Usage: rolecall {verb} [OPTIONS]")


def test_the_installed_command_is_the_module() -> None:
    script = shutil.which("rolecall", path=str(Path(sys.executable).parent))
    assert script is not None
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == spawn("--version").out
    assert re.fullmatch(r"rolecall \d+\.\d+\.\d+\S*\n", said)


def test_suites_are_listed_shown_and_checked(tmp_path: Path) -> None:
    listed = call("suites").out.splitlines()
    assert [line.split()[0] for line in listed] == [
        "attributes", "berufe", "identities", "neutral", "occupations", "phantom",
    ]  # fmt: skip
    shown = call("suites", "phantom").out
    assert shown.startswith("phantom 1: ")
    assert "  nurse.en.portrait           a portrait of a nurse\n" in shown
    checked = call("suites", "phantom", "--check").out
    assert "a portrait of a nurse" not in checked
    assert checked.splitlines()[-1].startswith("checked: ")
    own = tmp_path / "prompts.txt"
    own.write_text("# mine\na nurse at work\n")
    assert "a nurse at work" in call("suites", own).out


def test_options_win_over_the_file_and_both_are_recorded(run: Path, config: Path) -> None:
    record = audit.open(run).record
    given, resolved = record["config"]["given"], record["config"]["resolved"]
    assert (given["images"], given["seed"]) == (6, 1)
    assert "device" not in given
    assert resolved["device"] == "cpu"
    assert resolved["suite"] == "phantom"
    assert record["primary"] == {"attribute": "gender", "reference": "phantom-world", "claim": "list"}
    assert record["references"] == ["phantom-world"]
    assert record["plan"]["samples"] == 18
    assert record["finished"]
    assert set(record["files"]) >= {"probes.parquet", "tables/shares.csv", "tables/gaps.csv", "tables/missing.csv"}


def test_tables_hold_every_probe_class_and_image(run: Path) -> None:
    opened = audit.open(run)
    shares, missing = opened.shares(), opened.missing()
    assert set(shares["probe_id"]) == {NURSE, BUILDER, OFFICE}
    assert set(shares.loc[shares["attribute"] == "age", "class"]) == {"young", "middle_aged", "older"}
    for _, rows in shares[shares["attribute"] == "gender"].groupby("probe_id"):
        assert rows["count"].sum() == 6  # the instrument takes every image for one person
    assert (missing["asked"] == 6).all()
    assert (missing["made"] == 6).all()
    gaps = opened.gaps()
    assert set(gaps["reference"]) == {"phantom-world"}
    assert gaps["gap"].between(0, 1).all()
    truths = opened.samples()["details"].map(lambda text: json.loads(text)["truth"]["people"])
    assert truths.value_counts().to_dict() == {"one": 12, "none": 6}


def test_the_same_command_again_does_nothing(run: Path, config: Path) -> None:
    before = contents(run / "images", run / "samples", run / "labels", run / "embeddings", run / "tables")
    stamps = {path: path.stat().st_mtime_ns for path in (run / "images").rglob("*.webp")}
    record = audit.open(run).record
    answer = call("run", config, "--images", 6, "--out", run, "--quiet")
    assert answer == (0, f"Report: {run / 'report.html'}\n", "")
    assert contents(run / "images", run / "samples", run / "labels", run / "embeddings", run / "tables") == before
    assert stamps == {path: path.stat().st_mtime_ns for path in (run / "images").rglob("*.webp")}
    assert {**audit.open(run).record, "files": 0} == {**record, "files": 0}


def test_shards_make_together_what_one_worker_makes(run: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    first = call("run", config, "--images", 6, "--out", out, "--shard", "2/2")
    assert (first.code, first.out) == (0, f"Run: {out}\n")
    assert "Shard 2/2 is done; the tables come with the last shard." in first.err
    assert not (out / "report.html").exists()
    second = call("run", config, "--images", 6, "--out", out, "--shard", "1/2")
    assert (second.code, second.out) == (0, f"Report: {out / 'report.html'}\n")
    assert digests(out) == digests(run)
    for name in ("shares", "gaps", "missing"):
        assert (out / "tables" / f"{name}.csv").read_bytes() == (run / "tables" / f"{name}.csv").read_bytes()


def test_other_wordings_are_labelled_from_embeddings_as_a_new_run_would(
    run: Path, config: Path, tmp_path: Path
) -> None:
    wordings = tmp_path / "other.yaml"
    wordings.write_text(WORDINGS.replace("a drawing of a woman", "a lady"))
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "images")
    answer = call("label", copy, "--wordings", wordings, "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["complete"]
    old, new = audit.open(run).record["classifiers"], audit.open(copy).record["classifiers"]
    (name,) = set(new) - set(old)
    assert name == f"{next(iter(old))}-other"
    fresh = tmp_path / "fresh"
    assert call("run", config, "--images", 6, "--wordings", wordings, "--out", fresh, "--quiet").code == 0
    (made,) = audit.open(fresh).record["classifiers"]
    keys = ["sample_id", "attribute"]
    one = pd.concat(table.to_pandas() for table in Store.open(copy).label_parts(name)).sort_values(keys)
    two = pd.concat(table.to_pandas() for table in Store.open(fresh).label_parts(made)).sort_values(keys)
    assert one["class"].tolist() == two["class"].tolist()
    assert [list(scores) for scores in one["scores"]] == [list(scores) for scores in two["scores"]]
    assert set(audit.open(copy).shares()["classifier"]) == set(new)


def test_a_wider_margin_makes_more_answers_unclear(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    answer = call("label", copy, "--margin", "0.99", "--quiet")
    assert answer == (0, f"Report: {copy / 'report.html'}\n", "")
    missing = audit.open(copy).missing()
    plain, strict = (group["unclear"].sum() for _, group in missing.groupby("classifier", sort=False))
    assert plain == 0
    assert strict == 36
    again = contents(copy / "labels")
    assert call("label", copy, "--margin", "0.99", "--quiet").code == 0
    assert contents(copy / "labels") == again


def test_a_model_that_is_a_function_is_compared_with_an_own_reference(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("painter.py").write_text(PAINTER)
    Path("plain.yaml").write_text(WORDINGS)
    Path("prompts.txt").write_text("a nurse at work\nan engineer\n")
    Path("own.csv").write_text("subject,attribute,class,share\n*,gender,woman,0.9\n*,gender,man,0.1\n")
    answer = call(
        "run", "--model", "python:painter.py:paint", "--suite", "prompts.txt", "--images", 4, "--classifier",
        f"local-dir:{small_clip}", "--wordings", "plain.yaml", "--draws", 200, "--threads", 1, "--quiet",
    )  # fmt: skip
    assert answer == (0, "Report: runs/python-painter-prompts/report.html\n", ""), answer
    (path,) = Path("runs").iterdir()
    assert audit.open(path).record["references"] == ["uniform"]
    assert call("analyze", path, "--reference", "own.csv, uniform", "--quiet").code == 0
    run = audit.open(path)
    assert run.record["references"] == ["own", "uniform"]
    assert run.record["primary"]["reference"] == "uniform"
    shares = run.shares("gender")
    women = shares[(shares["class"] == "woman") & (shares["reference"] == "own")]
    assert (women["reference_share"] == 0.9).all()
    assert len(women) == 2


def test_an_own_reference_travels_with_the_run(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("painter.py").write_text(PAINTER)
    Path("plain.yaml").write_text(WORDINGS)
    Path("prompts.txt").write_text("a nurse at work\n")
    Path("own.csv").write_text("subject,attribute,class,share\n*,gender,woman,0.9\n*,gender,man,0.1\n")
    Path("own.yaml").write_text("title: What I counted\n")
    command = (
        "run", "--model", "python:painter.py:paint", "--suite", "prompts.txt", "--images", 2, "--classifier",
        f"local-dir:{small_clip}", "--wordings", "plain.yaml", "--draws", 200, "--threads", 1, "--reference", "own.csv",
        "--out", "run", "--quiet",
    )  # fmt: skip
    assert call(*command) == (0, "Report: run/report.html\n", "")
    record = audit.open("run").record
    assert record["primary"]["reference"] == "own"
    assert record["reference_cards"]["own"]["title"] == "What I counted"
    assert call(*command) == (0, "Report: run/report.html\n", "")
    tables = contents(Path("run/tables"))
    Path("own.csv").unlink()
    Path("own.yaml").unlink()
    assert call("analyze", "run", "--quiet").code == 0
    assert contents(Path("run/tables")) == tables
    again = audit.open("run").record
    assert {key: again[key] for key in ("reference_cards", "reference_digests", "files")} == {
        key: record[key] for key in ("reference_cards", "reference_digests", "files")
    }
    assert call("label", "run", "--margin", "0.1", "--quiet").code == 0
    assert set(audit.open("run").gaps()["reference"]) == {"own"}


def test_reports_without_or_with_blurred_images_and_in_german(run: Path, tmp_path: Path) -> None:
    before = (run / "report.html").read_bytes()
    plain, bare, blurred = (tmp_path / name for name in ("plain.html", "bare.html", "blurred.html"))
    assert call("report", run, "--out", plain) == (0, f"Report: {plain}\n", "")
    assert call("report", run, "--no-images", "--lang", "de", "--out", bare).code == 0
    assert call("report", run, "--blur", "--out", blurred).code == 0
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (plain, bare, blurred)}
    assert '<html lang="en"' in texts["plain"]
    assert '<html lang="de"' in texts["bare"]
    assert "data:image/" in texts["plain"]
    assert "data:image/" not in texts["bare"]
    assert "data:image/" in texts["blurred"]
    assert texts["blurred"] != texts["plain"]
    assert (run / "report.html").read_bytes() == before


def test_a_folder_of_images_is_imported_and_left_as_it_was(small_clip: Path, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for subject in ("nurse", "pilot"):
        for number in range(3):
            path = folder / subject / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (number * 90, 80, 200 if subject == "nurse" else 20)).save(path)
    (folder / "pilot" / "broken.png").write_bytes((folder / "pilot" / "0.png").read_bytes()[:40])
    before = contents(folder)
    out = tmp_path / "imported"
    answer = call(
        "import", folder, "--folders", "subject", "--suite", "occupations", "--name", "tiny", "--classifier",
        f"local-dir:{small_clip}", "--wordings", config.parent / "plain.yaml", "--attributes", "gender", "--draws",
        200, "--threads", 1, "--out", out, "--quiet",
    )  # fmt: skip
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    assert contents(folder) == before
    run = audit.open(out)
    assert run.record["model"]["name"] == "tiny"
    missing = run.missing().set_index("probe_id")
    assert missing[["asked", "made", "failed"]].T.to_dict("list") == {"nurse": [3, 3, 0], "pilot": [4, 3, 1]}
    stored = {Path(path).name: digest for path, digest in contents(out / "images" / "nurse").items()}
    assert set(stored.values()) == {digest for path, digest in before.items() if "/nurse/" in path}


def test_the_phantoms_own_instrument_sees_what_was_drawn(tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = call(
        "run", "--model", "phantom-drawn", "--subjects", "nurse,builder,office,team", "--languages", "en", "--images",
        16, "--draws", 200, "--threads", 1, "--out", out, "--quiet",
    )  # fmt: skip
    assert answer == (0, f"Report: {out / 'report.html'}\n", "")
    run = audit.open(out)
    truth = {
        (row["probe_id"], row["index"]): json.loads(row["details"])["truth"] for row in run.samples().to_dict("records")
    }
    labels = pd.concat(table.to_pandas() for table in Store.open(out).label_parts("phantom"))
    people = {"none": "no_person", "several": "several_people"}
    right = [
        answer == people.get(truth[probe, index]["people"], truth[probe, index].get(attribute))
        for probe, index, attribute, answer in zip(
            *(labels[name] for name in ("probe_id", "index", "attribute", "class")), strict=True
        )
    ]
    assert len(right) == 4 * 16 * 3
    assert sum(right) / len(right) >= 0.95


def test_interrupted_killed_and_continued_a_run_is_the_undisturbed_one(config: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "disturbed", tmp_path / "whole"
    arguments = ("run", config, "--subjects", "nurse,builder", "--images", 80, "--quiet", "--out")
    for stop in (signal.SIGINT, signal.SIGKILL):
        made = len(Store(out).samples.batches()) if out.exists() else 0
        with start(*arguments, out) as process:
            while process.poll() is None and len(Store(out).samples.batches()) < made + 3:
                time.sleep(0.005)
            os.kill(process.pid, stop)
            out_text, err = process.communicate()
        assert out_text == ""
        if stop is signal.SIGINT:
            assert process.returncode == 130
            said = err.strip()  # click ends the line on which a terminal shows ^C
            assert said == "rolecall: interrupted. What was made is kept; run the same command again to continue."
        else:
            assert process.returncode == -signal.SIGKILL
        assert made + 3 <= len(Store(out).samples.batches()) < 40
    kept = contents(out / "samples")
    assert call(*arguments, out) == (0, f"Report: {out / 'report.html'}\n", "")
    assert call(*arguments, whole).code == 0
    assert len(kept) >= 6
    assert len(digests(out)) == 160
    assert digests(out) == digests(whole)
    assert [*contents(out / "images").values()] == [*contents(whole / "images").values()]
