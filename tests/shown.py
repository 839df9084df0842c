"""The commands that the documents show, as a reader sees them, and as a test runs them: smaller, on stand-ins."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```", re.M | re.S)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n(?: {4}.*\n)*)")
_PROGRAMS = "rolecall|python3?|make|pip|apt-get|git|export|pytest|source"
_START = re.compile(rf"(?:\w+=\S+ )*(?:nice -n \d+ )?(?:\S*/bin/)?(?:{_PROGRAMS}) ")
PROMPT = re.compile(r"^\s*(?:- )?(?:run: )?(?:\$ )?(?:(?:\w+=\S+|nice -n \d+|\.venv/bin/python -m|\S*/bin/) ?)*")


class Block(NamedTuple):
    """A block of code in a document."""

    language: str
    text: str
    line: int


class Shown(NamedTuple):
    """One command in a block of a document."""

    path: Path
    line: int
    text: str

    @property
    def page(self) -> str:
        """The document, from the project's root."""
        return self.path.relative_to(ROOT).as_posix()


class Swap(NamedTuple):
    """What a test puts in the place of something shown."""

    shown: str
    """A regular expression."""
    run: str
    why: str
    page: str = ""
    """The only document where it is done, if not all."""


def blocks(text: str) -> Iterator[Block]:
    """All blocks of code: between fences, and those that are indented."""
    for found in FENCE.finditer(text):
        yield Block(found[2], re.sub(rf"^{found[1]}", "", found[3], flags=re.M), text[: found.start()].count("\n") + 2)
    rest = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    for found in _INDENTED.finditer(rest):
        yield Block("", re.sub(r"^ {4}", "", found[0], flags=re.M), rest[: found.start()].count("\n") + 1)


def prompts(text: str, *, programs: bool) -> Iterator[str]:
    """The commands of one line; of a line in other text only those that begin with a program that we know."""
    for part in re.split(r"\s(?:&&|\|\||[;|])\s", text):
        bare = re.sub(r"^\s*(?:- )?(?:run: )?(?:\$ )?", "", part)
        if _START.match(f"{bare.strip()} ") or not programs:
            yield PROMPT.sub("", part).strip()
        programs = True


def shown(path: Path) -> Iterator[Shown]:
    """The commands in blocks of consoles and shells, and in others the lines that begin with one of our programs."""
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language in ("python", "toml", "json", "csv", "html", "mermaid"):
            continue
        text = re.sub(r"\\\n", lambda _: "\0", block.text)
        line = block.line
        for whole in text.splitlines():
            each = whole.replace("\0", " ")
            shell = block.language in ("sh", "bash", "shell") and not each.lstrip().startswith("#")
            prompt = each.lstrip().startswith("$ ")
            if each.strip() and (prompt or block.language != "console"):
                yield from (Shown(path, line, text) for text in prompts(each, programs=not (prompt or shell)))
            line += 1 + whole.count("\0")


def words(text: str) -> list[str]:
    """The words of a command, without comments."""
    return shlex.split(text, comments=True)


def swapped(command: Shown, swaps: tuple[Swap, ...], used: set[Swap] | None = None) -> str:
    """The command with what stands for something else taken out; the swaps that were made are added to `used`."""
    text = command.text
    for swap in swaps:
        if swap.page in ("", command.page):
            text, times = re.subn(swap.shown, swap.run, text)
            if times and used is not None:
                used.add(swap)
    return text


def unrun(command: Shown, reasons: Mapping[str, str]) -> str | None:
    """The entry of `reasons` by which a command is not run: the whole command, or its beginning."""
    plain = " ".join(words(command.text))
    return next((entry for entry in reasons if plain == entry or plain.startswith(f"{entry} ")), None)
