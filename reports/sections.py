"""What stands in each section of the report: rows and texts made from the tables, sorted and put into words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.figures import gap_figure, svg
from reports.sentences import FACES, Finding, declared, looks_for_faces, main_classifier, one_person, reference_title
from reports.view import View, records, widened
from reports.words import Words

LISTED = 200
"""Rows of a table in the page; the CSV files have all."""


def gaps(view: View, words: Words) -> dict[str, Any]:
    """The table and the drawing of the gaps: a row for each attribute and reference, both claims side by side, what
    was declared first on top."""
    attribute, reference, claim = declared(view)
    main = {"classifier": main_classifier(view), "attribute": attribute, "reference": reference, "claim": claim}
    table = widened(view.gaps[view.gaps["gap"].notna()])
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
                "declared": group["status"].eq("declared").any()
                or (group["status"].eq("").all() and keys == (main["classifier"], attribute, reference)),
                "classifier": first["classifier"],
                "attribute": name,
                "reference": title,
                "claims": {
                    each: {
                        "gap": words.number(row["gap"], 2),
                        "interval": f"{words.number(row['gap_low'], 2)}–{words.number(row['gap_high'], 2)}",
                        "corrected": _corrected_gap(words, row),
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
        "corrected": bool(table["gap_corrected"].notna().any()),
        "claim": claim,
        "claims": [claim, *(other for other in ("list", "population") if other != claim)],
        "several": several,
        "svg": Markup(svg(drawing, prefix="gaps", title=words.plain("figure.gaps_title"))),
    }


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
            **_with_error(words, finding),
        }
        for finding in found[:LISTED]
    ]
    tested = [finding for finding in found if finding.conclusion]
    banded = any(pd.notna(finding.band_low) for finding in found)
    corrected = any(pd.notna(finding.corrected) for finding in found)
    return {
        "rows": rows,
        "all": len(found),
        "tested": len(tested),
        "telling": sum(finding.telling for finding in tested),
        "close": sum(finding.conclusion == "close" for finding in tested),
        "inconclusive": sum(finding.conclusion == "inconclusive" for finding in tested),
        "old": bool(tested) and widened(view.shares)["conclusion"].eq("").all(),
        "error": "either" if banded and corrected else "corrected" if corrected else "band" if banded else "",
        "classifiers": len({finding.classifier for finding in found}) > 1,
        "references": len({finding.reference for finding in found if finding.reference}) > 1,
    }


def _with_error(words: Words, finding: Finding) -> dict[str, Any]:
    """The share with label error taken into account, as it stands in the table, and a number to sort it by."""
    if pd.notna(finding.corrected):
        interval = words.interval(finding.corrected_low, finding.corrected_high)
        return {"error": words.percent(finding.corrected), "error_interval": interval, "error_by": finding.corrected}
    if pd.notna(finding.band_low):
        interval = words.interval(finding.band_low, finding.band_high)
        middle = (finding.band_low + finding.band_high) / 2
        return {"error": "", "error_interval": interval, "error_by": middle}
    return {"error": "", "error_interval": "–", "error_by": float("nan")}


def coverage(view: View, words: Words) -> list[dict[str, Any]]:
    """How many prompts of one person each reference has a row for, by attribute, for the main classifier."""
    shares = one_person(view, view.shares)
    shares = shares[shares["classifier"] == main_classifier(view)]
    rows = []
    for attribute, group in shares.groupby("attribute", sort=False):
        everyone = group["probe_id"].nunique()
        for reference in view.reference_cards:
            known = group[(group["reference"] == reference) & group["reference_share"].notna()]["probe_id"].nunique()
            rows.append(
                {
                    "attribute": words.name("attribute", str(attribute)),
                    "reference": reference_title(view, words, str(reference)),
                    "known": words.number(known),
                    "unknown": words.number(everyone - known),
                }
            )
    return rows


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
                "said_as": FACES if looks_for_faces(view, str(pair[0])) else {},
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
        "said_as": FACES if all(looks_for_faces(view, name) for name in view.missing["classifier"].unique()) else {},
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


def _corrected_gap(words: Words, row: Mapping[str, Any]) -> Markup | None:
    """The gap with label error taken out, as it stands below the other one."""
    if pd.isna(row["gap_corrected"]):
        return None
    interval = words.span(row["gap_corrected_low"], row["gap_corrected_high"])
    return words("gaps.corrected", gap=words.number(row["gap_corrected"], 2), interval=interval)


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
