"""Everything that a user can get wrong: exit code 2, one line that says what to do, nothing created, nothing lost."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import PAINTER, WORDINGS, Answer, call, contents, refused, spawn
from PIL import Image

from audit.store import Store

FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))
"""


@pytest.fixture(scope="module")
def place(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that a run needs, none of it wrong."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "plain.yaml").write_text(WORDINGS)
    (folder / "painter.py").write_text(PAINTER)
    (folder / "prompts.txt").write_text("a nurse at work\nan engineer\n")
    (folder / "own.csv").write_text("subject,attribute,class,share\n*,gender,woman,0.9\n*,gender,man,0.1\n")
    (folder / "clip").symlink_to(small_clip)
    return folder


def arguments(place: Path) -> list[object]:
    """A run of two prompts, as options."""
    return [
        "--model", f"python:{place / 'painter.py'}:paint", "--suite", place / "prompts.txt", "--images", 2,
        "--classifier", f"local-dir:{place / 'clip'}", "--wordings", place / "plain.yaml", "--batch-size", 2,
        "--draws", 200, "--threads", 1,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, never changed."""
    out = tmp_path_factory.mktemp("made") / "run"
    answer = call("run", *arguments(place), "--out", out, "--quiet")
    assert answer.code == 0, answer
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of it that may be harmed."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def said(answer: Answer, message: str) -> None:
    line = refused(answer)
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--suite", "ocupations"], r"unknown suite 'ocupations'.*'occupations'"),
        (["--suite", "nowhere.yaml"], r"suite file 'nowhere.yaml' does not exist"),
        (["--subjects", "a-nurse-at-wok"], r"has no subject 'a-nurse-at-wok'"),
        (["--languages", "fr"], r"has no language 'fr'"),
        (["--model", "phantm"], r"model 'phantm' is unknown\. The nearest known one is 'phantom'"),
        (["--model", "./models/nowhere"], r"'\./models/nowhere' does not exist\. Check the path"),
        (["--model", "python:nowhere.py:paint"], r"nowhere\.py"),
        (["--classifier", "phantm"], r"unknown classifier 'phantm'\. Did you mean 'phantom'\?"),
        (["--classifier", "ViT-B-32/opena"], r"Did you mean 'openai'\?"),
        (["--classifier", "local-dir:nowhere"], r"there is no such folder"),
        (["--wordings", "defualt"], r"Did you mean 'default'\?"),
        (["--attributes", "gendr"], r"unknown attribute 'gendr'.*'gender'"),
        (["--margin", "1"], r"margin must be at least 0 and below 1 \(got 1(\.0)?\)"),
        (["--margin", "2"], r"margin in the options: .*less than or equal to 1 \(got 2\.0\)"),
        (["--reference", "us-labor-2022"], r"unknown reference 'us-labor-2022'.*'us-labour-2022'"),
        (["--reference", "nowhere.csv"], r"nowhere\.csv"),
        (["--primary", "gendr"], r"the primary attribute 'gendr' is not labelled\. Did you mean 'gender'\?"),
        (["--primary", "gender,own"], r"the primary reference 'own' is not compared with"),
        (["--primary", "gender,uniform,lists"], r"primary\.claim in the options: .*'list' or 'population'"),
        (["--images", "1"], r"images must be a whole number of at least 2 per probe.*\(got 1\)"),
        (["--images", "many"], r"'--images'.*'many' is not a valid integer"),
        (["--seed", "-1"], r"seed in the options: .*greater than or equal to 0 \(got -1\)"),
        (["--batch-size", "0"], r"batch_size in the options.*\(got 0\)"),
        (["--model", "phantom-drawn", "--suite", "phantom", "--scheduler", "X"], r"takes no scheduler \(got 'X'\)"),
        (["--steps", "3"], r"takes no steps \(got 3\)"),
        (["--imges", "4"], r"No such option.*--imges.*--images"),
        (["--shard", "3/2"], r"--shard must be I/N with 1 ≤ I ≤ N.*\(got '3/2'\)"),
        (["--shard", "0/2"], r"--shard must be I/N"),
        (["--shard", "1/2/3"], r"--shard must be I/N"),
        (["--shard", "first"], r"--shard must be I/N"),
        (["nowhere.yaml"], r"nowhere\.yaml cannot be read: No such file or directory\. Give the path of a YAML file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_a_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call("run", *arguments(place), "--out", "run", "--quiet", *wrong)
    said(answer, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imges: 4", r"unknown key 'imges' in audit\.yaml\. Did you mean 'images'\?"),
        ("- model: phantom", r"audit\.yaml must hold a mapping of keys to values.*\(got a list\)"),
        ("model: [phantom", r"audit\.yaml is not YAML"),
        ("images: 1", r"images must be a whole number of at least 2 per probe"),
        ("suite: ocupations", r"unknown suite 'ocupations'.*'occupations'"),
        ("primary: {attribut: gender}", r"unknown key 'primary\.attribut'.*'attribute'"),
    ],
)
def test_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("audit.yaml").write_text(text)
    said(call("run", "audit.yaml", "--model", "phantom-drawn", "--quiet"), message)
    assert [path.name for path in tmp_path.iterdir()] == ["audit.yaml"]


SUITE = """
name: own
version: "1"
card: {title: Mine, source: me, construct: what I want}
kind: occupation
templates: {en: {portrait: "a portrait of {subject}"}}
subjects:
"""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("suite.yaml", "- nurse\n- pilot\n", r"suite\.yaml.*mapping.*list"),
        ("suite.yaml", SUITE.replace("templates", "template"), r"suite\.yaml.*'template'.*'templates'"),
        ("suite.yaml", "", r"suite\.yaml"),
        ("twice.csv", "probe_id,prompt\nme,a nurse\nme,a pilot\n", r"twice\.csv: probe id 'me' occurs twice"),
        ("empty.csv", "prompt,subject\na nurse,nurse\n,pilot\n", r"empty\.csv.*(empty|no text)"),
        ("empty.txt", "# nothing\n\n", r"empty\.txt holds no prompt"),
        ("binary.txt", "\udcff", r"binary\.txt is not UTF-8 text"),
        ("suite.pdf", "a nurse", r"suite\.pdf is no kind of suite that is known"),
    ],
)
def test_suites(place: Path, tmp_path: Path, name: str, text: str, message: str) -> None:
    suite = tmp_path / name
    suite.write_text(text, encoding="utf-8", errors="surrogateescape")
    said(call("run", *arguments(place), "--suite", suite, "--out", tmp_path / "run", "--quiet"), message)
    said(call("suites", suite), message)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("*,gender,woman,0.9\n*,gender,man,0.3\n", r"the shares of 'gender' for '\*' add up to 1\.2, not 1"),
        ("*,gender,woman,90\n*,gender,man,10\n", r"Divide percentages by 100"),
        ("*,gender,wman,0.9\n*,gender,man,0.1\n", r"names class 'wman' of 'gender'.*'woman'"),
        ("*,gender,woman\n", r"own\.csv"),
        ("", r"own\.csv holds no row"),
    ],
)
def test_own_references(place: Path, made: Path, tmp_path: Path, rows: str, message: str) -> None:
    reference = tmp_path / "own.csv"
    reference.write_text("subject,attribute,class,share\n" + rows)
    said(call("run", *arguments(place), "--reference", reference, "--out", tmp_path / "run", "--quiet"), message)
    assert [path.name for path in tmp_path.iterdir()] == ["own.csv"]
    before = contents(made)
    said(call("analyze", made, "--reference", reference, "--quiet"), message)
    assert contents(made) == before


def test_a_reference_with_other_classes_is_refused_before_the_first_image(tmp_path: Path) -> None:
    out = tmp_path / "run"
    answer = call(
        "run", "--model", "phantom-drawn", "--classifier", "faces", "--images", 2, "--subjects", "nurse", "--out", out,
        "--quiet",
    )  # fmt: skip
    said(answer, r"reference 'phantom-world' names class 'young' of 'age', which the classifier does not")
    assert not out.exists()


@pytest.mark.parametrize("reference", ["uniform", "us-labour-2022"])
def test_the_phantom_is_compared_with_its_own_world_only(place: Path, tmp_path: Path, reference: str) -> None:
    out = tmp_path / "run"
    options = [
        "--model", "phantom-drawn", "--suite", "phantom", "--subjects", "nurse", "--out", out, "--quiet",
    ]  # fmt: skip
    message = rf"the phantom is compared with its own world only.*\(got {reference}\)"
    said(call("run", *arguments(place), *options, "--reference", reference), message)
    assert not out.exists()
    assert call("run", *arguments(place), *options).code == 0
    before = contents(out)
    said(call("analyze", out, "--reference", reference, "--quiet"), message)
    assert contents(out) == before


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), r"has no weights in its folder 'unet'"),
        (lambda folder: (folder / "model_index.json").unlink(), r"has no model_index\.json"),
        (lambda folder: os.truncate(folder / WEIGHTS, 100_000), r"is cut short \(100000 bytes of \d+\)"),
        (lambda folder: os.truncate(folder / WEIGHTS, 3), r"is cut short"),
    ],
    ids=["no weights", "no index", "truncated", "three bytes"],
)
def test_models(place: Path, sd15: Path, tmp_path: Path, harm: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd15, folder)
    harm(folder)
    out = tmp_path / "run"
    said(call("run", *arguments(place), "--model", folder, "--steps", 1, "--out", out, "--quiet"), message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "open_clip_model.safetensors").unlink(), r"the folder has no weights"),
        (lambda folder: os.truncate(folder / "open_clip_model.safetensors", 100_000), r"is damaged or cut short"),
        (lambda folder: (folder / "open_clip_config.json").write_text("{"), r"is not a model's configuration"),
    ],
    ids=["no weights", "truncated", "no configuration"],
)
def test_classifiers(
    place: Path, small_clip: Path, made: Path, tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small_clip, folder)
    harm(folder)
    out, model = tmp_path / "run", f"local-dir:{folder}"
    said(call("run", *arguments(place), "--classifier", model, "--out", out, "--quiet"), message)
    assert not out.exists()
    before = contents(made)
    said(call("label", made, "--classifier", model, "--quiet"), message)
    assert contents(made) == before


def test_hub_ids_without_internet(place: Path, tmp_path: Path, offline: None) -> None:
    out = tmp_path / "run"
    answer = call("run", *arguments(place), "--model", "nobody/nothing", "--out", out, "--quiet")
    said(answer, r"'nobody/nothing' is no folder here and not in the local cache of the hub, and HF_HUB_OFFLINE is set")
    answer = call("run", *arguments(place), "--classifier", "hf-hub:nobody/nothing", "--out", out, "--quiet")
    said(answer, r"the weights of hf-hub:nobody/nothing are not on this machine and could not be downloaded")
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--images", 3], r"holds a run of another configuration: .*images was 2, now 3"),
        (["--seed", 7], r"holds a run of another configuration: .*seed was 0, now 7"),
        (["--attributes", "age"], r"holds a run of another configuration: .*attributes"),
        (["--image-store", "tar"], r"image_store was \"files\", now \"tar\""),
        (["--subjects", "an-engineer"], r"holds a run of another configuration: .*suite"),
    ],
    ids=str,
)
def test_a_directory_of_another_configuration(place: Path, made: Path, change: list[object], message: str) -> None:
    before = contents(made)
    said(call("run", *arguments(place), "--out", made, "--quiet", *change), message)
    assert contents(made) == before


@pytest.mark.parametrize("verb", ["run", "label", "analyze", "report"])
def test_a_directory_of_a_newer_schema(place: Path, copy: Path, verb: str) -> None:
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "schema": 2}))
    before = contents(copy)
    answer = call("run", *arguments(place), "--out", copy, "--quiet") if verb == "run" else call(verb, copy)
    said(answer, r"was written by a newer Rolecall: its schema is 2, this version reads up to 1\. Install")
    assert contents(copy) == before


@pytest.mark.parametrize("verb", ["label", "analyze", "report"])
def test_folders_that_are_no_run(tmp_path: Path, copy: Path, verb: str) -> None:
    said(call(verb, tmp_path), r"is no run directory: it has no run\.json")
    said(call(verb, tmp_path / "nowhere"), r"is no run directory")
    (copy / "run.json").write_text("{")
    said(call(verb, copy), r"run\.json cannot be read: it is damaged")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("verb", ["analyze", "report"])
def test_a_run_that_is_not_complete(place: Path, tmp_path: Path, verb: str) -> None:
    out = tmp_path / "run"
    assert call("run", *arguments(place), "--out", out, "--shard", "1/2", "--quiet").code == 0
    before = contents(out)
    said(call(verb, out), r"is not complete: 1 of 2 batches are made|has no tables/shares\.csv yet\. Finish the run")
    assert contents(out) == before


def test_places_that_are_taken(place: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        said(call("run", *arguments(place), "--out", out, "--quiet"), r"is no run directory and not empty")
    below = tmp_path / "thesis.txt" / "run"
    said(call("run", *arguments(place), "--out", below, "--quiet"), r"thesis\.txt.*Choose another --out")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("thesis.txt", "mine")]


def test_labels_from_images_that_are_gone(place: Path, copy: Path) -> None:
    shutil.rmtree(copy / "images")
    record = json.loads((copy / "run.json").read_text())
    answer = call("label", copy, "--classifier", "faces", "--quiet")
    said(answer, r"is needed for this classifier and cannot be read.*Restore the image")
    assert call("analyze", copy, "--quiet").code == 0
    assert set(json.loads((copy / "run.json").read_text())["classifiers"]) >= set(record["classifiers"])


def test_labels_of_a_name_that_is_taken(made: Path) -> None:
    before = contents(made)
    (name,) = json.loads((made / "run.json").read_text())["classifiers"]
    said(call("label", made, "--margin", "0.2", "--name", name), r"already has labels named .* Give another --name")
    assert contents(made) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["pictures", "--folders", "subjekt"], r"unknown level 'subjekt'.*'subject'"),
        (["pictures", "--table", "nowhere.csv"], r"nowhere\.csv cannot be read"),
        (["pictures", "--suite", "ocupations"], r"unknown suite 'ocupations'.*'occupations'"),
        (["pictures", "--classifier", "face"], r"unknown classifier 'face'\. Did you mean 'faces'\?"),
        (["empty"], r"empty has no images that belong to a prompt \(got 0 images"),
        (["nowhere"], r"nowhere is no folder"),
        ([], r"Missing argument.*FOLDER"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("pictures/nurse", "empty"):
        Path(folder).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save("pictures/nurse/1.png")
    said(call("import", *wrong, "--quiet"), message)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "empty", "pictures", "pictures/nurse", "pictures/nurse/1.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["rnu"], r"No such command 'rnu'"),
        (["suites", "ocupations"], r"unknown suite 'ocupations'.*'occupations'"),
        (["report"], r"Missing argument 'RUN'"),
        (["report", "x", "--lang", "fr"], r"'fr' is not one of 'en', 'de'"),
    ],
    ids=" ".join,
)
def test_other_commands(wrong: list[str], message: str) -> None:
    said(call(*wrong), message)


@pytest.mark.parametrize(
    "wrong", [["run", "--suite", "ocupations"], ["run", "nowhere.yaml"], ["report", ".", "--blurr"]], ids=" ".join
)
def test_a_process_ends_so_too(tmp_path: Path, wrong: list[str]) -> None:
    assert refused(spawn(*wrong, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_a_run_and_loses_nothing(place: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert call("run", *arguments(place), "--out", out, "--shard", "1/2", "--quiet").code == 0
    before = contents(out / "samples", out / "images", out / "labels", out / "embeddings")
    record = (out / "run.json").read_bytes()
    full = FULL_DISK.format(bytes=800)
    answer = spawn("run", *arguments(place), "--out", out, "--quiet", before=full)
    said(answer, r"the disk is full: .* could not be written.*run the same command again")
    after = contents(out / "samples", out / "images", out / "labels", out / "embeddings")
    assert {path: after[path] for path in before} == before
    assert (out / "run.json").read_bytes() == record
    assert Store.open(out).samples.batches() == {0}
    assert call("run", *arguments(place), "--out", out, "--quiet").code == 0
    assert [*contents(out / "images").values()] == [*contents(made / "images").values()]


def test_a_full_disk_keeps_the_old_report(copy: Path) -> None:
    before = contents(copy)
    answer = spawn("report", copy, before=FULL_DISK.format(bytes=20_000))
    said(answer, r"the disk is full")
    assert contents(copy) == before
