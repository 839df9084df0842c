"""Writing images without loss: WebP as Rolecall writes it ÷ Pillow's default PNG.

python -m benchmarks.writing --images FOLDER [--repeats 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import random
from pathlib import Path

from PIL import Image

from audit.pictures import encode
from benchmarks.common import Row, interleaved, row, table
from probes.importers.folder import read_folder


def rows(repeats: int, seed: int, *, images: Path | None) -> list[Row]:
    """Times and sizes on 20 images of a folder, drawn with `seed` and decoded before; no rows without a folder."""
    if images is None or not images.is_dir():
        return []
    paths = sorted(item.path for item in read_folder(images).images if not item.reason)
    chosen = random.Random(seed).sample(paths, min(20, len(paths)))
    pixels = []
    for path in chosen:
        with Image.open(path) as file:
            pixels.append(file.convert("RGB"))
    written = [encode(image) for image in pixels]
    for image, data in zip(pixels, written, strict=True):
        if Image.open(io.BytesIO(data)).convert("RGB").tobytes() != image.tobytes():
            raise RuntimeError("lossless WebP changed a pixel")
    seconds = interleaved(
        {"webp": lambda: [encode(image) for image in pixels], "png": lambda: [_png(image) for image in pixels]}, repeats
    )
    smaller = sum(len(_png(image)) for image in pixels) / sum(map(len, written))
    size = f"{len(pixels)} images of {pixels[0].width} × {pixels[0].height}"
    return [
        row("lossless writing ÷ Pillow's default PNG", seconds["png"] / seconds["webp"], 3, size),
        row("size of Pillow's default PNG ÷ ours", smaller, 1, size),
    ]


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of images, at any depth")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(table(rows(given.repeats, given.seed, images=given.images)))


if __name__ == "__main__":
    main()
