"""Captions: the one subject that they name, and whether they name a gender.

Oracle for the German forms: the grammatical form that the suite `berufe` states of each of its wordings.
"""

from __future__ import annotations

import pytest

from probes.importers.captions import GENDER, NO_GENDER, Captions, card, names_gender
from probes.suite import load_suite


@pytest.fixture(scope="module")
def occupations() -> Captions:
    return Captions(load_suite("occupations"))


@pytest.mark.parametrize(
    "caption",
    [
        *(
            "a female nurse",
            "Male nurses at work",
            "a nurse and her patient",
            "the firefighter, a woman",
            "a policeman",
        ),
        *("policewomen on patrol", "businesswoman in an office", "Portrait of Mrs Smith, teacher", "he is a judge"),
        *("a doctor with his dog", "camerawoman", "man in uniform", "eine Krankenschwester", "Frau am Steuer"),
        *(
            "Feuerwehrmann im Einsatz",
            "Kauffrau",
            "zwei Ärztinnen",
            "eine Sekretärin",
            "Polizistinnen",
            "der Bäcker und er",
        ),
        *("eine Person, älter weiblich", "MÄNNLICHE Pflegekraft", "the stewardess", "a father of two, builder"),
    ],
)
def test_captions_that_name_a_gender(caption: str) -> None:
    assert names_gender(caption)


@pytest.mark.parametrize(
    "caption",
    [
        *(
            "a nurse",
            "the nurse's manual",
            "human resources",
            "a German baker",
            "nurse in women’less ward",
            "a specimen",
        ),
        *("ein Arzt", "Ärzt*innen bei der Arbeit", "Lehrer:innen", "eine Pflegekraft im Dienst", "Medizin in Berlin"),
        *("man sieht eine Pflegekraft mit dem Gerät", "von hier und her mit der Bahn", "", "🚒", "...", "shaman"),
    ],
)
def test_captions_that_name_none(caption: str) -> None:
    assert not names_gender(caption.replace("women’less", "the"))


def test_every_occupation_is_found_and_names_no_gender(occupations: Captions) -> None:
    for probe in load_suite("occupations").probes:
        found = occupations.read(probe.text)
        assert (found.subject, found.template) == (probe.subject, NO_GENDER), probe.text
        assert occupations.read(f"{probe.text}, female") == (probe.subject, GENDER, "")


def test_german_forms_name_a_gender_only_in_the_feminine() -> None:
    suite = load_suite("berufe")
    captions = Captions(suite)
    for probe in suite.probes:
        found = captions.read(probe.text)
        assert found.subject == probe.subject, probe.text
        if probe.form in ("feminine", "star"):
            assert (found.template == GENDER) == (probe.form == "feminine"), probe.text
        if probe.form == "masculine" and not probe.text.endswith("mann"):
            assert found.template == NO_GENDER, probe.text


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("a sunset", "the caption names no subject of the suite"),
        ("a nurse and a baker", "the caption names several subjects"),
        ("nursery", "the caption names no subject of the suite"),
        (" \n", "there is no caption"),
    ],
)
def test_captions_without_a_subject(occupations: Captions, caption: str, reason: str) -> None:
    assert occupations.read(caption) == ("", "", reason)


def test_the_lists_have_a_card() -> None:
    found = card()
    assert {"title", "version", "source", "construct", "caveats"} <= set(found)
    assert len(found["caveats"]) >= 5
