"""The page of a comparison: what changed from one run to another, and the same seeds of both beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from reports.figures import gap_figure, svg
from reports.grid import chief, moved, points_span, share_of, share_row, what
from reports.grid_pictures import BUDGET, IMAGES, thumbs
from reports.html import fill, write_page
from reports.sentences import TELLING, as_class
from reports.view import probe_names, records
from reports.words import Words, load_words

if TYPE_CHECKING:
    from reports.contact_sheet import Thumb
    from reports.view import Picture

ORDER = ("what", "gaps", "moved", "shares", "lost", "errors", "pictures", "limits")
"""Sections from top to bottom."""
MOST_MOVED, SPREAD = 4, 2
"""Probes of which pictures are shown: those that changed most, and others spread evenly over the suite."""


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    name: str
    model: str
    settings: Mapping[str, Any]
    """Key of the configuration → value, of keys about the model that the other side sets otherwise."""
    images: int | None
    """Asked for of each probe; None if they were made by others."""
    seed: int | None
    finished: str
    link: str
    """Where its own report lies, as seen from the page; empty if there is none."""
    pictures: Callable[[str], Sequence[Picture]] | None
    """probe_id → its stored images, in order of index; None for a baseline file."""


@dataclass(frozen=True)
class ComparisonView:
    """Everything that the page shows. The columns of the tables are documented in `docs/tables.md`."""

    old: Side
    new: Side
    version: str
    """Of Rolecall."""
    probes: pd.DataFrame
    """Those that both have: columns of `View.probes`."""
    questions: Mapping[tuple[str, str], Sequence[str]]
    """Classifier and attribute → classes."""
    declared: tuple[str, str, str]
    """Classifier, attribute and reference declared before the first image of the new run."""
    claim: str
    alpha: float
    delta: float
    titles: Mapping[str, str]
    """Reference → title of its card."""
    unpaired: str
    """Why images are no pairs, as half a sentence; empty if they are."""
    left_out: Sequence[str]
    """What could not be compared, a sentence each."""
    tables: Mapping[str, pd.DataFrame]
    """`gap_changes`, `changes`, `lost_changes` and `error_changes`."""

    def records(self, name: str, **values: str) -> list[dict[str, Any]]:
        """The rows of a table in which these columns have these values."""
        table = self.tables[name]
        for column, value in values.items():
            table = table[table[column] == value]
        return records(table)

    @property
    def first(self) -> tuple[str, str]:
        """Classifier and attribute that are spoken of first: those declared, where they were compared."""
        known = list(dict.fromkeys((row["classifier"], row["attribute"]) for row in self.records("lost_changes")))
        known = known or list(self.questions)
        return self.declared[:2] if self.declared[:2] in known else known[0]


def write_comparison(
    view: ComparisonView, path: Path, *, images: bool = True, blur: bool = False, lang: str = "en"
) -> Path:
    """Write the page and return its path. The file is at most 3 MB and loads nothing.

    Args:
        view: the runs and tables.
        path: where to write; replaced in one step if it exists.
        images: show images of a few probes of both runs.
        blur: embed only a few dots of each picture.
        lang: `en` or `de`.

    Raises:
        ReportError: if there is no such language.
    """
    words = load_words(lang)
    names = probe_names(view.probes)
    stored = view.old.pictures is not None and view.new.pictures is not None
    pairs = _pictures(view, words, names, blur=blur) if images and stored else []
    page = _page(view, words, names)
    page |= {"pairs": pairs, "images": images, "stored": stored, "blur": blur}
    return write_page(fill("comparison.html.j2", words, page=page), path)


def _page(view: ComparisonView, words: Words, names: Mapping[str, str]) -> dict[str, Any]:
    classifiers = {row["classifier"] for row in view.records("lost_changes")}
    return {
        "order": [f"compare_{name}" for name in ORDER],
        "old": view.old,
        "new": view.new,
        "sides": (view.old, view.new),
        "settings": [what(words, side.settings) if side.settings else "" for side in (view.old, view.new)],
        "version": view.version,
        "probes": len(view.probes),
        "phantom": "phantom-world" in view.titles,
        "paired": not view.unpaired,
        "unpaired": view.unpaired[:1].upper() + view.unpaired[1:],
        "left_out": view.left_out,
        "several": len(classifiers) > 1,
        "claim": words.name("claim", view.claim),
        "population": view.claim == "population",
        "level": words.level(view.alpha),
        "points": words.number(100 * view.delta),
        "delta": words.number(view.delta, 2),
        "opening": _opening(view, words),
        "figure": _figure(view, words),
        "gaps": _gaps(view, words),
        "moved": moved(view.tables["changes"], words, names),
        "shares": _shares(view, words),
        "lost": _lost(view, words),
        "errors": _errors(view, words),
        "attribute": words.name("attribute", view.first[1]),
        "most": MOST_MOVED,
        "spread": SPREAD,
        "first": IMAGES,
    }


# -- sentences ---------------------------------------------------------------------------------------------------------


def _opening(view: ComparisonView, words: Words) -> list[Markup]:
    """Plain sentences by the classifier that is spoken of first: gaps, what moved, what is missing, and its errors."""
    classifier = view.first[0]
    attributes = list(dict.fromkeys([view.first[1], *(name for each, name in view.questions if each == classifier)]))
    said: list[Markup | str] = [
        Markup(" ").join(each for each in _about(view, words, classifier, name) if each) for name in attributes
    ]
    said += [_lost_sentence(view, words), _error_sentence(view, words)]
    return [Markup(each) for each in said if each]


def _about(view: ComparisonView, words: Words, classifier: str, attribute: str) -> list[Markup | str]:
    """What changed in one attribute: its gap from the reference declared, or the first; its share; probes."""
    own = {"classifier": classifier, "attribute": attribute}
    gaps = sorted(view.records("gap_changes", **own), key=lambda row: row["reference"] != view.declared[2])
    rows = view.records("changes", **own)
    if not rows:
        return [words("compare.no_probe", attribute=words.name("attribute", attribute))]
    said: list[Markup | str] = [words("compare.about", attribute=words.name("attribute", attribute))]
    said += [_gap_sentence(view, words, gaps[0])] if gaps else []
    said.append(_share_sentence(view, words, [row for row in rows if row["probe_id"] == ""]))
    single = pd.DataFrame(rows)
    single = single[(single["probe_id"] != "") & (single["conclusion"] != "")]
    number = single.loc[single["conclusion"].isin(TELLING), "probe_id"].nunique()
    said.append(
        words("compare.moved", n=number, number=words.number(number), all=words.number(single["probe_id"].nunique()))
    )
    return said


def _gap_sentence(view: ComparisonView, words: Words, row: Mapping[str, Any]) -> Markup:
    return words(
        f"grid.gap.{row['conclusion']}",
        reference=_title(view, words, row["reference"]),
        before=words.number(row["baseline_gap"], 2),
        after=words.number(row["other_gap"], 2),
        interval=words.span(row["low"], row["high"]),
        delta=words.number(view.delta, 2),
    )


def _share_sentence(view: ComparisonView, words: Words, rows: list[dict[str, Any]]) -> Markup:
    row = chief(rows, view.questions[rows[0]["classifier"], rows[0]["attribute"]])
    return words(
        f"grid.share.{row['conclusion'] or 'unknown'}",
        answer=as_class(words, row["class"]),
        size=words.number(100 * abs(row["difference"])),
        points=words.points(row["difference"]),
        interval=points_span(words, row),
        baseline=view.old.name,
        delta=words.number(100 * view.delta),
    )


def _lost_sentence(view: ComparisonView, words: Words) -> Markup | str:
    classifier, attribute = view.first
    row = next(iter(view.records("lost_changes", classifier=classifier, attribute=attribute)), None)
    if row is None:
        return ""
    if not (row["baseline_lost"] or row["other_lost"]):
        return words("compare.none_lost", attribute=words.name("attribute", attribute))
    key = row["conclusion"] if row["conclusion"] in TELLING else "same"
    return words(
        f"compare.lost.{key}",
        before=share_of(words, row["baseline_lost"], row["baseline_asked"]),
        after=share_of(words, row["other_lost"], row["other_asked"]),
        interval=points_span(words, row),
        old=view.old.name,
    )


def _error_sentence(view: ComparisonView, words: Words) -> Markup | str:
    """What is known of the classifier's errors, and what they alone would make of the change of the class named."""
    classifier, attribute = view.first
    rows = view.records("error_changes", classifier=classifier, attribute=attribute)
    if not rows:
        return ""
    named = {row["class"]: row for row in rows}
    whole = view.records("changes", classifier=classifier, attribute=attribute, probe_id="")
    row = named[chief(whole, view.questions[classifier, attribute])["class"]]
    said = words(
        f"compare.errors.{row['conclusion']}",
        classifier=classifier,
        p=words.p_value(row["p_adjusted"]),
        new=view.new.name,
    )
    explains = "" if not row["difference"] or row["conclusion"] == "people" else _explained(words, row)
    return Markup(" ").join(each for each in (said, explains) if each)


def _explained(words: Words, row: Mapping[str, Any]) -> Markup | str:
    known = {key: row[key] for key in ("sensitivity", "specificity") if not pd.isna(row[key])}
    if not known:
        return words("compare.explained.never", answer=as_class(words, row["class"]))
    key = "both" if len(known) == 2 else next(iter(known))
    values = {name: words.number(100 * value) for name, value in known.items()}
    return words(f"compare.explained.{key}", answer=as_class(words, row["class"]), **values)


def _title(view: ComparisonView, words: Words, reference: str) -> str:
    return words.entries.get(f"reference.{reference}") or view.titles.get(reference, reference)


# -- tables ------------------------------------------------------------------------------------------------------------


def _ordered(view: ComparisonView, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is spoken of first, first."""
    return sorted(rows, key=lambda row: (row["classifier"], row["attribute"]) != view.first)


def _figure(view: ComparisonView, words: Words) -> Markup | str:
    """The gap of both runs, a row for each attribute and reference: hollow in the old one, with the change's interval
    laid off from it."""
    rows = pd.DataFrame(_ordered(view, view.records("gap_changes")))
    if rows.empty:
        return ""
    ends = {f"gap_{end}": (rows["baseline_gap"] + rows[end]).clip(0, 1) for end in ("low", "high")}
    labels = [
        f"{words.name('attribute', row['attribute'])} · {_title(view, words, row['reference'])}"
        for row in records(rows)
    ]
    figure = gap_figure(rows.assign(gap=rows["other_gap"], **ends), labels=labels, lang=words.lang)
    axes = figure.axes[0]
    mark = axes.lines[-1].get_markeredgecolor()
    axes.plot(rows["baseline_gap"], range(len(rows)), "o", ms=7, mec=mark, mfc="none", mew=1.2, ls="none", zorder=5)
    return Markup(svg(figure, prefix="compare", title=words.plain("compare.figure_title")))


def _gaps(view: ComparisonView, words: Words) -> list[dict[str, Any]]:
    rows = sorted(view.records("gap_changes"), key=lambda row: row["status"] != "declared")
    return [
        {
            **row,
            "attribute": words.name("attribute", row["attribute"]),
            "title": _title(view, words, row["reference"]),
            "said": words.name("grid_said", row["conclusion"]),
        }
        for row in rows
    ]


def _shares(view: ComparisonView, words: Words) -> list[dict[str, Any]]:
    """Over all probes, a row a class: of two only the first."""
    shown = []
    for row in _ordered(view, view.records("changes", probe_id="")):
        classes = view.questions[row["classifier"], row["attribute"]]
        if len(classes) > 2 or row["class"] == classes[0]:
            shown.append({**share_row(words, row), "attribute": words.name("attribute", row["attribute"])})
    return shown


def _lost(view: ComparisonView, words: Words) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "attribute": words.name("attribute", row["attribute"]),
            "sides": [share_of(words, row[f"{side}_lost"], row[f"{side}_asked"]) for side in ("baseline", "other")],
            "interval": points_span(words, row),
            "said": words.name("grid_lost_said", row["conclusion"]),
        }
        for row in _ordered(view, view.records("lost_changes"))
    ]


def _errors(view: ComparisonView, words: Words) -> dict[str, list[dict[str, Any]]]:
    """What the test says of each classifier and attribute, and what would make each change: of two classes the first,
    since what is the one's sensitivity is the other's specificity."""
    rows = [
        {
            **row,
            "question": (row["classifier"], row["attribute"]),
            "attribute": words.name("attribute", row["attribute"]),
            "answer": words.name("class", row["class"]),
            "said": words.plain(f"compare.errors_said.{row['conclusion']}"),
        }
        for row in _ordered(view, view.records("error_changes"))
    ]
    tests = {row["question"]: row for row in reversed(rows)}
    shown = [
        row
        for row in rows
        if row["conclusion"] != "people" and (len(c := view.questions[row["question"]]) > 2 or row["class"] == c[0])
    ]
    return {"tests": list(tests.values())[::-1], "rows": shown}


# -- pictures ----------------------------------------------------------------------------------------------------------


def _pictures(view: ComparisonView, words: Words, names: Mapping[str, str], *, blur: bool) -> list[dict[str, Any]]:
    """For each probe that is chosen, its first images of both runs in pairs, within the bytes of a page."""
    shown, left = [], BUDGET
    for probe, why in _chosen(view):
        sides = [
            thumbs(side.pictures, probe["probe_id"], words, names, blur=blur) if side.pictures else []
            for side in (view.old, view.new)
        ]
        left -= sum(len(thumb.source) + 200 for side in sides for thumb in side if thumb)
        if left < 0:
            break
        pairs = _pairs(view, words, probe["probe_id"], sides)
        shown.append({"name": names.get(probe["probe_id"], probe["probe_id"]), **probe, "why": why, "pairs": pairs})
    return shown


def _chosen(view: ComparisonView) -> list[tuple[dict[str, Any], str]]:
    """Probes of one person, and not sensitive: those that changed most, and some spread evenly over the others."""
    classifier, attribute = view.first
    changes = view.tables["changes"]
    own = changes[(changes["classifier"] == classifier) & (changes["attribute"] == attribute)]
    size = own.assign(size=own["difference"].abs()).groupby("probe_id")["size"].max().fillna(0.0)
    fit = [
        row
        for row in records(view.probes)
        if row.get("people", "one") == "one" and not bool(row.get("sensitive", False))
    ]
    changed = [row for row in fit if size.get(row["probe_id"], 0.0) > 0]
    most = sorted(changed, key=lambda row: -size[row["probe_id"]])[:MOST_MOVED]
    ids = {row["probe_id"] for row in most}
    rest = [row for row in fit if row["probe_id"] not in ids]
    number = min(len(rest), MOST_MOVED + SPREAD - len(most))
    others = [rest[i * len(rest) // number] for i in range(number)]
    return [*((row, "most") for row in most), *((row, "spread") for row in others)]


def _pairs(
    view: ComparisonView, words: Words, probe_id: str, sides: Sequence[Sequence[Thumb | None]]
) -> list[dict[str, Any]]:
    """Image beside image with equal index, and what was perceived in each; places where both have none are left out."""
    key = "/".join(view.first)
    labels = [
        {picture.index: picture.labels.get(key, "") for picture in side.pictures(probe_id)} if side.pictures else {}
        for side in (view.old, view.new)
    ]
    found = []
    for index, pair in enumerate(zip(*sides, strict=True)):
        if any(pair):
            seen = [words.name("class", each.get(index, "")) if each.get(index) else "–" for each in labels]
            found.append({"index": index, "thumbs": pair, "seen": seen, "same": seen[0] == seen[1]})
    return found
