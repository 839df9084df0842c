"""What shows over many prompts: exaggeration, differences between prompts, intersections, conditions compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.sentences import classes_of, declared, main_classifier, reference_title
from reports.view import View, records
from reports.words import Words

LISTED = 200
"""Rows of a table in the page; the CSV files have all."""
CLAIMED = (
    *("difference", "difference_low", "difference_high", "growth", "growth_low", "growth_high"),
    *("evidence", "conclusion"),
)
"""Columns of amplification.csv that earlier runs do not have."""
SHOWN = 12
"""Prompts of a table that are not folded up."""


def amplification(view: View, words: Words) -> dict[str, Any] | None:
    """Whether the model exaggerates what a reference says that varies by prompt."""
    table = view.table("amplification")
    if table is None or table["slope"].isna().all():
        return None
    table = _sorted(view, table[table["slope"].notna()])
    table = table.reindex(columns=[*table.columns, *(name for name in CLAIMED if name not in table)])
    table = table.assign(**{name: table[name].fillna("").astype(str) for name in ("evidence", "conclusion")})
    rows = [
        {
            **row,
            **_claimed(words, row),
            "name": words.name("class", str(row["class"])),
            "attribute": words.name("attribute", str(row["attribute"])),
            "reference": reference_title(view, words, str(row["reference"])),
            "slope_text": _estimate(words, row, "slope"),
            "excess_text": _estimate(words, row, "excess", digits=3),
            "correlation_text": _estimate(words, row, "correlation"),
        }
        for row in records(table)
    ]
    counted = any(row["evidence"] for row in rows)
    return {
        "rows": rows[:LISTED],
        "sentences": [amplification_sentence(row, words, 100 * view.delta) for row in _told(rows)],
        "claimed": words("claimed.text", points=words.number(100 * view.delta)) if counted else "",
        "several": {name: table[name].nunique() > 1 for name in ("classifier", "reference")},
    }


def _claimed(words: Words, row: Mapping[str, Any]) -> dict[str, Any]:
    """What is read off a row: the claim where the reference counts images, else the slope."""
    if not row["evidence"]:
        read = words("amplification." + slope_reading(row["slope_low"], row["slope_high"]))
        return {"reading": read, "rests": "", "difference_text": "", "growth_text": ""}
    return {
        "reading": words.name("claimed", str(row["conclusion"])),
        "rests": words.name("claimed", str(row["evidence"])),
        "difference_text": _points(words, row, "difference"),
        "growth_text": _points(words, row, "growth"),
    }


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row, and the same class beside the other references that count images, such as parts of one."""
    first = rows[0]
    keys = ("classifier", "attribute", "class")
    return [first, *(row for row in rows[1:] if row["evidence"] and all(row[key] == first[key] for key in keys))]


def _points(words: Words, row: Mapping[str, Any], name: str) -> str:
    """`+6 (2–10)` in percentage points."""
    return f"{words.points(row[name])} ({_points_between(words, row, name)})"


def _points_between(words: Words, row: Mapping[str, Any], name: str) -> str:
    return words.span(100 * row[f"{name}_low"], 100 * row[f"{name}_high"], 0)


def slope_reading(low: float, high: float) -> str:
    """What an interval of the slope says: `more`, `less`, `against` or `open`."""
    if low > 1:
        return "more"
    if high < 0:
        return "against"
    return "less" if high < 1 else "open"


def amplification_sentence(row: Mapping[str, Any], words: Words, points: float = 5.0) -> Markup:
    """The first row in words: what is claimed, and on what, where the reference counts images; else the slope.

    Args:
        row: the row.
        words: the language.
        points: largest difference that does not matter, in percentage points.
    """
    if row.get("evidence") and row.get("conclusion"):
        said = words(
            f"claimed.say_{row['conclusion']}",
            answer=row["name"],
            reference=row["reference"],
            growth=words.points(row["growth"]),
            interval=_points_between(words, row, "growth"),
        )
        why = "with_labels" if row["evidence"] == "labels on both sides" else "with_delta"
        return said + " " + words(f"claimed.{why}", points=words.number(points))
    excess = "unknown" if pd.isna(row["excess_low"]) else "open"
    if row["excess_low"] > 0:
        excess = "more"
    elif row["excess_high"] < 0:
        excess = "less"
    said = words(
        "amplification.say_" + slope_reading(row["slope_low"], row["slope_high"]),
        answer=row["name"],
        reference=row["reference"],
        slope=words.number(row["slope"], 2),
        interval=_ends(words, row["slope_low"], row["slope_high"]),
    )
    return said if excess == "unknown" else said + " " + words(f"amplification.excess_{excess}")


def heterogeneity(view: View, words: Words) -> list[dict[str, Any]]:
    """Whether the prompts differ from each other."""
    table = view.table("heterogeneity")
    if table is None:
        return []
    table = table[table["chi_square"].notna()]
    return [
        {
            **row,
            "name": words.name("attribute", str(row["attribute"])),
            "answer": words("heterogeneity.differ" if row["p_value"] < view.alpha else "heterogeneity.alike"),
        }
        for row in records(_sorted(view, table))
    ]


def intersections(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Of each prompt and set of attributes the cell farthest from what its margins alone would give; those where the
    attributes depend on each other first."""
    table = view.table("intersections")
    if table is None:
        return None
    table = table[table["n"] > 0].copy()
    if table.empty:
        return None
    table["_size"] = (table["share"] - table["expected"]).abs()
    table["_linked"] = table["independence_p_adjusted"] < view.alpha
    table = table.sort_values(["_linked", "_size"], ascending=False, kind="stable")
    best = table.drop_duplicates(["classifier", "attributes", "probe_id"])
    tests = best[best["independence_p_adjusted"].notna()]
    rows = [
        {
            **row,
            "prompt": names.get(row["probe_id"], row["probe_id"]),
            "cell": cell_name(words, str(row["cell"])),
            "linked": bool(row["_linked"]),
            "interval": words.interval(row["share_low_all"], row["share_high_all"]),
            "count": words("findings.of", count=words.number(row["count"]), n=words.number(row["n"])),
        }
        for row in records(best.head(LISTED))
    ]
    return {
        "shown": rows[:SHOWN],
        "folded": rows[SHOWN:],
        "all": len(best),
        "tests": words.number(len(tests)),
        "linked": words.number(int(tests["_linked"].sum())),
        "classifiers": best["classifier"].nunique() > 1,
    }


def cell_name(words: Words, cell: str) -> str:
    """`woman × honey` in the language of the report."""
    return " × ".join(words.name("class", part) for part in cell.split(" × "))


def comparison(view: View, words: Words, names: Mapping[str, str]) -> dict[str, Any] | None:
    """Two conditions or runs beside each other: all prompts together first, then the prompts that differ most."""
    table = view.table("comparison")
    if table is None:
        return None
    table = table.copy()
    table["probe_id"] = table["probe_id"].fillna("").astype(str)
    first = [
        len(classes := classes_of(view, classifier, attribute)) != 2 or name == classes[0]
        for classifier, attribute, name in zip(table["classifier"], table["attribute"], table["class"], strict=True)
    ]
    table = table[first]
    table["_rest"] = table["probe_id"] != ""
    table["_open"] = ~table["conclusion"].isin(("higher", "lower"))
    table["_size"] = -table["difference"].abs().fillna(-1.0)
    pooled = _sorted(view, table[~table["_rest"]])
    probes = table[table["_rest"]].sort_values(["_open", "_size"], kind="stable")
    repeated = set(probes.loc[probes.duplicated(["classifier", "attribute", "class", "other", "subject"]), "subject"])
    rows = [_compared(row, words, names, repeated) for row in records(pd.concat([pooled, probes]).head(LISTED))]
    conclusions = table.loc[table["_rest"], "conclusion"]
    return {
        "shown": rows[: len(pooled) + SHOWN],
        "folded": rows[len(pooled) + SHOWN :],
        "all": len(table),
        "pairs": [
            {"baseline": str(one), "other": str(other)}
            for one, other in table[["baseline", "other"]].drop_duplicates().itertuples(index=False, name=None)
        ],
        "counts": words(
            "comparison.counts",
            all=words.number(len(conclusions)),
            differing=words.number(int(conclusions.isin(("higher", "lower")).sum())),
            open=words.number(int((conclusions == "inconclusive").sum())),
        )
        if len(conclusions)
        else "",
        "classifiers": table["classifier"].nunique() > 1,
    }


def _compared(
    row: Mapping[str, Any], words: Words, names: Mapping[str, str], repeated: Collection[str]
) -> dict[str, Any]:
    """One row of the table. A prompt goes by its subject, for it stands for the same one in both conditions."""
    probe, subject = str(row["probe_id"]), str(row["subject"])
    name = subject.replace("_", " ") if subject and subject not in repeated else names.get(probe, probe)
    return {
        **row,
        "name": name if probe else words("comparison.whole"),
        "whole": not probe,
        "answer": words.name("class", str(row["class"])),
        "sides": [
            _side(words, str(row[side]), row[f"{side}_count"], row[f"{side}_n"]) for side in ("baseline", "other")
        ],
        "points": words.points(row["difference"]),
        "interval": words.span(100 * row["low"], 100 * row["high"], 0),
        "conclusion": words.name("conclusion", str(row["conclusion"])),
        "telling": row["conclusion"] in ("higher", "lower"),
    }


def _side(words: Words, name: str, count: int, n: int) -> dict[str, Any]:
    share = count / n if n else float("nan")
    told = words("findings.of", count=words.number(count), n=words.number(n))
    return {"name": name, "share": words.percent(share), "count": told, "by": share}


def _sorted(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """What was declared first: rows of the main classifier and the declared attribute and reference on top."""
    attribute, reference, _ = declared(view)
    order = {name: place for place, name in enumerate(view.questions)}
    keys = pd.DataFrame({"_classifier": table["classifier"] != main_classifier(view)}, index=table.index)
    keys["_attribute"] = table["attribute"] != attribute
    keys["_reference"] = table["reference"] != reference if "reference" in table else False
    keys["_order"] = table["attribute"].map(order).fillna(99)
    return table.loc[keys.sort_values([str(key) for key in keys], kind="stable").index]


def _estimate(words: Words, row: Mapping[str, Any], name: str, digits: int = 2) -> str:
    """`1.31 (1.02–1.60)`; without the interval where there is none."""
    value = words.number(row[name], digits)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return value if pd.isna(low) else f"{value} ({_ends(words, low, high, digits)})"


def _ends(words: Words, low: float, high: float, digits: int = 2) -> str:
    """An interval, without decimals where it is so wide that they mean nothing."""
    return words.span(low, high, digits if high - low < 10 else 0)
