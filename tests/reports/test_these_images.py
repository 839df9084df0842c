"""What the report says of these very images, and of subjects in which a classifier errs otherwise than elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.evidence import NAMED, bases, kinds, these_images, trust
from reports.opening import opening
from reports.sentences import asked_for, findings
from reports.view import View
from reports.words import Words, load_words

EN, DE = load_words("en"), load_words("de")


def plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text).replace("\u00a0", " ")


def with_overall(view: View, **columns: object) -> View:
    overall = view.more["overall"]
    women = (overall["attribute"] == "gender") & (overall["class"] == "woman")
    given = overall.assign(images_share=np.nan, images_low=np.nan, images_high=np.nan)
    given.loc[women, list(columns)] = list(columns.values())
    return replace(view, more={**view.more, "overall": given})


def test_a_sentence_for_the_shares_of_these_images(whole_view: View) -> None:
    view = with_overall(whole_view, images_share=0.5, images_low=0.391, images_high=0.612)
    (said,) = these_images(view, EN)
    assert plain(said) == (
        "Of these very pictures, whatever phantom answered, people would say for perceived gender: "
        "woman 50 % (39–61 %)."
    )
    (german,) = these_images(view, DE)
    assert re.findall(r"\d+", plain(german)) == re.findall(r"\d+", plain(said))


def test_with_all_images_labelled_it_is_a_count(whole_view: View) -> None:
    view = with_overall(whole_view, images_share=0.5, images_low=0.4999999, images_high=0.5000001)
    (said,) = these_images(view, EN)
    assert plain(said) == "Of these very pictures, people labelled all. For perceived gender they say: woman 50 %."


def test_the_same_count_by_two_instruments_is_said_once(whole_view: View) -> None:
    view = with_overall(whole_view, images_share=0.5, images_low=0.5, images_high=0.5)
    twice = pd.concat([view.more["overall"], view.more["overall"].assign(classifier="other")])
    assert len(these_images(replace(view, more={**view.more, "overall": twice}), EN)) == 1


def test_tables_of_older_runs_have_no_such_share(whole_view: View) -> None:
    old = whole_view.more["overall"].drop(columns=["images_share", "images_low", "images_high"])
    assert these_images(replace(whole_view, more={**whole_view.more, "overall": old}), EN) == []
    assert these_images(replace(whole_view, more={}), EN) == []
    assert these_images(with_overall(whole_view), EN) == []


def errors(flagged: int, others: int = 3) -> pd.DataFrame:
    number = flagged + others
    return pd.DataFrame(
        {
            "classifier": "phantom",
            "attribute": "gender",
            "subject": [f"job_{j}" for j in range(number)],
            "labels": 20,
            "errors": 12,
            "expected": 4.25,
            "p_value": np.linspace(0.02, 0.001, number),
            "p_adjusted": np.linspace(0.04, 0.002, number),
            "flagged": [j >= others for j in range(number)],
        }
    )


@pytest.mark.parametrize("flagged", [1, NAMED, NAMED + 1, NAMED + 4])
def test_subjects_with_errors_of_their_own_are_named(whole_view: View, flagged: int) -> None:
    view = replace(whole_view, more={**whole_view.more, "errors": errors(flagged)})
    (said,) = trust(view, EN, bases(view))["errors"]
    named = re.findall(r"job (\d+) \((\d+) errors in (\d+) labelled pictures, ([\d.]+) expected\)", said)
    assert len(named) == min(flagged, NAMED)
    assert named[0] == (str(flagged + 2), "12", "20", "4.2")  # the smallest p first
    more = re.findall(r"and (\d+) more in tables/errors.csv", said)
    assert more == ([str(flagged - NAMED)] if flagged > NAMED else [])
    (german,) = trust(view, DE, bases(view))["errors"]
    assert len(re.findall(r"\d+", german)) == len(re.findall(r"\d+", said))


def test_where_no_subject_is_flagged_nothing_is_said(whole_view: View) -> None:
    for table in (errors(0), errors(0)[:0]):
        view = replace(whole_view, more={**whole_view.more, "errors": table})
        assert trust(view, EN, bases(view))["errors"] == []


def test_a_corrected_gap_that_may_be_anything_is_called_open(whole_view: View) -> None:
    def gap(**ends: float) -> str:
        view = replace(whole_view, gaps=whole_view.gaps.assign(**ends))
        return plain(str(opening(view, EN, findings(view), bases(view))["gap"]))

    told = gap(gap_corrected=0.3, gap_corrected_low=0.1, gap_corrected_high=1.0)
    assert "Corrected for label error it is 0.30 (0.10–1.00)." in told
    nothing = gap(gap_corrected=0.0, gap_corrected_low=0.0, gap_corrected_high=1.0)
    assert "anything from 0 to 1 is possible" in nothing
    assert "Corrected for label error" not in nothing


@pytest.mark.parametrize("flagged", [0, 1])
def test_a_correction_whose_assumption_fails_is_not_left_alone(whole_view: View, flagged: int) -> None:
    gaps = whole_view.gaps.assign(gap_corrected=0.3, gap_corrected_low=0.1, gap_corrected_high=0.6)
    view = replace(whole_view, gaps=gaps, more={**whole_view.more, "errors": errors(flagged)})
    said = plain(str(opening(view, EN, findings(view), bases(view))["gap"]))
    assert ("and it does not: see “How far the labels can be trusted”" in said) == bool(flagged)


def test_a_prompt_that_is_not_known_is_called_by_its_names(whole_view: View) -> None:
    probes = whole_view.probes.assign(text="")
    name = str(probes["probe_id"].iloc[0])
    said = asked_for(name, replace(whole_view, probes=probes), EN)
    assert re.fullmatch(r"as “[^”]+”", said)
    assert str(probes["subject"].iloc[0]).replace("_", " ") in said


@pytest.mark.parametrize(
    ("words", "some", "every"),
    [
        (EN, "gender (160 human labels)", "gender (human labels of all 160 pictures)"),
        (DE, "Geschlecht (160 Urteile von Menschen)", "Geschlecht (Urteile von Menschen über alle 160 Bilder)"),
    ],
)
def test_labels_of_all_images_are_not_called_labels_of_some(
    whole_view: View, words: Words, some: str, every: str
) -> None:
    def said(view: View) -> str:
        return " ".join(kinds(words, bases(view)).values())

    assert some in said(whole_view) and every not in said(whole_view)
    table = whole_view.more["overall"]
    known = table.assign(images_share=table["corrected"], images_low=table["corrected"], images_high=table["corrected"])
    view = replace(whole_view, more={**whole_view.more, "overall": known})
    assert every in said(view) and some not in said(view)
    assert not re.search("some of|einen Teil der", words("trust.calibration", attributes=""))
