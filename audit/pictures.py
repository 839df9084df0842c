"""Images as bytes: encoding, decoding, and the ways of keeping them (one file each, tar archives, or not at all)."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from audit.parts import cannot_write, write_bytes

TAR_BYTES = 1 << 30
"""A tar archive that has grown to this size is closed and the next one begun."""


def encode(image: Image.Image) -> bytes:
    """The image as lossless WebP. Its pixels come back bit for bit."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    """8-bit RGB pixels of an image file, upright (its EXIF orientation applied), transparency on white.

    Raises:
        OSError: if the bytes are no whole image that Pillow can read.
    """
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode[0] in "IF":
            upright = _eight_bits(upright)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            ground = Image.new("RGBA", upright.size, "white")
            upright = Image.alpha_composite(ground, upright)
        return upright.convert("RGB")


def decode_foreign(data: bytes) -> Image.Image:
    """The same for files that others made, which may be damaged or hostile: never more pixels than Pillow's limit.

    Raises:
        OSError: if they are no such image; one line without a path, whatever Pillow's readers raise.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return decode(data)
    except Exception as error:  # damaged files make Pillow's readers raise anything
        raise OSError(_why(error)) from None


def _why(error: Exception) -> str:
    """One line without the path of the file."""
    if isinstance(error, UnidentifiedImageError):
        return "it is in no format of images that is known here"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return str(error).split(", could be")[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greys of 16 or 32 bits as 8-bit ones: scaled, where Pillow would cut them off at 255.

    Integers count up to 65,535, floats up to 1 or 255; if a value lies beyond, from the smallest value to the largest.
    """
    import numpy as np

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    low, high = min(0.0, float(values.min())), float(values.max())
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    top = next((each for each in usual if low == 0 and high <= each), high)
    return Image.fromarray(np.rint((values - low) * (255 / ((top - low) or 1))).astype(np.uint8))


@dataclass(frozen=True)
class Place:
    """Where an image lies: a file of the run directory, and the bytes in it (`length` 0: the whole file)."""

    file: str
    offset: int = 0
    length: int = 0


class FileStore:
    """One file an image: images/PROBE/INDEX.SUFFIX."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, probe_id: str, index: int, suffix: str, data: bytes) -> Place:
        """Store one image."""
        file = f"images/{probe_id}/{index:06d}{suffix}"
        write_bytes(self._root / file, data)
        return Place(file)

    def sync(self) -> None:
        """Nothing is pending: every file is synced as it is written."""

    def close(self) -> None:
        """Nothing is open."""


class NoStore:
    """No images: they are labelled from memory and forgotten."""

    def put(self, probe_id: str, index: int, suffix: str, data: bytes) -> Place:
        """Store nothing; the place has no file."""
        return Place("")

    def sync(self) -> None:
        """Nothing is pending."""

    def close(self) -> None:
        """Nothing is open."""


class TarStore:
    """Tar archives, named after the first batch in each; an archive is never opened again by a later process."""

    def __init__(self, root: Path, batch: int) -> None:
        self._root = root
        self._file: io.BufferedWriter | None = None
        self._name = ""
        self.batch = batch

    def put(self, probe_id: str, index: int, suffix: str, data: bytes) -> Place:
        """Append one image; its bytes are `length` bytes from `offset`."""
        try:
            archive = self._archive()
            member = tarfile.TarInfo(f"{probe_id}/{index:06d}{suffix}")
            member.size = len(data)
            archive.write(member.tobuf(tarfile.PAX_FORMAT))
            offset = archive.tell()
            archive.write(data)
            archive.write(b"\0" * (-len(data) % tarfile.BLOCKSIZE))
        except OSError as error:
            raise cannot_write(self._root / self._name, error) from error
        return Place(self._name, offset, len(data))

    def sync(self) -> None:
        """Make everything appended so far durable, and end the archive with its two empty blocks.

        The next image overwrites these blocks.
        """
        if self._file is None:
            return
        try:
            end = self._file.tell()
            self._file.write(b"\0" * (2 * tarfile.BLOCKSIZE))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.seek(end)
        except OSError as error:
            raise cannot_write(self._root / self._name, error) from error

    def close(self) -> None:
        """End the archive."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None

    def _archive(self) -> io.BufferedWriter:
        if self._file is not None and self._file.tell() > TAR_BYTES:
            self.close()
        if self._file is None:
            self._name = f"images/{self.batch:07d}.tar"
            path = self._root / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        return self._file


def load(root: Path, place: Place) -> bytes:
    """The bytes of a stored image."""
    with (root / place.file).open("rb") as file:
        file.seek(place.offset)
        return file.read(place.length) if place.length else file.read()
