"""Generation through Rolecall ÷ the same pipeline in a bare loop, batched and one call an image.

    python -m benchmarks.generation [--model phantom] [--steps N] [--repeats 5] [--seed 0]

All ways make the same 32 images of 4 prompts with the same steps and guidance; the bare pipeline gets its prompts as
texts, as the documentation of diffusers shows.
"""

from __future__ import annotations

import argparse
import warnings

from benchmarks.common import Row, interleaved, row, table
from probes.generators.base import Request
from probes.generators.diffusion import DiffusionGenerator
from probes.generators.registry import load_generator

IMAGES = 32
PROMPTS = ("a portrait of a nurse", "a portrait of an engineer", "a portrait of a teacher", "a portrait of a pilot")


def rows(repeats: int, seed: int, *, model: str = "phantom", steps: int | None = None) -> list[Row]:
    """Images a second, with one thread, in batches of the model's own size; `model` is `phantom` or a local folder."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rows(repeats, seed, model, steps)
    finally:
        torch.set_num_threads(threads)


def _rows(repeats: int, seed: int, model: str, steps: int | None) -> list[Row]:
    import torch
    from diffusers import DiffusionPipeline

    generator = load_generator(model, steps=steps)
    if not isinstance(generator, DiffusionGenerator):
        raise SystemExit(f"model must be a diffusers pipeline (got {model!r}).")
    pipeline = DiffusionPipeline.from_pretrained(generator.folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    asked = generator.fingerprint()
    settings = {"num_inference_steps": asked["steps"], "guidance_scale": asked["guidance"]}
    size = generator.batch_size
    requests = [Request(PROMPTS[i * len(PROMPTS) // IMAGES], seed + i) for i in range(IMAGES)]
    batches = [requests[i : i + size] for i in range(0, IMAGES, size)]
    batches[-1] = batches[-1] + [batches[-1][0]] * (size - len(batches[-1]))

    def bare(batch: list[Request]) -> object:
        return pipeline(
            [request.prompt for request in batch],
            generator=[torch.Generator().manual_seed(request.seed) for request in batch],
            **settings,
        )

    seconds = interleaved(
        {
            "rolecall": lambda: [generator.generate(batch) for batch in batches],
            "batched": lambda: [bare(batch) for batch in batches],
            "single": lambda: [bare([request]) for request in requests],
        },
        repeats,
    )
    note = f"{IMAGES / seconds['rolecall']:.2f} images/s, batches of {size}, {asked['steps']} steps"
    return [
        row("generation ÷ bare batched loop", seconds["batched"] / seconds["rolecall"], 0.95, note),
        row("generation ÷ one call an image", seconds["single"] / seconds["rolecall"], 1.5, note),
    ]


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phantom")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(table(rows(options.repeats, options.seed, model=options.model, steps=options.steps)))


if __name__ == "__main__":
    main()
