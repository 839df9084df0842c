"""A run made by the first schema, frozen: every later version must read it, analyse it and report it.

`tests/data/run-schema-1` was made once by this command and is never made again:

    rolecall run --model phantom-drawn --subjects nurse,ceo,team,office --languages en --images 6 --threads 1 \\
        --draws 1000
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest

import audit

FROZEN = Path(__file__).parent / "data" / "run-schema-1"


@pytest.fixture
def run(tmp_path: Path) -> audit.Run:
    """A copy of the frozen run, to be written to."""
    return audit.open(shutil.copytree(FROZEN, tmp_path / "run"))


def test_it_opens_complete(run: audit.Run) -> None:
    assert run.record["schema"] == 1
    assert run.complete
    assert len(run.samples()) == 24
    assert set(run.labels()["attribute"]) == {"gender", "age", "ethnicity"}


def test_every_digest_still_holds(run: audit.Run) -> None:
    for name, digest in run.record["files"].items():
        assert hashlib.sha256((run.path / name).read_bytes()).hexdigest() == digest, name


def test_its_tables_come_out_the_same(run: audit.Run) -> None:
    before = {name: pd.read_csv(run.path / "tables" / f"{name}.csv") for name in ("shares", "gaps", "missing")}
    again = audit.analyze(run.path)
    assert (again.path / "report.html").is_file()
    after = {name: pd.read_csv(run.path / "tables" / f"{name}.csv")[table.columns] for name, table in before.items()}
    # The first version's interval of the population's gap was too narrow with few subjects: it may only have widened.
    ends = ["gap_low", "gap_high"]
    old, new = before["gaps"][ends].copy(), after["gaps"][ends]
    assert (new["gap_low"] <= old["gap_low"] + 1e-9).all()
    assert (new["gap_high"] >= old["gap_high"] - 1e-9).all()
    listed = before["gaps"]["claim"] == "list"
    pd.testing.assert_frame_equal(new[listed], old[listed], rtol=1e-9)
    before["gaps"], after["gaps"] = before["gaps"].drop(columns=ends), after["gaps"].drop(columns=ends)
    for name, table in before.items():
        pd.testing.assert_frame_equal(after[name], table, rtol=1e-9)


def test_it_can_be_labelled_again_from_its_embeddings(run: audit.Run) -> None:
    shutil.rmtree(run.path / "images")
    again = audit.label(run.path, margin=0.5, report=False)
    assert set(again.gaps()["classifier"]) == {"phantom", "phantom-margin-0.5"}
