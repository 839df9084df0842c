"""The files in a tar archive, found by its headers alone and read where they lie; nothing is ever unpacked to disk.

The headers are read here rather than by `tarfile`, which keeps them all and believes the lengths they state.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from probes.importers.filenames import shown
from probes.importers.tables import FolderError

LARGEST = 256 * 2**20
"""Bytes of the largest file that is read as an image."""
_LONGEST_HEADER = 2**20
"""Bytes of a header with a long name; file systems allow 4,096."""
_BLOCK = tarfile.BLOCKSIZE
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}
_RECORD = re.compile(rb"(\d{1,7}) ([^=]+)=")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    name: str
    """Relative path with slashes, as it can be shown; of a refused one as it stands in the archive."""
    offset: int
    """Of its first byte in the archive."""
    size: int
    """Bytes."""
    reason: str = ""
    """Why it may not be read; empty if it may."""


def members(path: Path) -> Iterator[Member]:
    """The files in an uncompressed tar, in their order, with those that may not be read; folders are passed over.

    Headers only are read, one at a time. An archive that is damaged behind its first file ends with one `Member` that
    says so.

    Raises:
        FolderError: if the file is no tar, is compressed, or is damaged before its first file.
    """
    read = 0
    try:
        if not S_ISREG(path.stat().st_mode):
            raise FolderError(f"{shown(path.name)} is no regular file. Give a tar archive.")
        with path.open("rb") as file:
            _check(file, shown(path.name))
            end = os.fstat(file.fileno()).st_size
            for member in _members(file, end):
                read += 1
                yield member
    except (tarfile.HeaderError, OSError) as error:
        said = "damaged or no tar" if isinstance(error, tarfile.HeaderError) else "it cannot be read"
        reason = f"{said} ({' '.join(str(error).split())})"
        if not read:
            raise FolderError(f"{shown(path.name)}: {reason}. Make the archive again, uncompressed.") from None
        yield Member("", 0, 0, f"the archive is {reason}; what follows is not read")


def read_member(path: Path, member: Member) -> bytes:
    """The content of a file in an archive.

    Raises:
        OSError: if it may not be read, or the archive has changed.
    """
    if member.reason:
        raise OSError(member.reason)
    return read_part(path, member.offset, member.size) if member.size else b""


def read_part(path: Path, offset: int = 0, length: int = 0) -> bytes:
    """`length` bytes of a regular file from `offset`; with 0 the whole file.

    Raises:
        OSError: if it is no regular file (a pipe would never end), too large, or ends before.
    """
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise OSError("it is no regular file")
    if (length or status.st_size) > LARGEST:
        raise OSError(f"it holds {length or status.st_size:,} bytes; at most {LARGEST:,} are read")
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(length) if length else file.read()
    if len(data) < length:
        raise OSError(f"the archive ends after {len(data):,} of {length:,} bytes")
    return data


def _check(file: BinaryIO, name: str) -> None:
    head = file.read(6)
    file.seek(0)
    packing = next((packing for mark, packing in _PACKED.items() if head.startswith(mark)), "")
    if packing:
        raise FolderError(f"{name} is compressed ({packing}). Unpack it, or make it an uncompressed tar.")
    if not head:
        raise FolderError(f"{name} is empty. Give a tar archive.")


def _members(file: BinaryIO, end: int) -> Iterator[Member]:
    named: dict[str, str] = {}
    while block := file.read(_BLOCK):
        if not block.strip(b"\0"):
            return
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        place = file.tell()
        if header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, *_PAX):
            named |= _further(header, _long(file, header.size))
            file.seek(place + _padded(header.size))
            continue
        size = _size(named.get("size"), header.size)
        name = named.get("path", header.name)
        sparse = any(key.startswith("GNU.sparse") for key in named) or header.type == tarfile.GNUTYPE_SPARSE
        named = {}
        held = header.type not in (*_LINKS, *_DEVICES, tarfile.DIRTYPE)
        if header.type != tarfile.DIRTYPE and not name.endswith("/"):
            yield _member(name, place, size, _reason(header.type, name, size, end - place, sparse))
        if held and place + size > end:
            return
        file.seek(place + (_padded(size) if held else 0))


_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)


def _member(name: str, place: int, size: int, reason: str) -> Member:
    plain = name if reason else "/".join(part for part in name.split("/") if part not in {"", "."})
    return Member(shown(plain), place, size, reason)


def _reason(kind: bytes, name: str, size: int, left: int, sparse: bool) -> str:
    """Why a file may not be read, or nothing."""
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or re.fullmatch(r"[A-Za-z]:", parts[0]):
        return "its name leads out of the archive"
    if kind in _LINKS:
        return "it is a link, which is not followed"
    if kind in _DEVICES:
        return "it is a device or a pipe"
    if sparse:
        return "it is stored with holes, which is not read"
    if kind not in tarfile.REGULAR_TYPES:
        return f"it is of an unknown kind ({kind!r})"
    if size > left:
        return "the archive ends within it: it is cut"
    return f"it holds {size:,} bytes; at most {LARGEST:,} are read" if size > LARGEST else ""


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _size(given: str | None, usual: int) -> int:
    size = int(given) if given is not None and given.isascii() and given.isdigit() else usual
    if size < 0:
        raise tarfile.HeaderError("negative size")
    return size


def _long(file: BinaryIO, size: int) -> bytes:
    if not 0 <= size <= _LONGEST_HEADER:
        raise tarfile.HeaderError(f"a header of {size:,} bytes")
    data = file.read(size)
    if len(data) < size:
        raise tarfile.HeaderError("a header is cut")
    return data


def _further(header: tarfile.TarInfo, data: bytes) -> dict[str, str]:
    """What a header says of the file behind it: its long name, or the records of pax."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    if header.type in (tarfile.GNUTYPE_LONGLINK, tarfile.XGLTYPE):
        return {}
    found, place = {}, 0
    while match := _RECORD.match(data, place):
        stop = place + int(match[1])
        if stop <= match.end():
            raise tarfile.HeaderError("a record of pax is damaged")
        key = match[2].decode("utf-8", "surrogateescape")
        found[key] = data[match.end() : stop - 1].decode("utf-8", "surrogateescape")
        place = stop
    return found
