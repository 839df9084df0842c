"""The findings of a run in order of how telling they are, and the plain sentences that say them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports.view import View, records
from reports.words import Words

ALPHA = 0.05
LOSSES = ("refused", "failed", "no_person", "several_people", "unclear")
"""Ways to be lost, in the order in which they happen."""


@dataclass(frozen=True)
class Finding:
    """One probe, one attribute, one reference: the class that differs most, with its numbers from `shares.csv`."""

    classifier: str
    probe_id: str
    attribute: str
    answer: str
    reference: str
    """Empty where the reference has no such row."""
    count: int
    n: int
    share: float
    low: float
    high: float
    reference_share: float
    difference: float
    p_value: float
    p_adjusted: float
    primary: bool
    """True for the attribute and reference declared before the first image, as the first classifier labels them."""

    @property
    def significant(self) -> bool:
        """True if it differs by more than sampling error after adjustment for all tests."""
        return self.p_adjusted < ALPHA


@dataclass(frozen=True)
class Loss:
    """Images asked for with prompts of one person, and what became of them, for one classifier and attribute."""

    classifier: str
    attribute: str
    asked: int
    labelled: int
    lost: Mapping[str, int]
    """Way of being lost → images."""
    faces: bool = False
    """True if the classifier looks for faces: then no person means that no face was found."""


def main_classifier(view: View) -> str:
    """The first classifier of the run."""
    labelled = list(view.classifier_cards)
    first = [name for name in view.run.get("classifiers", {}) if name in labelled] or labelled
    return str(first[0]) if first else ""


def declared(view: View) -> tuple[str, str, str]:
    """Attribute, reference and claim declared before the first image; the first of each where none was named."""
    primary = view.run.get("primary") or {}
    references = [str(name) for name in view.run.get("references") or []]
    attribute = primary.get("attribute") or next(iter(view.questions), "")
    return (
        str(attribute),
        str(primary.get("reference") or next(iter(references), "")),
        str(primary.get("claim") or "list"),
    )


def classes_of(view: View, classifier: str, attribute: str) -> list[str]:
    """The classes of an attribute as this classifier asks it, in order."""
    for question in (view.run.get("classifiers", {}).get(classifier) or {}).get("questions", []):
        if question["attribute"] == attribute:
            return [str(name) for name in question["classes"]]
    return [str(name) for name in view.questions.get(attribute, ())]


def one_person(view: View, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table whose probes ask for one person."""
    if "people" not in view.probes:
        return table
    apart = view.probes.loc[view.probes["people"] != "one", "probe_id"]
    return table[~table["probe_id"].isin(apart)]


def findings(view: View) -> list[Finding]:
    """Every tested statement: significant ones first, then by size of the difference; untested ones last.

    With two classes the first is named, with more the one that differs most.
    """
    rows = one_person(view, view.shares).copy()
    if rows.empty:
        return []
    rows["reference"] = rows["reference"].fillna("").astype(str)
    asked = {pair: classes_of(view, *pair) for pair in set(zip(rows["classifier"], rows["attribute"], strict=True))}
    triples = list(zip(rows["classifier"], rows["attribute"], rows["class"], strict=True))
    place = {(*pair, name): i for pair, classes in asked.items() for i, name in enumerate(classes)}
    two = [len(asked[triple[:2]]) == 2 for triple in triples]
    rows["_place"] = [place.get(triple, 99) for triple in triples]
    rows["_size"] = rows["difference"].abs().fillna(-1.0)
    rows["_significant"] = rows["p_adjusted"] < ALPHA
    rows["_first"] = pd.Series(two, index=rows.index) & (rows["_place"] == 0)
    rows = rows.sort_values(
        ["_significant", "_size", "_place"], ascending=[False, False, True], kind="stable", ignore_index=True
    )
    keys = ["classifier", "probe_id", "attribute", "reference"]
    # Classes of a pair differ equally, so that their order in the whole is the same whichever of them is named.
    best = rows.sort_values("_first", ascending=False, kind="stable").drop_duplicates(keys).sort_index()
    best = best.sort_values(["_significant", "_size"], ascending=False, kind="stable")
    attribute, reference, _ = declared(view)
    declared_first = (main_classifier(view), attribute, reference)
    return [
        Finding(
            classifier=str(row["classifier"]),
            probe_id=str(row["probe_id"]),
            attribute=str(row["attribute"]),
            answer=str(row["class"]),
            reference=str(row["reference"]),
            count=int(row["count"]),
            n=int(row["n"]),
            share=float(row["share"]),
            low=float(row["share_low"]),
            high=float(row["share_high"]),
            reference_share=float(row["reference_share"]),
            difference=float(row["difference"]),
            p_value=float(row["p_value"]),
            p_adjusted=float(row["p_adjusted"]),
            primary=(row["classifier"], row["attribute"], row["reference"]) == declared_first,
        )
        for row in records(best)
    ]


def leading(found: Sequence[Finding], *, declared: int = 4, others: int = 3) -> list[Finding]:
    """The findings that open the report: the largest significant ones of what was declared, then the largest of every
    other attribute and reference. One of each subject direction is enough: a probe is named once an attribute."""
    chosen = [finding for finding in found if finding.primary and finding.significant][:declared]
    seen = {(finding.attribute, finding.reference) for finding in chosen}
    for finding in found:
        pair = (finding.attribute, finding.reference)
        if finding.significant and not finding.primary and pair not in seen and others:
            chosen.append(finding)
            seen.add(pair)
            others -= 1
    return chosen


def losses(view: View) -> list[Loss]:
    """What became of the images asked for with prompts of one person, by classifier and attribute."""
    rows = one_person(view, view.missing)
    found = []
    for (classifier, attribute), group in rows.groupby(["classifier", "attribute"], sort=False):
        totals = group[["asked", "labelled", *LOSSES]].sum()
        lost = {way: int(totals[way]) for way in LOSSES}
        faces = view.classifier_cards.get(str(classifier), {}).get("looks_for") == "faces"
        found.append(Loss(str(classifier), str(attribute), int(totals["asked"]), int(totals["labelled"]), lost, faces))
    return found


def finding_sentence(finding: Finding, view: View, words: Words, asked: int) -> Markup:
    """The finding in plain words, such as "Of 62 pictures asked for of a nurse, 60 could be labelled; 57 were
    perceived as a woman (86–98 % before label error)." and what the reference says."""
    row = next(iter(records(view.probes[view.probes["probe_id"] == finding.probe_id])), {})
    said = words(
        "lead.perceived",
        n=finding.count,
        subject=_asked_for(row, view.probes, words),
        asked=words.number(asked),
        labelled=words.number(finding.n),
        count=words.number(finding.count),
        answer=as_class(words, finding.answer),
        interval=words.interval(finding.low, finding.high),
    )
    return said + " " + reference_sentence(finding, view, words)


def reference_sentence(finding: Finding, view: View, words: Words) -> Markup:
    """What the reference says about the same class."""
    key = f"reference_says.{finding.reference}"
    share = words.percent(finding.reference_share)
    if key in words.entries:
        return words(key, share=share)
    return words("reference_says.other", reference=reference_title(view, words, finding.reference), share=share)


def reference_title(view: View, words: Words, reference: str) -> str:
    """The name of a reference: in this language where there is one, else the title of its card."""
    named = words.entries.get(f"reference.{reference}")
    return named or str(view.reference_cards.get(reference, {}).get("title") or reference)


def as_class(words: Words, answer: str) -> str:
    """`as a woman`, `as young`: how an answer is said after "perceived"."""
    return words.entries.get(f"as_class.{answer}") or words.plain("as_class_other", answer=words.name("class", answer))


def loss_sentences(loss: Loss, words: Words) -> Markup:
    """How many of the images asked for could not be labelled, and why."""
    lost = loss.asked - loss.labelled
    share = loss.labelled / loss.asked if loss.asked else 0.0
    said = words(
        "loss.labelled",
        asked=words.number(loss.asked),
        labelled=words.number(loss.labelled),
        share=words.percent(share),
        attribute=words.name("attribute", loss.attribute),
    )
    if not lost:
        return said + " " + words("loss.none")
    said_as = {"no_person": "no_face", "several_people": "several_faces"} if loss.faces else {}
    parts = [
        words(f"loss.{said_as.get(way, way)}", n=number, number=words.number(number))
        for way, number in loss.lost.items()
        if number
    ]
    reasons = Markup(", ").join(parts)
    return (
        said
        + " "
        + words("loss.missing", n=lost, number=words.number(lost), share=words.percent(1 - share), reasons=reasons)
    )


def picture_text(words: Words, name: str, index: int, labels: Iterable[str]) -> str:
    """The words for one picture in a contact sheet."""
    seen = ", ".join(words.name("class", label) for label in labels) or words.plain("pictures.unlabelled")
    return words.plain("pictures.alt", probe=name, number=index + 1, seen=seen)


def _asked_for(row: Mapping[str, Any], probes: pd.DataFrame, words: Words) -> str:
    """`of a nurse` where a subject has one English prompt that says so, else the prompt itself in quotes."""
    text, subject = str(row.get("text", "")), str(row.get("subject", "")).replace("_", " ")
    alone = (probes["subject"] == row.get("subject")).sum() == 1
    found = re.search(rf"\b(an?) {re.escape(subject)}\b", text, flags=re.I)
    if alone and found and words.lang == "en" and row.get("language", "en") == "en":
        return words.plain("lead.of", subject=f"{found[1].lower()} {subject}")
    shown = text if len(text) <= 160 else f"{text[:159]}…"
    return words.plain("lead.with", prompt=shown or str(row.get("probe_id", "")))
