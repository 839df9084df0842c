"""Every command that a document shows in a block is run, on small stand-ins, or named here with the reason why not.

Each document has a folder of its own, in which its commands run in order. What they read and no earlier one has made
comes from `shown_stock`.
"""

from __future__ import annotations

import importlib
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from commands import call
from images_server import KEY, ImagesServer
from shown import DOCUMENTS, ROOT, Block, Shown, Swap, blocks, shown, swapped, unrun, words
from shown_stock import Stock, labels

import audit
from audit.config import Config, read_mapping, resolve, slug

NOT_RUN = {
    "make audit": "it is `rolecall run` in a new environment, which is run here",
    "make test": "these are the tests",
    "pytest": "these are the tests",
    "python3 -m venv": "an environment is there",
    "pip install": "it loads packages",
    "python -m probes.phantom.train": "hours; tests/phantom tests its parts",
    "python -m probes.phantom.evaluate": "minutes; tests/phantom/test_weights.py does the same with fewer images",
    "rolecall run --model greys": "tests/test_extending.py installs the package of that page, and gives this command",
}
"""Beginnings of commands that are not run here, and why."""
SWAPS = (
    Swap(r"\bRUN\b", "runs/v2", "stands for a run of the reader's"),
    Swap(r"--(imagefolder|fiftyone) DIR\b", r"--\1 \1", "stands for a new folder each"),
    Swap(r"\bnurse\.en\.portrait/3", "nurse.en.portrait/1", "there are two images of each probe"),
    Swap(r"\bSAMPLE\.\.\.", "nurse.en.portrait/0 nurse.en.portrait/1", "stands for any samples"),
    Swap(r"FOLDER (?=--folders .*language)", "by-language ", "the same, of that layout", "docs/importing.md"),
    Swap(r"FOLDER (?=--folders .*file)", "by-file ", "the same", "docs/importing.md"),
    Swap(r"\bFOLDER\b", "images", "stands for the reader's images", "docs/importing.md"),
    Swap(r"\bFOLDER\b", "images", "stands for the reader's images", "docs/provenance.md"),
    Swap(r"\bRECIPE\b", "skewed", "stands for one of the recipes"),
    Swap(r"(?<==)…", KEY, "a key is never shown"),
    Swap(r"--classifier brightness", "", "tests/test_extending.py installs it", "docs/extending.md"),
    Swap(r"\bruns/new\b", "runs/v2", "the run that is made further up", "docs/gate.md"),
    Swap(r"--table prompts\.csv", "--table listed.csv", "not the suite of that name further up", "README.md"),
    Swap(r"--table prompts\.csv", "--table datei.csv", "a table with German columns", "docs/importing.md"),
)
SMALLER = {
    "run": "--images 2 --draws 200 --threads 1 --attributes gender",
    "import": "--draws 200 --threads 1 --attributes gender",
    "training": "--draws 200 --threads 1 --attributes gender",
}
"""What is added to the commands that take long, so that they take seconds."""
MODULES = {"probes.phantom.finetune": "--steps 1 --drawings 24 --batch 4 --threads 1"}
"""The same for modules."""
SUBJECTS = {
    "occupations": "nurse,ceo", "phantom": "nurse,builder", "neutral": "person", "attributes": "calm,brave",
}  # fmt: skip
"""The probes that are left of a suite."""
CLASSIFIER = "--classifier local-dir:small-clip --wordings one-person.yaml"
"""The weights of the default instrument are not here."""
FILES = {
    "docs/extending.md": {"stripes.py": "def paint"},
    "docs/human-labels.md": {"codes.yaml": "several_people: {both"},
    "docs/mitigations.md": {"grid.yaml": "guidance-3:"},
    "docs/guides/ci.md": {"audit.yaml": "out: runs/v1", "gate.yaml": "version: 1"},
    "docs/guides/researcher.md": {"audit.yaml": "out: runs/v1"},
}
"""Files whose content a page shows, and words by which the block is found; written where the block stands."""
PYTHON = ("README.md", "docs/comparing.md", "docs/metadata.md", "docs/training-data.md")
"""Pages whose Python is run among the commands; tests/test_guides.py and tests/test_extending.py run that of others."""
CODES = {"gate": (0, 3, 4)}
"""Exit codes of commands that may leave with others than 0."""

SHOWN = {path.relative_to(ROOT).as_posix(): tuple(shown(path)) for path in DOCUMENTS}
PAGES = [
    page for page, commands in SHOWN.items() if page in PYTHON or any(unrun(each, NOT_RUN) is None for each in commands)
]


class Written(NamedTuple):
    """A file that a page shows."""

    name: str
    text: str
    line: int


@pytest.fixture(scope="module")
def stock(
    tmp_path_factory: pytest.TempPathFactory, sd15: Path, single: tuple[Path, Path], lora: Path, small_clip: Path
) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"), sd15, single, lora, small_clip)


@pytest.fixture
def desk(stock: Stock, tmp_path: Path, offline: None, server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands of one page run: no internet, a cache of the hub, an images API."""
    stock.hub(tmp_path / "cache")
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "step-summary.md"))
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(
    page: str, desk: Path, stock: Stock, server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"__name__": "page", "audit": audit}
    for step in steps(page):
        if isinstance(step, Shown):
            follow(step, desk, stock, server, monkeypatch)
        elif isinstance(step, Block):
            stock.supply(desk, step.text)
            exec(compile(step.text, f"{page}, line {step.line}", "exec"), names)
        else:
            (desk / step.name).write_text(step.text, encoding="utf-8")


def steps(page: str) -> list[Shown | Block | Written]:
    """What happens on a page, from top to bottom."""
    found: list[Shown | Block | Written] = [each for each in SHOWN[page] if unrun(each, NOT_RUN) is None]
    names = {marker: name for name, marker in FILES.get(page, {}).items()}
    for each in blocks((ROOT / page).read_text(encoding="utf-8")):
        marker = next((marker for marker in names if marker in each.text), None)
        if marker is not None:
            found.append(Written(names.pop(marker), each.text, each.line))
        elif each.language == "python" and page in PYTHON:
            found.append(each)
    assert not names, f"{page} shows no block with {', '.join(map(repr, names))} any more: take it out of FILES"
    return sorted(found, key=lambda step: step.line)


def follow(command: Shown, desk: Path, stock: Stock, server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command as a reader does."""
    program, *arguments = words(os.path.expandvars(swapped(command, SWAPS)))
    if program == "export":
        for part in arguments:
            monkeypatch.setenv(*part.split("=", 1))
    elif program == "python":
        module(arguments)
    else:
        where = f"{command.page}:{command.line}"
        assert program == "rolecall", f"{where} shows {command.text!r}: run it, or say why not in NOT_RUN"
        prepare(arguments, desk, stock)
        added = smaller(arguments, server)
        stock.supply(desk, " ".join(added))
        answer = call(*arguments, *added)
        said = f"{where}: rolecall {' '.join([*arguments, *added])}\n{answer.out}\n{answer.err}"
        assert answer.code in CODES.get(arguments[0], (0,)), said


def prepare(arguments: list[str], desk: Path, stock: Stock) -> None:
    """What the command reads is there, and where it writes there is nothing of another command."""
    written = {"--out", "--imagefolder", "--fiftyone", "--junit", "--comment"}
    written |= {"--baseline"} if arguments[0] == "export" else set()
    read = [word for before, word in zip(["", *arguments], arguments, strict=False) if before not in written]
    stock.supply(desk, " ".join(read))
    if "--read" in arguments:
        for name in arguments[arguments.index("--read") + 1 :]:
            labels(desk / arguments[1], desk / name)
    if arguments[0] in ("run", "import", "training") and "--out" not in arguments:
        shutil.rmtree(default_out(arguments), ignore_errors=True)


def asked(arguments: list[str]) -> dict[str, Any]:
    """The configuration that a `rolecall run` asks for."""
    files = [word for word in arguments[1:2] if word.endswith(".yaml")]
    given = read_mapping(Path(files[0])) if files else {}
    for before, word in pairwise(arguments):
        if before.startswith("--"):
            given[before[2:].replace("-", "_")] = word
    return given


def default_out(arguments: list[str]) -> Path:
    """Where a command writes that is not told where."""
    if arguments[0] != "run":
        return (
            Path("runs") / f"{slug(Path(arguments[1]).name)}-{'imported' if arguments[0] == 'import' else 'training'}"
        )
    given = {key: text for key, text in asked(arguments).items() if key in ("model", "suite", "out")}
    return Path(str(resolve(Config(**given)).out))


def smaller(arguments: list[str], server: ImagesServer) -> list[str]:
    """What is added to a command, so that it takes seconds and needs no internet."""
    given, command = asked(arguments), arguments[0]
    added = SMALLER.get(command, "").split()
    model = str(given.get("model", "phantom"))
    phantom = command == "run" and model.startswith("phantom")
    if command in ("run", "training") and not phantom and "classifier" not in given:
        added += CLASSIFIER.split()
    suite = str(given.get("suite", "phantom" if phantom else "occupations"))
    if command == "run" and suite in SUBJECTS:
        added += ["--templates", "portrait", *([] if "subjects" in given else ["--subjects", SUBJECTS[suite]])]
    if command == "run" and "steps" not in given and not model.startswith(("python:", "openai:", "phantom-drawn")):
        added += ["--steps", "2"]
    if model.startswith("openai:"):
        added += ["--api-base-url", server.url]
    return added


def module(arguments: list[str]) -> None:
    """`python -m NAME …` in this process."""
    assert arguments[0] == "-m"
    main = importlib.import_module(arguments[1]).main
    main([*arguments[2:], *MODULES[arguments[1]].split()])


def test_every_command_not_run_is_still_shown() -> None:
    used = {unrun(command, NOT_RUN) for commands in SHOWN.values() for command in commands}
    assert set(NOT_RUN) <= used, f"no document shows {set(NOT_RUN) - used} any more: take it out of NOT_RUN"


def test_every_swap_is_still_needed() -> None:
    used: set[Swap] = set()
    for commands in SHOWN.values():
        for command in commands:
            if unrun(command, NOT_RUN) is None:
                swapped(command, SWAPS, used)
    assert set(SWAPS) == used, f"no document shows {set(SWAPS) - used} any more: take it out of SWAPS"
