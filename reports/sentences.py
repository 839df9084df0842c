"""The findings of a run in order of how telling they are, and the plain sentences that say them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from reports.evidence import Basis
from reports.view import View, probe_names, records, widened
from reports.words import Words

TELLING = ("higher", "lower")
"""Conclusions that claim a difference."""
FIGURES = (
    *("share", "reference_share", "difference", "p_value", "p_adjusted"),
    *("corrected", "corrected_low", "corrected_high", "band_low", "band_high"),
)
"""Figures that a finding takes from `shares.csv` under the same name."""
LOSSES = ("refused", "failed", "no_person", "several_people", "unclear")
FACES = {"no_person": "no_face", "several_people": "several_faces"}
"""What these answers mean where a classifier looks for faces."""
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
    conclusion: str
    """`higher`, `lower`, `close`, `inconclusive`; empty where nothing was tested."""
    corrected: float = float("nan")
    """The share with people's labels taken into account; NaN where there are none."""
    corrected_low: float = float("nan")
    corrected_high: float = float("nan")
    band_low: float = float("nan")
    """What declared error rates leave possible; NaN where there are none."""
    band_high: float = float("nan")

    @property
    def telling(self) -> bool:
        """True if the share may be called higher or lower than the reference."""
        return self.conclusion in TELLING

    @property
    def size(self) -> float:
        """How far the share is from the reference: the corrected one where there is one."""
        corrected = abs(self.corrected - self.reference_share)
        return abs(self.difference) if pd.isna(corrected) else corrected


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


def looks_for_faces(view: View, classifier: str) -> bool:
    """Whether a classifier looks for faces: then it does not say that nobody is there, only that it found no face."""
    return view.classifier_cards.get(classifier, {}).get("looks_for") == "faces"


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
    """A row for every probe, attribute and reference: those with a difference first, then by its size.

    With two classes the first is named; with more one that differs, else one that is not settled, the largest of them.
    """
    rows = widened(one_person(view, view.shares))
    if rows.empty:
        return []
    rows["reference"] = rows["reference"].fillna("").astype(str)
    rows["conclusion"] = conclusions(rows, view.alpha)
    asked = {pair: classes_of(view, *pair) for pair in set(zip(rows["classifier"], rows["attribute"], strict=True))}
    triples = list(zip(rows["classifier"], rows["attribute"], rows["class"], strict=True))
    place = {(*pair, name): i for pair, classes in asked.items() for i, name in enumerate(classes)}
    two = [len(asked[triple[:2]]) == 2 for triple in triples]
    rows["_place"] = [place.get(triple, 99) for triple in triples]
    rows["_size"] = distance(rows).fillna(-1.0)
    rows["_rank"] = rows["conclusion"].map({"higher": 0, "lower": 0, "inconclusive": 1, "close": 2}).fillna(3)
    rows["_first"] = pd.Series(two, index=rows.index) & (rows["_place"] == 0)
    rows = rows.sort_values(
        ["_rank", "_size", "_place"], ascending=[True, False, True], kind="stable", ignore_index=True
    )
    keys = ["classifier", "probe_id", "attribute", "reference"]
    # Classes of a pair differ equally, so that their order in the whole is the same whichever of them is named.
    best = rows.sort_values("_first", ascending=False, kind="stable").drop_duplicates(keys).sort_index()
    best["_telling"] = best["conclusion"].isin(TELLING)
    best = best.sort_values(["_telling", "_size"], ascending=False, kind="stable")
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
            low=float(row["share_low"]),
            high=float(row["share_high"]),
            primary=row["status"] == "declared"
            or (not row["status"] and (row["classifier"], row["attribute"], row["reference"]) == declared_first),
            conclusion=str(row["conclusion"]),
            **{name: float(row[name]) for name in FIGURES},
        )
        for row in records(best)
    ]


def distance(rows: pd.DataFrame) -> pd.Series[float]:
    """How far shares are from their reference: the corrected ones where there are any, else as labelled."""
    return (rows["corrected"] - rows["reference_share"]).abs().fillna(rows["difference"].abs())


def conclusions(rows: pd.DataFrame, alpha: float) -> pd.Series[str]:
    """The conclusions of the table; those of runs that have none follow from the adjusted p-values."""
    if rows["conclusion"].ne("").any():
        return rows["conclusion"]
    found = rows["difference"].gt(0).map({True: "higher", False: "lower"})
    found = found.where(rows["p_adjusted"] < alpha, "inconclusive")
    return found.where(rows["p_adjusted"].notna(), "")


def leading(found: Sequence[Finding], *, declared: int = 4, others: int = 3) -> list[Finding]:
    """The findings that open the report: the largest differences of what was declared, then the largest of every other
    attribute and reference. One of each subject direction is enough: a probe is named once an attribute."""
    chosen = [finding for finding in found if finding.primary and finding.telling][:declared]
    seen = {(finding.attribute, finding.reference) for finding in chosen}
    for finding in found:
        pair = (finding.attribute, finding.reference)
        if finding.telling and not finding.primary and pair not in seen and others:
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
        faces = looks_for_faces(view, str(classifier))
        found.append(Loss(str(classifier), str(attribute), int(totals["asked"]), int(totals["labelled"]), lost, faces))
    return found


def finding_sentence(finding: Finding, view: View, words: Words, asked: int, basis: Basis) -> Markup:
    """The finding in plain words, such as "Of 62 pictures asked for of a nurse, 60 could be labelled; 57 were
    perceived as a woman (86–98 % before label error)." and what the reference says."""
    said = words(
        "lead.perceived_people" if basis.kind == "people" else "lead.perceived",
        n=finding.count,
        subject=asked_for(finding.probe_id, view, words),
        asked=words.number(asked),
        labelled=words.number(finding.n),
        count=words.number(finding.count),
        answer=as_class(words, finding.answer),
        trust=trust_phrase(finding, words, basis),
    )
    return said + " " + reference_sentence(finding.reference, finding.reference_share, view, words)


def trust_phrase(finding: Finding, words: Words, basis: Basis) -> Markup:
    """What follows a share in a sentence: its interval, and what is known of label error."""
    share, interval = words.percent(finding.share), words.interval(finding.low, finding.high)
    if basis.kind == "people":
        return words("lead.people", interval=interval)
    if not pd.isna(finding.corrected):
        return words(
            "lead.corrected" if basis.own else "lead.corrected_elsewhere",
            share=share,
            labels=words.number(basis.labels),
            corrected=words.percent(finding.corrected),
            interval=words.interval(finding.corrected_low, finding.corrected_high),
        )
    if not pd.isna(finding.band_low):
        return words("lead.band", share=share, interval=words.interval(finding.band_low, finding.band_high))
    return words("lead.before", interval=interval)


def reference_sentence(reference: str, share: float, view: View, words: Words) -> Markup:
    """What a reference says about the same class."""
    key = f"reference_says.{reference}"
    said = words.percent(share)
    if key in words.entries:
        return words(key, share=said)
    return words("reference_says.other", reference=reference_title(view, words, reference), share=said)


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
    said_as = FACES if loss.faces else {}
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


def asked_for(probe_id: str, view: View, words: Words) -> str:
    """`of a nurse` where a subject has one English prompt that says so, else the prompt itself in quotes."""
    probes = view.probes
    row = next(iter(records(probes[probes["probe_id"] == probe_id])), {})
    text, subject = str(row.get("text", "")), str(row.get("subject", "")).replace("_", " ")
    alone = (probes["subject"] == row.get("subject")).sum() == 1
    found = re.search(rf"\b(an?) {re.escape(subject)}\b", text, flags=re.I)
    if alone and found and words.lang == "en" and row.get("language", "en") == "en":
        return words.plain("lead.of", subject=f"{found[1].lower()} {subject}")
    shown = text if len(text) <= 160 else f"{text[:159]}…"
    if not shown:
        return words.plain("lead.filed", name=probe_names(probes)[probe_id])
    return words.plain("lead.with", prompt=shown)
