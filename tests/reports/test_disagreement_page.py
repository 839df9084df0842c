"""The section about instruments that disagree: there with its tables, absent without them, with pictures in bounds."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest

from audit.agreements import AGREEMENT
from audit.classifiers.base import NOT_MEASURED
from audit.disagreement import DISAGREEMENTS, Group, confusion_table, spread_table
from probes.suite import Probe
from reports import disagreement
from reports.html import LIMIT, render
from reports.view import View, probe_names
from reports.words import load_words

Views: TypeAlias = Callable[..., View]
GENDER = ("woman", "man")
NAMES = ("phantom", "strict")


@pytest.fixture(scope="module")
def view(make_view: Views, make_probe: Callable[..., Probe]) -> View:
    """A run of two instruments of which the second says otherwise for every fifth picture; one probe is sensitive."""
    probes = [make_probe("nurse"), make_probe("judge"), make_probe("burglar", kind="attribute", sensitive=True)]
    made = make_view(probes, images=40, classifiers=NAMES)
    return replace(made, more={**made.more, **tables(made)})


def tables(view: View) -> dict[str, pd.DataFrame]:
    patterns: Counter[Any] = Counter()
    pictures = []
    for probe in view.probes["probe_id"]:
        for picture in view.pictures(probe):
            one = picture.labels["phantom/gender"]
            two = one if picture.index % 5 else {"woman": "man", "man": "unclear"}.get(one, one)
            patterns[one, two] += 1
            if one != two:
                pictures.append((picture, (one, two)))
    group = Group("gender", GENDER, NAMES, patterns)
    rows = [
        ("gender", number, patterns[way], f"{number:064x}", picture.probe_id, picture.index, name, answer)
        for number, (picture, way) in enumerate(pictures, 1)
        for name, answer in zip(NAMES, way, strict=True)
    ]
    shares = view.shares.assign(share=np.where(view.shares["classifier"] == "strict", 0.25, view.shares["share"]))
    agreement = [("gender", "phantom", "strict", 110, 0.81, 0.64, 0.63, 0.5, 0.75, "not_measurable")]
    return {
        "confusion": confusion_table([group]),
        "disagreements": pd.DataFrame(rows, columns=list(DISAGREEMENTS)),
        "spread": spread_table([group], shares, view.shares[:0]),
        "agreement": pd.DataFrame(agreement, columns=list(AGREEMENT)),
    }


def section(text: str) -> str:
    """The section as it stands in the page."""
    found = re.search(r'<section>\s*<h2 id="disagreement">.*?</section>', text, re.S)
    return found[0] if found else ""


def plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\u00a0", " ").split())


def test_a_run_without_the_tables_has_no_such_section(view: View) -> None:
    bare = replace(view, more={key: table for key, table in view.more.items() if key == "agreement"})
    empty = replace(
        bare, more={**bare.more, **{name: table[:0] for name, table in view.more.items() if name != "agreement"}}
    )
    text = render(bare)
    assert section(text) == ""
    assert render(empty) == text


@pytest.mark.parametrize("lang", ["en", "de"])
def test_it_says_how_often_how_far_and_on_which_pictures(view: View, lang: str) -> None:
    words = load_words(lang)
    text = section(render(view, lang=lang))
    said = plain(text)
    assert words.plain("disagreement.text") in said
    assert f"κ {words.number(0.64, 2)}" in said
    confusion = view.more["confusion"]
    total = int(confusion["count"].sum())
    same = confusion.loc[confusion["first_answer"] == confusion["second_answer"]]
    classes = confusion[~confusion[["first_answer", "second_answer"]].isin(NOT_MEASURED).any(axis=1)]
    both, alike = int(classes["count"].sum()), int(same[same["first_answer"].isin(GENDER)]["count"].sum())
    assert (
        plain(str(words("disagreement.classes", n=both, images=words.number(both), alike=words.number(alike)))) in said
    )
    assert plain(words.percent(same["count"].sum() / total)) in said
    assert f" {words.number(total)} " in said
    row = confusion[(confusion["first_answer"] == "woman") & (confusion["second_answer"] == "man")].iloc[0]
    assert f'title="{row["count"]}">{words.percent(row["share"])}</td>' in text
    spread = view.more["spread"]
    widest = spread[spread["class"] == "woman"].sort_values("spread").iloc[-1]
    assert f'<td class="num chief">{words.number(100 * widest["spread"])}</td>' in text
    assert words.percent(widest["highest"]) in text
    assert words.plain("disagreement.people") not in said


def test_pictures_with_the_same_answers_stand_together(view: View) -> None:
    text = section(render(view))
    shown = text.count("<img ")
    chosen = view.more["disagreements"].drop_duplicates("picture").head(disagreement.PICTURES)
    assert shown == len(chosen) > 5
    for _, rows in view.more["disagreements"].groupby("images"):
        answers = [f"{row.instrument}: {row.answer}" for row in rows.head(2).itertuples()]
        assert "<br>".join(answers) in text
    folded = "".join(re.findall(r"<details>.*?</details>", text, re.S))
    assert folded.count("<img ") == (chosen["probe_id"] == "burglar.en.portrait").sum() > 0


def test_pictures_are_left_out_blurred_or_fewer(view: View) -> None:
    names, words = probe_names(view.probes), load_words("en")
    without = render(view, images=False)
    assert "<img" not in without
    assert section(without)
    sharp = disagreement.pictures(view, words, names, 10**6, blur=False)
    blurred = disagreement.pictures(view, words, names, 10**6, blur=True)
    assert sharp["shown"] == blurred["shown"]
    assert blurred["bytes"] < sharp["bytes"]
    sources = [
        {thumb.source for group in each["groups"] for line in group["lines"] for thumb in line["thumbs"]}
        for each in (sharp, blurred)
    ]
    assert not sources[0] & sources[1]
    for budget in (0, 3_000, sharp["bytes"] // 2):
        few = disagreement.pictures(view, words, names, budget, blur=False)
        assert few["bytes"] <= budget
        assert few["shown"] < sharp["shown"]
    assert len(render(view).encode()) <= LIMIT


def test_a_picture_that_is_gone_is_passed_over(view: View) -> None:
    names, words = probe_names(view.probes), load_words("en")
    whole = disagreement.pictures(view, words, names, 10**6, blur=False)["shown"]
    table = view.more["disagreements"]
    first = table.iloc[0]

    def left(probe: str) -> list[Any]:
        return [p for p in view.pictures(probe) if (p.probe_id, p.index) != (first["probe_id"], first["index"])]

    few = replace(view, pictures=left)
    assert disagreement.pictures(few, words, names, 10**6, blur=False)["shown"] == whole - 1


def test_a_spread_that_was_compared_with_nothing(view: View) -> None:
    spread = view.more["spread"].assign(conclusions=np.nan, conclusion_robust=np.nan, reference=np.nan)
    text = section(render(replace(view, more={**view.more, "spread": spread})))
    assert load_words("en").plain("disagreement.spread") in text
    assert "all come to the same conclusion" not in text


def test_people_are_no_truth_either(view: View) -> None:
    confusion = view.more["confusion"].replace({"first": {"phantom": "people"}})
    agreement = view.more["agreement"].replace({"first": {"phantom": "people"}})
    of_people = replace(view, more={"confusion": confusion, "agreement": agreement})
    text = section(render(of_people))
    assert "People’s labels are perceptions too" in plain(text)
    assert 'class="heat"' not in text  # the section before has it
    assert "people and strict gave the same answer" in plain(text)
    seen = replace(
        view, classifier_cards={**view.classifier_cards, "strict": {"people": True}, "phantom": {"looks_for": "faces"}}
    )
    said = plain(section(render(seen)))
    assert "People’s labels are perceptions too" in said
    assert "phantom looks for faces" in said


def test_nothing_in_a_table_becomes_markup(view: View) -> None:
    evil = "<script>alert(1)</script>"
    more = {name: table.replace({"strict": evil, "man": evil}) for name, table in view.more.items()}
    assert evil not in section(render(replace(view, more=more)))
