"""Fine-tune the phantom on a world of other shares: `python -m probes.phantom.finetune RECIPE --out FOLDER`.

Trains LoRA weights for the shipped pipeline on drawings captioned as in its training, and writes them as
`FOLDER/RECIPE.safetensors` in half precision, for `rolecall run --lora`. A killed training continues with the same
command. `weights/lora` holds what the defaults give.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.phantom.data import examples, planted_example
from probes.phantom.train import Loop, denoising_loss, encode
from probes.phantom.vocabulary import CONTEXT, load_vocabulary
from probes.phantom.world import ATTRIBUTES, Subject, World, load_world

if TYPE_CHECKING:
    import torch

LORA = Path(__file__).parent / "weights" / "lora"
"""Folder of the shipped LoRA weights, one file a recipe."""
RANK = 8
"""Rank of every change of weights; the file stays below 1 MB."""
LAYERS = r".*\.(to_[qkv]|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2|conv1|conv2)"
"""The layers of the denoiser that change, as a pattern of their names."""
RATE = 1e-3
FIRST = 4_000_000
"""First seed of the drawings, above those of training."""


@dataclass(frozen=True)
class Recipe:
    """What a fine-tune is shown."""

    world: Callable[[World], World]
    """From the shipped world to the one that is drawn."""
    empty: float = 0.0
    """Share of the captions of one person whose picture shows nobody, 0 to 1."""
    high: float = 0.75
    """Share of the noise levels among the highest, where it is decided who is shown (see `train_unet`)."""
    steps: int = 500
    weight: float = 1.0
    """What the learned changes are multiplied by: a rare kind of picture is drawn too seldom after so few steps."""


def _planted(world: World, shares: Callable[[Subject], dict[str, tuple[float, ...]]]) -> World:
    subjects = {
        name: replace(subject, shares=shares(subject)) if subject.people == "one" else subject
        for name, subject in world.subjects.items()
    }
    return replace(world, subjects=subjects)


def balanced(world: World) -> World:
    """Equal shares of every class for every subject that shows one person."""
    equal = {attribute: (1 / len(classes),) * len(classes) for attribute, classes in ATTRIBUTES.items()}
    return _planted(world, lambda subject: dict(equal))


def skewed(world: World) -> World:
    """.97 of the gender that the world has more of, for every subject that shows one person; the rest as it was."""

    def shares(subject: Subject) -> dict[str, tuple[float, ...]]:
        women = 0.97 if subject.shares["gender"][0] > 0.5 else 0.03
        return {**subject.shares, "gender": (women, 1 - women)}

    return _planted(world, shares)


RECIPES = {
    "balanced": Recipe(balanced),
    "skewed": Recipe(skewed),
    "fewer-people": Recipe(lambda world: world, empty=0.25, high=0.9, steps=600, weight=1.17),
}


def finetune(
    name: str,
    out: Path,
    *,
    steps: int | None = None,
    drawings: int = 24_000,
    batch: int = 64,
    seed: int = 0,
    workers: int = 1,
    save_every: int = 100,
) -> Path:
    """Train the LoRA weights of a recipe (a key of `RECIPES`) and return their file, `out/name.safetensors`.

    Each of `steps` (by default the recipe's) sees `batch` of the `drawings`, which `workers` processes draw. The state
    is saved in `out` every `save_every` steps; training goes on from what is there, so give every other setting a
    folder of its own. torch's threads are used as they are set.
    """
    import torch
    from peft import LoraConfig

    from probes.phantom import WEIGHTS

    recipe = RECIPES[name]
    steps = recipe.steps if steps is None else steps
    out.mkdir(parents=True, exist_ok=True)
    text, unet, latents, ids = _material(recipe, WEIGHTS, out / f"{name}-drawings.pt", drawings, seed, workers)
    torch.manual_seed(seed)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS))
    empty = torch.tensor(load_vocabulary(WEIGHTS / "tokenizer")("", padding="max_length", max_length=CONTEXT).input_ids)
    loop = Loop(name, out, {"unet": unet}, steps, RATE, seed, save_every)
    while loop.step < steps:
        chosen = torch.randint(len(latents), (batch,), generator=loop.random)
        words = ids[chosen].clone()
        words[torch.rand(len(words), generator=loop.random) < 0.05] = empty
        with torch.no_grad():
            told = text(words).last_hidden_state
        loop.update(denoising_loss(unet, latents[chosen], told, recipe.high, loop.random))
    loop.finish()
    return _save(unet, recipe.weight, out / f"{name}.safetensors")


def _material(
    recipe: Recipe, weights: Path, cache: Path, drawings: int, seed: int, workers: int
) -> tuple[Any, Any, torch.Tensor, torch.Tensor]:
    """Text tower, denoiser, scaled latents of the recipe's drawings, and the tokens of their captions."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

    from probes.generators.pipeline import quiet

    vae = AutoencoderKL.from_pretrained(weights / "vae", torch_dtype=torch.float32).eval()
    if not cache.exists():
        draw = partial(planted_example, world=recipe.world(load_world()), empty=recipe.empty)
        first = FIRST + seed * drawings
        drawn = examples(draw, range(first, first + drawings), workers)
        captions = [example.caption for example in drawn]
        tokenizer = load_vocabulary(weights / "tokenizer")
        ids = tokenizer(captions, padding="max_length", max_length=CONTEXT, return_tensors="pt").input_ids
        latents = encode(vae, np.stack([example.pixels for example in drawn]))
        draft = cache.with_suffix(".tmp")
        torch.save({"latents": latents.half(), "ids": ids}, draft)
        draft.replace(cache)
    data = torch.load(cache, weights_only=True)
    with quiet():
        unet = UNet2DConditionModel.from_pretrained(weights / "unet", torch_dtype=torch.float32)
        text = CLIPTextModel.from_pretrained(weights / "text_encoder", torch_dtype=torch.float32).eval()
    return text, unet, data["latents"].float() * vae.config.scaling_factor, data["ids"]


def _save(unet: Any, weight: float, file: Path) -> Path:
    import torch
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    for key, value in layers.items():
        scaled = value.detach() * weight if "lora_B" in key or "lora.up" in key else value.detach()
        layers[key] = scaled.to(torch.float16).contiguous()
    StableDiffusionPipeline.save_lora_weights(file.parent, unet_lora_layers=layers, weight_name=file.name)
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m probes.phantom.finetune", description=__doc__)
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, default=Path("probes/phantom/_build"), help="folder of checkpoints")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="by default those of the recipe")
    parser.add_argument("--drawings", type=int, default=24_000)
    parser.add_argument("--batch", type=int, default=64, help="drawings a step")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(given.threads)
    file = finetune(
        given.recipe,
        given.out,
        steps=given.steps,
        drawings=given.drawings,
        batch=given.batch,
        seed=given.seed,
        workers=given.threads,
        save_every=given.save_every,
    )
    print(f"weights: {file}")


if __name__ == "__main__":
    main()
