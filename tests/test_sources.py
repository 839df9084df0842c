"""Imported files as samples: every format to 8-bit RGB, what cannot be read failed with one clear line."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from credentials import drawn, signed, signer
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from audit.pictures import decode, encode
from audit.sources import ImportedSource, Made, imported_id, pixel_digest
from probes.importers.folder import Import, ImportedImage
from probes.plan import digest_of

SIDE = 48


def made(path: Path, data: bytes | None, **options: object) -> Made:
    """The sample of a file with this content."""
    if data is not None:
        path.write_bytes(data)
    item = ImportedImage("nurse", 3, path, name=path.name, **options)  # type: ignore[arg-type]
    (found,) = ImportedSource(Import((), (item,), ())).make(0)
    return found


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def ramp(dtype: type, top: float) -> np.ndarray:
    """Greys from 0 at the left to `top` at the right."""
    row = np.linspace(0, top, 256)
    return np.tile(row.round() if np.issubdtype(dtype, np.integer) else row, (SIDE, 1)).astype(dtype)


def pixels(image: Image.Image | None) -> np.ndarray:
    assert image is not None
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("PNG", ramp(np.uint16, 65535)),
        ("TIFF", ramp(np.uint16, 65535)),
        ("TIFF", ramp(np.int32, 65535)),
        ("TIFF", ramp(np.int32, 2_000_000)),
        ("TIFF", ramp(np.float32, 1.0)),
        ("TIFF", ramp(np.float32, 255.0)),
        ("TIFF", ramp(np.float32, 9000.0) - 4500),
    ],
)
def test_greys_of_more_than_8_bits_are_scaled_and_not_cut_off(tmp_path: Path, kind: str, values: np.ndarray) -> None:
    found = made(tmp_path / f"grey.{kind.lower()}", saved(Image.fromarray(values), kind))
    expected = np.tile(np.arange(256)[None, :, None], (SIDE, 1, 3))
    assert found.outcome == "ok"
    assert np.abs(pixels(found.image) - expected).max() <= 1


def test_dark_16_bit_greys_stay_dark_and_floats_that_are_no_numbers_are_black() -> None:
    assert np.abs(pixels(decode(saved(Image.fromarray(ramp(np.uint16, 6553)), "PNG"))).max() - 25.5) <= 0.5
    values = ramp(np.float32, 1.0)
    values[:, :128] = [np.nan, np.inf] * 64
    found = pixels(decode(saved(Image.fromarray(values), "TIFF")))
    assert (found[:, :128] == 0).all()
    assert found[:, -1].min() == 255


def test_cmyk_palette_and_animation_are_the_colours_that_one_sees(tmp_path: Path) -> None:
    red = Image.new("RGB", (SIDE, SIDE), (220, 30, 40))
    cmyk = made(tmp_path / "a.jpg", saved(red.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels(cmyk.image) - [220, 30, 40]).max() <= 12
    seen = Image.new("RGBA", (SIDE, SIDE), (0, 0, 255, 255))
    seen.paste((0, 0, 0, 0), (0, 0, SIDE // 2, SIDE))
    for kind, image in (("PNG", seen.convert("P")), ("GIF", seen), ("PNG", seen), ("PNG", seen.convert("LA"))):
        options = {"transparency": image.getpixel((0, 0))} if image.mode == "P" else {}
        found = pixels(made(tmp_path / f"b.{kind}", saved(image, kind, **options)).image)
        assert (found[:, : SIDE // 2] == 255).all(), kind
        assert (found[:, SIDE // 2 :, 0] < 40).all(), kind
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("lime", "red", "blue")]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        moving = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        with Image.open(io.BytesIO(moving)) as opened:
            assert opened.n_frames == 3  # type: ignore[attr-defined]
        assert (pixels(made(tmp_path / f"c.{kind}", moving).image) == [0, 255, 0]).all(), kind


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, turn: int) -> None:
    upright = Image.new("RGB", (64, 32), "white")
    upright.paste("black", (0, 0, 16, 16))  # upper left
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(back[turn]) if turn in back else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    found = made(tmp_path / "a.png", saved(stored, "PNG", exif=exif))
    assert (pixels(found.image) == pixels(upright)).all()
    assert found.details == {"pixels": pixel_digest(upright)}


def bomb(pixels: int) -> bytes:
    """A PNG of one colour with at least so many pixels, in few bytes."""
    image = Image.new("1", (10_000, -(-pixels // 10_000)))
    return saved(image, "PNG")


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pillow's limit of pixels lowered, so that a bomb is made in a moment."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    return 1_000_000


@pytest.mark.parametrize("times", [1.1, 1.9, 2.1, 50])
def test_a_bomb_fails_before_it_is_decoded_also_where_pillow_only_warns(
    tmp_path: Path, low_limit: int, times: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    load = Image.Image.load
    data = bomb(int(low_limit * times))
    monkeypatch.setattr(Image.Image, "load", lambda self: (decoded.append(self), load(self))[1])
    found = made(tmp_path / "bomb.png", data)
    assert found.outcome == "failed"
    assert re.fullmatch(
        r"the image cannot be read: Image size \(\d+ pixels\) exceeds limit of \d+ pixels", found.reason
    )
    assert decoded == []
    assert made(tmp_path / "whole.png", drawn()).outcome == "ok"
    assert decoded


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "the file is empty"),
    "page.jpg": (lambda: b"<html><title>404</title></html>", "it is in no format of images that is known here"),
    "cut.png": (lambda: noise("PNG")[:-2000], "truncated|broken|unrecognized data stream"),
    "cut.jpg": (lambda: noise("JPEG")[:-2000], "truncated"),
    "cut.webp": (lambda: noise("WEBP")[:-2000], "no format|decod|truncated|failed"),
    "head.gif": (lambda: noise("GIF")[:20], "."),
    "wrong.png": (lambda: noise("PNG").replace(b"IDAT", b"IDAX"), "."),
    "heic.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "it is in no format of images"),
}


def noise(kind: str) -> bytes:
    values = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return saved(Image.fromarray(values), kind)


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_read_fails_with_one_line_without_a_path(tmp_path: Path, name: str) -> None:
    make, reason = DAMAGED[name]
    found = made(tmp_path / name, make())
    assert (found.outcome, found.image, found.data) == ("failed", None, b"")
    assert re.search(f"^the image cannot be read: .*({reason})", found.reason), found.reason
    assert "\n" not in found.reason
    assert str(tmp_path) not in found.reason
    assert "0x" not in found.reason
    assert made(tmp_path / name, make()).reason == found.reason


def test_files_that_are_gone_and_pipes_fail(tmp_path: Path) -> None:
    assert made(tmp_path / "gone.png", None).reason == "the image cannot be read: No such file or directory"
    os.mkfifo(tmp_path / "pipe.png")
    assert made(tmp_path / "pipe.png", None).reason == "the image cannot be read: it is no regular file"
    assert made(tmp_path / "named.png", None, reason="file not found").reason == "file not found"


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]), st.integers(0, 400))
def test_whatever_the_bytes_are_the_import_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str, place: int
) -> None:
    whole = saved(Image.new("RGB", (20, 20), "red"), kind)
    damaged = whole[:place] + data + whole[place + len(data) :]
    found = made(tmp_path_factory.getbasetemp() / "any", damaged)
    assert found.outcome in ("ok", "failed")
    assert (found.reason == "") == (found.outcome == "ok") == (found.image is not None)


@given(arrays(np.uint8, (6, 5, 3)), arrays(np.uint8, (6, 5, 3)))
def test_the_digest_is_that_of_the_pixels(first: np.ndarray, second: np.ndarray) -> None:
    one, two = Image.fromarray(first), Image.fromarray(second)
    assert pixel_digest(one) == hashlib.sha256(b"5x6:" + first.tobytes()).hexdigest()
    assert (pixel_digest(one) == pixel_digest(two)) == np.array_equal(first, second)
    assert pixel_digest(one) == pixel_digest(decode(encode(one)))
    assert pixel_digest(one.transpose(Image.Transpose.ROTATE_90)) != pixel_digest(one)


def test_the_same_picture_in_other_formats_has_the_same_digest(tmp_path: Path) -> None:
    image = Image.open(io.BytesIO(noise("PNG")))
    found = {
        made(tmp_path / f"a.{kind}", saved(image, kind, **options)).details["pixels"]
        for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}))
    }
    assert len(found) == 1


def test_bytes_are_kept_as_they_are_and_ids_as_they_were(tmp_path: Path) -> None:
    data = noise("JPEG")
    found = made(tmp_path / "a.JPG", data)
    assert (found.data, found.suffix, found.seed) == (data, ".jpg", 0)
    assert found.sample_id == digest_of({"imported": "a.JPG", "probe": "nurse", "index": 3})
    items = [
        ImportedImage("nurse", 3, tmp_path / "a.JPG", name="sub/a.JPG"),
        ImportedImage("nurse", 3, tmp_path / "a.JPG", name="sub/a.JPG", tile=0),
        ImportedImage("nurse", 3, tmp_path / "a.JPG", name="sub/a.JPG", tile=1),
        ImportedImage("nurse", 3, tmp_path / "a.JPG", name="a.tar/b/c.jpg", offset=512, length=9),
        ImportedImage("nurse", 3, tmp_path / "a.JPG", name="a.tar/b/d.jpg", offset=512, length=9),
    ]
    assert imported_id(items[0]) == found.sample_id
    assert len({imported_id(item) for item in items}) == len(items)


def test_a_part_of_an_archive_is_stored_with_its_own_ending(tmp_path: Path) -> None:
    data = noise("PNG")
    path = tmp_path / "some.tar"
    path.write_bytes(b"x" * 512 + data)
    item = ImportedImage("nurse", 0, path, offset=512, length=len(data), name="some.tar/in/a.PNG")
    (found,) = ImportedSource(Import((), (item,), ())).make(0)
    assert (found.outcome, found.suffix, found.data) == ("ok", ".png", data)


def test_content_credentials_stand_in_the_details(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = signed(signer())
    found = made(tmp_path / "a.png", data, details={"prompt": "a nurse"})
    assert found.details["provenance"]["signature"] == "untrusted"
    assert found.details["provenance"]["claim_generator"] == "Test Maker"
    assert found.details["prompt"] == "a nurse"
    damaged = made(tmp_path / "b.png", data[: data.index(b"IDAT")])
    assert damaged.outcome == "failed"
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert made(tmp_path / "c.png", data).details["provenance"]["signature"] == "unchecked"
    assert "provenance" not in made(tmp_path / "d.png", drawn()).details
