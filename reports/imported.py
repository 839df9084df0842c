"""What the files of an import say of themselves, and pictures that a run holds more than once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.view import View, records
from reports.words import Words

LISTED = 100
"""Rows of a table in the page."""
OTHERS = 3
"""Prompts that are named beside a prompt that shares pictures with them."""


def origins(view: View, words: Words) -> dict[str, Any] | None:
    """Programs, places of the prompts and Content Credentials, by number of pictures; None if the files say nothing."""
    told, claims = view.table("origins"), view.table("provenance")
    if told is None and claims is None:
        return None
    rows = [] if claims is None else records(_texts(claims))
    states = dict.fromkeys(str(row["signature"]) for row in rows)
    return {
        "generators": _counted(told, "generator", words),
        "places": _counted(told, "prompt_source", words),
        "claims": [
            {
                **row,
                "source": words.name("source_type", str(row["source_type"])),
                "state": words.name("signature", str(row["signature"])),
            }
            for row in rows[:LISTED]
        ],
        "all": len(rows),
        "meanings": [words(f"origins.means.{state}") for state in states if f"origins.means.{state}" in words.entries],
    }


def duplicates(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """The prompts with copies of pictures; None if no picture is there twice."""
    table = view.table("duplicates")
    if table is None:
        return None
    table = table.astype({"probe_id": str, "first_probe_id": str})
    within = table["probe_id"] == table["first_probe_id"]
    rows: list[dict[str, Any]] = []
    for probe_id, group in table.assign(within=within).groupby("probe_id", sort=False):
        others = [names.get(each, each) for each in dict.fromkeys(group["first_probe_id"][~group["within"]])]
        rows.append(
            {
                "name": names.get(str(probe_id), str(probe_id)),
                "within": int(group["within"].sum()),
                "across": int((~group["within"]).sum()),
                "others": [*others[:OTHERS], *(["…"] if len(others) > OTHERS else [])],
            }
        )
    rows.sort(key=lambda row: -(row["within"] + row["across"]))
    number, apart = len(table), int((~within).sum())
    return {
        "summary": words("duplicates.summary", n=number, number=words.number(number)),
        "within": apart < number,
        "across": words("duplicates.across", n=apart, number=words.number(apart)) if apart else "",
        "rows": rows[:LISTED],
        "all": len(rows),
    }


def _counted(table: pd.DataFrame | None, column: str, words: Words) -> list[tuple[str, int]]:
    """Names and numbers of pictures, the most frequent first; nothing if none is named."""
    if table is None:
        return []
    counts = _texts(table).groupby(column, sort=True)["images"].sum().sort_values(ascending=False, kind="stable")
    if set(counts.index) <= {""}:
        return []
    named = [(words.name(column, str(name)), int(images)) for name, images in counts.items() if name][:LISTED]
    silent = int(counts.get("", 0))
    return [*named, *([(words.plain("origins.silent"), silent)] if silent else [])]


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all but the numbers of pictures as texts; empty ones are read from CSV as no number."""
    columns = [name for name in table if name != "images"]
    return table.assign(**{str(name): table[name].astype(object).fillna("").astype(str) for name in columns})
