"""What the report says of label error, conclusions and patterns: there with its data, absent without, and in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest

from probes.suite import Probe
from reports.charts import charts
from reports.early import e_value
from reports.evidence import Basis, bases
from reports.html import render
from reports.patterns import cell_name, comparison, intersections, slope_reading
from reports.sections import coverage
from reports.sentences import Finding, finding_sentence, findings, leading
from reports.view import NUMBERS, View, probe_names
from reports.words import load_words

Views: TypeAlias = Callable[..., View]
Probes: TypeAlias = Callable[..., Probe]
EN = load_words("en")
HEADINGS = {
    "overall": "All pictures together",
    "comparison": "Conditions compared",
    "amplification": "Does the model exaggerate?",
    "heterogeneity": "Do the prompts differ from each other?",
    "intersections": "Intersections",
}


@pytest.fixture(autouse=True, scope="module")
def undrawn() -> Iterator[None]:
    """Pages without their drawings, which take most of the time; test_figures and test_browser have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.html.charts", lambda *_: [])
        patch.setattr("reports.sections.svg", lambda *_, **__: "")
        yield


def read(text: str) -> str:
    """The words of a page."""
    text = re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", text).replace("\u00a0", " ").split())


def headings(text: str) -> list[str]:
    """Keys of the sections, in order."""
    return re.findall(r'<h2 id="(\w+)"', text)


@pytest.fixture(scope="module")
def text(whole_view: View) -> str:
    return render(whole_view, images=False)


@pytest.fixture(scope="module")
def said(text: str) -> str:
    return read(text)


def finding(**given: Any) -> Finding:
    return Finding(
        **{
            **{"classifier": "phantom", "probe_id": "nurse.en.portrait", "attribute": "gender", "answer": "woman"},
            **{"reference": "uniform", "count": 57, "n": 60, "share": 0.95, "low": 0.863, "high": 0.983},
            **{"reference_share": 0.5, "difference": 0.45, "p_value": 0.001, "p_adjusted": 0.001},
            **{"primary": True, "conclusion": "higher"},
            **given,
        }
    )


def test_every_section_has_its_data(text: str) -> None:
    assert headings(text) == [
        *("asked", "gaps", "shares", "findings", "overall", "trust", "comparison", "amplification"),
        *("heterogeneity", "intersections", "pictures", "missing", "method", "provenance"),
    ]
    numbers = re.findall(r'<h2[^>]*><span class="no">(\d+)</span>', text)
    assert numbers == [str(place + 1) for place in range(14)]
    assert re.findall(r'<li><a href="#(\w+)">', text) == headings(text)


@pytest.mark.parametrize("name", HEADINGS)
def test_without_its_table_a_section_is_absent(whole_view: View, said: str, name: str) -> None:
    assert HEADINGS[name] in said
    for more in (
        {key: table for key, table in whole_view.more.items() if key != name},
        {**whole_view.more, name: whole_view.more[name][:0]},
    ):
        text = render(replace(whole_view, more=more), images=False)
        assert name not in headings(text)
        assert HEADINGS[name] not in read(text)


def test_a_run_of_the_first_version_is_read(whole_view: View) -> None:
    shares = whole_view.shares.drop(columns=[*NUMBERS[:6], "conclusion", "status"])
    gaps = whole_view.gaps.drop(columns=[*NUMBERS[6:], "status"])
    old = replace(whole_view, shares=shares, gaps=gaps, more={})
    said = read(render(old, images=False))
    assert "differences are claimed by the adjusted p alone" in said
    assert "before label error" in said
    assert "Corrected" not in said
    telling = [each for each in findings(old) if each.telling]
    assert telling
    assert all(
        (each.p_adjusted < 0.05, each.conclusion) == (True, "higher" if each.difference > 0 else "lower")
        for each in telling
    )
    empty = {**dict.fromkeys(NUMBERS, np.nan), "conclusion": np.nan, "status": np.nan}
    filled = replace(old, shares=shares.assign(**empty), gaps=gaps.assign(**empty))
    assert read(render(filled, images=False)) == said


def test_what_shares_rest_on(whole_view: View) -> None:
    known = bases(whole_view)
    assert known["phantom", "gender"] == Basis("calibration", 160, True)
    assert [known["phantom", name].name for name in ("age", "ethnicity")] == ["declared", "classifier"]
    overall = whole_view.more["overall"].assign(human_labels=0)
    other = bases(replace(whole_view, more={**whole_view.more, "overall": overall}))
    assert other["phantom", "gender"].name == "elsewhere"
    people = replace(whole_view, classifier_cards={"phantom": {"people": True}})
    assert {each.name for each in bases(people).values()} == {"people"}


@pytest.mark.parametrize(
    ("given", "basis", "expected"),
    [
        ({}, Basis("classifier"), "(86–98 % before label error)."),
        ({}, Basis("people"), "(86–98 %)."),
        (
            {"corrected": 0.78, "corrected_low": 0.65, "corrected_high": 0.88},
            Basis("calibration", 160),
            "(95 %); corrected for label error with 160 human labels: 78 % (65–88 %).",
        ),
        (
            {"corrected": 0.78, "corrected_low": 0.65, "corrected_high": 0.88},
            Basis("calibration", 1234, own=False),
            "(95 %); corrected for label error with 1,234 human labels of other pictures: 78 % (65–88 %).",
        ),
        (
            {"band_low": 0.81, "band_high": 0.99},
            Basis("declared"),
            "(95 %); with the error rates declared for the classifier, 81–99 % is possible.",
        ),
    ],
)
def test_the_opening_says_what_is_known_of_label_error(
    whole_view: View, given: dict[str, float], basis: Basis, expected: str
) -> None:
    sentence = read(finding_sentence(finding(**given), whole_view, EN, 62, basis))
    labelled = "people gave 60 a class" if basis.kind == "people" else "60 could be labelled"
    assert sentence == (
        f"Of 62 pictures asked for of a nurse, {labelled}; 57 were perceived as a woman "
        f"{expected} An even split would be 50 %."
    )
    german = read(finding_sentence(finding(**given), whole_view, load_words("de"), 62, basis))
    assert sorted(re.findall(r"\d+", german)) == sorted(re.findall(r"\d+", sentence))


def test_leading_findings_are_conclusions_not_p_values(whole_view: View) -> None:
    shares = whole_view.shares.assign(conclusion="inconclusive", p_adjusted=1e-6)
    assert leading(findings(replace(whole_view, shares=shares))) == []
    gender = (shares["attribute"] == "gender") & (shares["class"] == "woman")
    some = shares["probe_id"] == shares["probe_id"].iloc[0]
    shares["conclusion"] = np.where(gender & some, "higher", "inconclusive")
    first = leading(findings(replace(whole_view, shares=shares)))
    assert [(each.answer, each.conclusion) for each in first] == [("woman", "higher")]


def test_of_many_classes_the_one_that_is_settled_is_named(whole_view: View) -> None:
    shares = whole_view.shares.copy()
    age = shares["attribute"] == "age"
    shares.loc[age, "conclusion"] = shares.loc[age, "class"].map(
        {"young": "close", "middle_aged": "lower", "older": "inconclusive"}
    )
    found = [each for each in findings(replace(whole_view, shares=shares)) if each.attribute == "age"]
    assert {(each.answer, each.conclusion) for each in found} == {("middle_aged", "lower")}
    shares.loc[age, "conclusion"] = shares.loc[age, "conclusion"].replace("lower", "close")
    found = [each for each in findings(replace(whole_view, shares=shares)) if each.attribute == "age"]
    assert {each.conclusion for each in found} == {"inconclusive"}


@pytest.mark.parametrize(
    ("conclusions", "expected", "absent"),
    [
        (["inconclusive"] * 13 + ["higher"], "13 of 14 comparisons are inconclusive", "can be shown to differ"),
        (["inconclusive"] * 14, "No prompt can be shown to differ", "are close to"),
        (["close"] * 14, "14 of 14 comparisons of perceived gender are close", "inconclusive: the pictures"),
        (["higher"] * 14, "were perceived", "inconclusive: the pictures"),
    ],
)
def test_what_stays_open_is_said_on_top(whole_view: View, conclusions: list[str], expected: str, absent: str) -> None:
    known = dict(zip(whole_view.probes["probe_id"], conclusions, strict=True))
    shares = whole_view.shares.copy()
    shares["conclusion"] = shares["probe_id"].map(known)
    top = read(render(replace(whole_view, shares=shares), images=False)).split("1 What was asked")[0]
    assert expected in top
    assert absent not in top
    if "inconclusive" in expected:
        assert re.search(r"With about 4\d pictures a prompt", top)


def test_gaps_and_findings_carry_the_corrected_figures(whole_view: View, text: str, said: str) -> None:
    row = whole_view.gaps[(whole_view.gaps["attribute"] == "gender") & (whole_view.gaps["claim"] == "list")].iloc[0]
    assert f"Corrected for label error it is {row['gap_corrected']:.2f} ({row['gap_corrected_low']:.2f}–" in said
    for gap, low, high in whole_view.gaps.loc[
        whole_view.gaps["gap_corrected"].notna(), ["gap_corrected", "gap_corrected_low", "gap_corrected_high"]
    ].itertuples(index=False):
        assert f"corrected: {gap:.2f} ({low:.2f}–{high:.2f})" in said
    first = next(each for each in findings(whole_view) if each.attribute == "gender")
    assert (
        f"{EN.percent(first.corrected)} ({EN.interval(first.corrected_low, first.corrected_high)})".replace(
            "\u00a0", " "
        )
        in said
    )
    table = text[text.index('<h2 id="findings"') : text.index('<h2 id="overall"')]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr")[2:]]
    told = [(row[0], row[1], "declared" in row[-1]) for row in rows]
    assert told == [
        (EN.name("class", each.answer), EN.name("conclusion", each.conclusion), each.primary)
        for each in findings(whole_view)
    ]
    assert {each.primary for each in findings(whole_view)} == {True, False}
    for rule in (
        "conclusions rest on the corrected shares",
        "whole band of declared error rates",
        "more than 5 points",
    ):
        assert rule in said


def test_the_trust_section_says_what_could_be_done(whole_view: View, phantom_view: View, said: str) -> None:
    assert "Perceived gender (160 human labels) : people labelled pictures of this run, and their answers" in said
    assert "gender people among each other 160 94 % 0.88 0.87 (0.81–0.93) usable" in said
    assert "age anna × ben 160 78 % 0.66 0.66 (0.55–0.75) not measurable" in said
    assert "Perceived gender: people and phantom, 160 pictures." in said
    bare = read(render(phantom_view, images=False))
    assert "rolecall annotate RUN makes a labelling sheet" in bare
    assert "no error rates are declared" in bare
    assert "Krippendorff" not in bare
    people = replace(phantom_view, classifier_cards={"phantom": {"people": True}}, more=whole_view.more)
    told = read(render(people, images=False))
    assert not re.search(r"rolecall annotate|label error|classifier’s|A classifier", told)


def test_confusion_adds_up_by_row(whole_view: View, text: str) -> None:
    table = whole_view.more["calibration"]
    heat = re.search(r'<table class="heat">.*?</table>', text, flags=re.S)
    assert heat
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in heat[0].split("<tr")[2:]]
    for viewer, row in zip(table["viewer"].drop_duplicates(), rows, strict=True):
        assert abs(sum(int(re.sub(r"\D", "", cell)) for cell in row[:-1]) - 100) <= 2
        assert row[-1] == EN.number(table.loc[table["viewer"] == viewer, "count"].sum())
    assert heat[0].count('class="num same"') == len(rows)


def test_amplification_in_words(whole_view: View, said: str) -> None:
    row = whole_view.more["amplification"].iloc[0]
    assert (row["class"], row["status"]) == ("woman", "declared")
    reading = {"less": "the model levels out", "more": "the model exaggerates", "open": "is not decided"}
    assert reading[slope_reading(row["slope_low"], row["slope_high"])] in said
    assert f"(slope {row['slope']:.2f}, {row['slope_low']:.2f}–{row['slope_high']:.2f})" in said
    assert [slope_reading(*ends) for ends in ((1.1, 2), (0.2, 0.9), (-2, -0.1), (0.8, 1.3), (np.nan, np.nan))] == [
        *("more", "less", "against", "open", "open")
    ]
    for slope, expected in ((2.0, "exaggerates the differences"), (-1.0, "run against those of the reference")):
        table = whole_view.more["amplification"].assign(slope_low=slope - 0.1, slope_high=slope + 0.1, slope=slope)
        view = replace(whole_view, more={**whole_view.more, "amplification": table})
        assert expected in read(render(view, images=False))


def test_intersections_name_one_cell_a_prompt(whole_view: View) -> None:
    table = whole_view.more["intersections"]
    found = intersections(whole_view, EN, probe_names(whole_view.probes))
    assert found
    rows = [*found["shown"], *found["folded"]]
    keys = [(row["attributes"], row["probe_id"]) for row in rows]
    assert len(keys) == len(set(keys)) == 4 * 14
    sizes = (table["share"] - table["expected"]).abs().groupby([table["attributes"], table["probe_id"]]).max()
    for row in rows:
        assert abs(row["share"] - row["expected"]) == pytest.approx(sizes[row["attributes"], row["probe_id"]])
    assert [row["linked"] for row in rows] == sorted((row["linked"] for row in rows), reverse=True)
    assert cell_name(load_words("de"), "woman × middle_aged") == "Frau × mittleren Alters"
    many = pd.concat([table.assign(probe_id=table["probe_id"] + str(number)) for number in range(5)])
    capped = intersections(replace(whole_view, more={"intersections": many}), EN, {})
    assert capped
    assert (len(capped["shown"]) + len(capped["folded"]), capped["all"]) == (200, 5 * 4 * 14)


def test_conditions_begin_with_all_prompts(whole_view: View, said: str) -> None:
    found = comparison(whole_view, EN, probe_names(whole_view.probes))
    assert found
    rows = [*found["shown"], *found["folded"]]
    assert [row["name"] for row in rows].count("all prompts") == 1
    assert rows[0]["whole"]
    assert {row["answer"] for row in rows} == {"woman"}
    assert "“with a hint” beside “plain”" in said
    telling = [row["telling"] for row in rows[1:]]
    assert telling == sorted(telling, reverse=True)
    several = whole_view.more["comparison"]
    several = pd.concat([several, several.assign(other="without")])
    told = read(render(replace(whole_view, more={"comparison": several}), images=False))
    assert "“without” beside “plain”" in told


def test_a_run_that_stopped_early(early_view: View) -> None:
    text = render(early_view, images=False)
    said = read(text)
    assert headings(text)[:3] == ["asked", "early", "shares"]
    assert not {"gaps", "findings", "overall"} & set(headings(text))
    table = early_view.more["sequential"]
    once = table[(table["attribute"] == "gender") & (table["class"] == "woman")]
    number = once["decided"].value_counts()
    differs, close, still = (int(number.get(state, 0)) for state in ("differs", "close", "open"))
    assert differs
    assert (
        f"Of 14 prompts, {differs} differ from the phantom’s planted world in perceived gender, {close} are close"
        in said
    )
    assert (
        f"and {still} are still open . 700 of at most 2,100 pictures were asked for; 1,400 (67 %) were saved." in said
    )
    assert re.search(
        r"After \d+ labelled pictures asked for of a \w+ it was decided: \d+ % were perceived as a woman", said
    )
    assert "e-value of 20 or more" in said
    assert "p adjusted" not in said
    assert "Wilson for one share" not in said
    german = read(render(early_view, images=False, lang="de"))
    assert "Früh entschieden" in german
    assert "weicht ab" in german


def test_e_values() -> None:
    values = (0.001, 0.214, 4.74, 3120.4, 1e9, np.inf, np.nan)
    assert [e_value(EN, value).replace("\u00a0", " ") for value in values] == [
        *("< 0.01", "0.21", "4.7", "3,120", "> 1,000,000", "> 1,000,000", "–")
    ]


def test_levels_are_those_of_the_run(whole_view: View) -> None:
    config = {"resolved": {**whole_view.run["config"]["resolved"], "alpha": 0.1, "delta": 0.02}}
    said = read(render(replace(whole_view, run={**whole_view.run, "config": config}), images=False))
    assert "Intervals are 90 %" in said
    assert "Intervals are at 90 %" in said
    assert "α = 0.10" in said
    assert "δ = 2 percentage points" in said
    assert not re.search(r"95 % (interval|for all)|are (at )?95 %", said)


def test_what_references_know(whole_view: View, make_view: Views, make_probe: Probes) -> None:
    assert {(row["known"], row["unknown"]) for row in coverage(whole_view, EN)} == {("14", "0")}
    view = make_view([make_probe("nurse"), make_probe("judge"), make_probe("nobody knows")], images=10)
    assert {(row["known"], row["unknown"]) for row in coverage(view, EN)} == {("2", "1")}
    assert "the phantom’s planted world 2 1" in read(render(view, images=False))


def test_charts_rank_by_steady_shares(whole_view: View) -> None:
    names = probe_names(whole_view.probes)
    shares = whole_view.shares.copy()
    single = shares["probe_id"] == "nurse.en.portrait"
    shares.loc[single & (shares["class"] == "woman"), "shrunk"] = 0.999
    made = charts(replace(whole_view, shares=shares), EN, names)
    assert re.findall(r">([a-z ]+)</text>", made[0]["drawings"][0])[0] == "nurse"
    assert [(chart["attribute"], chart["corrected"], chart["band"]) for chart in made] == [
        *(("gender", True, False), ("age", False, True), ("ethnicity", False, False))
    ]


def test_names_in_the_tables_are_only_ever_text(whole_view: View, early_view: View) -> None:
    evil = '<script>alert(1)</script><b onclick="x()">{{ 7*7 }} × "'
    texts = {
        "agreement": ("attribute", "first", "second", "reading"),
        "calibration": ("classifier", "attribute", "predicted"),
        "overall": ("classifier", "attribute", "class", "method", "status"),
        "heterogeneity": ("classifier", "attribute"),
        "amplification": ("classifier", "attribute", "class", "reference", "status"),
        "intersections": ("classifier", "attributes", "probe_id", "subject", "cell"),
        "comparison": ("classifier", "attribute", "baseline", "other", "subject", "conclusion"),
        "sequential": ("classifier", "attribute", "reference", "probe_id", "class", "decided"),
    }
    for view in (whole_view, early_view):
        more = {name: table.assign(**dict.fromkeys(texts[name], evil)) for name, table in view.more.items()}
        for lang in ("en", "de"):
            page = render(replace(view, more=more), images=False, lang=lang)
            assert page.count("<script") == 1
            assert "<b onclick" not in page
            assert "{{ 7*7 }}" in page
