"""The report of one run as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports import disagreement, early, evidence, imported, patterns, people, rewriting, sections, training
from reports.charts import charts
from reports.contact_sheet import Sheet, contact_sheets
from reports.opening import opening
from reports.sentences import (
    FACES,
    declared,
    findings,
    looks_for_faces,
    main_classifier,
    one_person,
    picture_text,
    reference_title,
)
from reports.view import Picture, View, probe_names, records
from reports.words import Words, load_words

HERE = Path(__file__).parent
LIMIT = 3_000_000
"""Bytes of the whole file: it opens at once on a phone and passes as an attachment."""
RESERVE = 20_000
"""Bytes kept for what surrounds the rows of the contact sheets."""
ROW_MARKUP = 420
"""Bytes of HTML of one empty row of a contact sheet."""
SHEETS = 400
"""Probes with a contact sheet; with more, a page is no longer looked through."""
DEPENDING = (
    *("early", "rewriting", "overall", "disagreement", "amplification", "heterogeneity", "intersections"),
    *("comparison", "persons", "duplicates", "origins"),
)
"""Sections that are there only if the run has their table."""
ORDER = (
    *("asked", "rewriting", "early", "gaps", "shares", "findings", "overall", "trust", "disagreement"),
    *("comparison", "amplification", "heterogeneity", "intersections", "persons", "pictures", "missing", "duplicates"),
    *("origins", "method", "provenance"),
)
"""Sections from top to bottom."""
NOT_MEASURED = ("unclear", "no_person", "several_people")


def write_report(view: View, path: Path, *, images: bool = True, blur: bool = False, lang: str = "en") -> Path:
    """Write the report of a run and return its path.

    The file is at most 3 MB, refers to no other file or host, and forbids its reader's browser to load anything.

    Args:
        view: the run.
        path: where to write; replaced in one step if it exists.
        images: show contact sheets.
        blur: embed only a few dots of each picture, for reports that are passed on.
        lang: `en` or `de`.

    Raises:
        ReportError: if there is no such language.
    """
    return write_page(render(view, images=images, blur=blur, lang=lang), path)


def write_page(text: str, path: Path) -> Path:
    """Write a page, in one step if there is one at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def render(view: View, *, images: bool = True, blur: bool = False, lang: str = "en") -> str:
    """The report as text; see `write_report`."""
    words = load_words(lang)
    names = probe_names(view.probes)
    page = _page(view, words, names, images=images, blur=blur)
    bare = _fill(words, page, {"one": [], "apart": [], "shown": 0, "stored": 0, "unreadable": 0, "differing": {}})
    if not images:
        return bare
    budget = LIMIT - RESERVE - len(bare.encode())
    differing = disagreement.pictures(view, words, names, budget // 4, blur=blur)
    sheets = _sheets(view, words, names, budget - differing["bytes"], blur=blur)
    return _fill(words, page, {**sheets, "differing": differing})


def _page(view: View, words: Words, names: Mapping[str, str], *, images: bool, blur: bool) -> dict[str, Any]:
    """All of the page but the pictures."""
    found = findings(view)
    attribute, reference, claim = declared(view)
    run = view.run
    known = evidence.bases(view)
    page = {
        "run": run,
        "known": known.get((main_classifier(view), attribute), evidence.Basis()).name,
        "level": words.level(view.alpha),
        "alpha": words.number(view.alpha, 3 if view.alpha < 0.01 else 2),
        "alpha_percent": words.level(1 - view.alpha),
        "points": words.number(100 * view.delta),
        "kinds": evidence.kinds(words, known),
        "classified": not known or any(basis.kind != "people" for basis in known.values()),
        "ranked": "shrunk" in view.shares and bool(view.shares["shrunk"].notna().any()),
        "model": str((run.get("model") or {}).get("name", "")),
        "phantom": "phantom-world" in (run.get("references") or []),
        "attribute": words.name("attribute", attribute),
        "reference": reference_title(view, words, reference),
        "claim": words.name("claim", claim),
        "classifier": main_classifier(view),
        "attributes": [words.name("attribute", name) for name in view.questions],
        "made": (run.get("plan") or {}).get("seed") is not None,
        "ethnicity": "ethnicity" in view.questions,
        "gender": "gender" in view.questions,
        "asked": sum(sections.asked_by_probe(view).values()),
        "probes": records(view.probes),
        "listed": sections.LISTED,
        "sensitive": int(view.probes["sensitive"].sum()) if "sensitive" in view.probes else 0,
        "suite_card": view.suite_card,
        "classifier_cards": view.classifier_cards,
        "instruments": [
            words.plain("asked.people") if card.get("people") else name for name, card in view.classifier_cards.items()
        ],
        "reference_cards": view.reference_cards,
        "opening": opening(view, words, found, known),
        "early": early.section(view, words, names),
        "rewriting": rewriting.section(view, words, names),
        "training": training.section(view, words),
        "duplicates": imported.duplicates(view, words, names),
        "origins": imported.origins(view, words),
        "gaps": sections.gaps(view, words),
        "charts": charts(view, words, names),
        "findings": sections.finding_rows(view, words, found, names),
        "overall": evidence.overall(view, words),
        "these_images": evidence.these_images(view, words),
        "trust": evidence.trust(view, words, known),
        "disagreement": disagreement.section(view, words, names),
        "amplification": patterns.amplification(view, words),
        "heterogeneity": patterns.heterogeneity(view, words),
        "intersections": patterns.intersections(view, words, names),
        "comparison": patterns.comparison(view, words, names),
        "persons": people.section(view, words, names),
        "coverage": sections.coverage(view, words),
        "missing": sections.missing_tables(view, words, names),
        "provenance": sections.provenance(view),
        "references": {name: reference_title(view, words, name) for name in view.reference_cards},
        "images": images,
        "blur": blur,
    }
    return {**page, "order": [key for key in ORDER if _has(page, key)]}


def _has(page: Mapping[str, Any], key: str) -> bool:
    """Whether a section has anything to say. A run that stopped early has decisions in the place of gaps and tests."""
    if key in ("gaps", "findings"):
        return not page["early"]
    return key not in DEPENDING or bool(page[key])


def _sheets(view: View, words: Words, names: Mapping[str, str], budget: int, *, blur: bool) -> dict[str, Any]:
    """The contact sheets, probes of one person and the others apart, within `budget` bytes."""
    key = f"{main_classifier(view)}/{declared(view)[0]}"
    single = set(one_person(view, view.probes)["probe_id"])
    rows = {str(row["probe_id"]): row for row in records(view.probes)}
    order = sorted(rows, key=lambda probe_id: probe_id not in single)[:SHEETS]
    answers = [*view.questions.get(declared(view)[0], ()), *NOT_MEASURED]

    def text(picture: Picture) -> str:
        seen = dict.fromkeys(picture.labels.values())
        return picture_text(words, names.get(picture.probe_id, picture.probe_id), picture.index, seen)

    frames = len(order) * (len(answers) + 1) * ROW_MARKUP
    sheets = contact_sheets(
        order, view.pictures, answers, key, budget=max(0, budget - min(frames, budget // 3)), blur=blur, text=text
    )
    said_as = FACES if looks_for_faces(view, main_classifier(view)) else {}
    made = [_sheet(sheet, rows[sheet.probe_id], words, names, said_as) for sheet in sheets if sheet.stored]
    return {
        "one": [sheet for sheet in made if sheet["sheet"].probe_id in single],
        "apart": [sheet for sheet in made if sheet["sheet"].probe_id not in single],
        "shown": sum(sheet.shown for sheet in sheets),
        "stored": sum(sheet.stored for sheet in sheets),
        "unreadable": sum(sheet.unreadable for sheet in sheets),
        "probes": sum(sheet.shown > 0 for sheet in sheets),
        "all": len(rows),
    }


def _said(words: Words, answer: str, said_as: Mapping[str, str]) -> str:
    """The name of a row of a contact sheet: a class, what an instrument found instead, or nothing."""
    if answer in said_as:
        return words("missing." + said_as[answer])
    return words.name("class", answer) if answer else words("pictures.unlabelled")


def _sheet(
    sheet: Sheet, probe: Mapping[str, Any], words: Words, names: Mapping[str, str], said_as: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "sheet": sheet,
        "name": names.get(sheet.probe_id, sheet.probe_id),
        "text": str(probe.get("text", "")),
        "language": str(probe.get("language", "en")),
        "sensitive": bool(probe.get("sensitive", False)),
        "rows": [
            {
                "row": row,
                "name": _said(words, row.answer, said_as),
                "apart": not row.answer or row.answer in NOT_MEASURED,
            }
            for row in sheet.rows
        ],
    }


def _fill(words: Words, page: Mapping[str, Any], pictures: Mapping[str, Any]) -> str:
    return fill("report.html.j2", words, page=page, run=page["run"], pictures=pictures)


def fill(template: str, words: Words, **values: object) -> str:
    """A page from its template, with words, style and script in it."""
    script = _lean((HERE / "static" / "sort.js").read_text("utf-8"))  # as it will stand in the page: its hash counts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    style = (HERE / "static" / "report.css").read_text("utf-8")
    text = (
        _templates()
        .get_template(template)
        .render(w=words, script=Markup(script), style=Markup(style), script_digest=digest, **values)
    )
    return _lean(text) + "\n"


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _lean(text: str) -> str:
    """Lines without indentation, none of them empty."""
    return "\n".join(line for line in (line.strip() for line in text.split("\n")) if line)
