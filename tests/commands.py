"""The command as tests call it: as a process of its own, or in this process where only its answer matters."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

WORDINGS = """
name: plain
version: "1"
attributes:
  gender:
    classes: {woman: [a drawing of a woman, a portrait of a woman], man: [a drawing of a man, a portrait of a man]}
  age:
    ordered: true
    classes: {young: a young person, middle_aged: a middle-aged person, older: an older person}
"""
"""An attribute set that takes every image for one person, with the classes of the phantom."""
PAINTER = """
from PIL import Image
import random


def paint(prompts, seeds):
    return [Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(768)) for seed in seeds]
"""
"""A model that is a Python function."""


class Answer(NamedTuple):
    """What a call of the command came to."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Answer:
    """`rolecall` with these arguments, in this process."""
    from audit.cli import main

    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = int(leave.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())


def start(*arguments: object, before: str = "", cwd: Path | None = None) -> subprocess.Popen[str]:
    """`rolecall` with these arguments as a process of its own; `before` is Python that it runs first."""
    script = f"{before}\nimport sys\nfrom audit.cli import main\nmain(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, *(["-c", script] if before else ["-m", "audit"]), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )


def spawn(*arguments: object, before: str = "", cwd: Path | None = None) -> Answer:
    """The same, waiting for its end."""
    with start(*arguments, before=before, cwd=cwd) as process:
        out, err = process.communicate()
    return Answer(process.returncode, out, err)


def contents(*folders: Path) -> Mapping[str, str]:
    """SHA-256 of every file in the folders, by path; locks, and drafts of a killed process, are no content."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    apart = (".lock", ".tmp")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix not in apart}


def refused(answer: Answer) -> str:
    """The one line with which the command refused: exit code 2, nothing else said."""
    lines = answer.err.splitlines()
    assert answer.code == 2, answer
    assert len(lines) == 1, answer
    assert lines[0].startswith("rolecall: "), answer
    assert answer.out == "", answer
    return lines[0].removeprefix("rolecall: ")
