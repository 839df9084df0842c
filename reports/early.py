"""Runs that stopped as soon as they had decided: e-values and confidence sequences instead of p-values and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.evidence import Basis
from reports.sentences import (
    as_class,
    asked_for,
    classes_of,
    declared,
    main_classifier,
    reference_sentence,
    reference_title,
)
from reports.view import View, records
from reports.words import Words

LISTED = 200
"""Rows of the table in the page."""
LARGEST = 1_000_000
"""e-values above this are not written out."""
STATES = ("differs", "close", "open")


@dataclass(frozen=True)
class Stop:
    """What is known of one probe when its images ended; the class that differs most stands for it."""

    classifier: str
    attribute: str
    reference: str
    probe_id: str
    answer: str
    images: int
    """Images with a class."""
    share: float
    low: float
    high: float
    reference_share: float
    e_value: float
    decided: str
    """`differs`, `close` or `open`."""
    primary: bool


def stops(view: View) -> list[Stop]:
    """The decisions of a run that stopped early, what was declared first, then by how much they differ."""
    table = view.table("sequential")
    if table is None:
        return []
    keys = ["classifier", "attribute", "reference", "probe_id", "class"]
    known = view.shares.drop_duplicates(keys)[[*keys, "reference_share"]]
    rows = table.merge(known, on=keys, how="left")
    rows["_size"] = (rows["share"] - rows["reference_share"]).abs().fillna(-1.0)
    rows["_first"] = [
        name == classes[0] if len(classes := classes_of(view, classifier, attribute)) == 2 else True
        for classifier, attribute, name in zip(rows["classifier"], rows["attribute"], rows["class"], strict=True)
    ]
    rows = rows.sort_values(["_first", "_size"], ascending=False, kind="stable").drop_duplicates(keys[:-1])
    rows["_state"] = rows["decided"].map({name: place for place, name in enumerate(STATES)})
    rows["_declared"] = rows["status"] != "declared"
    rows = rows.sort_values(["_declared", "_state", "_size"], ascending=[True, True, False], kind="stable")
    return [
        Stop(
            classifier=str(row["classifier"]),
            attribute=str(row["attribute"]),
            reference=str(row["reference"]),
            probe_id=str(row["probe_id"]),
            answer=str(row["class"]),
            images=int(row["images"]),
            share=float(row["share"]),
            low=float(row["low"]),
            high=float(row["high"]),
            reference_share=float(row["reference_share"]),
            e_value=float(row["e_value"]),
            decided=str(row["decided"]),
            primary=row["status"] == "declared",
        )
        for row in records(rows)
    ]


def stop_sentence(stop: Stop, view: View, words: Words, basis: Basis) -> Markup:
    """ "After 18 pictures of a nurse it was decided: 94 % were perceived as a woman …" and what the reference says."""
    said = words(
        "early.lead" if basis.kind != "people" else "early.lead_people",
        n=stop.images,
        images=words.number(stop.images),
        subject=asked_for(stop.probe_id, view, words),
        share=words.percent(stop.share),
        answer=as_class(words, stop.answer),
        interval=words.interval(stop.low, stop.high),
    )
    return said + " " + reference_sentence(stop.reference, stop.reference_share, view, words)


def summary(view: View, words: Words, first: Sequence[Stop]) -> Markup:
    """How many prompts are decided, and how many pictures did not have to be made."""
    attribute, reference, _ = declared(view)
    number = {state: sum(stop.decided == state for stop in first) for state in STATES}
    said = words(
        "early.summary",
        all=words.number(len(first)),
        attribute=words.name("attribute", attribute),
        reference=reference_title(view, words, reference),
        points=_points(view, words),
        **{state: words.number(count) for state, count in number.items()},
    )
    images: Mapping[str, Any] = view.stopped.get("images") or {}
    if images.get("at_most"):
        said += " " + words(
            "early.saved",
            made=words.number(images["made"]),
            most=words.number(images["at_most"]),
            saved=words.number(images["saved"]),
            share=words.percent(images["saved"] / images["at_most"]),
        )
    return said


def section(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """The table of decisions; None for a run with a fixed number of images."""
    found = stops(view)
    if not found:
        return None
    first = main_classifier(view)
    return {
        "summary": summary(view, words, [stop for stop in found if stop.primary]),
        "text": words(
            "early.text",
            threshold=words.number(1 / float(view.stopped.get("alpha") or view.alpha)),
            points=_points(view, words),
            level=words.level(float(view.stopped.get("alpha") or view.alpha)),
        ),
        "classifiers": any(stop.classifier != first for stop in found),
        "references": len({stop.reference for stop in found}) > 1,
        "all": len(found),
        "rows": [
            {
                "stop": stop,
                "name": names.get(stop.probe_id, stop.probe_id),
                "answer": words.name("class", stop.answer),
                "reference": reference_title(view, words, stop.reference),
                "e_value": e_value(words, stop.e_value),
                "state": words("early.state." + stop.decided) if stop.decided in STATES else stop.decided,
            }
            for stop in found[:LISTED]
        ],
    }


def e_value(words: Words, value: float) -> str:
    """An e-value with two figures or so: `0.21`, `4.7`, `3,120`, `> 1,000,000`."""
    if pd.isna(value):
        return "–"
    if value > LARGEST:
        return f">\u00a0{words.number(LARGEST)}"
    if value < 0.01:
        return f"<\u00a0{words.number(0.01, 2)}"
    return words.number(value, 2 if value < 1 else 1 if value < 10 else 0)


def _points(view: View, words: Words) -> str:
    """The largest difference that does not matter, in points."""
    return words.number(100 * float(view.stopped.get("delta") or view.delta))
