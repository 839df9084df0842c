"""Pictures of several people: shares by picture and by person beside those of single persons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.sentences import as_class, classes_of, declared, looks_for_faces, main_classifier
from reports.view import View, records
from reports.words import Words

LISTED = 100
"""Prompts listed for each classifier and attribute; the CSV file has all."""


def section(view: View, words: Words, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A block for each classifier and attribute with pictures of several people, what was declared first on top."""
    table = view.table("people")
    if table is None:
        return []
    first = (main_classifier(view), declared(view)[0])
    blocks = [
        _block(view, words, names, str(classifier), str(attribute), group)
        for (classifier, attribute), group in table.groupby(["classifier", "attribute"], sort=False)
        if (group["several"] > 0).any()
    ]
    return sorted(blocks, key=lambda block: ((block["classifier"], block["key"]) != first, block["key"] != first[1]))


def _block(
    view: View, words: Words, names: Mapping[str, str], classifier: str, attribute: str, table: pd.DataFrame
) -> dict[str, Any]:
    classes = classes_of(view, classifier, attribute)
    pooled = table["probe_id"] == ""
    single = table[~pooled & (table["several"] > 0)].sort_values("several", ascending=False, kind="stable")
    prompts = [
        _group(words, classes, rows, names.get(str(key), str(key)))
        for key, rows in single.groupby("probe_id", sort=False)
    ]
    whole = table[pooled].groupby("template", sort=False)
    together = [_group(words, classes, rows, str(key) or words("persons.all")) for key, rows in whole]
    faces = looks_for_faces(view, classifier)
    return {
        "classifier": classifier,
        "key": attribute,
        "attribute": words.name("attribute", attribute),
        "summary": _summary(words, classes, table[pooled & (table["template"] == "")], faces=faces),
        "together": together,
        "prompts": prompts[:LISTED],
        "all": len(prompts),
        "faces": faces,
        "counted": bool(table["person_share"].notna().any()),
        "uncounted": bool((table["people"].isna()).any()),
        "bounds": bool((table["any_unknown"] > 0).any()),
    }


def _summary(words: Words, classes: list[str], table: pd.DataFrame, *, faces: bool) -> Markup:
    """How many pictures show several people, and what that does to the share of the first class."""
    row = next((row for row in records(table) if row["class"] == classes[0]), None)
    if row is None:
        return Markup()
    shown = int(row["one"] + row["several"])
    said = words(
        f"persons.{'faces' if faces else 'shown'}",
        n=int(row["several"]),
        several=words.number(row["several"]),
        all=words.number(shown),
        share=words.percent(row["several"] / shown) if shown else "–",
    )
    if len(classes) != 2 or pd.isna(row["single_share"]) or pd.isna(row["any_share"]):
        return said
    return (
        said
        + " "
        + words(
            "persons.compared",
            answer=as_class(words, classes[0]),
            single=words.percent(row["single_share"]),
            some=words.percent(row["any_share"]),
            interval=words.interval(row["any_low"], row["any_high"]),
        )
    )


def _group(words: Words, classes: list[str], table: pd.DataFrame, name: str) -> dict[str, Any]:
    """The rows of one prompt, one template or all prompts."""
    rows = {str(row["class"]): row for row in records(table)}
    first = next(iter(rows.values()))
    return {
        "name": name,
        "several": words.number(first["several"]),
        "shown": words.number(first["one"] + first["several"]),
        "rows": [
            {
                "name": words.name("class", name),
                "single": _share(words, rows[name], "single"),
                "some": _share(words, rows[name], "any"),
                "worst": words.interval(rows[name]["any_worst_low"], rows[name]["any_worst_high"]),
                "unknown": bool(rows[name]["any_unknown"]),
                "person": _share(words, rows[name], "person"),
            }
            for name in classes
            if name in rows
        ],
    }


def _share(words: Words, row: Mapping[str, Any], kind: str) -> dict[str, str]:
    if pd.isna(row[f"{kind}_share"]):
        return {"share": "–", "interval": "", "count": ""}
    return {
        "share": words.percent(row[f"{kind}_share"]),
        "interval": words.interval(row[f"{kind}_low"], row[f"{kind}_high"]),
        "count": words.plain("findings.of", count=words.number(row[f"{kind}_count"]), n=words.number(row[f"{kind}_n"])),
    }
