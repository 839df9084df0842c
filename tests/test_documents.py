"""What the documents promise: links lead somewhere, commands exist with their options, modules can be run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from audit.cli import cli

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_PROMPT = re.compile(r"^\s*(?:\$ )?(?:(?:\w+=\S+|nice -n \d+|\.venv/bin/python -m|\S*/bin/) ?)*")


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+?)\s*#*$", _FENCE.sub("", text), re.M)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower()).replace(" ", "-")
        for head in heads
    }


def commands(text: str, program: str) -> Iterator[str]:
    """The command lines of a program in code blocks, and in code within sentences."""
    blocks = [block.group(0) for block in _FENCE.finditer(text)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _FENCE.sub("", text))
    for line in [*lines, *spans]:
        for part in re.split(r"&&|\|\||[;|](?!\S*\])", line):
            command = _PROMPT.sub("", part).strip()
            if command == program or command.startswith(f"{program} "):
                yield command


def words(command: str) -> list[str]:
    """Its arguments, without comments and what stands for more of the same."""
    return [
        word for word in shlex.split(command, comments=True)[1:] if word not in ("...", "…") and word[0] not in "<>"
    ]


def parse(arguments: list[str]) -> None:
    """Let the command parse its arguments, and nothing more.

    Raises:
        click.ClickException: if a command, option or choice is unknown, or one is missing.
    """
    asks = {"--help", "-h", "--version"} & set(arguments)
    if not arguments or arguments[0] in asks:
        return
    with click.Context(cli, info_name="rolecall") as context:
        name, command, rest = cli.resolve_command(context, arguments)
        assert command is not None
        rest = [word for word in rest if word not in asks]
        command.make_context(name, rest, parent=context, resilient_parsing=not rest)  # alone it is only mentioned


def every(program: str) -> list[object]:
    found = [(path, command) for path in DOCUMENTS for command in commands(path.read_text(encoding="utf-8"), program)]
    return [pytest.param(command, id=f"{path.name}: {command}") for path, command in dict.fromkeys(found)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} links to {target}"
        assert file.is_relative_to(ROOT), f"{path.name} links out of the project: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{path.name} links to {target}"


@pytest.mark.parametrize("command", every("rolecall"))
def test_commands_parse(command: str) -> None:
    parse(words(command))


def test_targets_of_make_and_modules_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for command in commands(text, "make"):
            assert {word for word in words(command) if "=" not in word} <= targets, f"{path.name}: {command}"
        for module in re.findall(r"python3? -m ((?:audit|probes|reports|benchmarks)[\w.]*)", text):
            assert importlib.util.find_spec(module) is not None, f"{path.name}: {module}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\n$ rolecall rnu\n```", "No such command"),
        ("`rolecall run --imges 3`", "No such option"),
        ("```\nrolecall run --images 3 \\\n  --lang de\n```", "No such option"),
        ("```\nmake audit && .venv/bin/rolecall report\n```", ""),
        ("```\nrolecall report x --lang fr  # French\n```", "is not one of"),
    ],
)
def test_a_wrong_command_would_be_found(text: str, message: str) -> None:
    (command,) = commands(text, "rolecall")
    if message:
        with pytest.raises(click.ClickException, match=message):
            parse(words(command))
