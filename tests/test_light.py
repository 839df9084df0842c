"""From stored runs, gate and comparison load no model library, draw nothing and ask no network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import call, spawn
from stored import CLASSES, drawn, store_run

HEAVY = {"torch", "torchvision", "diffusers", "open_clip", "transformers", "matplotlib", "seaborn"}
WATCHED = """
import atexit, json, sys

def cut(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise ConnectionError("the network is cut")

sys.addaudithook(cut)
atexit.register(lambda: print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr))
"""
"""Runs in the process first: no way out, and at its end the last line of stderr names what was imported."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, and the baseline file of one."""
    folder = tmp_path_factory.mktemp("runs")
    for name, share in (("old", 0.5), ("new", 0.7)):
        rng = np.random.default_rng(len(name))
        shares = {"gender": [share, 1 - share], "age": [0.3, 0.4, 0.3]}
        answers = {key: drawn(np.tile(each, (4, 1)), 12, CLASSES[key], rng) for key, each in shares.items()}
        store_run(folder / name, answers)
    assert call("export", folder / "old", "--baseline", folder / "old.json").code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("gate new --baseline old", (0, 3, 4)),
        ("gate new --baseline old.json --junit gate.xml --summary summary.md --comment comment.md", (0, 3, 4)),
        ("gate new --init", (0,)),
        ("compare new old", (0,)),
        ("compare new old.json --json", (0,)),
    ],
)
def test_a_command_on_stored_runs_is_light_and_needs_no_network(
    runs: Path, command: str, codes: tuple[int, ...]
) -> None:
    answer = spawn(*command.split(), before=WATCHED, cwd=runs)
    assert answer.code in codes, answer
    said, modules = answer.err.splitlines()[:-1], set(json.loads(answer.err.splitlines()[-1]))
    assert "Traceback" not in "".join(said), said
    assert "numpy" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("command", ["", "gate", "compare"])
def test_help_loads_nothing_at_all(command: str) -> None:
    answer = spawn(*command.split(), "--help", before=WATCHED)
    assert answer.code == 0 and answer.out.startswith("Usage: rolecall"), answer
    modules = set(json.loads(answer.err.splitlines()[-1]))
    assert "click" in modules
    assert not modules & (HEAVY | {"numpy", "scipy", "pandas", "pyarrow"})


def test_the_network_is_cut_where_it_is_said_to_be() -> None:
    tried = "import socket\nsocket.create_connection(('localhost', 9))"
    answer = spawn("--help", before=WATCHED + tried)
    assert answer.code == 1
    assert "the network is cut" in answer.err
