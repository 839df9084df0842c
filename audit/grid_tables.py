"""The tables of a grid: its cells beside each other, and each against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from audit.changes import GAP_CHANGES, LOSSES, gap_changes, lost_changes, share_changes
from audit.compared import Settings
from audit.comparison import COMPARISON
from audit.config import Config
from audit.counts import LOST
from audit.pairs import match_runs, read_answers
from audit.reference import Reference, load_reference, reference_names

if TYPE_CHECKING:
    from audit.store import Store

CELLS = (
    *("cell", "classifier", "attribute", "reference", "claim", "gap", "gap_low", "gap_high", "gap_corrected"),
    *("gap_corrected_low", "gap_corrected_high", "direction", "probes", "images", "asked", *LOST, "lost_share"),
    *("made", "truncated", "same_images", "status"),
)
"""Columns of cells.csv."""
CHANGES = (*COMPARISON, "baseline_share", "other_share", "pairs")
"""Columns of changes.csv."""
TABLES = {"cells": CELLS, "changes": CHANGES, "gap_changes": GAP_CHANGES, "lost_changes": LOSSES}
"""Name → columns."""


def make_tables(stores: Mapping[str, Store]) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, Any]]]:
    """The tables of a grid from its runs, and what was found when each cell was matched with the baseline.

    Every comparison with the baseline is at level 1 − α/m for the m cells compared: with Bonferroni's inequality its
    intervals hold for all cells at once, so that they also hold for a cell that is picked because it did best, and
    `p_adjusted` is m times that of the cell alone (Benjamini–Hochberg over its probes).

    Args:
        stores: name of each cell → its complete run; the baseline first.

    Returns:
        The tables by name, and cell → `unpaired` (why images are not pairs, or empty) and `left_out` (sentences).

    Raises:
        UsageError: if a cell has nothing in common with the baseline.
    """
    first, *others = stores
    baseline = read_answers(stores[first])
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    found: dict[str, dict[str, Any]] = {}
    hashes = _hashes(stores[first])
    for name, store in stores.items():
        parts["cells"].append(_cell(name, store, hashes if name != first else None))
    settings = _settings(baseline.record, len(others))
    for name in others:
        cell = read_answers(stores[name])
        matched = match_runs(baseline, cell)
        found[name] = {"unpaired": matched.unpaired, "left_out": list(matched.left_out)}
        references = _references(stores[first], baseline.record, cell.record)
        for question in matched.questions:
            both = (first, name)
            parts["changes"].append(share_changes(question, both, settings))
            parts["gap_changes"].append(gap_changes(question, references, both, settings))
            parts["lost_changes"].append(lost_changes(question, both, settings))
    tables = {name: _below(parts[name], columns) for name, columns in TABLES.items()}
    for name in ("changes", "gap_changes", "lost_changes"):
        tables[name]["p_adjusted"] = (tables[name]["p_adjusted"] * len(others)).clip(upper=1.0)
    return tables, found


def _settings(record: Mapping[str, Any], compared: int) -> Settings:
    config = Config(**record["config"]["resolved"])
    primary = record.get("primary") or {}
    return Settings(
        claim=str(primary.get("claim") or "list"),
        declared=declared(record),
        alpha=config.alpha / compared,
        delta=config.delta,
        draws=config.draws,
        seed=config.seed,
        sequential=False,
    )


def declared(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Classifier, attribute and reference declared before the first image."""
    primary = record.get("primary") or {}
    first = next(iter(record["classifiers"]), "")
    return first, str(primary.get("attribute")), str(primary.get("reference"))


def _cell(name: str, store: Store, baseline: pd.Series[Any] | None) -> pd.DataFrame:
    """The rows of one cell: its gaps for the declared claim, and what became of its images."""
    record = store.record()
    claim = str((record.get("primary") or {}).get("claim") or "list")
    gaps, missing = store.table("gaps"), store.table("missing")
    missing = missing[missing["people"] == "one"]
    keys = ["classifier", "attribute"]
    counted = missing.groupby(keys, sort=False)[["asked", *LOST, "lost"]].sum().reset_index()
    counted["lost_share"] = counted["lost"] / counted["asked"].clip(lower=1)
    rows = counted.merge(gaps[gaps["claim"] == claim], on=keys, how="left")
    hashes = _hashes(store)
    first = declared(record)
    triples = zip(rows["classifier"], rows["attribute"], rows["reference"], strict=True)
    return rows.assign(
        cell=name,
        status=["declared" if triple == first else "exploratory" for triple in triples],
        made=len(hashes),
        truncated=_truncated(store),
        same_images=None if baseline is None else _same(baseline, hashes),
    ).reindex(columns=list(CELLS))


def _hashes(store: Store) -> pd.Series[Any]:
    """(probe, index) → SHA-256 of the stored image, of those that are there."""
    import pyarrow as pa

    tables = [table for *_, table in store.sample_parts(["probe_id", "index", "sha256"])]
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    kept = frame[frame["sha256"] != ""].set_index(["probe_id", "index"])
    hashes: pd.Series[Any] = kept["sha256"]
    return hashes


def _same(one: pd.Series[Any], other: pd.Series[Any]) -> int:
    """Images that are the same in both, byte for byte."""
    both = one.to_frame("one").join(other.rename("other"), how="inner")
    return int((both["one"] == both["other"]).sum())


def _truncated(store: Store) -> int:
    """Images whose prompt was longer than the model reads."""
    import pyarrow.compute as pc

    return sum(
        int(pc.sum(pc.match_substring(table["details"], '"truncated": true')).as_py() or 0)
        for *_, table in store.sample_parts(["details"])
    )


def _references(store: Store, *records: Mapping[str, Any]) -> list[Reference]:
    """The references that both runs were compared with, as they were then."""
    one, other = (record.get("reference_digests") or {} for record in records)
    names = [name for name, digest in one.items() if other.get(name) == digest]
    return [load_reference(name if name in reference_names() else str(store.reference(name))) for name in names]


def _below(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(filled, ignore_index=True).reindex(columns=list(columns))
