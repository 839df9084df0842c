"""Labelling and relabelling ÷ transformers' zero-shot pipeline, on models of the size of ViT-B-32 with random weights.

    python -m benchmarks.labelling [--repeats 3] [--seed 0]

The pipeline is called as its documentation shows, once an attribute, with one wording a class. Rolecall answers the
same attributes with the wordings of its default set, two or three a class, and says besides
whether there is one person.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from audit.attribute import load_wordings
from audit.classifiers.clip import ClipClassifier
from benchmarks.common import Row, interleaved, row, table

IMAGES = 16
SIDE = 512
EMBEDDINGS = 20_000


def rows(repeats: int, seed: int) -> list[Row]:
    """Labelling in fp32 and with bf16 weights, and relabelling, each with one thread; 16 random images of 512 px."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rows(repeats, seed, Path(folder))
    finally:
        torch.set_num_threads(threads)


def _rows(repeats: int, seed: int, folder: Path) -> list[Row]:
    random = np.random.default_rng(seed)
    images = [Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)) for _ in range(IMAGES)]
    weights = _weights(folder, seed)
    fp32, bf16 = (ClipClassifier(f"ViT-B-32/{weights}", load_wordings("default"), dtype=d) for d in ("fp32", "bf16"))
    pipeline = _pipeline(seed)
    questions = [[label.replace("_", " ") for label in question.classes] for question in fp32.questions]

    def ask() -> None:
        for image in images[:4]:
            for classes in questions:
                pipeline(image, candidate_labels=classes)

    def ask_in_batches() -> None:
        for classes in questions:
            pipeline(images, candidate_labels=classes, batch_size=IMAGES)

    embeddings = np.tile(fp32.embed(images), (EMBEDDINGS // IMAGES, 1))
    again = ClipClassifier(f"ViT-B-32/{weights}", load_wordings("default"))
    if again.label_embeddings(embeddings[:IMAGES])[0].answer != fp32.label(images)[0].answer:
        raise RuntimeError("relabelling from embeddings gave other labels")
    seconds = interleaved(
        {
            "pipeline": ask,
            "batches": ask_in_batches,
            "fp32": lambda: fp32.label(images),
            "bf16": lambda: bf16.label(images),
            "relabel": lambda: again.label_embeddings(embeddings),
        },
        repeats,
    )
    counts = {"pipeline": 4, "batches": IMAGES, "fp32": IMAGES, "bf16": IMAGES, "relabel": EMBEDDINGS}
    each = {name: time / counts[name] for name, time in seconds.items()}
    note = f"{1000 * each['fp32']:.0f} ms an image in fp32, {1000 * each['bf16']:.0f} with bf16 weights; pipeline "
    note += f"{1000 * each['pipeline']:.0f}"
    fast = _has_bf16()
    return [
        row("labelling, fp32 ÷ pipeline once an attribute", each["pipeline"] / each["fp32"], 4, note),
        row(
            "labelling, bf16 weights ÷ pipeline once an attribute",
            each["pipeline"] / each["bf16"],
            8 if fast else 0,
            "" if fast else "the processor has no bf16 instructions",
        ),
        row("labelling, fp32 ÷ pipeline in batches", each["batches"] / each["fp32"], 0, f"batches of {IMAGES}"),
        row(
            "relabelling ÷ labelling, fp32, an image",
            each["fp32"] / each["relabel"],
            1000,
            f"{EMBEDDINGS:,} embeddings in {seconds['relabel']:.2f} s",
        ),
    ]


def _weights(folder: Path, seed: int) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    path = folder / "random.safetensors"
    save_file(open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).state_dict(), path)
    return path


def _pipeline(seed: int) -> Any:
    """transformers' pipeline with CLIP's default configuration, which is ViT-B-32, and open_clip's vocabulary."""
    import torch
    from open_clip import SimpleTokenizer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer, pipeline

    torch.manual_seed(seed)
    own = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    tokenizer = CLIPTokenizer(
        vocab={names.get(token, token): number for token, number in own.encoder.items()}, merges=list(own.bpe_ranks)
    )
    return pipeline(
        "zero-shot-image-classification",
        model=CLIPModel(CLIPConfig()).eval(),
        tokenizer=tokenizer,
        image_processor=CLIPImageProcessor(),
        device="cpu",
    )


def _has_bf16() -> bool:
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(table(rows(given.repeats, given.seed)))


if __name__ == "__main__":
    main()
