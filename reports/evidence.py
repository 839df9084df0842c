"""What the shares rest on, and how far the labels can be trusted: people's labels, declared error rates, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from markupsafe import Markup

from reports.view import View, records, widened
from reports.words import Words

Kind = Literal["people", "calibration", "declared", "classifier"]
KINDS = ("people", "calibration", "elsewhere", "declared", "classifier")
"""What a share can rest on; `elsewhere` is a calibration from images that are not the run's own."""
SAME = 1e-6
"""Ends of an interval that is a point, but for rounding."""
NAMED = 6
"""Subjects with errors of their own that are named."""


@dataclass(frozen=True)
class Basis:
    """What is known of the errors in the labels of one classifier and attribute."""

    kind: Kind = "classifier"
    """`people`: the labels are people's own; `calibration`: people's labels correct the classifier's; `declared`: a
    band over declared error rates; `classifier`: nothing."""
    labels: int = 0
    """Images that people labelled, for `calibration`."""
    own: bool = True
    """True if these are images of this run."""
    whole: bool = False
    """True if these are all images of this run that ask for one person."""

    @property
    def name(self) -> str:
        """One of `KINDS`."""
        return self.kind if self.own else "elsewhere"


def bases(view: View) -> dict[tuple[str, str], Basis]:
    """What the shares of every classifier and attribute rest on."""
    shares = widened(view.shares)
    calibration, overall = view.table("calibration"), view.table("overall")
    found = {}
    for pair, rows in shares.groupby(["classifier", "attribute"], sort=False):
        classifier, attribute = str(pair[0]), str(pair[1])
        kind: Kind = "classifier"
        labels, own, whole = 0, True, False
        if view.classifier_cards.get(classifier, {}).get("people"):
            kind = "people"
        elif rows["corrected"].notna().any():
            kind = "calibration"
            labels = round(float(_of(calibration, pair)["count"].sum())) if calibration is not None else 0
            pooled = _of(overall, pair) if overall is not None else rows[:0]
            own = pooled.empty or bool((pooled["human_labels"] > 0).any())
            whole = own and _counted(pooled)
        elif rows["band_low"].notna().any():
            kind = "declared"
        found[classifier, attribute] = Basis(kind, labels, own, whole)
    return found


def overall(view: View, words: Words) -> list[dict[str, Any]]:
    """Shares over all images together, a table for every classifier and attribute; empty if the run has none."""
    table = view.table("overall")
    if table is None:
        return []
    table = table[table["n"] > 0]
    return [
        {
            "classifier": pair[0],
            "attribute": words.name("attribute", str(pair[1])),
            "declared": bool((rows["status"] == "declared").any()),
            "probes": words.number(rows["probes"].iloc[0]),
            "n": words.number(rows["n"].iloc[0]),
            "corrected": bool(rows["corrected"].notna().any()),
            "labels": words.number(rows["human_labels"].max()),
            "rows": [
                {
                    **row,
                    "name": words.name("class", str(row["class"])),
                    "interval": words.interval(row["share_low"], row["share_high"]),
                    "corrected_interval": words.interval(row["corrected_low"], row["corrected_high"]),
                }
                for row in records(rows)
            ],
        }
        for pair, rows in table.groupby(["classifier", "attribute"], sort=False)
    ]


def these_images(view: View, words: Words) -> list[Markup]:
    """What people would say of all images of the run as they are: a sentence for each classifier and attribute of which
    that is known, and one where people labelled all images."""
    table = view.table("overall")
    if table is None or "images_share" not in table:
        return []
    said = []
    for pair, rows in table[table["images_share"].notna()].groupby(["classifier", "attribute"], sort=False):
        whole = _counted(rows)
        parts = [
            words(
                "overall.image_whole" if whole else "overall.image_part",
                name=words.name("class", str(row["class"])),
                share=words.percent(row["images_share"]),
                interval=words.interval(row["images_low"], row["images_high"]),
            )
            for row in records(rows)
        ]
        said.append(
            words(
                "overall.images_whole" if whole else "overall.images",
                attribute=words.name("attribute", str(pair[1])),
                classifier=pair[0],
                parts=Markup(", ").join(parts),
            )
        )
    return list(dict.fromkeys(said))


def trust(view: View, words: Words, known: Mapping[tuple[str, str], Basis]) -> dict[str, Any]:
    """What is known of the labels: who agrees with whom, what people and classifier answered for the same images, and
    what could be done where nobody has looked."""
    return {
        "kinds": kinds(words, known),
        "errors": _errors(view, words),
        "agreement": _agreement(view, words),
        "confusion": _confusion(view, words),
    }


def kinds(words: Words, known: Mapping[tuple[str, str], Basis]) -> dict[str, str]:
    """What shares rest on → the attributes of which it is true, with the classifier where there are several."""
    several = len({classifier for classifier, _ in known}) > 1
    found: dict[str, list[str]] = {}
    for (classifier, attribute), basis in known.items():
        name = words.name("attribute", attribute) + (f" ({classifier})" if several else "")
        if basis.labels:
            name = words.plain(
                "trust.of_all" if basis.whole else "trust.of", attribute=name, labels=words.number(basis.labels)
            )
        found.setdefault(basis.name, []).append(name)
    return {name: ", ".join(found[name]) for name in KINDS if name in found}


def _errors(view: View, words: Words) -> list[Markup]:
    """Where a classifier errs otherwise than elsewhere: a sentence for each classifier and attribute."""
    table = view.table("errors")
    if table is None:
        return []
    said = []
    for pair, rows in table[table["flagged"].astype(bool)].groupby(["classifier", "attribute"], sort=False):
        ordered = rows.sort_values(["p_value", "subject"], kind="stable")
        named = [
            words(
                "trust.errors_of",
                subject=str(row["subject"]).replace("_", " "),
                errors=words.number(row["errors"]),
                labels=words.number(row["labels"]),
                expected=words.number(row["expected"], 1),
            )
            for row in records(ordered[:NAMED])
        ]
        if len(ordered) > NAMED:
            more = len(ordered) - NAMED
            named.append(words("trust.errors_more", n=more, number=words.number(more)))
        said.append(
            words(
                "trust.errors",
                attribute=words.name("attribute", str(pair[1])),
                classifier=pair[0],
                subjects=Markup(", ").join(named),
            )
        )
    return said


def errs_unalike(view: View, classifier: str, attribute: str) -> bool:
    """Whether labels show that a classifier errs otherwise in some subjects than elsewhere."""
    table = view.table("errors")
    return table is not None and bool(_of(table, (classifier, attribute))["flagged"].astype(bool).any())


def _agreement(view: View, words: Words) -> list[dict[str, Any]]:
    table = view.table("agreement")
    if table is None:
        return []
    return [
        {
            **row,
            "attribute": words.name("attribute", str(row["attribute"])),
            "who": _who(words, row),
            "alpha": words.number(row["alpha"], 2),
            "interval": words.span(row["alpha_low"], row["alpha_high"]),
            "kappa": words.number(row["kappa"], 2),
            "reading": words.name("reading", str(row["reading"])),
        }
        for row in records(table)
    ]


def _who(words: Words, row: Mapping[str, Any]) -> str:
    """Who is compared with whom: `the raters among each other`, `people × clip`."""
    names = [str(row[key]) for key in ("first", "second") if isinstance(row[key], str) and row[key]]
    return " × ".join(words.name("rater", name) for name in dict.fromkeys(names))


def _confusion(view: View, words: Words) -> list[dict[str, Any]]:
    """A heat table for each classifier and attribute: rows what people answered, columns what the classifier did."""
    table = view.table("calibration")
    if table is None:
        return []
    made = []
    for pair, rows in table.groupby(["classifier", "attribute"], sort=False):
        viewers, predicted = list(rows["viewer"].drop_duplicates()), list(rows["predicted"].drop_duplicates())
        cells = {(row["viewer"], row["predicted"]): row for row in records(rows)}
        used = [name for name in predicted if name in viewers or rows.loc[rows["predicted"] == name, "count"].sum() > 0]
        made.append(
            {
                "classifier": pair[0],
                "attribute": words.name("attribute", str(pair[1])),
                "images": words.number(rows["count"].sum()),
                "columns": [words.name("class", name) for name in used],
                "rows": [
                    {
                        "name": words.name("class", viewer),
                        "total": words.number(sum(cells[viewer, name]["count"] for name in predicted)),
                        "cells": [_cell(words, cells[viewer, name], same=viewer == name) for name in used],
                    }
                    for viewer in viewers
                ],
            }
        )
    return made


def _cell(words: Words, row: Mapping[str, Any], *, same: bool) -> dict[str, Any]:
    rate = row["rate"]
    known = pd.notna(rate)
    return {
        "rate": words.percent(rate) if known else "–",
        "count": words.number(row["count"]),
        "heat": Markup(f"--heat:{rate:.2f}") if known else Markup(""),
        "same": same,
    }


def _counted(overall: pd.DataFrame) -> bool:
    """Whether people labelled all images of these rows of `overall`: their share is a count, without an interval."""
    known = "images_share" in overall and not overall.empty
    return known and bool((overall["images_high"] - overall["images_low"] < SAME).all())


def _of(table: pd.DataFrame, pair: Any) -> pd.DataFrame:
    """The rows of one classifier and attribute."""
    rows: pd.DataFrame = table[(table["classifier"] == pair[0]) & (table["attribute"] == pair[1])]
    return rows
