"""Grids of 2×2: found and split without a loss; single pictures, diptychs and windows are left alone."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from probes.importers.grids import THRESHOLD, fits_grid, is_grid, seams, split_grid, tile_of, tiles_in


def picture(seed: int, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """A smooth picture with noise: a few blurred patches of colour."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = rng.normal(0, 4, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(small) + noise, 0, 255).astype(np.uint8))


def grid(tiles: Sequence[Image.Image]) -> Image.Image:
    width, height = tiles[0].size
    made = Image.new(tiles[0].mode, (2 * width, 2 * height))
    for place, tile in enumerate(tiles):
        made.paste(tile, (place % 2 * width, place // 2 * height))
    return made


def test_a_grid_is_split_in_order_and_without_a_loss() -> None:
    tiles = [picture(seed) for seed in range(4)]
    found = split_grid(grid(tiles))
    assert len(found) == 4
    for tile, part in zip(tiles, found, strict=True):
        assert np.array_equal(np.asarray(tile), np.asarray(part))


@pytest.mark.parametrize("mode", ["RGBA", "L", "CMYK", "P"])
def test_modes(mode: str) -> None:
    made = grid([picture(seed) for seed in range(4)]).convert(mode)
    assert [part.mode for part in split_grid(made)] == [mode] * 4
    assert len(split_grid(picture(1, (512, 384)).convert(mode))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_single_pictures_are_not_split(seed: int) -> None:
    image = picture(seed, (512, 512))
    assert split_grid(image) == (image,)
    made = io.BytesIO()
    image.save(made, "JPEG", quality=30)  # blocks of 8×8 meet in the middle too
    assert not is_grid(Image.open(made))


def test_diptychs_windows_plain_pictures_and_crosses_are_not_split() -> None:
    wide = Image.new("RGB", (512, 384))
    wide.paste(picture(1, (256, 384)), (0, 0))
    wide.paste(picture(2, (256, 384)), (256, 0))
    assert not is_grid(wide)
    assert not is_grid(Image.new("RGB", (512, 512), "white"))
    window = picture(3, (512, 512))
    ImageDraw.Draw(window).line([(256, 0), (256, 511)], "black", 12)
    ImageDraw.Draw(window).line([(0, 256), (511, 256)], "black", 12)
    assert not is_grid(window)


def test_sizes_that_no_grid_has() -> None:
    assert fits_grid(2048, 2048) and fits_grid(2912, 1632) and fits_grid(512, 512)
    for size in ((240, 512), (512, 240), (1023, 1024), (1024, 1030), (0, 0)):
        assert not fits_grid(*size)
    odd = grid([picture(seed, (251, 192)) for seed in range(4)])
    assert split_grid(odd) == (odd,)


def test_one_arm_may_show_no_seam_and_two_may_not() -> None:
    tiles = [picture(seed) for seed in range(4)]
    shared = [tile.copy() for tile in tiles]
    for tile, left in ((shared[0], 206), (shared[1], 0)):
        tile.paste("white", (left, 0, left + 50, 192))
    arms = seams(grid(shared))
    assert arms[0] < THRESHOLD < min(arms[1:])
    assert is_grid(grid(shared))
    for tile, left in ((shared[2], 206), (shared[3], 0)):
        tile.paste("white", (left, 0, left + 50, 192))
    assert not is_grid(grid(shared))


@pytest.mark.parametrize("name", ["dall_e_3", "flux_dev", "sdxl_turbo"])
def test_real_pictures_alone_and_put_together(shared_data: Path, name: str) -> None:
    rng = random.Random(5)
    for folder in sorted((shared_data / "images" / name).glob("*/*/")):
        images = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
        assert len(images) == 10
        assert not [image for image in images if is_grid(image)]
        double = [image.resize((2 * image.width, 2 * image.height)) for image in images[:2]]
        assert not [image for image in double if is_grid(image)]
        for _ in range(2):
            whole = grid(rng.sample(images, 4))
            assert is_grid(whole)
            made = io.BytesIO()
            whole.save(made, "JPEG", quality=75)
            assert is_grid(Image.open(made))


def saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_files_that_are_grids_and_files_that_are_not(kind: str) -> None:
    whole = grid([picture(seed) for seed in range(4)])
    assert tiles_in(lambda: saved(whole, kind)) == 4
    assert tiles_in(lambda: saved(picture(5, (512, 384)), kind)) == 1
    assert [tile_of(whole, tile) for tile in range(4)] == list(split_grid(whole))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Image.Image]:
    """The pictures that Pillow decodes."""
    found: list[Image.Image] = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: (found.append(self), load(self))[1])
    return found


def test_only_what_has_the_size_of_a_grid_is_decoded(decoded: list[Image.Image]) -> None:
    data, fitting = saved(picture(1, (511, 384)), "PNG"), saved(picture(1, (512, 384)), "PNG")
    decoded.clear()
    assert tiles_in(lambda: data) == 1
    assert decoded == []
    assert tiles_in(lambda: fitting) == 1
    assert decoded


def gone() -> bytes:
    raise OSError("gone")


@pytest.mark.parametrize(
    "read",
    [
        gone,
        lambda: b"",
        lambda: b"no picture",
        lambda: saved(grid([picture(seed) for seed in range(4)]), "PNG")[:-5000],
        lambda: saved(picture(1, (512, 512)), "PNG").replace(b"IDAT", b"IDAX"),
    ],
)
def test_what_cannot_be_read_is_one_picture(read: Callable[[], bytes]) -> None:
    assert tiles_in(read) == 1


@pytest.mark.parametrize("limit", [190_000, 100_000, 10_000])
def test_nothing_beyond_the_limit_of_pixels_is_decoded(
    limit: int, decoded: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(grid([picture(seed) for seed in range(4)]), "PNG")
    decoded.clear()
    assert tiles_in(lambda: data) == 4
    decoded.clear()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # of 196,608; Pillow raises above twice the limit
    assert tiles_in(lambda: data) == 1
    assert decoded == []
