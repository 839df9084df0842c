"""The sentences that open a report say what the tables say."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from reports.evidence import Basis
from reports.sentences import Finding, Loss, finding_sentence, findings, leading, loss_sentences, losses
from reports.view import View, probe_names
from reports.words import load_words

NURSE = Finding(
    classifier="phantom",
    probe_id="nurse.en.portrait",
    attribute="gender",
    answer="woman",
    reference="us-labour-2022",
    count=57,
    n=60,
    share=0.95,
    low=0.863,
    high=0.983,
    reference_share=0.874,
    difference=0.076,
    p_value=0.04,
    p_adjusted=0.04,
    primary=True,
    conclusion="higher",
)


def test_the_sentence_of_the_nurse(phantom_view: View) -> None:
    assert finding_sentence(NURSE, phantom_view, load_words("en"), 62, Basis()) == (
        "Of 62 pictures asked for of a nurse, 60 could be labelled; <strong>57 were perceived as a woman</strong> "
        "(86–98\u00a0% before label error). Statistics of the US labour market, as people report themselves: 87\u00a0%."
    )
    german = finding_sentence(NURSE, phantom_view, load_words("de"), 62, Basis())
    assert "Von 62 mit „a portrait of a nurse“ angeforderten Bildern ließen sich 60 einordnen" in german
    assert "<strong>57 wurden als Frau wahrgenommen</strong>" in german


def test_a_subject_with_several_prompts_is_quoted(phantom_view: View) -> None:
    probes = pd.concat([phantom_view.probes, phantom_view.probes.assign(probe_id=lambda t: t["probe_id"] + ".b")])
    said = finding_sentence(NURSE, replace(phantom_view, probes=probes), load_words("en"), 62, Basis())
    assert said.startswith("Of 62 pictures asked for with “a portrait of a nurse”, 60")


def test_findings_are_ordered_and_hold_one_person_only(phantom_view: View) -> None:
    found = findings(phantom_view)
    assert {"meadow.en", "crowd.en"} & {finding.probe_id for finding in found} == set()
    assert len(found) == 27 * 3
    keys = [(not finding.telling, -abs(finding.difference)) for finding in found]
    assert keys == sorted(keys)
    assert {finding.answer for finding in found if finding.attribute == "gender"} == {"woman"}
    first, shares = found[0], phantom_view.shares
    row = shares[(shares["probe_id"] == first.probe_id) & (shares["class"] == first.answer)].iloc[0]
    assert (row["count"], row["n"], row["share"]) == (first.count, first.n, first.share)


def test_what_was_declared_leads(phantom_view: View) -> None:
    first = leading(findings(phantom_view))
    assert [finding.primary for finding in first] == [True] * 4 + [False] * 2
    assert {finding.attribute for finding in first[4:]} == {"age", "ethnicity"}
    assert all(finding.telling for finding in first)


@pytest.mark.parametrize("conclusion", ["inconclusive", "close", ""])
def test_what_is_not_settled_leads_to_no_finding(conclusion: str) -> None:
    assert leading([NURSE]) == [NURSE]
    assert leading([replace(NURSE, conclusion=conclusion, p_adjusted=0.001)]) == []


def test_losses_add_up(phantom_view: View) -> None:
    for loss in losses(phantom_view):
        assert loss.asked == 27 * 60
        assert loss.asked - loss.labelled == sum(loss.lost.values())


def test_loss_sentences() -> None:
    lost = {"refused": 1, "failed": 0, "no_person": 3, "several_people": 0, "unclear": 0}
    said = loss_sentences(Loss("phantom", "gender", 100, 96, lost), load_words("en"))
    assert "<strong>96 (96\u00a0%) could be labelled</strong>" in said
    assert said.endswith("from every share below: 1 was refused, 3 show no person.")
    whole = Loss("phantom", "gender", 100, 100, dict.fromkeys(lost, 0))
    assert loss_sentences(whole, load_words("en")).endswith("None is missing.")


def test_names_are_as_long_as_needed() -> None:
    rows = {"probe_id": ["a", "b", "c"], "subject": ["nurse", "nurse", "bus_driver"], "language": ["en", "de", "en"]}
    table = pd.DataFrame({**rows, "template": ["portrait"] * 3, "form": [""] * 3})
    assert probe_names(table) == {"a": "nurse · en", "b": "nurse · de", "c": "bus driver · en"}
    assert probe_names(table[:1]) == {"a": "nurse"}
    same = table.assign(language="en")
    assert probe_names(same) == {"a": "a", "b": "b", "c": "c"}
