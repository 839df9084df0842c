"""The charts of shares by prompt: which prompts are drawn, in which order, on how many drawings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.figures import shares_figure, svg
from reports.sentences import classes_of, declared, main_classifier, one_person, reference_title
from reports.view import View, widened
from reports.words import Words

CHARTED = 150
"""Prompts in one chart; with more, those that differ most."""
PANEL = 44
"""Prompts in one drawing: it fits a printed page, so that none is cut in two."""


def charts(view: View, words: Words, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One chart for every attribute and classifier, cut into drawings that fit a page."""
    shares = widened(one_person(view, view.shares))
    shares = _with_sequences(view, shares[shares["n"] > 0])
    main = main_classifier(view)
    made: list[dict[str, Any]] = []
    pairs = list(shares[["classifier", "attribute"]].drop_duplicates().itertuples(index=False, name=None))
    for classifier, attribute in sorted(pairs, key=lambda pair: (pair[0] != main, pair[1] != declared(view)[0])):
        rows = shares[(shares["classifier"] == classifier) & (shares["attribute"] == attribute)]
        reference = _reference_of(view, rows, attribute)
        classes = [name for name in classes_of(view, classifier, attribute) if (rows["class"] == name).any()]
        everyone = list(rows["probe_id"].drop_duplicates())
        order = _ranked(rows, reference, classes)
        parts = -(-len(order) // PANEL)
        size = -(-len(order) // parts)
        drawings = []
        for part in range(parts):
            chunk = order[part * size : (part + 1) * size]
            figure = shares_figure(
                rows[rows["probe_id"].isin(chunk)],
                attribute,
                classifier=classifier,
                reference=reference,
                reference_label=reference_title(view, words, reference) if reference else None,
                classes=classes,
                names=names,
                order=chunk,
                lang=words.lang,
                alpha=view.alpha,
                early=bool(view.stopped),
            )
            title = words.plain(
                "figure.shares_title",
                attribute=words.name("attribute", attribute),
                classifier=classifier,
                number=len(chunk),
                first=names.get(chunk[0], chunk[0]),
                last=names.get(chunk[-1], chunk[-1]),
            )
            drawings.append(Markup(svg(figure, prefix=f"c{len(made)}p{part}", title=title)))
        made.append(
            {
                "main": classifier == main,
                "classifier": classifier,
                "attribute": words.name("attribute", attribute),
                "reference": reference_title(view, words, reference) if reference else "",
                "drawings": drawings,
                "corrected": bool(rows["corrected"].notna().any()),
                "band": bool(rows["band_low"].notna().any()),
                "shown": len(order),
                "all": len(everyone),
            }
        )
    return made


def _ranked(rows: pd.DataFrame, reference: str | None, classes: list[str]) -> list[str]:
    """Probes from top to bottom, by the share of the class that leads; of very many those that differ most.

    Shares of few images exaggerate extremes: for ranking they are drawn towards the common ones where the table has
    such shares (`shrunk`).
    """
    rows = rows.assign(_steady=rows["shrunk"].fillna(rows["share"]))
    by_class = rows.drop_duplicates(["probe_id", "class"]).pivot(index="probe_id", columns="class", values="_steady")
    lead = classes[0] if len(classes) == 2 else str(by_class[classes].mean().idxmax())
    order = by_class.reindex(rows["probe_id"].drop_duplicates())[lead].sort_values(ascending=False, kind="stable").index
    theirs = rows[rows["reference"] == reference] if reference else rows
    away = (theirs["_steady"] - theirs["reference_share"]).abs().fillna(0)
    sizes = away.groupby(theirs["probe_id"], sort=False).max().sort_values(ascending=False, kind="stable")
    kept = set(sizes.index[:CHARTED]) if len(order) > CHARTED else set(order)
    return [str(probe_id) for probe_id in order if probe_id in kept]


def _with_sequences(view: View, shares: pd.DataFrame) -> pd.DataFrame:
    """The confidence sequences of a run that stopped early in the place of the intervals that it cannot have."""
    table = view.table("sequential")
    if table is None:
        return shares
    keys = ["classifier", "attribute", "probe_id", "class"]
    found = table.drop_duplicates(keys).set_index(keys)
    place = pd.MultiIndex.from_frame(shares[keys])
    return shares.assign(
        share_low_all=found["low"].reindex(place).to_numpy(), share_high_all=found["high"].reindex(place).to_numpy()
    )


def _reference_of(view: View, rows: pd.DataFrame, attribute: str) -> str | None:
    """The reference to mark in a chart: the declared one, else the first that says something about the attribute."""
    known = list(rows.loc[rows["reference_share"].notna(), "reference"].drop_duplicates())
    declared_attribute, declared_reference, _ = declared(view)
    if attribute == declared_attribute and declared_reference in known:
        return declared_reference
    return str(known[0]) if known else None
