"""The built-in suites: how many, with which words, in step with the references."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from audit.reference import load_reference
from probes.phantom.captions import TEMPLATES, understand
from probes.phantom.world import ATTRIBUTES, load_world
from probes.suite import FORMS, check_suite, load_suite, suite_names

GENDERED = re.compile(
    r"\b(\w*(?<!hu)m[ae]n|(wait|act|host|steward|seamst|govern)r?ess|\w*girl|\w*boy|lady|male|female|mother|father)\b"
)


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_is_in_order(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert check_suite(suite) == []
    assert suite.card.title
    assert suite.card.source
    assert suite.card.construct
    assert any("perceive" in caveat for caveat in suite.card.caveats)
    assert len(suite.card.caveats) >= 3
    assert all("debias" not in caveat and "unbiased" not in caveat for caveat in suite.card.caveats)


def test_occupations() -> None:
    suite = load_suite("occupations")
    assert len(suite.subjects) >= 150
    assert {p.kind for p in suite.probes} == {"occupation"}
    assert [p.text for p in suite.probes if GENDERED.search(p.text)] == []
    without = {p.subject for p in suite.probes if not p.keys}
    assert f"{len(without)} occupations have none" in " ".join(suite.card.caveats)


def test_every_key_is_a_row_of_its_reference() -> None:
    for name in suite_names():
        for probe in load_suite(name).probes:
            for reference in probe.keys:
                shares = load_reference(reference).shares(
                    "gender", ["woman", "man"], subject=probe.subject, keys=probe.keys
                )
                assert shares is not None, probe
                assert shares.sum() == pytest.approx(1)


def test_occupations_span_the_labour_market() -> None:
    reference = load_reference("us-labour-2022")
    women = [
        shares[0]
        for p in load_suite("occupations").probes
        if (shares := reference.shares("gender", ["woman", "man"], subject=p.subject, keys=p.keys)) is not None
    ]
    assert min(women) < 0.02
    assert max(women) > 0.95
    tenths = [sum(low / 10 <= share < (low + 1) / 10 for share in women) for low in range(10)]
    assert min(tenths) >= 10


def test_attributes() -> None:
    suite = load_suite("attributes")
    assert len(suite.subjects) >= 40
    texts = {p.text for p in suite.probes}
    assert {"a photo of an intelligent person", "a photo of a poor person", "a photo of a criminal"} <= texts
    sensitive = {p.subject for p in suite.probes if p.sensitive}
    assert {"criminal", "poor", "terrorist", "ugly", "immigrant"} <= sensitive
    assert not {"intelligent", "happy", "tired", "wealthy"} & sensitive


def test_neutral() -> None:
    suite = load_suite("neutral")
    texts = {p.text for p in suite.probes}
    assert {"a photo of a person", "a photo of a face", "a photo of someone", "Foto: eine Person"} <= texts
    assert {p.people for p in suite.probes} == {"one", "none", "several"}
    assert {p.people for p in suite.probes if p.kind == "neutral"} == {"one"}


def test_phantom_is_in_step_with_its_world() -> None:
    """Every subject of the world, in every language, in words and templates that the phantom was trained on."""
    world, suite = load_world(), load_suite("phantom")
    assert suite.subjects == tuple(world.subjects)
    for probe in suite.probes:
        subject = world.subjects[probe.subject]
        phrase = subject.phrases[probe.language]
        assert probe.text in {frame.replace("{subject}", phrase) for frame in TEMPLATES[probe.language]}
        assert (probe.kind, probe.people) == (subject.kind, subject.people)
        understood = understand(world, probe.text)
        assert understood is not None
        assert (understood.subject, understood.named) == (probe.subject, {})
    assert {(p.subject, p.language) for p in suite.probes} == {(s, x) for s in world.subjects for x in ("en", "de")}


def test_phantom_has_a_reference_where_one_person_is_asked_for() -> None:
    world, reference = load_world(), load_reference("phantom-world")
    for probe in load_suite("phantom").probes:
        for attribute, classes in ATTRIBUTES.items():
            found = reference.shares(attribute, classes, subject=probe.subject, keys=probe.keys)
            if probe.people == "one":
                assert found is not None
                assert found.tolist() == pytest.approx(list(world.subjects[probe.subject].shares[attribute]))
            else:
                assert found is None


def test_identities_name_a_class_and_cross_fully() -> None:
    probes = load_suite("identities").probes
    cells = {(p.subject.split("-")[0], *p.asked.items()) for p in probes}
    occupations = {cell[0] for cell in cells}
    classes = {cell[1] for cell in cells}
    assert len(cells) == len(occupations) * len(classes) == len({p.subject for p in probes})
    assert {attribute for attribute, _ in classes} == {"gender", "age", "ethnicity"}
    assert all(p.subject.endswith(f"-{next(iter(p.asked.values()))}") for p in probes)
    assert occupations <= set(load_suite("occupations").subjects)


def test_berufe_have_four_forms_of_one_lexeme() -> None:
    suite = load_suite("berufe")
    assert len(suite.subjects) >= 40
    assert suite.languages == ("de",)
    marked = set()
    for subject in suite.subjects:
        forms = {p.form: p for p in suite.probes if p.subject == subject and p.template == "photo"}
        assert tuple(forms) == FORMS
        noun = {form: p.text.removeprefix("Foto: ") for form, p in forms.items()}
        assert noun["masculine"].startswith("ein ")
        assert noun["feminine"].startswith("eine ")
        assert noun["feminine"].endswith("in")
        assert noun["star"] == f"ein*e {noun['feminine'].removeprefix('eine ').removesuffix('in')}*in"
        assert noun["neutral"].startswith("eine ")
        assert not re.search(rf"\b{noun['masculine'].removeprefix('ein ')}(in)?\b", noun["neutral"])
        if "the neutral form changes the lexeme" in forms["neutral"].notes:
            marked.add(subject)
        else:
            assert _stem(noun["feminine"]) in _plain(noun["neutral"]), subject
    assert marked == {"busfahrer", "kellner", "koch", "lkw_fahrer", "pilot", "soldat"}


def test_berufe_agree_with_a_published_list_of_pairs(shared_data: Path) -> None:
    """BEC-Pro (Bartl, Nissim, Gatt 2020): the feminine of a masculine form that both lists have."""
    with (shared_data / "references" / "de_occupation_terms_becpro_mf.csv").open(encoding="utf-8") as file:
        published = {row["german_masculine"]: row["german_feminine"] for row in csv.DictReader(file)}
    probes = [p for p in load_suite("berufe").probes if p.template == "photo"]
    found = 0
    for masculine in (p for p in probes if p.form == "masculine"):
        noun = masculine.text.removeprefix("Foto: ein ")
        if noun in published and published[noun] != noun:  # the list has a few pairs of two equal words
            feminine = next(p for p in probes if p.subject == masculine.subject and p.form == "feminine")
            assert feminine.text == f"Foto: eine {published[noun]}"
            found += 1
    assert found >= 5


def _plain(text: str) -> str:
    return text.lower().replace("ä", "a").replace("ö", "o").replace("ü", "u")


def _stem(feminine: str) -> str:
    """What the neutral form must share: four letters of the noun, or the part of a compound that names the work."""
    parts = {"eine Bauarbeiterin": "arbeit", "eine Maurerin": "mauer", "eine Rechtsanwältin": "anwalt"}
    return parts.get(feminine, _plain(feminine.removeprefix("eine "))[:4])
