"""What the documents promise: links lead somewhere, commands exist with their options, modules can be run.

Links out of the project are not followed, since tests have no internet: only their form is checked. That the commands
in blocks do what is said is tested in test_shown_commands.py; here those within sentences are parsed too.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml
from shown import DOCUMENTS, FENCE, PROMPT, ROOT, blocks

from audit.cells import read_cells
from audit.cli import cli
from audit.config import Config
from audit.policy import Policy

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CODE = [path for folder in ("audit", "probes", "reports", "benchmarks", "tests") for path in (ROOT / folder).rglob("*")]
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_MENTION = re.compile(r"\b((?:docs|notebooks)/[\w./-]*\.(?:md|png|ipynb))(?:#([\w-]+))?")
_ADDRESS = re.compile(r"https?:[^\s`\"'<>|]*")
_NAMES = ("http://localhost", "http://127.0.0.1", "http://cv.iptc.org/newscodes/")
"""Beginnings of addresses that are the reader's own, or names in a standard."""


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+?)\s*#*$", FENCE.sub("", text), re.M)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower()).replace(" ", "-")
        for head in heads
    }


def commands(text: str, program: str) -> Iterator[str]:
    """The command lines of a program in code blocks, and in code within sentences."""
    lines = [line for block in blocks(text) for line in block.text.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))
    for line in [*lines, *spans]:
        for part in re.split(r"&&|\|\||[;|](?!\S*\])", line):
            command = PROMPT.sub("", part).strip()
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


def prose(path: Path) -> str:
    """A document, or the Markdown cells of a notebook, without blocks of code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    return FENCE.sub("", text)


def check_anchor(where: str, file: Path, anchor: str) -> None:
    if anchor and file.suffix == ".md":
        assert anchor in anchors(file.read_text(encoding="utf-8")), f"{where} links to {file.name}#{anchor}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = prose(path)
    targets = _LINK.findall(text)
    without_spans = re.sub(r"`[^`\n]*`", "", text)
    assert without_spans.count("](") == len(_LINK.findall(without_spans)), f"{path.name} has a link that does not close"
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name} links to {target}"
        assert file.is_relative_to(ROOT), f"{path.name} links out of the project: {target}"
        check_anchor(path.name, file, anchor)


@pytest.mark.parametrize("path", [*DOCUMENTS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_addresses_have_the_form_of_addresses(path: Path) -> None:
    for address in addresses(prose(path)):
        assert well_formed(address), f"{path.name}: {address}"


def addresses(text: str) -> list[str]:
    """The addresses in a text, without the bracket of a link or the full stop of a sentence behind them."""
    found = [address.rstrip(".,;:*…") for address in _ADDRESS.findall(text)]
    return [address[:-1] if address.count(")") > address.count("(") else address for address in found]


def well_formed(address: str) -> bool:
    """True if it is https to a named host without stray brackets, or an address that is not meant to be opened."""
    if address.startswith(_NAMES):
        return True
    parts = urlsplit(address)
    host = re.fullmatch(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", parts.netloc) is not None
    return parts.scheme == "https" and host and address.count("(") == address.count(")") and "]" not in address


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("see https://doi.org/10.1000/182.", True),
        ("[x](https://example.org/a_(b)) and", True),
        ("(http://localhost:8000/v1)", True),
        ("http://example.org", False),
        ("https://example", False),
        ("[x](https://example.org/](y)", False),
        ("https:/example.org", False),
    ],
)
def test_an_odd_address_would_be_found(text: str, fine: bool) -> None:
    (address,) = addresses(text)
    assert well_formed(address) is fine


def test_documents_that_code_and_templates_mention_exist() -> None:
    suffixes = {".py", ".j2", ".yaml", ".yml", ".toml", ".md", ".ipynb", ".cff", ""}
    files = [path for path in [*CODE, *ROOT.glob("*"), *NOTEBOOKS] if path.is_file() and path.suffix in suffixes]
    mentioned = 0
    for path in files:
        for name, anchor in _MENTION.findall(path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)} mentions {name}"
            check_anchor(path.name, ROOT / name, anchor)
            mentioned += 1
    assert mentioned > 50


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_configurations_that_are_shown_are_valid(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        given = yaml.safe_load(block.text) if block.language == "yaml" else None
        if not isinstance(given, dict):
            continue
        if "grid" in given:
            assert len(read_cells(given, {}).cells) > 1
        elif "lines" in given:
            assert Policy.model_validate(given).lines
        elif "model" in given:
            assert Config.model_validate(given).model == given["model"]


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
