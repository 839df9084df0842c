"""The page of a grid: runs of one suite side by side, each against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reports import grid_pictures
from reports.figures import gap_figure, svg
from reports.html import fill, write_page
from reports.sentences import LOSSES, TELLING, as_class, classes_of, reference_title
from reports.view import View, probe_names, records
from reports.words import Words, load_words

if TYPE_CHECKING:
    import pandas as pd

ORDER = ("grid_cells", "grid_gaps", "grid_shares", "grid_moved", "grid_lost", "grid_pictures", "grid_limits")
"""Sections from top to bottom."""
MOVED = 60
"""Rows of the table of prompts that moved."""
RANK = {"higher": 0, "lower": 0, "inconclusive": 1, "close": 2}
LONGEST = 120
"""Letters of a value that a cell sets."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    name: str
    changes: Mapping[str, Any]
    """Key of the configuration → value that the cell sets; None takes it back to its default."""
    view: View
    link: str
    """Where its own report lies, as seen from the page; empty if there is none."""
    unpaired: str = ""
    """Why its images are no pairs with those of the baseline, as half a sentence; empty if they are."""
    left_out: Sequence[str] = ()
    """What could not be compared with the baseline, a sentence each."""


@dataclass(frozen=True)
class GridView:
    """Everything that the page shows. The columns of the tables are documented in `docs/mitigations.md`."""

    name: str
    record: Mapping[str, Any]
    """`grid.json`."""
    cells: Sequence[Cell]
    """The baseline first."""
    declared: tuple[str, str, str]
    """Classifier, attribute and reference declared before the first image."""
    tables: Mapping[str, pd.DataFrame]
    """`cells`, `changes`, `gap_changes` and `lost_changes`."""

    @property
    def first(self) -> View:
        """The run of the baseline."""
        return self.cells[0].view

    def records(self, name: str, **values: str) -> list[dict[str, Any]]:
        """The rows of a table in which these columns have these values."""
        table = self.tables[name]
        for column, value in values.items():
            table = table[table[column] == value]
        return records(table)


def write_grid(grid: GridView, path: Path, *, images: bool = True, blur: bool = False, lang: str = "en") -> Path:
    """Write the page of a grid and return its path.

    The file is at most 3 MB and loads nothing; it links to the reports of the runs.

    Args:
        grid: the runs and tables.
        path: where to write; replaced in one step if it exists.
        images: show images of a few probes side by side.
        blur: embed only a few dots of each picture.
        lang: `en` or `de`.

    Raises:
        ReportError: if there is no such language.
    """
    words = load_words(lang)
    names = probe_names(grid.first.probes)
    page = _page(grid, words, names)
    pictures = grid_pictures.rows(grid, words, names, blur=blur) if images else []
    page |= {"pictures": pictures, "images": images, "blur": blur, "shown": grid_pictures.IMAGES}
    return write_page(fill("grid.html.j2", words, page=page, run=grid.first.run), path)


def _page(grid: GridView, words: Words, names: Mapping[str, str]) -> dict[str, Any]:
    classifier, attribute, reference = grid.declared
    others = len(grid.cells) - 1
    claim = str((grid.first.run.get("primary") or {}).get("claim") or "list")
    return {
        "order": ORDER,
        "name": grid.name,
        "record": grid.record,
        "baseline": grid.cells[0].name,
        "model": str((grid.first.run.get("model") or {}).get("name", "")),
        "phantom": "phantom-world" in (grid.first.run.get("references") or []),
        "classifier": classifier,
        "attribute": words.name("attribute", attribute),
        "reference": reference_title(grid.first, words, reference),
        "claim": words.name("claim", claim),
        "population": claim == "population",
        "probes": len(grid.first.probes),
        "others": others,
        "level": words.level(grid.first.alpha),
        "own_level": words.level(grid.first.alpha / others),
        "points": words.number(100 * grid.first.delta),
        "delta": words.number(grid.first.delta, 2),
        "opening": [_sentences(grid, words, cell) for cell in grid.cells[1:]],
        "cells": [_cell(grid, words, cell) for cell in grid.cells],
        "left_out": list(dict.fromkeys(text for cell in grid.cells for text in cell.left_out)),
        "figure": _figure(grid, words),
        "gaps": _gaps(grid, words),
        "corrected": bool(grid.tables["cells"]["gap_corrected"].notna().any()),
        "shares": _shares(grid, words),
        "moved": moved(grid.tables["changes"], words, names),
        "lost": _lost(grid, words),
    }


# -- sentences ---------------------------------------------------------------------------------------------------------


def _sentences(grid: GridView, words: Words, cell: Cell) -> dict[str, Any]:
    """What one cell changed, in plain words: shares, gap, lost images, and what a reader must know of them."""
    rows = {row["cell"]: row for row in reversed(grid.records("cells"))}
    own, first = rows[cell.name], rows[grid.cells[0].name]
    alike = {"same": words.number(own["same_images"]), "baseline": grid.cells[0].name}
    if own["same_images"] == own["made"] == first["made"]:
        said: list[Markup | str] = [words("grid.same_all", **alike)]
    else:
        said = [
            _share_sentence(grid, words, cell),
            _gap_sentence(grid, words, cell),
            _lost_sentence(grid, words, cell),
            words("grid.same_some", **alike) if own["same_images"] else "",
            _truncated(words, own),
            words("grid.unpaired") if cell.unpaired else "",
        ]
    return {"name": cell.name, "what": what(words, cell.changes), "said": Markup(" ").join(s for s in said if s)}


def _share_sentence(grid: GridView, words: Words, cell: Cell) -> Markup | str:
    classifier, attribute, _ = grid.declared
    rows = grid.records("changes", classifier=classifier, attribute=attribute, other=cell.name, probe_id="")
    if not rows:
        return ""
    row = chief(rows, classes_of(grid.first, classifier, attribute))
    return words(
        f"grid.share.{row['conclusion'] or 'unknown'}",
        answer=as_class(words, row["class"]),
        size=words.number(100 * abs(row["difference"])),
        points=words.points(row["difference"]),
        interval=points_span(words, row),
        baseline=grid.cells[0].name,
        delta=words.number(100 * grid.first.delta),
    )


def _gap_sentence(grid: GridView, words: Words, cell: Cell) -> Markup | str:
    classifier, attribute, reference = grid.declared
    keys = {"classifier": classifier, "attribute": attribute, "reference": reference}
    row = next(iter(grid.records("gap_changes", other=cell.name, **keys)), None)
    if row is None:
        return ""
    return words(
        f"grid.gap.{row['conclusion']}",
        reference=reference_title(grid.first, words, reference),
        before=words.number(row["baseline_gap"], 2),
        after=words.number(row["other_gap"], 2),
        interval=words.span(row["low"], row["high"]),
        delta=words.number(grid.first.delta, 2),
    )


def _lost_sentence(grid: GridView, words: Words, cell: Cell) -> Markup | str:
    classifier, attribute, _ = grid.declared
    row = next(iter(grid.records("lost_changes", classifier=classifier, attribute=attribute, other=cell.name)), None)
    if row is None or not (row["baseline_lost"] or row["other_lost"]):
        return ""
    key = row["conclusion"] if row["conclusion"] in TELLING else "same"
    return words(
        f"grid.lost.{key}",
        before=share_of(words, row["baseline_lost"], row["baseline_asked"]),
        after=share_of(words, row["other_lost"], row["other_asked"]),
        interval=points_span(words, row),
    )


def _truncated(words: Words, row: Mapping[str, Any]) -> Markup | str:
    if not row["truncated"]:
        return ""
    return words("grid.truncated", number=words.number(row["truncated"]), all=words.number(row["made"]))


def chief(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """The class that is named: the first of two, else one that changed, the largest change of them."""
    if len(classes) == 2:
        return next((row for row in rows if row["class"] == classes[0]), rows[0])
    return min(rows, key=lambda row: (RANK.get(row["conclusion"], 3), -abs(row["difference"])))


def what(words: Words, changes: Mapping[str, Any]) -> str:
    """`guidance scale 3; LoRA fair.safetensors`; the words for "nothing" where a cell sets no key."""
    parts = [f"{words.name('setting', key)}: {_value(words, value)}" for key, value in changes.items()]
    return "; ".join(parts) or words.plain("grid.as_it_is")


def _value(words: Words, value: object) -> str:
    if value is None:
        return words.plain("grid.default")
    if isinstance(value, Mapping):
        value = [f"{key}={each}" for key, each in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def points_span(words: Words, row: Mapping[str, Any]) -> str:
    """The interval of a row in percentage points."""
    return words.span(100 * row["low"], 100 * row["high"], 0)


def share_of(words: Words, count: float, of: float) -> str:
    """So many of so many, in per cent."""
    return words.percent(count / of) if of else "–"


# -- tables ------------------------------------------------------------------------------------------------------------


def _cell(grid: GridView, words: Words, cell: Cell) -> dict[str, Any]:
    run = cell.view.run
    return {
        "cell": cell,
        "what": what(words, cell.changes),
        "model": str((run.get("model") or {}).get("name", "")),
        "asked": int((run.get("plan") or {}).get("samples") or 0),
        "paired": "" if cell is grid.cells[0] else words("grid.no" if cell.unpaired else "grid.yes"),
    }


def _figure(grid: GridView, words: Words) -> Markup | str:
    """The gaps of the declared statement, a row a cell."""
    classifier, attribute, reference = grid.declared
    table = grid.tables["cells"]
    shown = (table["classifier"] == classifier) & (table["attribute"] == attribute) & (table["reference"] == reference)
    rows = table[shown & table["gap"].notna()]
    if rows.empty:
        return ""
    figure = gap_figure(rows, labels=[str(name) for name in rows["cell"]], lang=words.lang)
    return Markup(svg(figure, prefix="grid", title=words.plain("grid.figure_title")))


def _gaps(grid: GridView, words: Words) -> list[dict[str, Any]]:
    """A block for each classifier, attribute and reference, what was declared first: a row a cell."""
    table = grid.tables["cells"]
    table = table[table["reference"].notna() & table["gap"].notna()]
    keys = ["classifier", "attribute", "reference"]
    blocks = []
    for key, group in table.groupby(keys, sort=False):
        named = dict(zip(keys, map(str, key), strict=True))
        changes = {row["other"]: row for row in grid.records("gap_changes", **named)}
        blocks.append(
            {
                "declared": tuple(named.values()) == grid.declared,
                "attribute": words.name("attribute", named["attribute"]),
                "classifier": named["classifier"],
                "reference": reference_title(grid.first, words, named["reference"]),
                "rows": [{**row, "change": _change(words, changes.get(row["cell"]))} for row in records(group)],
            }
        )
    return sorted(blocks, key=lambda block: not block["declared"])


def _change(words: Words, row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {**row, "said": words.name("grid_said", row["conclusion"])}


def _shares(grid: GridView, words: Words) -> list[dict[str, Any]]:
    """A block for each classifier and attribute, what was declared first: a row for each cell and class."""
    whole = grid.tables["changes"]
    whole = whole[whole["probe_id"] == ""]
    blocks = []
    for (classifier, attribute), group in whole.groupby(["classifier", "attribute"], sort=False):
        two = len(classes_of(grid.first, str(classifier), str(attribute))) == 2
        rows = [row for i, row in enumerate(records(group)) if not two or i % 2 == 0]
        blocks.append(
            {
                "declared": (classifier, attribute) == grid.declared[:2],
                "attribute": words.name("attribute", str(attribute)),
                "classifier": classifier,
                "rows": [share_row(words, row) for row in rows],
            }
        )
    return sorted(blocks, key=lambda block: not block["declared"])


def share_row(words: Words, row: dict[str, Any]) -> dict[str, Any]:
    """A row of changes.csv with its numbers as they are written."""
    return {
        **row,
        "answer": words.name("class", row["class"]),
        "sides": [
            {"share": words.percent(row[f"{side}_share"]), "n": words.number(row[f"{side}_n"])}
            for side in ("baseline", "other")
        ],
        "interval": points_span(words, row),
        "said": words.name("grid_said", row["conclusion"]),
    }


def moved(changes: pd.DataFrame, words: Words, names: Mapping[str, str]) -> dict[str, Any]:
    """The prompts that moved, the largest change first: one class of each prompt, cell and attribute."""
    single = changes[(changes["probe_id"] != "") & (changes["conclusion"] != "")]
    keys = ["classifier", "attribute", "other", "probe_id"]
    telling = single[single["conclusion"].isin(TELLING)]
    telling = telling.assign(_size=telling["difference"].abs().round(9)).sort_values(
        "_size", ascending=False, kind="stable"
    )
    telling = telling.drop_duplicates(keys)
    rows = [{**share_row(words, row), "name": names.get(row["probe_id"], row["probe_id"])} for row in records(telling)]
    for row in rows:
        row["attribute_name"] = words.name("attribute", row["attribute"])
    return {"rows": rows[:MOVED], "all": len(rows), "tests": len(single.drop_duplicates(keys))}


def _lost(grid: GridView, words: Words) -> list[dict[str, Any]]:
    """What became of the images of every cell, for the declared classifier and attribute."""
    classifier, attribute, _ = grid.declared
    keys = {"classifier": classifier, "attribute": attribute}
    changes = {row["other"]: row for row in grid.records("lost_changes", **keys)}
    once = {row["cell"]: row for row in grid.records("cells", **keys)}
    rows = []
    for name, row in once.items():
        change = changes.get(name)
        rows.append(
            {
                "cell": name,
                "asked": row["asked"],
                "kinds": [row[kind] for kind in LOSSES],
                "share": row["lost_share"],
                "change": change,
                "interval": points_span(words, change) if change else "",
                "said": words.name("grid_lost_said", change["conclusion"]) if change else "",
            }
        )
    return rows
