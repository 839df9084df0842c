"""EXIF: the few text fields that generators write, from a TIFF structure in memory."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator

from probes.importers.metadata.record import MetadataError

TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x9286: "UserComment",
    0x927C: "MakerNote",
    0x9C9C: "XPComment",
}
"""Tags that are read. The tags of artist and copyright are not among them."""
_BELOW = 0x8769
_SIZES = {1: 1, 2: 1, 7: 1}
"""Types that hold text (BYTE, ASCII, UNDEFINED) → bytes an item."""
_CODECS = {"<": "utf-16-le", ">": "utf-16-be"}
_LOOK = 4_000
"""Bytes of a text that are looked at to find its order."""
_LONGEST_NOTE = 64
"""Bytes of a maker note that may be text; cameras put thousands of bytes of their own there."""


def exif_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Name of the tag and its text, for every one of `TAGS` that is there and not blank.

    Raises:
        MetadataError: if the structure points out of itself, or a text is not in the encoding it says.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise MetadataError(f"the EXIF data has no TIFF header (got {data[:4]!r}).")
    (first,) = _unpack(order + "I", data, 4)
    seen: set[int] = set()
    places = [first]
    while places:
        place = places.pop()
        if place in seen:
            continue
        seen.add(place)
        (count,) = _unpack(order + "H", data, place)
        for entry in range(count):
            tag, kind, items = _unpack(order + "HHI", data, place + 2 + 12 * entry)
            if tag == _BELOW:
                places.append(_unpack(order + "I", data, place + 10 + 12 * entry)[0])
            elif tag in TAGS and kind in _SIZES:
                found = _text(tag, _value(order, data, place + 10 + 12 * entry, items, tag), order)
                if found.strip():
                    yield TAGS[tag], found


def _unpack(form: str, data: bytes, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, data, place)
    except struct.error:
        raise MetadataError(f"the EXIF data points to byte {place:,} of {len(data):,}: it is cut or damaged.") from None


def _value(order: str, data: bytes, place: int, length: int, tag: int) -> bytes:
    if length > 4:
        (place,) = _unpack(order + "I", data, place)
    if place + length > len(data):
        raise MetadataError(
            f"the EXIF field {TAGS[tag]} reaches to byte {place + length:,} of {len(data):,}: it is cut or damaged."
        )
    return data[place : place + length]


def _text(tag: int, raw: bytes, order: str) -> str:
    name = TAGS[tag]
    if name == "MakerNote" and len(raw) > _LONGEST_NOTE:
        return ""
    if name == "XPComment":
        return _utf16(b"\xff\xfe" + raw, "<", name).rstrip("\0")
    if name == "UserComment":
        code, rest = raw[:8], raw[8:]
        if code == b"UNICODE\0":
            return _utf16(rest, order, name).rstrip("\0")
        if code == b"JIS\0\0\0\0\0":
            return rest.decode("iso2022_jp", "replace").rstrip("\0")
        if code in {b"ASCII\0\0\0", bytes(8)}:
            raw = rest
    return plain(raw).rstrip("\0")


def _utf16(raw: bytes, order: str, name: str) -> str:
    """UTF-16 in the order that its mark or its letters show: many writers keep big-endian in little-endian files."""
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        order, raw = ("<" if raw[:1] == b"\xff" else ">"), raw[2:]
    else:
        order = _order(raw, order)
    try:
        return raw.decode(_CODECS[order])
    except UnicodeDecodeError as error:
        raise MetadataError(f"the EXIF field {name} is no valid UTF-16 (byte {error.start:,}).") from None


def _order(raw: bytes, order: str) -> str:
    """The order in which a text has most letters of Latin, or else fewest characters that nobody writes."""
    high, low = raw[0::2].count(0), raw[1::2].count(0)
    if max(high, low) * 5 >= len(raw) // 2 and max(high, low) > 2 * min(high, low):
        return ">" if high > low else "<"
    odd = {key: _odd(raw[:_LOOK].decode(codec, "replace")) for key, codec in _CODECS.items()}
    return order if odd["<"] == odd[">"] else min(odd, key=odd.__getitem__)


def _odd(value: str) -> int:
    """Characters that are not assigned, private, or no valid UTF-16."""
    return sum(letter == "\ufffd" or unicodedata.category(letter) in {"Cn", "Co", "Cs"} for letter in value)


def plain(raw: bytes) -> str:
    """UTF-8 where the bytes are valid UTF-8, otherwise Latin-1: writers put either where only one is allowed."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
