"""Suites: expansion, ids, digests, selection."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from probes.expand import article, expand, slug
from probes.suite import Probe, Suite, SuiteCard, SuiteError, check_suite, load_suite, suite_names

SMALL: dict[str, Any] = {
    "name": "small",
    "version": "1",
    "kind": "occupation",
    "card": {"title": "Small", "caveats": ["Perceived."]},
    "templates": {
        "en": {"photo": "a photo of {subject}", "portrait": "a portrait of {subject}"},
        "de": {"foto": "Foto: {subject}"},
    },
    "subjects": [
        {"id": "nurse", "en": "nurse", "keys": {"us-labour-2022": "Registered nurses"}},
        {
            "id": "doctor",
            "en": "doctor",
            "de": {
                "masculine": "ein Arzt",
                "star": "ein*e Ärzt*in",
                "neutral": {"text": "eine ärztlich tätige Person", "notes": "longer"},
            },
        },
        {"id": "street", "kind": "scene", "people": "none", "en": "empty street", "templates": ["photo"]},
        {"id": "someone", "en": "someone", "article": "none", "asked": {"age": "young"}, "sensitive": True},
    ],
}


def small() -> Suite:
    return expand(SMALL, Path("small.yaml"))


def probe(**changes: Any) -> Probe:
    return Probe(**{"probe_id": "a", "text": "a photo", "subject": "a", "kind": "prompt"} | changes)


def suite(*probes: Probe) -> Suite:
    return Suite("own", "1", SuiteCard("Own"), probes)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("accountant", "an"),
        ("university teacher", "a"),
        ("MRI technologist", "an"),
        ("UX designer", "a"),
        ("HVAC technician", "an"),
        ("CEO", "a"),
        ("IT manager", "an"),
        ("X-ray technician", "an"),
        ("honest person", "an"),
        ("hourly worker", "an"),
        ("house painter", "a"),
        ("user", "a"),
        ("usher", "an"),
        ("usual customer", "a"),
        ("unemployed person", "an"),
        ("unintelligent person", "an"),
        ("unimportant person", "an"),
        ("uniformed officer", "a"),
        ("union organizer", "a"),
        ("urologist", "a"),
        ("urban planner", "an"),
        ("utility worker", "a"),
        ("umpire", "an"),
        ("European", "a"),
        ("one-armed person", "a"),
        ("older nurse", "an"),
        ("heir", "an"),
        ("herbalist", "an"),
        ("Indian doctor", "an"),
        ("ugly person", "an"),
    ],
)
def test_article(noun: str, expected: str) -> None:
    assert article(noun) == expected


@given(st.from_regex(r"[A-Za-z]{1,12}", fullmatch=True), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_article_depends_on_the_first_word_only(first: str, second: str) -> None:
    assert article(first) in {"a", "an"}
    assert article(first) == article(f"{first} {second}") == article(f"{first}-{second}")


def test_expansion() -> None:
    probes = {p.probe_id: p for p in small().probes}
    assert list(probes) == [
        "nurse.en.photo",
        "nurse.en.portrait",
        "doctor.en.photo",
        "doctor.en.portrait",
        "doctor.de.foto.masculine",
        "doctor.de.foto.star",
        "doctor.de.foto.neutral",
        "street.en.photo",
        "someone.en.photo",
        "someone.en.portrait",
    ]
    assert probes["nurse.en.portrait"] == Probe(
        "nurse.en.portrait",
        "a portrait of a nurse",
        "nurse",
        "occupation",
        template="portrait",
        keys={"us-labour-2022": "Registered nurses"},
    )
    assert probes["doctor.de.foto.star"].text == "Foto: ein*e Ärzt*in"
    assert probes["doctor.de.foto.star"].form == "star"
    assert probes["doctor.de.foto.neutral"].notes == "longer"
    assert probes["street.en.photo"].people == "none"
    assert probes["street.en.photo"].kind == "scene"
    assert probes["someone.en.photo"].text == "a photo of someone"
    assert probes["someone.en.photo"].asked == {"age": "young"}
    assert probes["someone.en.photo"].sensitive


def test_the_digest_is_frozen() -> None:
    """A change here means that runs made before cannot be continued: raise the version of the format instead."""
    assert small().digest() == "278108cb8b6ea40a461b64151f46ad8f8fa3a445d72c4e83689b963ec7c2cd44"


@given(st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order_of_subjects(order: random.Random) -> None:
    subjects = list(SMALL["subjects"])
    order.shuffle(subjects)
    shuffled = expand({**SMALL, "subjects": subjects}, Path("small.yaml"))
    assert {p.probe_id: p for p in shuffled.probes} == {p.probe_id: p for p in small().probes}


def test_the_digest_depends_on_order_version_and_text() -> None:
    first, second = probe(), probe(probe_id="b")
    digests = {
        suite(first, second).digest(),
        suite(second, first).digest(),
        suite(first).digest(),
        suite(probe(text="another")).digest(),
        Suite("own", "2", SuiteCard("Own"), (first,)).digest(),
    }
    assert len(digests) == 5
    assert suite(first).digest() == Suite("own", "1", SuiteCard("Other card"), (first,), Path("x.yaml")).digest()


@given(st.lists(st.text(min_size=1).filter(lambda t: t.strip()), unique=True, min_size=1, max_size=6))
def test_slugs_are_ids_unique_and_stable(prompts: list[str]) -> None:
    names = [slug(p) for p in prompts]
    assert len(set(names)) == len(prompts)
    assert names == [slug(p) for p in prompts]
    assert len(suite(*(probe(probe_id=n) for n in names)).probes) == len(prompts)


def test_slug_keeps_plain_prompts() -> None:
    assert slug("a photo of a nurse") == "a-photo-of-a-nurse"
    assert slug("Foto: eine Ärztin").startswith("foto-eine-aerztin-")
    assert slug("護士").startswith("prompt-")


def test_select() -> None:
    chosen = small().select(languages=["en"], templates=["photo"], subjects=["nurse", "street"])
    assert [p.probe_id for p in chosen.probes] == ["nurse.en.photo", "street.en.photo"]
    assert chosen.name == "small"
    assert chosen.digest() != small().digest()
    assert small().select() == small()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"languages": ["fr"]}, "has no language 'fr': known: en, de."),
        ({"templates": ["foto", "fotos"]}, "has no template 'fotos': did you mean 'foto'?"),
        ({"subjects": ["nurses"]}, "has no subject 'nurses': did you mean 'nurse'?"),
        ({"subjects": ["nurse"], "languages": ["de"]}, "no prompt of these"),
    ],
)
def test_select_refuses(wanted: dict[str, list[str]], message: str) -> None:
    with pytest.raises(SuiteError, match=message.replace("?", r"\?").replace(".", r"\.")):
        small().select(**wanted)


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ([], "holds no prompt"),
        ([probe(), probe(text="another")], "'a' occurs twice"),
        ([probe(text="  ")], "has no text"),
        ([probe(probe_id="../up")], "probe id must be"),
        ([probe(probe_id="Nurse")], "probe id must be"),
        ([probe(probe_id="x" * 121)], "at most 120"),
        ([probe(people="two")], "people of probe 'a' must be one of one, none, several"),
        ([probe(form="feminin")], "did you mean 'feminine'"),
    ],
)
def test_suite_refuses(probes: list[Probe], message: str) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        suite(*probes)
    assert "\n" not in str(caught.value)


def test_load_refuses_unknown_names() -> None:
    with pytest.raises(SuiteError, match="unknown suite 'ocupations': did you mean 'occupations'"):
        load_suite("ocupations")
    with pytest.raises(SuiteError, match=r"'nowhere\.txt' does not exist"):
        load_suite("nowhere.txt")


def test_check_suite_warns() -> None:
    found = check_suite(
        suite(
            probe(probe_id="a", text="a photo of a actor", template="photo"),
            probe(probe_id="b", text="a photo of a actor"),
            probe(probe_id="c", text=" a photo  of an actor"),
            probe(probe_id="d", text="word " * 60),
            probe(probe_id="e", text="Foto: ein Arzt", language="de"),
        )
    )
    text = "\n".join(found)
    assert "b asks the same as a" in text
    assert "a says 'a actor'" in text
    assert "c has spaces too many" in text
    assert "d has more than 55 words" in text
    assert "subject 'a'" not in text
    assert check_suite(suite(probe(text="a photo of an actor"))) == []


def test_check_suite_names_missing_languages() -> None:
    assert "subject 'nurse' is not asked in: de." in check_suite(small())


def test_suites_can_be_written_by_hand_and_read(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL, allow_unicode=True, sort_keys=False), encoding="utf-8")
    assert load_suite(str(file)).digest() == small().digest()
    assert load_suite(str(file)).path == file


def test_names() -> None:
    assert suite_names() == ["attributes", "berufe", "identities", "neutral", "occupations", "phantom"]
