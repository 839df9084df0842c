"""Classifiers and models of other packages: the code of docs/extending.md, installed and run as a user would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from commands import Answer, call, refused
from PIL import Image

import audit
from probes.generators.base import GeneratorError, Request
from probes.generators.registry import load_generator

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of the document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.M | re.S)


def install(site: Path, module: str, name: str = "greyscale") -> None:
    """Put a distribution with the entry points of the document onto a path, as an installer leaves it."""
    (about,) = (tomllib.loads(block) for block in blocks("toml"))
    project = about["project"]
    info = site / f"{name}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{point} = {target}" for point, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (site / f"{about['tool']['setuptools']['py-modules'][0]}.py").write_text(module, encoding="utf-8")


def rolecall(site: Path, *arguments: object, cwd: Path) -> Answer:
    """The command as a process of its own that finds the packages in `site`."""
    given = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-m", "audit", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=given, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def module() -> str:
    """greyscale.py, as the document writes it in two parts."""
    classifier, model, _ = blocks("python")
    return classifier + "\n\n" + model


def mean(path: Path) -> float:
    return float(np.asarray(Image.open(path).convert("L")).mean() / 255)


def test_a_package_brings_a_model_and_an_instrument(module: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, module)
    run = next(line for line in re.findall(r"^    (rolecall run .*)$", DOCUMENT, re.M) if "runs/try" in line)
    arguments = run.split()[1:]
    assert arguments[:4] == ["run", "--model", "greys", "--classifier"]
    answer = rolecall(site, *arguments, "--draws", 200, "--quiet", cwd=tmp_path)
    assert (answer.code, answer.err) == (0, ""), answer
    made = audit.open(tmp_path / "runs" / "try")
    assert made.record["model"] == {"name": "greys", "fingerprint": {"kind": "greys", "version": 1, "size": 32}}
    entry = made.record["classifiers"]["brightness"]
    assert entry["fingerprint"] == {"kind": "brightness", "version": 1, "margin": 0.0}
    assert entry["questions"] == [{"attribute": "tone", "classes": ["dark", "light"], "ordered": True}]
    assert "nothing about anyone" in entry["card"]["construct"]
    samples, labels = made.samples().set_index("sample_id"), made.labels().set_index("sample_id")
    assert len(labels) == len(samples) > 0
    for sample, row in samples.iterrows():
        level = json.loads(row["details"])["level"]
        assert mean(made.path / row["file"]) == pytest.approx(level / 255)
        assert labels["class"][str(sample)] == ("light" if level / 255 > 0.5 else "dark")
    shares = made.shares("tone")
    assert shares.groupby("class")["count"].max().sum() > 0
    assert "brightness" in (made.path / "report.html").read_text(encoding="utf-8")


def test_an_instrument_labels_images_of_others(module: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, module)
    folder = tmp_path / "images" / "nurse"
    folder.mkdir(parents=True)
    for level in (10, 90, 140, 250):
        Image.new("RGB", (16, 16), (level,) * 3).save(folder / f"{level}.png")
    answer = rolecall(
        site, "import", tmp_path / "images", "--folders", "subject", "--classifier", "brightness", "--margin", 0.1,
        "--draws", 200, "--quiet", "--out", "in", cwd=tmp_path,
    )  # fmt: skip
    assert (answer.code, answer.err) == (0, ""), answer
    made = audit.open(tmp_path / "in")
    assert sorted(made.labels()["class"]) == ["dark", "dark", "light", "unclear"]
    assert made.record["classifiers"]["brightness"]["fingerprint"]["margin"] == 0.1


def test_a_function_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stripes.py").write_text(blocks("python")[2], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "python:stripes.py:paint" in DOCUMENT
    model = load_generator("python:stripes.py:paint")
    (result,) = model.generate([Request("a nurse", 300)])
    assert result.image is not None
    assert result.image.getpixel((5, 5)) == (300 % 256, 128, 128)


def test_one_line_names_the_package_when_it_fails(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    install(site, module.replace('else "dark" for m', 'else "grey" for m'))
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "greyscale", raising=False)
    answer = call(
        "run", "--model", "greys", "--classifier", "brightness", "--subjects", "nurse", "--languages", "en",
        "--images", 8, "--quiet", "--out", tmp_path / "bad",
    )  # fmt: skip
    assert refused(answer) == (
        "the classifier 'brightness' of greyscale:Brightness (distribution greyscale 1.0) answered 'grey' in 'tone'; "
        "it may answer dark, light, no_person, several_people, unclear."
    )
    sys.modules.pop("greyscale")


BROKEN = """
from PIL import Image
from probes.generators.base import Result

class Own:
    name, batch_size, fixed_batches = "own", 2, False
    def fingerprint(self):
        return {"kind": "own"}
    def generate(self, requests):
        return [Result("ok", Image.new("RGB", (4, 4))) for _ in requests]

def but(**changes):
    return type("Odd", (Own,), changes)

def gives(*results):
    return but(generate=lambda self, requests: list(results))

OK = Result("ok", Image.new("RGB", (4, 4)))
short, tuples = gives(OK), gives((), ())
empty, grey = gives(OK, Result("ok")), gives(OK, Result("ok", Image.new("L", (4, 4))))
vague, secret = gives(OK, Result("maybe")), gives(OK, Result("failed", details={"key": object()}))
breaks = but(generate=lambda self, requests: 1 / 0)
bare, no_json = but(fingerprint=lambda self: {}), but(fingerprint=lambda self: {"weights": object()})
still, no_name = but(batch_size=0), but(name="")
def raises():
    raise OSError("no\\nweights")
"""
LOADED = {
    "gone": "cannot be imported: module 'broken_models' has no attribute 'gone' (distribution broken 1.0)",
    "raises": "could not be made: OSError: no weights",
    "still": "must have a batch_size of at least 1 (got 0)",
    "no_name": "must have a name (got '')",
}
GIVEN = {
    "bare": "must have a fingerprint, all that its images depend on (got {})",
    "no_json": "has no fingerprint that JSON can hold",
    "short": "must give a list of 2 results, one a request (got 1)",
    "tuples": "must give Results with the outcome ok, refused or failed (got ())",
    "empty": "must give an 8-bit RGB image with the outcome ok (got NoneType)",
    "grey": "must give an 8-bit RGB image with the outcome ok (got L)",
    "vague": "must give Results with the outcome",
    "secret": "gave details that JSON cannot hold",
    "breaks": "failed: ZeroDivisionError: division by zero",
}


def use(name: str) -> None:
    model = load_generator(name)
    assert name in GIVEN
    model.fingerprint()
    model.generate([Request("a nurse", 1), Request("a judge", 2)])


@pytest.mark.parametrize("name", [*LOADED, *GIVEN])
def test_what_a_model_gives_is_checked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rolecall.generators]\n{name} = broken_models:{name}\n")
    (tmp_path / "broken_models.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_models", raising=False)
    with pytest.raises(GeneratorError) as error:
        use(name)
    said = str(error.value)
    assert said.startswith(f"generator '{name}' (broken_models:{name}")
    assert "distribution broken 1.0" in said
    assert {**LOADED, **GIVEN}[name] in said
    assert "\n" not in said
