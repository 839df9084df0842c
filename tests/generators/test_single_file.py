"""Stable Diffusion 1.5 as the single file in which it was published, with its configuration folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from probes.generators.base import Generator, GeneratorError, Request
from probes.generators.registry import load_generator

REQUESTS = [Request("a nurse", 1), Request("an engineer", 2)]


def images(generator: Generator) -> list[bytes]:
    results = generator.generate(REQUESTS)
    return [result.image.tobytes() for result in results if result.image is not None]


def test_single_file_makes_the_images_of_the_folder(single: tuple[Path, Path], sd15: Path) -> None:
    file, config = single
    generator = load_generator(str(file), config=str(config), steps=2, batch_size=2)
    assert generator.name == "sd15-single"
    made = images(generator)
    assert len(made) == 2
    assert made == images(load_generator(str(sd15), steps=2, batch_size=2))
    fingerprint = generator.fingerprint()
    files = fingerprint["files"]
    assert isinstance(files, dict)
    assert fingerprint["model"] == "sd15-single.safetensors"
    assert {"sd15-single.safetensors", "model_index.json", "unet/config.json"} <= set(files)
    assert fingerprint["safety_checker"] is False  # a single file has none, and diffusers adds none


def test_single_file_without_config_says_what_is_missing(single: tuple[Path, Path], offline: None) -> None:
    with pytest.raises(GeneratorError, match=r"configuration of 'sd15-single\.safetensors' is missing.*as config"):
        load_generator(str(single[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), r"is cut short \(\d+ bytes of \d+\)"),
        (lambda file: file.write_bytes(b"version https://git-lfs"), "cut short or no safetensors file"),
        (lambda file: file.write_bytes(b""), "cut short or no safetensors file"),
    ],
)
def test_broken_file(single: tuple[Path, Path], tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    file = tmp_path / "broken.safetensors"
    shutil.copy(single[0], file)
    change(file)
    with pytest.raises(GeneratorError, match=message):
        load_generator(str(file), config=str(single[1]))


def test_pickled_file_is_refused(tmp_path: Path, single: tuple[Path, Path]) -> None:
    file = tmp_path / "model.ckpt"
    torch.save({}, file)
    with pytest.raises(GeneratorError, match="pickled, which can run code"):
        load_generator(str(file), config=str(single[1]))


def test_weights_of_another_model(tmp_path: Path, single: tuple[Path, Path]) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, file)
    with pytest.raises(GeneratorError, match=r"'other\.safetensors' cannot be loaded: "):
        load_generator(str(file), config=str(single[1]))


def test_config_folder_that_does_not_exist(single: tuple[Path, Path]) -> None:
    with pytest.raises(GeneratorError, match=r"config folder '\./nowhere' of .* does not exist"):
        load_generator(str(single[0]), config="./nowhere")


def test_config_is_for_single_files_only(sd15: Path) -> None:
    with pytest.raises(GeneratorError, match="config is for single files only"):
        load_generator(str(sd15), config=str(sd15))
