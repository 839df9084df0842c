"""Reading what images say of themselves: images per second on one core, and the memory that importing a folder takes.

python -m benchmarks.metadata [--images 3000] [--bytes 1300000]

The files are those of `tests/importers/metadata_files.py`, in every family of metadata, each image with a prompt of its
own; PNGs have as many bytes of pixels as a picture of 1024 × 1024. Seconds are those of the processor, with the files
in its cache; memory is the growth from a fifth of the images to all of them, each folder read by a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from probes.importers.folder import read_folder
from probes.importers.metadata import read_metadata
from probes.suite import load_suite

TARGET = 200
"""Images a second that are asked for."""
_HEADER, _CHUNK = 33, 2**15
Kind = Callable[[str], bytes]


def kinds() -> Mapping[str, Kind]:
    """Family and form → an image with this prompt."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    made, graphs = import_module("importers.metadata_files"), import_module("importers.metadata_graphs")
    comment = 0x9286

    def graph(prompt: str) -> str:
        return json.dumps(graphs.comfy_many(prompt) | {f"n{n}": graphs.node("Note", text="x" * 50) for n in range(99)})

    def texts(form: str, fields: Callable[[str], Mapping[str, str]]) -> Kind:
        return lambda prompt: made.png_texts(fields(prompt), form)

    def jpeg(value: Callable[[str], str]) -> Kind:
        return lambda prompt: made.jpeg_exif(made.exif({}, {comment: made.user_comment(value(prompt))}))

    return {
        "automatic1111, PNG": texts("auto", lambda prompt: {"parameters": made.a1111(prompt)}),
        "automatic1111, JPEG": jpeg(made.a1111),
        "automatic1111, WebP": lambda prompt: made.webp(
            made.exif({}, {comment: made.user_comment(made.a1111(prompt))})
        ),
        "comfyui, PNG packed": texts("iTXt-z", lambda prompt: {"prompt": graph(prompt), "workflow": graph(prompt)}),
        "comfyui, WebP": lambda prompt: made.webp(made.exif({0x0110: b"prompt:" + graph(prompt).encode()})),
        "invokeai 3": texts("auto", made.invoke_third),
        "invokeai 2": texts("auto", made.invoke_second),
        "dream": texts("auto", lambda prompt: {"Dream": made.dream(prompt)}),
        "midjourney": texts("auto", made.midjourney),
        "novelai": texts("auto", made.novelai),
        "fooocus": texts("auto", lambda prompt: {"parameters": made.fooocus(prompt), "fooocus_scheme": "fooocus"}),
        "swarmui, JPEG": jpeg(made.swarmui),
        "easydiffusion": texts("auto", made.easy_diffusion),
        "XMP, JPEG": lambda prompt: made.jpeg_xmp(made.xmp(prompt)),
        "nothing": lambda prompt: made.png(),
    }


def write(path: Path, data: bytes, size: int) -> None:
    """The image; a PNG with `size` more bytes of pixels in chunks of 32 KiB, which are holes in the file."""
    with path.open("wb") as file:
        if not data.startswith(b"\x89PNG"):
            file.write(data)
            return
        file.write(data[:_HEADER])
        for _ in range(size // _CHUNK):
            file.write(struct.pack(">I4s", _CHUNK, b"IDAT"))
            file.seek(_CHUNK + 4, os.SEEK_CUR)
        file.write(data[_HEADER:])


def speeds(folder: Path, images: int, size: int) -> dict[str, float]:
    """Kind → images a second, reading each of its files twice and counting the second time; the files stay."""
    found = {}
    for kind, make in kinds().items():
        paths = []
        for number in range(images // len(kinds())):
            path = folder / "nurse" / f"{re.sub(r'[^a-z0-9]+', '-', kind.lower())}-{number:05d}.png"
            path.parent.mkdir(exist_ok=True)
            write(path, make(f"a photo of a nurse, number {number}"), size)
            paths.append(path)
        for path in paths:
            read_metadata(path)
        begin = time.process_time()
        for path in paths:
            read_metadata(path)
        found[kind] = len(paths) / (time.process_time() - begin)
    return found


def whole(folder: Path) -> tuple[int, float, int]:
    """Images that `read_folder` finds with a suite, images a second, and the peak of memory of this process (bytes)."""
    suite = load_suite("occupations")
    begin = time.process_time()
    images = len(read_folder(folder, suite=suite).images)
    seconds = time.process_time() - begin
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return images, images / seconds, int(peak[1]) * 1024 if peak else 0


def _apart(folder: Path) -> tuple[int, float, int]:
    call = [sys.executable, "-m", "benchmarks.metadata", "--read", str(folder)]
    images, rate, peak = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    return images, rate, peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3_000, help="how many in all")
    parser.add_argument("--bytes", type=int, default=1_300_000, help="bytes of pixels of an image")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        print(json.dumps(whole(given.read)))
        return
    with tempfile.TemporaryDirectory() as place:
        few, many = Path(place) / "few", Path(place) / "many"
        (few / "nurse").mkdir(parents=True)
        many.mkdir()
        for kind, rate in speeds(many, given.images, given.bytes).items():
            print(f"{kind:<22}{rate:>9,.0f} images/s  {'met' if rate >= TARGET else 'NOT MET'}")
        for path in sorted((many / "nurse").iterdir())[::5]:
            os.link(path, few / "nurse" / path.name)
        (fewer, _, before), (images, rate, peak) = _apart(few), _apart(many)
        print(f"{'read_folder, all kinds':<22}{rate:>9,.0f} images/s  {'met' if rate >= TARGET else 'NOT MET'}")
        print(
            f"peak memory: {before / 2**20:.1f} MiB for {fewer:,} images, {peak / 2**20:.1f} MiB for {images:,}: "
            f"{(peak - before) / (images - fewer):,.0f} bytes an image"
        )


if __name__ == "__main__":
    main()
