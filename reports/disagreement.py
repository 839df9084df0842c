"""Where instruments disagree: how often, by how much it moves the shares, and on which pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.contact_sheet import MARKUP, Thumb, thumbnail
from reports.sentences import classes_of, declared, picture_text, reference_title
from reports.view import View, records
from reports.words import Words

NOT_MEASURED = ("unclear", "no_person", "several_people")
PEOPLE = "people"
"""How tables call what most raters answered."""
MATRICES = 6
"""Confusions of two classifiers in the page; the CSV file has all."""
PROMPTS = 12
"""Prompts in the page, those with the widest spread."""
PICTURES = 24
"""Pictures in the page, for all attributes together."""
SIDE = 160
"""Longest side of a picture in pixels; shown at 112 CSS pixels."""
LINE = 900
"""Bytes of HTML around the pictures with the same answers."""


def section(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """All but the pictures; None for a run in which no two instruments can be compared."""
    confusion = view.table("confusion")
    if confusion is None:
        return None
    pairs = _pairs(view, words)
    matrices, differing = _matrices(view, words, confusion, [pair for _, pair in pairs.values()])
    return {
        "sentences": [sentence for sentence, _ in pairs.values()],
        "people": bool((confusion["first"] == PEOPLE).any()) or any(_cards(view, "people", True)),
        "faces": ", ".join(_cards(view, "looks_for", "faces")),
        "matrices": matrices,
        "differing": differing,
        **_spread(view, words, names),
    }


def pictures(view: View, words: Words, names: Mapping[str, str], budget: int, *, blur: bool) -> dict[str, Any]:
    """The pictures of disagreements.csv in groups with the same answers, as many as fit into `budget` bytes.

    Returns:
        `groups`, one an attribute; how many pictures they show; and the `bytes` that they take.
    """
    table = view.table("disagreements")
    empty = {"groups": [], "shown": 0, "bytes": 0}
    if table is None:
        return empty
    sensitive = set(view.probes.loc[view.probes["sensitive"], "probe_id"]) if "sensitive" in view.probes else set()
    found = {str(name): rows for name, rows in _first(view, table).groupby("attribute", sort=False)}
    each = max(1, PICTURES // len(found))
    groups: list[dict[str, Any]] = []
    shown, left = 0, budget
    for attribute, rows in found.items():
        lines: dict[tuple[Any, ...], dict[str, Any]] = {}
        for _, of_one in list(rows.groupby("picture", sort=True))[:each]:
            answers = tuple(zip(of_one["instrument"].astype(str), of_one["answer"].astype(str), strict=True))
            probe, index = str(of_one["probe_id"].iloc[0]), int(of_one["index"].iloc[0])
            key = (probe in sensitive, answers)
            cost = 0 if key in lines else LINE
            thumb = _thumb(view, words, names, (probe, index), [answer for _, answer in answers], blur=blur)
            if thumb is None:
                continue
            cost += len(thumb.source) + len(thumb.text.encode()) + MARKUP
            if cost > left:
                break
            left, shown = left - cost, shown + 1
            line = lines.setdefault(
                key,
                {
                    "answers": [(words.name("rater", name), words.name("class", said)) for name, said in answers],
                    "count": int(of_one["images"].iloc[0]),
                    "sensitive": probe in sensitive,
                    "thumbs": [],
                },
            )
            line["thumbs"].append(thumb)
        if lines:
            groups.append({"name": words.name("attribute", attribute), "lines": list(lines.values())})
    return {"groups": groups, "shown": shown, "bytes": budget - left}


def _thumb(
    view: View, words: Words, names: Mapping[str, str], place: tuple[str, int], answers: list[str], *, blur: bool
) -> Thumb | None:
    """The picture as it stands in the page; None if it was forgotten or cannot be read."""
    probe, index = place
    text = picture_text(words, names.get(probe, probe), index, answers)
    for picture in view.pictures(probe):
        if picture.index == index:
            try:
                return thumbnail(picture, SIDE, blur=blur, text=text)
            except OSError:
                return None
    return None


def _pairs(view: View, words: Words) -> dict[str, tuple[Markup, tuple[str, str, str]]]:
    """attribute → the two instruments that agree least by α, in a sentence and by their names."""
    table, confusion = view.table("agreement"), view.table("confusion")
    if table is None or confusion is None:
        return {}
    keys = ["attribute", "first", "second"]
    known = _first(view, table.merge(confusion[keys].drop_duplicates(), on=keys))
    found = {}
    for attribute, rows in known.groupby("attribute", sort=False):
        row = records(rows.sort_values("alpha", kind="stable", na_position="last"))[0]
        cells = confusion[(confusion[keys] == [row[key] for key in keys]).all(axis=1)]
        images, alike = _same(cells)
        both, class_alike = _same(cells[~cells[["first_answer", "second_answer"]].isin(NOT_MEASURED).any(axis=1)])
        said = words(
            "disagreement.pair",
            attribute=words.name("attribute", str(attribute)),
            first=words.name("rater", str(row["first"])),
            second=words.name("rater", str(row["second"])),
            share=words.percent(alike / images),
            images=words.number(images),
            kappa=words.number(row["kappa"], 2),
            alpha=words.number(row["alpha"], 2),
            interval=words.span(row["alpha_low"], row["alpha_high"]),
            reading=words.name("reading", str(row["reading"])),
        )
        said += " " + words("disagreement.classes", n=both, images=words.number(both), alike=words.number(class_alike))
        if len(rows) > 1:
            said += " " + words("disagreement.least", pairs=words.number(len(rows)))
        found[str(attribute)] = (said, (str(attribute), str(row["first"]), str(row["second"])))
    return found


def _same(confusion: pd.DataFrame) -> tuple[int, int]:
    """How many pictures got an answer from both, and how many the same one."""
    same = confusion["first_answer"] == confusion["second_answer"]
    return int(confusion["count"].sum()), int(confusion.loc[same, "count"].sum())


def _matrices(
    view: View, words: Words, confusion: pd.DataFrame, chosen: list[tuple[str, str, str]]
) -> tuple[list[dict[str, Any]], int]:
    """Heat tables of pairs of classifiers that differ, those of the sentences first, and how many pairs there are.

    People's are in the section before.
    """
    made = []
    tables = {
        (str(attribute), str(first), str(second)): rows
        for (attribute, first, second), rows in _first(view, confusion).groupby(
            ["attribute", "first", "second"], sort=False
        )
        if first != PEOPLE and rows.loc[rows["first_answer"] != rows["second_answer"], "count"].sum() > 0
    }
    for key in sorted(tables, key=lambda key: key not in chosen)[:MATRICES]:
        rows = tables[key]
        count = rows.assign(
            first_answer=rows["first_answer"].astype(str), second_answer=rows["second_answer"].astype(str)
        )
        used = [
            answer
            for answer in count["first_answer"].drop_duplicates()
            if count.loc[(count["first_answer"] == answer) | (count["second_answer"] == answer), "count"].sum() > 0
        ]
        cells = {(row["first_answer"], row["second_answer"]): row for row in records(count)}
        made.append(
            {
                "attribute": words.name("attribute", key[0]),
                "first": words.name("rater", key[1]),
                "second": words.name("rater", key[2]),
                "images": words.number(rows["count"].sum()),
                "columns": [words.name("class", answer) for answer in used],
                "rows": [
                    {
                        "name": words.name("class", one),
                        "total": words.number(sum(cells[one, two]["count"] for two in used)),
                        "cells": [_cell(words, cells[one, two], same=one == two) for two in used],
                    }
                    for one in used
                    if any(cells[one, two]["count"] for two in used)
                ],
            }
        )
    return made, len(tables)


def _cell(words: Words, row: Mapping[str, Any], *, same: bool) -> dict[str, Any]:
    known = pd.notna(row["share"])
    return {
        "rate": words.percent(row["share"]) if known else "–",
        "count": words.number(row["count"]),
        "heat": Markup(f"--heat:{row['share']:.2f}") if known else Markup(""),
        "same": same,
    }


def _spread(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any]:
    """Shares over all pictures, the prompts with the widest spread, and how many conclusions hold for all."""
    table = view.table("spread")
    if table is None:
        return {"whole": [], "prompts": [], "of": "", "robust": ""}
    table = _first(view, table)
    whole = _text(table["probe_id"]) == ""
    mirrored = [  # of two classes the second says the same as the first
        len(classes := classes_of(view, str(classifier), str(attribute))) == 2 and answer == classes[1]
        for classifier, attribute, answer in zip(table["lowest_by"], table["attribute"], table["class"], strict=True)
    ]
    prompts = table[~whole & ~pd.Series(mirrored, table.index) & _best(table)]
    found = prompts[_text(prompts["conclusions"]).str.contains("higher|lower")]
    chosen = pd.DataFrame(
        {"open": _text(prompts["conclusions"]) == "", "other": prompts["reference"] != declared(view)[1]}
    )
    shown = prompts.loc[chosen.sort_values(["open", "other"], kind="stable").index]
    shown = shown.drop_duplicates(["attribute", "class", "probe_id"])
    shown = shown.sort_values("spread", ascending=False, kind="stable").head(PROMPTS)
    robust = int((found["conclusion_robust"] == "yes").sum())
    return {
        "whole": [_row(view, words, row) for row in records(table[whole])],
        "prompts": [
            {**_row(view, words, row), "prompt": names.get(str(row["probe_id"]), str(row["probe_id"]))}
            for row in records(shown)
        ],
        "of": words.number(len(prompts[["attribute", "class", "probe_id"]].drop_duplicates())),
        "robust": words("disagreement.robust", n=len(found), all=words.number(len(found)), robust=words.number(robust))
        if len(found)
        else "",
    }


def _best(table: pd.DataFrame) -> pd.Series[bool]:
    """The corrected row of a share where there is one, else the raw one."""
    keys = ["attribute", "class", "probe_id", "reference"]
    corrected = table["kind"] == "corrected"
    return corrected | ~corrected.groupby([_text(table[key]) for key in keys]).transform("any")


def _row(view: View, words: Words, row: Mapping[str, Any]) -> dict[str, Any]:
    said = [word for word in str(row["conclusions"] if pd.notna(row["conclusions"]) else "").split(", ") if word]
    return {
        **row,
        "attribute": words.name("attribute", str(row["attribute"])),
        "answer": words.name("class", str(row["class"])),
        "kind_name": words(f"disagreement.{row['kind']}"),
        "points": words.number(100 * row["spread"]),
        "interval": words.interval(row["low"], row["high"]),
        "said": ", ".join(words.name("conclusion", word) for word in said),
        "beside": reference_title(view, words, str(row["reference"])) if said else "",
        "robust": row["conclusion_robust"] != "no",
    }


def _cards(view: View, key: str, value: object) -> list[str]:
    """Names of the classifiers whose card says so."""
    return [name for name, card in view.classifier_cards.items() if card.get(key) == value]


def _text(column: pd.Series[Any]) -> pd.Series[str]:
    """A column of texts; one that is empty throughout was read as numbers."""
    return column.astype(object).fillna("").astype(str)


def _first(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """The declared attribute first, the others in the order of the questions."""
    chosen = declared(view)[0]
    order = {chosen: 0, **{name: place for place, name in enumerate(view.questions, 1) if name != chosen}}
    return table.loc[table["attribute"].map(order).fillna(len(order)).sort_values(kind="stable").index]
