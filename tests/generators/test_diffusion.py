"""Published pipeline classes, reduced in width: images, what they depend on, and what is said of those that fail."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from probes.generators.base import Generator, Request, Result
from probes.generators.diffusion import DiffusionGenerator
from probes.generators.registry import load_generator

NURSE, ENGINEER = "a portrait of a nurse", "an engineer in a long grey coat"
BATCH = [Request(NURSE, 1), Request(NURSE, 2**63 - 1), Request(ENGINEER, 1), Request(ENGINEER, 4)]
CLASSES = ("sd15", "sdxl", "sd3", "flux", "qwen")


def load(folder: Path, **options: Any) -> DiffusionGenerator:
    size = {} if folder.name.startswith("sd15") else {"width": 64, "height": 64}
    generator = load_generator(str(folder), **{"steps": 2, "batch_size": 4, **size, **options})
    assert isinstance(generator, DiffusionGenerator)
    assert isinstance(generator, Generator)
    return generator


def pixels(results: list[Result]) -> list[bytes]:
    assert all(result.outcome == "ok" for result in results), results
    return [result.image.tobytes() for result in results if result.image is not None]


def difference(one: Image.Image, two: Image.Image) -> int:
    """Largest difference of two images in grey levels."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(two)).max())


def bare(folder: Path, **options: Any) -> list[Image.Image]:
    """The images of `BATCH` by diffusers alone, prompts given as texts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(
            [request.prompt for request in BATCH],
            generator=[torch.Generator().manual_seed(request.seed) for request in BATCH],
            num_inference_steps=2, width=64, height=64, **options,
        ).images  # fmt: skip
    return list(images)


@pytest.fixture(params=CLASSES)
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_images_are_those_of_the_bare_pipeline(folder: Path) -> None:
    generator = load(folder)
    results = generator.generate(BATCH)
    for result, expected in zip(results, bare(folder), strict=True):
        assert result.image is not None
        assert (result.image.mode, result.image.size, result.reason) == ("RGB", (64, 64), "")
        # prompts are encoded one by one, which rounds differently in the last bit than all at once
        assert difference(result.image, expected) <= 2
    assert len(set(pixels(results))) == 4


def test_order_and_padding_change_nothing(folder: Path) -> None:
    generator = load(folder)
    expected = pixels(generator.generate(BATCH))
    order = [2, 0, 3, 1]
    assert pixels(generator.generate([BATCH[i] for i in order])) == [expected[i] for i in order]
    padded = pixels(generator.generate([BATCH[2], *[BATCH[0]] * 3]))
    assert padded == [expected[2], *[expected[0]] * 3]


def test_prompts_are_encoded_once(folder: Path) -> None:
    generator = load(folder)
    for seed in range(3):
        generator.generate([Request(prompt, seed) for prompt in (NURSE, ENGINEER, NURSE, ENGINEER)])
    assert generator.prompts is not None
    assert generator.prompts.encoded == 2


SCRIPT = """
import hashlib, json, sys
import torch
from probes.generators.base import Request
from probes.generators.registry import load_generator
folders, requests = json.loads(sys.argv[1])
for folder in folders:
    generator = load_generator(folder, steps=2, batch_size=4, width=64, height=64, threads=1)
    results = generator.generate([Request(**request) for request in requests])
    print(json.dumps([hashlib.sha256(result.image.tobytes()).hexdigest() for result in results]))
"""


def test_second_process_makes_the_same_images(request: pytest.FixtureRequest) -> None:
    folders = [request.getfixturevalue(name) for name in CLASSES]
    order = [3, 1, 0, 2]
    argument = json.dumps([[str(folder) for folder in folders], [vars(BATCH[i]) for i in order]])
    run = subprocess.run([sys.executable, "-c", SCRIPT, argument], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    for folder, line in zip(folders, run.stdout.splitlines(), strict=True):
        expected = [hashlib.sha256(image).hexdigest() for image in pixels(load(folder).generate(BATCH))]
        assert json.loads(line) == [expected[i] for i in order]


def test_fingerprint_is_json_without_paths(folder: Path) -> None:
    generator = load(folder)
    text = json.dumps(generator.fingerprint())
    assert str(folder.parent) not in text
    assert json.loads(text) == load(folder).fingerprint()
    assert generator.name == generator.fingerprint()["model"] == folder.name
    assert generator.fixed_batches


def test_fingerprint_names_every_file_of_weights(sd15: Path) -> None:
    files = load(sd15).fingerprint()["files"]
    assert isinstance(files, dict)
    weights = {name for name in files if name.endswith(".safetensors")}
    assert weights == {str(file.relative_to(sd15)) for file in sd15.rglob("*.safetensors")}
    name = "unet/diffusion_pytorch_model.safetensors"
    assert files[name] == hashlib.sha256((sd15 / name).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"steps": 3}, {"guidance": 3.0}, {"width": 72, "height": 64}, {"negative_prompt": "a hat"}, {"dtype": "bf16"},
     {"batch_size": 2}, {"scheduler": "EulerDiscreteScheduler"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_setting_is_in_the_fingerprint_and_in_the_image(sd15: Path, change: dict[str, Any]) -> None:
    plain, changed = load(sd15), load(sd15, **change)
    assert plain.fingerprint() != changed.fingerprint()
    if "batch_size" not in change:  # the same image in another batch size may differ in its last bits, or not
        assert pixels(plain.generate(BATCH)) != pixels(changed.generate(BATCH))


def test_defaults_of_the_pipeline_are_in_the_fingerprint(sd15: Path) -> None:
    fingerprint = load(sd15, steps=None).fingerprint()
    assert (fingerprint["steps"], fingerprint["guidance"]) == (50, 7.5)


def test_scheduler_keeps_the_pipelines_configuration(sd15: Path) -> None:
    scheduler = load(sd15, scheduler="DPMSolverMultistepScheduler").fingerprint()["scheduler"]
    assert isinstance(scheduler, dict)
    assert scheduler["class"] == "DPMSolverMultistepScheduler"
    assert scheduler["config"]["beta_schedule"] == "scaled_linear"


def test_scheduler_with_noise_of_its_own_is_deterministic(sd15: Path) -> None:
    generator = load(sd15, scheduler="EulerAncestralDiscreteScheduler")
    expected = pixels(generator.generate(BATCH))
    assert pixels(generator.generate(BATCH[::-1])) == expected[::-1]


def test_safety_checker_refuses(sd15_strict: Path) -> None:
    results = load(sd15_strict).generate(BATCH)
    assert {result.outcome for result in results} == {"refused"}
    assert all(result.image is None and "safety checker" in result.reason for result in results)


def edited(folder: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a model folder with other VAE weights."""
    shutil.copytree(folder, target)
    file = target / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)
    return target


def too_large_for_fp16(weights: dict[str, torch.Tensor]) -> None:
    """Values beyond 65,504 after the first layer, which the norm that follows scales back: fine in fp32."""
    weights["decoder.conv_in.weight"] *= 1e6


def black(weights: dict[str, torch.Tensor]) -> None:
    weights["decoder.conv_out.bias"][:] = -1e6


def test_vae_that_overflows_in_fp16(sd15: Path, tmp_path: Path) -> None:
    folder = edited(sd15, tmp_path / "sd15-overflow", too_large_for_fp16)
    assert {result.outcome for result in load(folder).generate(BATCH)} == {"ok"}
    results = load(folder, dtype="fp16").generate(BATCH)
    assert {result.outcome for result in results} == {"failed"}
    assert all("try fp32 or bf16" in result.reason and result.image is None for result in results)


def test_black_image_is_a_failure(sd15: Path, tmp_path: Path) -> None:
    results = load(edited(sd15, tmp_path / "sd15-black", black)).generate(BATCH)
    assert {(result.outcome, result.reason) for result in results} == {("failed", "image is black in every pixel")}


@pytest.mark.parametrize(
    ("name", "words", "cut"),
    [
        ("sd15", 10, []),
        ("sd15", 80, ["tokenizer"]),
        ("sd3", 80, ["tokenizer", "tokenizer_2"]),
        ("sd3", 300, ["tokenizer", "tokenizer_2", "tokenizer_3"]),
        ("flux", 200, ["tokenizer"]),
    ],
)
def test_prompt_longer_than_a_text_encoder_sees(
    request: pytest.FixtureRequest, name: str, words: int, cut: list[str]
) -> None:
    generator = load(request.getfixturevalue(name), batch_size=1)
    (result,) = generator.generate([Request("a " * words, 1)])
    assert result.outcome == "ok"
    assert dict(result.details) == ({"truncated": True, "truncated_by": cut} if cut else {})


def unmerged(folder: Path, lora: Path, weights: list[float]) -> list[Image.Image]:
    """The images of `BATCH` by diffusers with its LoRA layers apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        for i in range(len(weights)):
            pipeline.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name=f"a{i}")
        pipeline.set_adapters([f"a{i}" for i in range(len(weights))], weights)
        images = pipeline(
            [request.prompt for request in BATCH],
            generator=[torch.Generator().manual_seed(request.seed) for request in BATCH],
            num_inference_steps=2,
        ).images
    return list(images)


@pytest.mark.parametrize("weights", [[1.0], [0.5], [0.25, 0.5]])
def test_lora_is_that_of_diffusers(sd15: Path, lora: Path, weights: list[float]) -> None:
    generator = load(sd15, lora=[f"{lora}:{weight}" for weight in weights])
    plain = load(sd15).generate(BATCH)
    expected = unmerged(sd15, lora, weights)
    for result, wanted, without in zip(generator.generate(BATCH), expected, plain, strict=True):
        assert result.image is not None
        assert without.image is not None
        assert difference(result.image, wanted) <= 2
        assert difference(result.image, without.image) > 4
    digest = hashlib.sha256(lora.read_bytes()).hexdigest()
    entries = [{"file": lora.name, "weight": weight, "sha256": digest} for weight in weights]
    assert generator.fingerprint()["lora"] == entries


def test_lora_folder_stands_for_its_file(sd15: Path, lora: Path) -> None:
    one, two = load(sd15, lora=[str(lora.parent)]), load(sd15, lora=[str(lora)])
    assert one.fingerprint() == two.fingerprint()


def test_fp16_variant_is_found(sd15: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd15-fp16"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = diffusers.DiffusionPipeline.from_pretrained(sd15, torch_dtype=torch.float16)
        pipeline.save_pretrained(folder, variant="fp16")
    generator = load(folder)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in str(generator.fingerprint()["files"])
    assert len(pixels(generator.generate(BATCH))) == 4
