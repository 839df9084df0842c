"""Attribute sets: those that come with Rolecall, and every way in which a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.attribute import Wordings, WordingsError, load_wordings, wordings_names

SIMPLE = "attributes: {gender: {classes: {woman: a woman, man: a man}}}\n"


def read(folder: Path, text: str) -> Wordings:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return load_wordings(str(path))


@pytest.mark.parametrize("name", wordings_names())
def test_the_sets_that_come_along_carry_their_cards(name: str) -> None:
    wordings = load_wordings(name)
    assert wordings.name == name
    assert wordings.version
    assert all(wordings.card[key] for key in ("title", "source", "construct", "caveats"))
    assert wordings.persons is not None
    gender = next(a for a in wordings.attributes if a.name == "gender")
    assert list(gender.classes) == ["woman", "man"]
    assert next(a for a in wordings.attributes if a.name == "age").ordered


def test_default_and_joint_have_the_same_classes() -> None:
    classes = [{a.name: list(a.classes) for a in load_wordings(n).attributes} for n in ("default", "joint")]
    assert classes[0] == classes[1]
    assert len(classes[0]["ethnicity"]) == 7


def test_the_phantom_is_asked_with_the_texts_it_was_trained_with() -> None:
    from probes.phantom.wordings import wordings
    from probes.phantom.world import load_world

    trained = wordings(load_world())
    asked = load_wordings("phantom")
    for attribute in asked.attributes:
        assert {name: list(texts) for name, texts in attribute.classes.items()} == trained[attribute.name]
        assert list(attribute.classes) == list(trained[attribute.name])
    assert asked.persons is not None
    assert trained["persons"] == {kind: list(getattr(asked.persons, kind)) for kind in ("one", "none", "several")}


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    wordings = read(tmp_path, SIMPLE)
    assert wordings.name == "own"
    assert wordings.attributes[0].classes == {"woman": ("a woman",), "man": ("a man",)}
    assert wordings.persons is None
    assert wordings.joint is None


def test_the_digest_follows_what_labels_depend_on(tmp_path: Path) -> None:
    base = read(tmp_path, SIMPLE).digest()
    assert read(tmp_path, SIMPLE + "version: '2'\ncard: {title: other}\n").digest() == base
    changes = [
        "attributes: {gender: {classes: {man: a man, woman: a woman}}}",
        "attributes: {gender: {classes: {woman: the woman, man: a man}}}",
        "attributes: {gender: {margin: 0.1, classes: {woman: a woman, man: a man}}}",
        SIMPLE + "persons: {one: one, none: nobody, several: many}",
        SIMPLE + "joint: {attributes: [gender], templates: ['{gender}']}",
    ]
    assert len({base, *(read(tmp_path, change).digest() for change in changes)}) == 6


def test_pick_narrows_and_overrides(tmp_path: Path) -> None:
    wordings = load_wordings("default")
    assert [a.name for a in wordings.pick()] == ["gender", "age", "ethnicity"]
    (age,) = wordings.pick(["age"], 0.5)
    assert (age.name, age.margin) == ("age", 0.5)
    with pytest.raises(WordingsError, match="Did you mean 'ethnicity'"):
        wordings.pick(["etnicity"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "the file must be a mapping"),
        ("attributes: [", "cannot be read as YAML"),
        (SIMPLE + "atributes: 1", "unknown key 'atributes'. Did you mean 'attributes'?"),
        ("name: x", "the file has no 'attributes'"),
        ("attributes: {}", "at least one attribute"),
        ("attributes: {gender: {clases: {a: b, c: d}}}", "Did you mean 'classes'?"),
        ("attributes: {gender: {classes: {woman: a}}}", "must be at least 2 (got 1)"),
        ("attributes: {gender: {classes: {woman: a, woman: b}}}", "'woman' is given twice"),
        ("attributes: {gender: {classes: {woman: a, unclear: b}}}", "'unclear' cannot be a class"),
        ("attributes: {gender: {classes: {woman: a, A man: b}}}", "'A man' cannot be a class"),
        ("attributes: {gender: {classes: {yes: a, no: b}}}", "the key True is no text. Put it in quotes"),
        ("attributes: {gender: {classes: {woman: '', man: b}}}", "texts that are not empty"),
        ("attributes: {gender: {classes: {woman: [a, a], man: b}}}", "the same text twice"),
        ("attributes: {gender: {classes: {woman: 3, man: b}}}", "a text or a list of texts (got 3)"),
        ("attributes: {gender: {margin: 2, classes: {woman: a, man: b}}}", "at least 0 and below 1 (got 2)"),
        ("attributes: {gender: {ordered: maybe, classes: {woman: a, man: b}}}", "must be true or false (got 'maybe')"),
        ("attributes: {age: {from_years: {y: 0}, classes: {y: a, o: b}}}", "every class its youngest age"),
        ("attributes: {age: {from_years: {y: 9, o: 3}, classes: {y: a, o: b}}}", "ascending from 0"),
        (SIMPLE + "persons: {one: a, none: b}", "persons has no 'several'"),
        (SIMPLE + "joint: {attributes: [age], templates: [a]}", "unknown attribute 'age'"),
        (SIMPLE + "joint: {attributes: [gender], templates: [a photo]}", "must have {gender}, each once"),
        (SIMPLE + "joint: {attributes: [gender], templates: ['{gender']}", "cannot be filled"),
        (SIMPLE + "card: {known_error: {age: x}}", "card.known_error: unknown key 'age'"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WordingsError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith("own.yaml")
    assert "\n" not in str(error.value)


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(WordingsError, match=r"unknown wordings 'jont'. Did you mean 'joint'"):
        load_wordings("jont")
    with pytest.raises(WordingsError, match="Or give the path of a file"):
        load_wordings(str(tmp_path))
