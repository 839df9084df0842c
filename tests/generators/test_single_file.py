"""Stable Diffusion 1.5 as the single file in which it was published, with its configuration folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import load_file, save_file

from probes.generators.base import Generator, GeneratorError, Request
from probes.generators.registry import load_generator

REQUESTS = [Request("a nurse", 1), Request("an engineer", 2)]
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
          "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_unet_key(key: str) -> str:
    """The original name of a weight of a UNet with two layers a block."""
    fixed = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    if key in fixed:
        return str(fixed[key])
    if match := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", key):
        return f"input_blocks.{3 * int(match[1]) + 3}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", key):
        return f"output_blocks.{3 * int(match[1]) + 2}.{1 if match[1] == '0' else 2}.conv.{match[2]}"
    match = re.match(r"(down_blocks\.\d|up_blocks\.\d|mid_block)\.(resnets|attentions)\.(\d)\.(.*)", key)
    assert match is not None, key
    block, part, layer, rest = match[1], int(match[2] == "attentions"), int(match[3]), match[4]
    if not part:
        name, _, end = rest.rpartition(".")
        rest = f"{RESNET[name]}.{end}"
    if block == "mid_block":
        return f"middle_block.{1 if part else 2 * layer}.{rest}"
    number = 3 * int(block[-1]) + layer
    return f"input_blocks.{number + 1}.{part}.{rest}" if block[0] == "d" else f"output_blocks.{number}.{part}.{rest}"


def original_vae_key(key: str) -> str:
    """The original name of a weight of a VAE with four blocks."""
    fixed = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if key in fixed:
        return str(fixed[key])
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda match: f"up.{3 - int(match[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{3 - int(match[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", key)
    for new, old in ATTENTION.items():
        key = re.sub(rf"mid_block\.attentions\.0\.{re.escape(new)}\.", f"mid.attn_1.{old}.", key)
    return key.replace("conv_shortcut", "nin_shortcut")


def to_single_file(folder: Path, path: Path) -> None:
    """Write the weights of a folder in diffusers' layout as one file with the names of the original repository."""
    weights: dict[str, torch.Tensor] = {}
    for key, value in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        weights["model.diffusion_model." + original_unet_key(key)] = value
    for key, value in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        name = original_vae_key(key)
        if "mid.attn_1" in name and value.ndim == 2:  # the original attention is made of 1×1 convolutions
            value = value[:, :, None, None]
        weights["first_stage_model." + name] = value
    for key, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        weights["cond_stage_model.transformer.text_model." + key.removeprefix("text_model.")] = value
    save_file({key: value.contiguous() for key, value in weights.items()}, path)


@pytest.fixture(scope="module")
def single(sd15: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A single file, and the folder of its configuration, without any weights."""
    folder = tmp_path_factory.mktemp("single")
    config = folder / "config"
    shutil.copytree(sd15, config, ignore=shutil.ignore_patterns("*.safetensors"))
    to_single_file(sd15, folder / "sd15-single.safetensors")
    return folder / "sd15-single.safetensors", config


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
