"""Python callables and entry points as models, and the names of models."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from probes.generators.base import Generator, GeneratorError, Request
from probes.generators.registry import load_generator

MODULE = """
from PIL import Image
from probes.generators.base import Result

def flat(prompts, seeds):
    return [Image.new("RGBA", (4, 4), (seed, len(prompt), 0, 255)) for prompt, seed in zip(prompts, seeds)]

def refuses(prompts, seeds):
    return [None if "criminal" in prompt else Image.new("L", (4, 4)) for prompt in prompts]

def short(prompts, seeds):
    return [Image.new("RGB", (4, 4))]

def nothing(prompts, seeds):
    return None

def floats(prompts, seeds):
    return [Image.new("F", (4, 4)) for _ in prompts]

def breaks(prompts, seeds):
    raise RuntimeError("the server\\nis down")

def one_argument(prompts):
    return []

def service(prompts, seeds):
    return flat(prompts, seeds)

service.fixed_batches = False
number = 3

def text():
    return 'no generator'

class Own:
    name, fixed_batches = "own", False
    def __init__(self, batch_size=2):
        self.batch_size = batch_size
    def fingerprint(self):
        return {"kind": "own"}
    def generate(self, requests):
        return [Result("failed", reason="never works") for _ in requests]
"""
REQUESTS = [Request("a nurse", 1), Request("a criminal", 2)]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `own_models` in the current folder, and a package that offers it as entry points."""
    path = tmp_path / "own_models.py"
    path.write_text(MODULE)
    info = tmp_path / "site" / "own_models-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-models\nVersion: 1.0\n")
    entries = ["own = own_models:Own", "wrong = own_models:flat", "missing = own_models:Nowhere", "lost = nowhere:Own"]
    entries += ["number = own_models:number", "string = own_models:text"]
    (info / "entry_points.txt").write_text("\n".join(["[rolecall.generators]", *entries]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    return path


@pytest.mark.parametrize("spec", ["python:own_models:flat", "python:own_models.py:flat"])
def test_callable(module: Path, spec: str) -> None:
    generator = load_generator(spec, batch_size=2)
    assert isinstance(generator, Generator)
    assert (generator.name, generator.batch_size, generator.fixed_batches) == ("flat", 2, True)
    results = generator.generate(REQUESTS)
    assert [(result.outcome, result.reason) for result in results] == [("ok", ""), ("ok", "")]
    colours = [result.image.getpixel((0, 0)) for result in results if result.image is not None]
    assert colours == [(1, 7, 0), (2, 10, 0)]
    fingerprint = generator.fingerprint()
    assert fingerprint["callable"] == spec.removeprefix("python:")
    assert fingerprint["source"] == hashlib.sha256(module.read_bytes()).hexdigest()


def test_callable_by_absolute_path_keeps_the_path_to_itself(module: Path) -> None:
    assert str(module.parent) not in str(load_generator(f"python:{module}:flat").fingerprint())


def test_callable_says_that_batches_may_vary(module: Path) -> None:
    assert load_generator("python:own_models:service").fixed_batches is False


def test_none_is_a_refusal(module: Path) -> None:
    results = load_generator("python:own_models:refuses").generate(REQUESTS)
    assert [result.outcome for result in results] == ["ok", "refused"]
    assert results[0].image is not None
    assert results[0].image.mode == "RGB"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"must return a list of 2 images \(got 1\)"),
        ("nothing", r"must return a list of 2 images \(got NoneType\)"),
        ("floats", r"must return 8-bit PIL images or None \(got mode F\)"),
        ("breaks", "own_models:breaks raised RuntimeError: the server is down"),
    ],
)
def test_callable_that_returns_something_else(module: Path, name: str, message: str) -> None:
    with pytest.raises(GeneratorError, match=message):
        load_generator(f"python:own_models:{name}").generate(REQUESTS)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("python:flat", "must be python:MODULE:CALLABLE or python:FILE.py:CALLABLE"),
        ("python:nowhere:flat", "module 'nowhere' cannot be imported: ModuleNotFoundError"),
        ("python:nowhere.py:flat", "file 'nowhere.py' does not exist"),
        ("python:own_models:nowhere", "'nowhere' of 'own_models' does not exist"),
        ("python:own_models:number", "'number' of 'own_models' is not callable"),
        ("python:own_models:one_argument", "must take prompts and seeds"),
        ("python:broken.py:flat", "file 'broken.py' cannot be imported: SyntaxError"),
    ],
)
def test_callable_that_cannot_be_had(module: Path, spec: str, message: str) -> None:
    module.with_name("broken.py").write_text("def")
    with pytest.raises(GeneratorError, match=message):
        load_generator(spec)


def test_callable_takes_no_settings_of_a_pipeline(module: Path) -> None:
    with pytest.raises(GeneratorError, match=r"takes no steps \(got 4\). Omit it; it takes batch_size"):
        load_generator("python:own_models:flat", steps=4)
    with pytest.raises(GeneratorError, match=r"batch_size must be at least 1"):
        load_generator("python:own_models:flat", batch_size=0)


def test_entry_point(module: Path) -> None:
    import importlib

    sys.path.insert(0, str(module.parent))
    try:
        importlib.invalidate_caches()
        assert load_generator("own").batch_size == 2
        assert load_generator("own", batch_size=5).batch_size == 5
        with pytest.raises(GeneratorError, match=r"generator 'own' \(own_models:Own\) cannot be made so: .*steps"):
            load_generator("own", steps=3)
        with pytest.raises(GeneratorError, match=r"'wrong' .* cannot be made so: missing a required argument"):
            load_generator("wrong")
        with pytest.raises(GeneratorError, match=r"must return an object with name.*\(got str\)"):
            load_generator("string")
        with pytest.raises(GeneratorError, match=r"'number' .* must be a function"):
            load_generator("number")
        for name in ("missing", "lost"):
            with pytest.raises(GeneratorError, match=f"generator '{name}' .* cannot be imported"):
                load_generator(name)
    finally:
        sys.path.remove(str(module.parent))


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(GeneratorError, match=r"model 'fantom' is unknown\. The nearest known one is 'phantom'"):
        load_generator("fantom")


def test_unknown_model_names_the_nearest_entry_point(module: Path) -> None:
    with pytest.raises(GeneratorError, match="The nearest known one is 'missing'"):
        load_generator("mising")
