"""A folder as one finds it: pictures of every kind, damaged ones, traps, and files that are no pictures."""

from __future__ import annotations

import io
import os
import socket
import struct
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from importers import metadata_files as made
from PIL import Image

SUBJECTS = ("nurse", "Software Developers", "chef")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


@dataclass
class Mixed:
    """What was put into the folder."""

    root: Path
    outside: Path
    """A folder that links lead to and that nobody may read."""
    good: set[str] = field(default_factory=set)
    """Pictures that can be read, by their shown path."""
    bad: dict[str, str] = field(default_factory=dict)
    """Pictures that cannot → pattern of the reason."""
    left_out: dict[str, str] = field(default_factory=dict)
    """What belongs to no probe → pattern of the reason."""
    others: Counter[str] = field(default_factory=Counter)


def pictures() -> dict[str, bytes]:
    """File ending with a mark before it → a picture that can be read."""
    rng = np.random.default_rng(3)
    plain = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    frames = [Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)) for _ in range(3)]
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(rng.integers(0, 65536, (12, 16), dtype=np.uint16))
    clear = plain.convert("P", palette=Image.Palette.ADAPTIVE)
    moving = {"save_all": True, "append_images": frames, "duration": 40}
    ways: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "plain.png": (plain, "PNG", {}),
        "plain.jpg": (plain, "JPEG", {}),
        "plain.webp": (plain, "WEBP", {}),
        "plain.bmp": (plain, "BMP", {}),
        "plain.tiff": (plain, "TIFF", {}),
        "deep.png": (deep, "PNG", {}),
        "cmyk.jpeg": (plain.convert("CMYK"), "JPEG", {}),
        "palette.png": (clear, "PNG", {"transparency": 0}),
        "grey.png": (plain.convert("LA"), "PNG", {}),
        "moving.gif": (plain, "GIF", moving),
        "moving.webp": (plain, "WEBP", moving),
        "moving.png": (plain, "PNG", moving),
        "turned.jpg": (plain, "JPEG", {"exif": turned}),
    }
    found = {name: _saved(image, kind, options) for name, (image, kind, options) in ways.items()}
    found["said.png"] = made.png_texts({"parameters": made.a1111("a photo of a plumber, 50 mm")})
    found["hurt.png"] = made.png_texts({"invokeai_metadata": '{"positive_prompt": "a plum'})
    return found


def _saved(image: Image.Image, kind: str, options: Mapping[str, object]) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def broken() -> dict[str, tuple[bytes, str]]:
    """The same for pictures that cannot be read, with the pattern of the reason."""
    whole = pictures()
    head = made.chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + head + made.chunk(b"IDAT", zlib.compress(bytes(99))) + made.chunk(b"IEND", b"")
    large = bomb.replace(head, made.chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 9_000, 8, 2, 0, 0, 0)))
    return {
        "cut.png": (whole["plain.png"][:200], "cannot be read"),
        "cut.jpg": (whole["plain.jpg"][:-200], "cannot be read"),
        "empty.png": (b"", "empty"),
        "hurt-text.png": (made.png(made.text_chunk("parameters", "a plumber", damaged=True)), "cannot be read"),
        "bomb.png": (bomb, r"3600000000 pixels"),
        "large.png": (large, r"108000000 pixels"),
        "phone.heic": (HEIC, "cannot be read"),
        "phone.avif": (HEIC.replace(b"heic", b"avif"), "cannot be read"),
        "words.jpg": (b"this is no picture at all", "cannot be read"),
    }


def mixed(root: Path, files: int) -> Mixed:
    """A folder of some `files` pictures, and one of each trap, names that are no UTF-8 among them."""
    found = Mixed(root / "images", root / "outside")
    sources = root / "sources"
    for path in (sources, found.outside, *(found.root / name for name in SUBJECTS)):
        path.mkdir(parents=True)
    good, bad = pictures(), broken()
    for name, data in [*good.items(), *((name, data) for name, (data, _) in bad.items())]:
        (sources / name).write_bytes(data)
    for number, name in enumerate(islice(cycle([*good, *bad]), files)):
        stem, _, ending = name.rpartition(".")
        relative = f"{SUBJECTS[number % 3]}/{stem}_{number:05d}.{ending}"
        os.link(sources / name, found.root / relative)
        if name in good:
            found.good.add(relative)
        else:
            found.bad[relative] = bad[name][1]
    _names(found, good["plain.png"])
    _links(found, good["plain.png"])
    _archives(found, good["plain.png"])
    _others(found)
    return found


def _names(found: Mixed, data: bytes) -> None:
    """Names that break lists, pages and tables; pictures without a subject."""
    for name, shown in (
        ("nurse/two\nlines.png", "nurse/two\\nlines.png"),
        ("nurse/<img src=x onerror=alert(1)>.png", ""),
        ("nurse/👩‍⚕️ 护士 'quoted\" =1+1.png", ""),
        ("nurse/tab\t\x1b[31m.png", "nurse/tab\\t\\x1b[31m.png"),
        ("nurse/caf\udce9.png", "nurse/caf\\xe9.png"),
        ("\udcff\udcfe/a_baker-17.png", "\\xff\\xfe/a_baker-17.png"),
        ("plumber-3.png", ""),
        ("0001_portrait of a CEO.webp", ""),
    ):
        path = found.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        found.good.add(shown or name)
    (found.root / "IMG_0001.png").write_bytes(data)
    found.left_out["IMG_0001.png"] = "neither .* name a subject"
    (found.root / "a nurse and a baker.png").write_bytes(data)
    found.left_out["a nurse and a baker.png"] = "the file's name names 2 subjects"
    (found.root / "nurse" / "wolves.png").write_bytes(made.png_texts({"parameters": made.a1111("two wolves")}))
    found.left_out["nurse/wolves.png"] = "the prompt names no subject"


def _links(found: Mixed, data: bytes) -> None:
    root = found.root
    (found.outside / "secret.png").write_bytes(data)
    (found.outside / "nurses").mkdir()
    (found.outside / "nurses" / "secret.png").write_bytes(data)
    (root / "nurse" / "out.png").symlink_to(found.outside / "secret.png")
    (root / "nurse" / "up").symlink_to("../../outside/nurses")
    (root / "nurse" / "loop").symlink_to("..")
    (root / "nurse" / "gone.png").symlink_to("nowhere.png")
    (root / "nurse" / "circle.png").symlink_to("circle.png")
    (root / "nurse" / "again.png").symlink_to("../plumber-3.png")
    found.good.add("nurse/again.png")
    found.bad |= {"nurse/gone.png": "leads to no file", "nurse/circle.png": "leads in a circle"}
    found.left_out |= {
        "nurse/out.png": "leads out of the folder",
        "nurse/up": "leads out of the folder",
        "nurse/loop": "link to a folder",
    }
    os.mkfifo(root / "nurse" / "pipe.png")
    os.mkfifo(root / "nurse" / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    try:
        os.chdir(root / "nurse")  # the path of a socket may have 107 bytes
        listening.bind("socket.jpg")
    finally:
        os.chdir(here)
        listening.close()
    found.left_out |= dict.fromkeys(("nurse/pipe.png", "nurse/pipe", "nurse/socket.jpg"), "pipe, a socket or a device")


def _archives(found: Mixed, data: bytes) -> None:
    with tarfile.open(found.root / "nurse" / "more.tar", "w") as archive:
        for member in _members(data):
            archive.addfile(member, io.BytesIO(data[: member.size]))
    place = "nurse/more.tar"
    found.good |= {f"{place}/a/1.png", f"{place}/{'long ' * 40}.png", f"{place}/two\\nlines.png"}
    found.bad[f"{place}/empty.png"] = "empty"
    found.left_out |= {
        f"{place}/../../outside/climbed.png": "leads out of the archive",
        f"{place}/a/../../climbed.png": "leads out of the archive",
        f"{place}//etc/absolute.png": "leads out of the archive",
        f"{place}/C:\\absolute.png": "leads out of the archive",
        f"{place}/link.png": "a link",
        f"{place}/hard.png": "a link",
        f"{place}/device.png": "a device",
        f"{place}/a/1.png": "the same name",
    }
    found.others[".txt"] += 1
    (found.root / "nurse" / "packed.tar").write_bytes(b"\x1f\x8b" + bytes(700))
    (found.root / "nurse" / "cut.tar").write_bytes((found.root / place).read_bytes()[:700])
    (found.root / "nurse" / "nonsense.tar").write_bytes(b"nonsense" * 200)
    (found.root / "nurse" / "old.zip").write_bytes(b"PK\x03\x04")
    found.left_out |= {
        "nurse/packed.tar": "compressed .gzip",
        "nurse/cut.tar/a/1.png": "it is cut",
        "nurse/nonsense.tar": "damaged or no tar",
        "nurse/old.zip": "packed archive",
    }


def _members(data: bytes) -> Iterator[tarfile.TarInfo]:
    def member(name: str, size: int = len(data), kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = size, kind, link
        return info

    yield member("a/1.png")
    yield member("a", 0, tarfile.DIRTYPE)
    for name in ("../../outside/climbed.png", "a/../../climbed.png", "/etc/absolute.png", "C:\\absolute.png"):
        yield member(name)
    yield member("link.png", 0, tarfile.SYMTYPE, "/etc/passwd")
    yield member("hard.png", 0, tarfile.LNKTYPE, "../../outside/secret.png")
    yield member("device.png", 0, tarfile.CHRTYPE)
    yield member("a/1.png")
    yield member("empty.png", 0)
    yield member("notes.txt", 9)
    yield member(f"{'long ' * 40}.png")
    yield member("./two\nlines.png")


def _others(found: Mixed) -> None:
    for name, kind in (
        ("notes.txt", ".txt"),
        ("nurse/info.json", ".json"),
        ("nurse/README", "other endings"),
        (".DS_Store", "hidden"),
        ("nurse/._plain.png", "hidden"),
        ("nurse/log.csv", ".csv"),
    ):
        (found.root / name).write_text("a\n")
        found.others[kind] += 1
