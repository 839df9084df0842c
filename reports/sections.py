"""What stands in each section of the report: rows and texts made from the tables, sorted and put into words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.figures import gap_figure, shares_figure, svg
from reports.sentences import (
    ALPHA,
    Finding,
    Loss,
    classes_of,
    declared,
    finding_sentence,
    leading,
    loss_sentences,
    losses,
    main_classifier,
    one_person,
    reference_title,
)
from reports.view import View, records
from reports.words import Words

CHARTED = 150
"""Prompts in one chart; with more, those that differ most."""
PANEL = 44
"""Prompts in one drawing: it fits a printed page, so that none is cut in two."""
LISTED = 200
"""Rows of a table in the page; the CSV files have all."""


def opening(view: View, words: Words, found: Sequence[Finding]) -> dict[str, Any]:
    """The sentences that open the report: the most telling findings, the gap, the losses."""
    asked = asked_by_probe(view)
    attribute, reference, claim = declared(view)
    first = leading(found)
    sentences = [
        {
            "text": finding_sentence(finding, view, words, asked.get(finding.probe_id, finding.n)),
            "primary": finding.primary,
        }
        for finding in first
    ]
    tested = [finding for finding in found if finding.primary and finding.p_adjusted == finding.p_adjusted]
    remark = None
    if not any(finding.primary for finding in first):
        key = "lead.none" if tested else "lead.untested"
        remark = words(
            key,
            attribute=words.name("attribute", attribute),
            reference=reference_title(view, words, reference),
            number=words.number(len(tested)),
        )
    classifier = main_classifier(view)
    rows = [
        row
        for row in records(view.gaps)
        if (row["classifier"], row["attribute"], row["reference"], row["claim"])
        == (classifier, attribute, reference, claim)
    ]
    gap = None
    if rows and pd.notna(rows[0]["gap"]):
        gap = words(
            "lead.gap",
            attribute=words.name("attribute", attribute),
            reference=reference_title(view, words, reference),
            gap=words.number(rows[0]["gap"], 2),
            low=words.number(rows[0]["gap_low"], 2),
            high=words.number(rows[0]["gap_high"], 2),
        )
    lost = sorted(losses(view), key=lambda loss: (loss.classifier != classifier, loss.attribute != attribute))
    return {
        "sentences": sentences,
        "remark": remark,
        "gap": gap,
        "lost": loss_sentences(lost[0], words) if lost else None,
        "others": [other_loss(loss, words, classifier) for loss in lost[1:]],
    }


def other_loss(loss: Loss, words: Words, main: str) -> Markup:
    """The short sentence about one more attribute, or one more classifier than the `main` one."""
    return words(
        "loss.also" if loss.classifier == main else "loss.also_by",
        attribute=words.name("attribute", loss.attribute),
        classifier=loss.classifier,
        labelled=words.number(loss.labelled),
        share=words.percent(loss.labelled / loss.asked if loss.asked else float("nan")),
    )


def gaps(view: View, words: Words) -> dict[str, Any]:
    """The table and the drawing of the gaps: a row for each attribute and reference, both claims side by side, what
    was declared first on top."""
    attribute, reference, claim = declared(view)
    main = {"classifier": main_classifier(view), "attribute": attribute, "reference": reference, "claim": claim}
    table = view.gaps[view.gaps["gap"].notna()].copy()
    if table.empty:
        return {"rows": [], "svg": ""}
    order = {name: place for place, name in enumerate(view.questions)}
    table["_other"] = table["classifier"] != main["classifier"]
    table["_pair"] = (table["attribute"] != attribute) | (table["reference"] != reference)
    table["_order"] = table["attribute"].map(order).fillna(99)
    table["_claim"] = table["claim"] != claim
    table = table.sort_values(["_other", "_pair", "_order", "reference", "_claim"], kind="stable")
    several = {column: table[column].nunique() > 1 for column in ("classifier", "reference")}
    rows = []
    labels = []
    for keys, group in table.groupby(["classifier", "attribute", "reference"], sort=False):
        by_claim = {row["claim"]: row for row in records(group)}
        first = next(iter(by_claim.values()))
        title = reference_title(view, words, first["reference"])
        name = words.name("attribute", first["attribute"])
        labels += [
            " · ".join(
                [
                    name,
                    *([title] if several["reference"] else []),
                    *([str(first["classifier"])] if several["classifier"] else []),
                    words.name("claim", str(each)),
                ]
            )
            for each in by_claim
        ]
        direction = first["direction"]
        rows.append(
            {
                "primary": keys == (main["classifier"], attribute, reference),
                "classifier": first["classifier"],
                "attribute": name,
                "reference": title,
                "claims": {
                    each: {
                        "gap": words.number(row["gap"], 2),
                        "interval": f"{words.number(row['gap_low'], 2)}–{words.number(row['gap_high'], 2)}",
                    }
                    for each, row in by_claim.items()
                },
                "direction": words.name("class", direction) if isinstance(direction, str) and direction else "–",
                "tvd": words.number(100 * first["tvd"]),
                "floor": words.number(100 * first["tvd_floor"]),
                "tilt": words.number(first["shared_tilt"], 2),
                "probes": words.number(first["probes"]),
            }
        )
    drawing = gap_figure(table, primary=main, labels=labels, lang=words.lang)
    return {
        "rows": rows,
        "claim": claim,
        "claims": [claim, *(other for other in ("list", "population") if other != claim)],
        "several": several,
        "svg": Markup(svg(drawing, prefix="gaps", title=words.plain("figure.gaps_title"))),
    }


def charts(view: View, words: Words, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One chart for every attribute and classifier, cut into drawings that fit a page."""
    shares = one_person(view, view.shares)
    shares = shares[shares["n"] > 0]
    main = main_classifier(view)
    made: list[dict[str, Any]] = []
    pairs = list(shares[["classifier", "attribute"]].drop_duplicates().itertuples(index=False, name=None))
    for classifier, attribute in sorted(pairs, key=lambda pair: (pair[0] != main, pair[1] != declared(view)[0])):
        rows = shares[(shares["classifier"] == classifier) & (shares["attribute"] == attribute)]
        reference = _reference_of(view, rows, attribute)
        classes = [name for name in classes_of(view, classifier, attribute) if (rows["class"] == name).any()]
        theirs = rows[rows["reference"] == reference] if reference else rows
        sizes = theirs.assign(_size=theirs["difference"].abs().fillna(0)).groupby("probe_id", sort=False)["_size"].max()
        everyone = list(rows["probe_id"].drop_duplicates())
        kept = (
            set(sizes.sort_values(ascending=False, kind="stable").index[:CHARTED]) if len(everyone) > CHARTED else None
        )
        by_class = (
            rows.drop_duplicates(["probe_id", "class"]).set_index(["probe_id", "class"])["share"].unstack("class")
        )
        lead = classes[0] if len(classes) == 2 else str(by_class[classes].mean().idxmax())
        order = list(by_class[lead].sort_values(ascending=False, kind="stable").index)
        order = [probe_id for probe_id in order if kept is None or probe_id in kept]
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
                "shown": len(order),
                "all": len(everyone),
            }
        )
    return made


def finding_rows(view: View, words: Words, found: Sequence[Finding], names: Mapping[str, str]) -> dict[str, Any]:
    """The table of findings."""
    texts = dict(zip(view.probes["probe_id"], view.probes["text"], strict=True))
    rows = [
        {
            "finding": finding,
            "name": names.get(finding.probe_id, finding.probe_id),
            "text": texts.get(finding.probe_id, ""),
            "attribute": words.name("attribute", finding.attribute),
            "answer": words.name("class", finding.answer),
            "count": words("findings.of", count=words.number(finding.count), n=words.number(finding.n)),
            "reference": reference_title(view, words, finding.reference) if finding.reference else "–",
        }
        for finding in found[:LISTED]
    ]
    tested = [finding for finding in found if finding.p_adjusted == finding.p_adjusted]
    return {
        "rows": rows,
        "all": len(found),
        "tested": len(tested),
        "significant": sum(finding.p_adjusted < ALPHA for finding in tested),
        "classifiers": len({finding.classifier for finding in found}) > 1,
        "references": len({finding.reference for finding in found if finding.reference}) > 1,
    }


def missing_tables(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any]:
    """A table of losses for every classifier and attribute, and apart from them the prompts that do not ask for one
    person."""
    single = one_person(view, view.missing)
    apart = view.missing[~view.missing.index.isin(single.index)].drop_duplicates(["classifier", "probe_id"])
    first = (main_classifier(view), declared(view)[0])
    tables = []
    for pair, group in single.groupby(["classifier", "attribute"], sort=False):
        lost = group[group["lost"] > 0].sort_values("lost", ascending=False, kind="stable")
        tables.append(
            {
                "main": pair == first,
                "classifier": pair[0],
                "attribute": words.name("attribute", str(pair[1])),
                "rows": [
                    {**row, "name": names.get(row["probe_id"], row["probe_id"]), "bounds": worst_case(words, row)}
                    for row in records(lost.head(LISTED))
                ],
                "all": len(lost),
                "complete": len(group) - len(lost),
            }
        )
    people = dict(zip(view.probes["probe_id"], view.probes["people"], strict=True))
    return {
        "tables": sorted(tables, key=lambda table: not table["main"]),
        "classifiers": view.missing["classifier"].nunique() > 1,
        "apart": [
            {
                **row,
                "name": names.get(row["probe_id"], row["probe_id"]),
                "people": words.name("people", people[row["probe_id"]]),
                "one": int(row["made"] - row["no_person"] - row["several_people"]),
            }
            for row in records(apart.head(LISTED))
        ],
    }


def provenance(view: View) -> dict[str, Any]:
    """Flat lists of what `run.json` records."""
    run = view.run
    config = run.get("config") or {}
    settings = flat(config.get("resolved") or config.get("given") or {})
    return {
        "model": flat(run.get("model", {}).get("fingerprint") or {}),
        "classifiers": {
            name: flat(entry.get("fingerprint") or {}) for name, entry in run.get("classifiers", {}).items()
        },
        "settings": {key: value for key, value in settings.items() if key != "out"},  # a path on somebody's machine
        "packages": dict(run.get("packages") or {}),
        "files": dict(run.get("files") or {}),
    }


def flat(value: Mapping[str, Any], head: str = "") -> dict[str, str]:
    """A nested mapping as dotted keys and short texts; empty values are left out."""
    rows: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            rows |= flat(inner, f"{head}{key}.")
        elif inner is not None and inner != [] and inner != "":
            text = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            rows[f"{head}{key}"] = text if len(text) <= 400 else f"{text[:399]}…"
    return rows


def asked_by_probe(view: View) -> dict[str, int]:
    """Images asked for, by probe."""
    rows = view.missing.drop_duplicates("probe_id")
    return {str(name): int(asked) for name, asked in zip(rows["probe_id"], rows["asked"], strict=True)}


def worst_case(words: Words, row: Mapping[str, Any]) -> str:
    """How far the share of the commonest class could move if every lost image were of that class, or none."""
    if not isinstance(row["class"], str) or not row["class"]:
        return "–"
    interval = words.interval(row["worst_low"], row["worst_high"])
    return words.plain("missing.bounds_value", answer=words.name("class", row["class"]), interval=interval)


def _reference_of(view: View, rows: pd.DataFrame, attribute: str) -> str | None:
    """The reference to mark in a chart: the declared one, else the first that says something about the attribute."""
    known = list(rows.loc[rows["reference_share"].notna(), "reference"].drop_duplicates())
    declared_attribute, declared_reference, _ = declared(view)
    if attribute == declared_attribute and declared_reference in known:
        return declared_reference
    return str(known[0]) if known else None
