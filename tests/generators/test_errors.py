"""What cannot be used is refused in one line that says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.generators.base import GeneratorError, Request
from probes.generators.registry import load_generator

UNET = "unet/diffusion_pytorch_model.safetensors"


def refused(model: Path | str, match: str, **options: Any) -> str:
    with pytest.raises(GeneratorError, match=match) as caught:
        load_generator(str(model), **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("model", ["./models/nowhere", "/nowhere/at/all", "nowhere.safetensors"])
def test_folder_or_file_that_does_not_exist(model: str) -> None:
    refused(model, "does not exist. Check the path")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / UNET).unlink(), "has no weights in its folder 'unet'"),
        (lambda folder: shutil.rmtree(folder / "unet"), "cannot be loaded: "),
        (lambda folder: (folder / UNET).rename(folder / UNET.replace(".safetensors", ".bin")), "only pickled weights"),
        (lambda folder: os.truncate(folder / UNET, 1000), "'unet/diffusion_pytorch_model.safetensors' is cut short"),
        (lambda folder: os.truncate(folder / UNET, 300_000), r"is cut short \(300000 bytes of \d+\)"),
        (lambda folder: (folder / "model_index.json").unlink(), "has no model_index.json"),
        (lambda folder: (folder / "model_index.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / "model_index.json").write_text("[]"), "must be a mapping"),
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": ["pipeline", "Own"]}'),
            "asks for code of its own",
        ),
        (
            lambda folder: (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipline"}'),
            "The nearest known one is StableDiffusionPipeline",
        ),
    ],
)
def test_broken_folder(sd15: Path, tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(sd15, folder)
    change(folder)
    refused(folder, message)


def test_pickled_weights_are_read_if_asked(sd15: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(sd15, folder)
    weights = load_file(folder / UNET)
    torch.save(weights, folder / UNET.replace(".safetensors", ".bin"))
    (folder / UNET).unlink()
    generator = load_generator(str(folder), allow_pickle=True, batch_size=1, steps=1)
    (pickled,) = generator.generate([Request("a nurse", 1)])
    (safe,) = load_generator(str(sd15), batch_size=1, steps=1).generate([Request("a nurse", 1)])
    assert pickled.image is not None
    assert safe.image is not None
    assert pickled.image.tobytes() == safe.image.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "fp8"}, r"dtype must be one of fp32, bf16, fp16 \(got 'fp8'\)"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available here"),
        ({"device": "abacus"}, "device 'abacus' is not available here"),
        ({"scheduler": "EulerDiscretScheduler"}, "The nearest known one is EulerDiscreteScheduler"),
        ({"steps": 0}, r"steps must be at least 1 \(got 0\)"),
        ({"batch_size": 0}, r"batch_size must be at least 1 \(got 0\)"),
        ({"threads": 0}, r"threads must be at least 1 \(got 0\)"),
        ({"width": 64}, "width and height go together"),
        ({"revision": "main"}, "revision is for hub ids only"),
        ({"negative_prompt": "a hat", "guidance": 1.0}, "negative_prompt has no effect"),
        ({"lora": ["nowhere.safetensors:0.5"]}, "LoRA weights 'nowhere.safetensors:0.5' do not exist"),
    ],
    ids=str,
)
def test_settings(sd15: Path, options: dict[str, Any], message: str) -> None:
    refused(sd15, message, **options)


def test_negative_prompt_of_a_model_without_guidance(flux: Path) -> None:
    refused(flux, "negative_prompt has no effect in FluxPipeline", negative_prompt="a hat")


def test_lora_of_another_model(sdxl: Path, lora: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    refused(sdxl, "LoRA weights do not fit StableDiffusionXLPipeline: ", lora=[str(lora)])
    nothing = tmp_path / "nothing.safetensors"
    save_file(
        {"unet.nowhere.lora_A.weight": torch.zeros(2, 2), "unet.nowhere.lora_B.weight": torch.zeros(2, 2)}, nothing
    )
    refused(sdxl, "LoRA weights do not fit StableDiffusionXLPipeline: ", lora=[str(nothing)])


def test_size_that_the_pipeline_refuses(sd15: Path) -> None:
    generator = load_generator(str(sd15), steps=1, batch_size=1, width=63, height=63)
    with pytest.raises(GeneratorError, match=r"StableDiffusionPipeline could not make images: .*divisible by 8"):
        generator.generate([Request("a nurse", 1)])


def test_wrong_number_of_requests(sd15: Path) -> None:
    generator = load_generator(str(sd15), steps=1, batch_size=2)
    with pytest.raises(GeneratorError, match=r"exactly 2 requests \(got 1\). Pad the batch"):
        generator.generate([Request("a nurse", 1)])


@pytest.mark.parametrize(("batch_size", "advice"), [(7, "Ask for batch_size 3;"), (1, "Ask for a smaller width")])
def test_memory(sd15: Path, batch_size: int, advice: str) -> None:
    # noise for an image of this size would need a thousand terabytes: no machine has the addresses for it
    generator = load_generator(str(sd15), steps=1, batch_size=batch_size, width=2**26, height=2**26)
    with pytest.raises(GeneratorError, match=f"memory of cpu is not enough for batch_size {batch_size} .*{advice}"):
        generator.generate([Request("a nurse", 1)] * batch_size)


def test_hub_id_offline(offline: None) -> None:
    refused("nobody/nothing", "not in the local cache of the hub, and HF_HUB_OFFLINE is set")


def test_hub_id_without_internet_fails_fast(tmp_path: Path) -> None:
    """A port where nobody listens stands for the missing connection."""
    script = "from probes.generators.registry import load_generator; load_generator('nobody/nothing')"
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    start = time.monotonic()
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert time.monotonic() - start < 60
    assert "not in the local cache of the hub, and http://127.0.0.1:9 cannot be reached" in run.stderr.splitlines()[-1]


def test_hub_id_in_the_local_cache(sd15: Path, tmp_path: Path, offline: None) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "cache" / "models--someone--sd15-reduced"
    shutil.copytree(sd15, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    generator = load_generator("someone/sd15-reduced", steps=1, batch_size=1)
    assert generator.name == "sd15-reduced"
    fingerprint = generator.fingerprint()
    assert (fingerprint["model"], fingerprint["revision"]) == ("someone/sd15-reduced", commit)
    assert generator.generate([Request("a nurse", 1)])[0].outcome == "ok"
    refused("someone/sd15-reduced", "HF_HUB_OFFLINE", revision="v2")
