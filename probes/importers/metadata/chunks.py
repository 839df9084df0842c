"""The texts in image files: PNG text chunks, EXIF and XMP in PNG, JPEG and WebP. No pixel is decoded.

Only headers are read and the rest is sought over, so that a file costs the same however large its picture is. What a
file can make a reader do is bounded: bytes a text, bytes unpacked, texts and chunks a file.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from probes.importers.metadata.exif import exif_texts, plain
from probes.importers.metadata.record import MetadataError

LONGEST_TEXT = 16 * 2**20
"""Bytes of a text, as stored and as unpacked; a graph with an embedded picture is well below."""
MOST_BYTES = 32 * 2**20
"""Bytes of all texts of a file, unpacked."""
MOST_TEXTS = 1_000
"""Texts that are read of a file."""
MOST_CHUNKS = 200_000
"""Chunks that are passed over in a file; pictures of a gigabyte have fewer."""
_PNG = b"\x89PNG\r\n\x1a\n"
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


class Texts:
    """The texts of one file and what was wrong with those that could not be read."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        """As in `record.Fields`; of two texts with one key the later counts."""
        self.problems: list[str] = []
        """One sentence a text that could not be read."""
        self._left = MOST_BYTES
        self._count = 0

    def put(self, key: str, value: str) -> None:
        """Keep a text."""
        self.fields[key] = value

    def room(self, what: str, length: int) -> bool:
        """Whether a further text of `length` bytes may be read; says so if not."""
        self._count += 1
        if length > LONGEST_TEXT:
            self.problems.append(f"{what} holds {length:,} bytes; at most {LONGEST_TEXT:,} are read.")
        elif self._count > MOST_TEXTS:
            if self._count == MOST_TEXTS + 1:
                self.problems.append(f"the file holds more than {MOST_TEXTS:,} texts; the others are not read.")
        elif length > self._left:
            self.problems.append(f"the texts of the file hold more than {MOST_BYTES:,} bytes; {what} is not read.")
        else:
            self._left -= length
            return True
        return False

    def unpacked(self, data: bytes) -> bytes:
        """What zlib data holds, up to what may still be read.

        Raises:
            MetadataError: if it is damaged or cut, or holds more.
        """
        worker, most = zlib.decompressobj(), min(LONGEST_TEXT, self._left)
        try:
            found = worker.decompress(data, most + 1)
        except zlib.error as error:
            raise MetadataError(f"cannot be unpacked: {error}") from None
        self._left = max(self._left - len(found), 0)
        if len(found) > most:
            raise MetadataError(f"unpacks from {len(data):,} to more than {most:,} bytes and is refused")
        if not worker.eof:
            raise MetadataError("cannot be unpacked: the packed data is cut")
        return found

    def exif(self, data: bytes) -> None:
        """Keep the texts of an EXIF block."""
        try:
            for name, value in exif_texts(data.removeprefix(b"Exif\0\0")):
                self.put(f"exif:{name}", value)
        except MetadataError as error:
            self.problems.append(str(error))


def read_texts(source: Path | bytes) -> Texts:
    """The texts of a file or of its content; none for a file that is neither PNG, JPEG nor WebP.

    Raises:
        MetadataError: if the file cannot be opened, or is no regular file.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), len(source))
    try:
        status = source.stat()
        if not S_ISREG(status.st_mode):
            raise MetadataError("is no regular file.")
        with source.open("rb") as file:
            return _read(file, status.st_size)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MetadataError(f"the file cannot be read: {reason}.") from None


def _read(file: BinaryIO, length: int) -> Texts:
    texts = Texts()
    head = file.read(12)
    if head.startswith(_PNG):
        file.seek(8)
        _png(file, length, texts)
    elif head.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        _jpeg(file, length, texts)
    elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
        _webp(file, length, texts)
    return texts


def _png(file: BinaryIO, end: int, texts: Texts) -> None:
    place = 8
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            texts.problems.append(f"the PNG file ends at byte {end:,}, before its end chunk: it is cut.")
            return
        length, kind = struct.unpack(">I4s", head)
        place += 12 + length
        if kind == b"IEND":
            return
        if place > end:
            texts.problems.append(f"the PNG chunk {plain(kind)!r} reaches to byte {place:,} of {end:,}: it is cut.")
            return
        if kind in _PNG_READERS and texts.room(f"the PNG chunk {plain(kind)}", length):
            _png_text(kind, file.read(length), file.read(4), texts)
        else:
            file.seek(place)
    texts.problems.append(f"the PNG file has more than {MOST_CHUNKS:,} chunks; the others are not read.")


def _png_text(kind: bytes, data: bytes, check: bytes, texts: Texts) -> None:
    name = plain(kind)
    if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(check, "big"):
        texts.problems.append(f"the checksum of the PNG chunk {name} is wrong: it is damaged.")
        return
    if kind == b"eXIf":
        texts.exif(data)
        return
    key, mark, rest = data.partition(b"\0")
    try:
        if not mark:
            raise MetadataError("has no key")
        value = _PNG_READERS[kind](rest, texts)
    except MetadataError as error:
        texts.problems.append(f"the PNG chunk {name} {plain(key[:79])!r} {error}.")
        return
    label = plain(key)
    texts.put("xmp" if label == _XMP_KEY else label, value)


def _text(rest: bytes, _: Texts) -> str:
    return plain(rest)


def _packed(rest: bytes, texts: Texts) -> str:
    if rest[:1] != b"\0":
        raise MetadataError(f"is packed in an unknown way (method {rest[:1].hex() or 'missing'})")
    return plain(texts.unpacked(rest[1:]))


def _international(rest: bytes, texts: Texts) -> str:
    flags, parts = rest[:2], rest[2:].split(b"\0", 2)
    if len(flags) < 2 or len(parts) < 3:
        raise MetadataError("ends before its text")
    if flags[:1] == b"\1" and flags[1:] != b"\0":
        raise MetadataError(f"is packed in an unknown way (method {flags[1:].hex()})")
    data = texts.unpacked(parts[2]) if flags[:1] == b"\1" else parts[2]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MetadataError(f"is no valid UTF-8 (byte {error.start:,})") from None


_PNG_READERS = {b"tEXt": _text, b"zTXt": _packed, b"iTXt": _international, b"eXIf": _text}


def _jpeg(file: BinaryIO, end: int, texts: Texts) -> None:
    for _ in range(MOST_CHUNKS):
        mark = file.read(2)
        while mark == b"\xff\xff":
            mark = b"\xff" + file.read(1)
        if len(mark) < 2:
            texts.problems.append(f"the JPEG file ends at byte {end:,}, before its picture: it is cut.")
            return
        if mark[0] != 0xFF:
            texts.problems.append(f"the JPEG file has {mark.hex()} where a marker should stand: it is damaged.")
            return
        if mark[1] in {0xD9, 0xDA}:
            return
        if mark[1] == 0x01 or 0xD0 <= mark[1] <= 0xD8:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        place = file.tell() + length
        if length < 0 or place > end:
            texts.problems.append(f"a JPEG segment ({mark.hex()}) reaches to byte {place:,} of {end:,}: it is cut.")
            return
        if mark[1] == 0xE1 and texts.room("a JPEG segment", length):
            _application(file.read(length), texts)
        file.seek(place)


def _application(data: bytes, texts: Texts) -> None:
    if data.startswith(b"Exif\0\0"):
        texts.exif(data)
    elif data.startswith(_XMP_HEAD):
        texts.put("xmp", plain(data.removeprefix(_XMP_HEAD)))


def _webp(file: BinaryIO, end: int, texts: Texts) -> None:
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            if head.strip(b"\0"):
                texts.problems.append(f"the WebP file ends at byte {end:,}, within the head of a chunk: it is cut.")
            return
        kind, length = struct.unpack("<4sI", head)
        place = file.tell() + length
        if place > end:
            texts.problems.append(f"the WebP chunk {plain(kind)!r} reaches to byte {place:,} of {end:,}: it is cut.")
            return
        if kind in {b"EXIF", b"XMP "} and texts.room(f"the WebP chunk {plain(kind).strip()}", length):
            data = file.read(length)
            if kind == b"EXIF":
                texts.exif(data)
            else:
                texts.put("xmp", plain(data))
        file.seek(place + length % 2)
