"""Which subject a prompt names: whole words, plurals and cases, the longest match, and nobody when in doubt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.importers.subjects import Match, Subjects, tokens
from probes.probe import Probe
from probes.suite import Suite, SuiteCard, load_suite

OCCUPATIONS = Subjects(load_suite("occupations"))
KNOWN = {None, *load_suite("occupations").subjects}
BERUFE = Subjects(load_suite("berufe"))


@pytest.mark.parametrize("name", ["occupations", "berufe", "identities", "neutral", "attributes", "phantom"])
def test_every_prompt_of_a_suite_names_its_own_subject(name: str) -> None:
    suite = load_suite(name)
    subjects = Subjects(suite)
    assert [probe.text for probe in suite.probes if subjects.match(probe.text).subject != probe.subject] == []


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("nurse", "nurse"),
        ("Two NURSES, talking", "nurse"),
        ("the nurse's hat; nurses’ room", "nurse"),
        ("secretaries in an office", "secretary"),
        ("CEOs at work", "ceo"),
        ("(software-developer:1.3), 4k", "software_developer"),
        ("software_developer", "software_developer"),
        ("a nurse practitioner", "nurse_practitioner"),
        ("a nurse and another nurse", "nurse"),
        ("<lora:nurse_style:0.8> a baker", "baker"),
        ("a baker --ar 3:2 --no nurse, doctor", "baker"),
        ("masterpiece,\na photo of a NURSE\nBREAK", "nurse"),
        ("nursery", None),
        ("nursing a bakery", None),
        ("", None),
        ("一位护士", None),
    ],
)
def test_english(prompt: str, subject: str | None) -> None:
    assert OCCUPATIONS.match(prompt).subject == subject


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("Zwei Ärzte im Krankenhaus", "arzt"),
        ("des Arztes", "arzt"),
        ("Ärztinnen", "arzt"),
        ("Ärzt:innen", "arzt"),
        ("ÄrztInnen bei der Arbeit", "arzt"),
        ("ein/e Ärzt/in", "arzt"),
        ("Ärzt_in", "arzt"),
        ("A\u0308rztin", "arzt"),
        ("zwei ärztlich tätigen Personen", "arzt"),
        ("Porträt eines Bäckers", "baecker"),
        ("Fachkräfte in der Apotheke", "apotheker"),
        ("Bauarbeiterinnen", "bauarbeiter"),
        ("Ärztin und Bäcker", None),
        ("Arztpraxis", None),
        ("Bäckerei", None),
    ],
)
def test_german(prompt: str, subject: str | None) -> None:
    assert BERUFE.match(prompt).subject == subject


def test_what_is_said_of_a_match() -> None:
    assert OCCUPATIONS.match("two nurses") == Match("nurse", "nurses", "en")
    assert BERUFE.match("eine Ärztin").language == "de"
    both = OCCUPATIONS.match("a nurse with a baker")
    assert both == Match(None, reason="the prompt names 2 subjects: nurse, baker")
    assert OCCUPATIONS.match("a tree").reason == "the prompt names no subject of the suite"
    assert OCCUPATIONS.match(" ").reason == "the prompt is empty"


def suite(*probes: Probe) -> Suite:
    return Suite("own", "1", SuiteCard("own"), probes)


def probe(subject: str, text: str, language: str = "en", template: str = "t") -> Probe:
    return Probe(f"{subject.lower()}.{language}", text, subject, "occupation", language, template=template)


def test_words_come_from_ids_and_from_what_the_prompts_of_a_template_do_not_share() -> None:
    own = Subjects(
        suite(
            probe("md", "a big photo of a doctor at work"),
            probe("rn", "a big photo of an old nurse at work"),
            probe("mp", "a big photo of a member of parliament at work"),
            probe("md", "Foto eines Arztes bei Tag", "de"),
            probe("rn", "Foto eines Pflegers bei Tag", "de"),
        )
    )
    assert own.match("doctors").subject == "md"
    assert own.match("MD").subject == "md"
    assert own.match("old nurses").subject == "rn"
    assert own.match("two members of parliament").subject == "mp"
    assert own.match("Arztes").language == "de"
    for shared in ("a big photo", "at work", "nurse", "Foto bei Tag"):
        assert own.match(shared).subject is None


def test_words_that_two_subjects_share_name_neither() -> None:
    own = Subjects(
        suite(probe("one", "photo: clerk"), probe("two", "photo: clerk", template="t"), probe("x", "photo: y"))
    )
    assert own.match("a clerk").reason == "the prompt names 2 subjects: one, two"


def test_a_plain_list_of_prompts_is_matched_by_its_texts() -> None:
    own = Subjects(suite(probe("p-1", "a nurse at night", template=""), probe("p-2", "a nurse at noon", template="")))
    assert own.match("masterpiece, a nurse at night, 4k").subject == "p-1"
    assert own.match("a nurse").subject is None


@given(st.text(max_size=60))
def test_any_text_is_cut_into_words(text: str) -> None:
    words = tokens(text)
    assert all(word and not word.isspace() for word in words)
    assert OCCUPATIONS.match(text).subject in KNOWN
