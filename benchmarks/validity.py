"""Does what Rolecall prints hold? All experiments, one table: `python -m benchmarks.validity --write`.

Every cell of every experiment is stored as soon as it is done, so that a killed benchmark continues where it was. With
`--write` the table is written to docs/validity.md. `--only NAME` runs the experiments whose name holds NAME.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import experiments
from benchmarks.experiments.base import Cell, Experiment, Line

PAGE = Path(__file__).parent.parent / "docs" / "validity.md"
STATE = Path(".validity.jsonl")


def all_experiments() -> list[Experiment]:
    """Every experiment of every module in benchmarks/experiments, in the order of ORDER and then of their names."""
    found: list[tuple[int, str, Experiment]] = []
    for info in pkgutil.iter_modules(experiments.__path__):
        module = importlib.import_module(f"benchmarks.experiments.{info.name}")
        for place, experiment in enumerate(getattr(module, "EXPERIMENTS", ())):
            found.append((getattr(module, "ORDER", 99) * 100 + place, experiment.name, experiment))
    return [experiment for *_, experiment in sorted(found, key=lambda each: each[:2])]


def generator(seed: int, experiment: Experiment, cell: Cell) -> np.random.Generator:
    """Random numbers of one cell: they depend on the seed, the experiment's name and the cell's parameters alone."""
    text = json.dumps([seed, experiment.name, cell], sort_keys=True)
    return np.random.default_rng(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint32))


def simulate(name: str, cell: Cell, repeats: int, seed: int) -> dict[str, Any]:
    """One cell of the experiment called `name`; runs in a process of its own."""
    experiment = next(each for each in all_experiments() if each.name == name)
    return dict(experiment.run(cell, repeats, generator(seed, experiment, cell)))


def key(experiment: Experiment, cell: Cell, repeats: int, seed: int) -> str:
    """What a stored result is found by."""
    return json.dumps([experiment.name, cell, repeats, seed], sort_keys=True)


def read_state(path: Path) -> dict[str, dict[str, Any]]:
    """The stored results; a last line that was cut off is left out."""
    stored = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        stored[entry["key"]] = entry["result"]
    return stored


def run_all(chosen: Sequence[Experiment], state: Path, seed: int, workers: int) -> list[Line]:
    """Run what is not stored yet, and judge."""
    stored = read_state(state)
    todo = [(each, cell) for each in chosen for cell in each.cells if key(each, cell, each.repeats, seed) not in stored]
    with state.open("a") as file, ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(simulate, each.name, cell, each.repeats, seed): (each, cell) for each, cell in todo}
        for number, future in enumerate(as_completed(waiting), 1):
            each, cell = waiting[future]
            name = key(each, cell, each.repeats, seed)
            stored[name] = future.result()
            file.write(json.dumps({"key": name, "result": stored[name]}) + "\n")
            file.flush()
            print(f"{number}/{len(todo)} {each.name}: {json.dumps(dict(cell))}", file=sys.stderr)
    return [
        each.judge([(cell, stored[key(each, cell, each.repeats, seed)]) for cell in each.cells], 0.0) for each in chosen
    ]


def table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table, remarks below it."""
    rows = ["| experiment | target | figure | naive | verdict |", "|---|---|---|---|---|"]
    remarks = []
    for line in lines:
        verdict = "met" if line.met else "not met"
        rows.append(f"| {line.experiment} | {line.target} | {line.figure} | {line.naive} | {verdict} |")
        if line.remark:
            remarks.append(f"* **{line.experiment}**: {line.remark}")
    return "\n".join([*rows, "", *remarks])


def page(lines: Sequence[Line], command: str, facts: Mapping[str, object]) -> str:
    """docs/validity.md."""
    versions = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"""# Does what Rolecall prints hold?

Every line is a simulation of what is promised, with known truth. `{command}` made this page ({versions}). *naive* is
the figure of the method that others use on the same simulated data.

{table(lines)}
"""


def main() -> None:
    """The command line."""
    import scipy

    parser = argparse.ArgumentParser(prog="python -m benchmarks.validity", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="only the experiments whose name holds this text")
    parser.add_argument("--state", type=Path, default=STATE, help="where results are kept")
    parser.add_argument("--write", action="store_true", help="write docs/validity.md")
    given = parser.parse_args()
    chosen = [each for each in all_experiments() if given.only.lower() in each.name.lower()]
    lines = run_all(chosen, given.state, given.seed, given.workers)
    print(table(lines))
    if given.write:
        command = f"python -m benchmarks.validity --seed {given.seed} --write"
        facts = {"numpy": np.__version__, "scipy": scipy.__version__}
        PAGE.write_text(page(lines, command, facts), encoding="utf-8")


if __name__ == "__main__":
    main()
