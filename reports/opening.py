"""The sentences that open a report: the most telling findings, what stays open, the gap, the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.early import Stop, stop_sentence, stops, summary
from reports.evidence import Basis, errs_unalike
from reports.sentences import (
    TELLING,
    Finding,
    Loss,
    declared,
    finding_sentence,
    leading,
    loss_sentences,
    losses,
    main_classifier,
    reference_title,
)
from reports.view import View, records, widened
from reports.words import Words

STOPS = 4
"""Early decisions named in the opening."""
NOTHING_SAID = 0.005
"""A corrected gap whose interval is as near as this to 0 and to 1 is said to be open."""


def opening(
    view: View, words: Words, found: Sequence[Finding], known: Mapping[tuple[str, str], Basis]
) -> dict[str, Any]:
    """What stands on top of the page."""
    classifier, attribute = main_classifier(view), declared(view)[0]
    lost = sorted(losses(view), key=lambda loss: (loss.classifier != classifier, loss.attribute != attribute))
    early = stops(view)
    first = _early(view, words, early, known) if early else _fixed(view, words, found, known)
    return {
        **first,
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


def _fixed(
    view: View, words: Words, found: Sequence[Finding], known: Mapping[tuple[str, str], Basis]
) -> dict[str, Any]:
    """A run with a fixed number of images: findings, what is not settled, the gap."""
    rows = view.missing.drop_duplicates("probe_id")
    asked = dict(zip(rows["probe_id"], rows["asked"], strict=True))
    sentences = [
        {
            "text": finding_sentence(
                finding,
                view,
                words,
                int(asked.get(finding.probe_id, finding.n)),
                known.get((finding.classifier, finding.attribute), Basis()),
            ),
            "primary": finding.primary,
        }
        for finding in leading(found)
    ]
    attribute, reference, _ = declared(view)
    return {
        "sentences": sentences,
        "remarks": _remarks(
            [finding for finding in found if finding.primary and finding.conclusion],
            words,
            attribute=words.name("attribute", attribute),
            reference=reference_title(view, words, reference),
            points=words.number(100 * view.delta),
        ),
        "gap": _gap(view, words),
    }


def _remarks(tested: Sequence[Finding], words: Words, **names: str) -> list[Markup]:
    """What the declared comparisons come to where few of them, or none, show a difference."""
    number = {
        each: sum(finding.conclusion == each for finding in tested) for each in (*TELLING, "close", "inconclusive")
    }
    said = []
    if not tested:
        said.append(words("lead.untested", **names))
    elif not number["higher"] + number["lower"]:
        said.append(words("lead.none", number=words.number(len(tested)), **names))
    for key in ("close", "inconclusive"):
        if 2 * number[key] > len(tested):
            said.append(
                words(
                    f"lead.{key}",
                    n=number[key],
                    images=words.number(median(finding.n for finding in tested)),
                    number=words.number(number[key]),
                    all=words.number(len(tested)),
                    **names,
                )
            )
    return said


def _gap(view: View, words: Words) -> Markup | None:
    """The sentence about the declared gap."""
    attribute, reference, claim = declared(view)
    classifier = main_classifier(view)
    for row in records(widened(view.gaps)):
        if (row["classifier"], row["attribute"], row["reference"], row["claim"]) != (
            classifier,
            attribute,
            reference,
            claim,
        ) or pd.isna(row["gap"]):
            continue
        said = words(
            "lead.gap",
            attribute=words.name("attribute", attribute),
            reference=reference_title(view, words, reference),
            gap=words.number(row["gap"], 2),
            low=words.number(row["gap_low"], 2),
            high=words.number(row["gap_high"], 2),
        )
        if pd.notna(row["gap_corrected"]):
            open_ended = row["gap_corrected_low"] <= NOTHING_SAID and row["gap_corrected_high"] >= 1 - NOTHING_SAID
            said += " " + words(
                "lead.gap_open" if open_ended else "lead.gap_corrected",
                gap=words.number(row["gap_corrected"], 2),
                interval=words.span(row["gap_corrected_low"], row["gap_corrected_high"]),
            )
            if errs_unalike(view, classifier, attribute):
                said += " " + words("lead.errors_differ", section=words.plain("section.trust"))
        return said
    return None


def _early(view: View, words: Words, early: Sequence[Stop], known: Mapping[tuple[str, str], Basis]) -> dict[str, Any]:
    """A run whose probes stopped when they were decided."""
    first = [stop for stop in early if stop.primary]
    differing = [stop for stop in first if stop.decided == "differs"]
    return {
        "sentences": [
            {
                "text": stop_sentence(stop, view, words, known.get((stop.classifier, stop.attribute), Basis())),
                "primary": True,
            }
            for stop in differing[:STOPS]
        ],
        "remarks": [summary(view, words, first)],
        "gap": None,
    }
