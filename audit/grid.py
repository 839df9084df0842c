"""A grid: the same probes and seeds asked of one model in several ways, or of several models, side by side."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.cells import Cells, read_cells
from audit.errors import UsageError, nearest
from audit.grid_tables import TABLES, declared, make_tables
from audit.parts import write_bytes
from audit.progress import Progress
from audit.provenance import version
from audit.store import Store, now

if TYPE_CHECKING:
    import pandas as pd

    from audit.results import Run
    from reports.grid import GridView

SCHEMA = 1
"""Version of grid.json."""
FILE = "grid.json"


class Grid:
    """The runs of a grid and what they come to beside each other. Made by `audit.run_grid` or `audit.open_grid`."""

    def __init__(self, root: Path) -> None:
        self.path = root
        """The folder of the grid: one run directory a cell, `tables/`, grid.html."""
        self._store = Store(root)

    @property
    def record(self) -> dict[str, Any]:
        """The content of grid.json: the cells and the keys that each sets, the baseline first.

        Raises:
            UsageError: if it is damaged, or a newer Rolecall wrote it.
        """
        path = self.path / FILE
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"{path} cannot be read. Make the grid again with: rolecall run FILE.yaml") from None
        if not isinstance(record.get("schema"), int) or record["schema"] > SCHEMA:
            raise UsageError(f"{self.path} was written by a newer Rolecall. Install a newer rolecall.")
        return record

    @property
    def baseline(self) -> str:
        """Name of the cell that the others are compared with."""
        return str(self.record["baseline"])

    @property
    def runs(self) -> dict[str, Run]:
        """Name of each cell → its run, the baseline first; those that were begun."""
        from audit.results import Run

        folders = {name: self.path / name for name in self.record["cells"]}
        return {name: Run(Store.open(path)) for name, path in folders.items() if (path / "run.json").is_file()}

    @property
    def complete(self) -> bool:
        """True if the run of every cell is complete."""
        runs = self.runs
        return len(runs) == len(self.record["cells"]) and all(run.complete for run in runs.values())

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name: `cells`, `changes`, `gap_changes` or `lost_changes` (docs/mitigations.md).

        Raises:
            UsageError: if there is no such table, or not yet.
        """
        if name not in TABLES:
            raise UsageError(f"no table {name!r} of a grid. {nearest(name, TABLES)}")
        if not self._store.has_table(name):
            raise UsageError(f"{self.path} has no tables yet. Give the command that began the grid again to continue.")
        return self._store.table(name)

    def changes(self) -> pd.DataFrame:
        """Each cell against the baseline, over all probes (with an empty `probe_id`) and by probe."""
        return self.table("changes")

    def analyze(self) -> None:
        """Make the tables again from the runs, such as after people have labelled images of them.

        Raises:
            UsageError: if a run is not complete, or has nothing in common with the baseline.
        """
        if not self.complete:
            raise UsageError(
                f"{self.path} is not complete: images of a cell are still to be made. Give the command that began it "
                "again to continue."
            )
        tables, found = make_tables({name: run._store for name, run in self.runs.items()})
        for name, table in tables.items():
            self._store.write_csv(name, table)
        self._update(matched=found, finished=self.record.get("finished") or now())

    def report(
        self, path: str | Path | None = None, *, images: bool = True, blur: bool = False, lang: str = "en"
    ) -> Path:
        """Make the tables again, write grid.html (or `path`) and return where it is."""
        from reports.grid import write_grid

        self.analyze()
        target = Path(path) if path is not None else self.path / "grid.html"
        return write_grid(self._view(target), target, images=images, blur=blur, lang=lang)

    def _update(self, **changes: Any) -> None:
        record = {**self.record, **changes}
        write_bytes(self.path / FILE, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())

    def _view(self, target: Path) -> GridView:
        from audit.analysis import view
        from reports.grid import Cell, GridView

        record, runs = self.record, self.runs
        cells = []
        for name, run in runs.items():
            page = run.path / "report.html"
            cells.append(
                Cell(
                    name=name,
                    changes=record["cells"][name],
                    view=view(run._store),
                    link=relative(page, target.parent) if page.is_file() else "",
                    unpaired=record["matched"].get(name, {}).get("unpaired", ""),
                    left_out=tuple(record["matched"].get(name, {}).get("left_out", ())),
                )
            )
        return GridView(
            name=self.path.name,
            record=record,
            cells=tuple(cells),
            declared=declared(runs[self.baseline].record),
            tables={name: self.table(name) for name in TABLES},
        )

    def __repr__(self) -> str:
        state = "complete" if self.complete else "not complete"
        return f"<Grid {self.path}: {', '.join(self.record['cells'])}, {state}>"

    def _repr_html_(self) -> str:
        head = f"<b>Grid</b> {html.escape(str(self.path))}, baseline {html.escape(self.baseline)}"
        if not self._store.has_table("cells"):
            return f"<p>{head}: not complete. Run the same command again to continue.</p>"
        cells = self.table("cells")[["cell", "attribute", "reference", "gap", "gap_low", "gap_high", "lost_share"]]
        changes = self.table("gap_changes")[["other", "attribute", "reference", "change", "low", "high", "conclusion"]]
        shown = [
            table.to_html(index=False, float_format=lambda value: f"{value:.3f}", na_rep="")
            for table in (cells, changes)
        ]
        return f"<p>{head}</p>{shown[0]}<p>Change of the gap against the baseline</p>{shown[1]}"


def run_grid(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    shard: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
    report: bool = True,
    **options: Any,
) -> Grid:
    """Make every cell of a grid as a run of its own, then the tables and the page that lay them side by side.

    Cells are made one after the other, the baseline first, in `out`/CELL. A grid that was interrupted continues.

    Args:
        config: a YAML file or a mapping, with a key `grid` (docs/mitigations.md).
        shard: (i, n) makes the i-th of n parts of every cell; the last part to finish makes tables and page.
        progress: told how far it is.
        report: write the page, and the reports of the runs.
        **options: keys of the configuration; they win over `config`.

    Returns:
        The grid.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.verbs import run

    progress = progress or Progress()
    cells = read_cells(config, options)
    _check(cells)
    grid = _begin(cells)
    for number, cell in enumerate(cells.cells, 1):
        what = ", ".join(f"{key} = {value}" for key, value in cell.changes.items()) or "as it is"
        progress.say(f"Cell {cell.name} ({number} of {len(cells.cells)}): {what}.")
        with _named(cell.name):
            run(cell.config, shard=shard, progress=progress, report=report)
    if not grid.complete:
        progress.say("This part of the grid is done; its page comes with the last part.")
        return grid
    progress.say("Comparing the cells.")
    if report:
        grid.report()
    else:
        grid.analyze()
    return grid


def open_grid(path: str | Path) -> Grid:
    """Open the folder of a grid.

    Args:
        path: the folder that the grid was made in.

    Returns:
        The grid; nothing is changed.

    Raises:
        UsageError: if there is none at `path`, or a newer Rolecall wrote it.
    """
    root = Path(path)
    if not (root / FILE).is_file():
        raise UsageError(f"{root} is no folder of a grid: it has no {FILE}. Give the folder that a grid was made in.")
    grid = Grid(root)
    grid.record  # noqa: B018  # refuses what cannot be read
    return grid


def _check(cells: Cells) -> None:
    """Refuse, before the first image, a grid of more images than allowed, and LoRA weights that are not there."""
    from audit.spending import watched
    from probes.suite import load_suite

    base = cells.cells[0].config
    suite = load_suite(str(base.suite)).select(
        languages=base.languages, templates=base.templates, subjects=base.subjects
    )
    watched(Progress(), base, len(suite.probes) * base.images * len(cells.cells))
    for cell in cells.cells:
        for lora in cell.config.lora:
            from probes.generators.pipeline import parse_lora  # torch and diffusers

            with _named(cell.name):
                parse_lora(lora, cell.config.allow_pickle)


def _begin(cells: Cells) -> Grid:
    """Write grid.json, or go on with the grid that is there."""
    root = cells.out
    if (root / "run.json").is_file():
        raise UsageError(f"{root} holds a run, not a grid. Choose another --out.")
    if root.is_file() or (root.is_dir() and any(root.iterdir()) and not (root / FILE).exists()):
        raise UsageError(f"{root} is no folder of a grid and not empty. Choose another --out.")
    old = open_grid(root).record if (root / FILE).exists() else {}
    same = old.get("baseline") == cells.baseline and old.get("cells") == _given(cells)
    record = {
        "schema": SCHEMA,
        "rolecall": version(),
        "created": old.get("created") or now(),
        "finished": old.get("finished") if same else None,
        "baseline": cells.baseline,
        "cells": _given(cells),
        "matched": old.get("matched", {}) if same else {},
    }
    write_bytes(root / FILE, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
    return Grid(root)


def _given(cells: Cells) -> dict[str, dict[str, Any]]:
    return {
        cell.name: {key: list(value) if isinstance(value, tuple) else value for key, value in cell.changes.items()}
        for cell in cells.cells
    }


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Errors that the user can mend say in which cell they happened."""
    from audit.classifiers.base import ClassifierError
    from audit.reference import ReferenceDataError
    from probes.generators.base import GeneratorError

    try:
        yield
    except (UsageError, GeneratorError, ClassifierError, ReferenceDataError) as error:
        raise UsageError(f"cell {name!r}: {error}") from None


def relative(path: Path, folder: Path) -> str:
    """Where `path` lies as seen from `folder`, as a link."""
    import os
    from urllib.parse import quote

    return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
