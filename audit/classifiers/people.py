"""Faces in an image: where they are, how large, and what was answered for each.

The detector is dlib's detector of frontal faces (HOG features, five linear filters: one for faces that look ahead, one
each for those that look to either side, one each for those that are tilted). Its smallest face is about 80 pixels
wide, so an image in which it finds none is looked at again at twice its size. Profiles and backs of heads it cannot
find: they leave nothing, as an image without people does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from audit.classifiers.base import NOT_MEASURED, UNCLEAR, ClassifierError

_POSES = ("front", "turned", "turned", "tilted", "tilted")
"""What dlib's five filters stand for, in their order."""
_ENLARGED_PIXELS = 2048 * 2048
"""Images of more pixels are not looked at again: enlarged, they would take seconds and gigabytes."""


@dataclass(frozen=True)
class Somebody:
    """A person of whom no more is known than what was answered. Satisfies `Person`."""

    answers: Mapping[str, str]
    """Attribute → a class or `unclear`."""
    counted: bool = True
    """False if the image may show more people than are named."""
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def place(self) -> dict[str, object]:
        """Nothing is known of where the person is."""
        return {}


@dataclass(frozen=True)
class Face:
    """One face that was found in an image of `image_width` × `image_height` pixels. Satisfies `Person`."""

    left: int
    top: int
    right: int
    bottom: int
    """Sides of the box in pixels, from about the brows to the chin; right and bottom are the first pixels outside. It
    may reach over the edge of the image."""
    image_width: int
    image_height: int
    confidence: float
    """The detector's score, above 0; no probability."""
    pose: str
    """`front`, `turned` or `tilted`: the detector's filter that fitted best. No more than a hint: it may change when
    the image is mirrored."""
    enlarged: bool = False
    """True if it was found only at twice the size of the image: small or blurred. Such a face is not labelled."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """Attribute → a class or `unclear`; empty where only faces were looked for."""
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Attribute → scores of its classes, NaN where the instrument gives none."""

    @property
    def counted(self) -> bool:
        """True: every face that the detector finds is given. People without one are not known of."""
        return True

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """The part of the box inside the image: left, top, right, bottom in pixels."""
        left, right = (min(max(x, 0), self.image_width) for x in (self.left, self.right))
        top, bottom = (min(max(y, 0), self.image_height) for y in (self.top, self.bottom))
        return left, top, right, bottom

    @property
    def share(self) -> float:
        """Part of the image's area that the box covers, 0 to 1."""
        left, top, right, bottom = self.inside
        return (right - left) * (bottom - top) / (self.image_width * self.image_height)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, 0 (left, top) to 1 (right, bottom) of the image."""
        return (self.left + self.right) / 2 / self.image_width, (self.top + self.bottom) / 2 / self.image_height

    def place(self) -> dict[str, object]:
        """Box, size, position, pose and confidence, by the columns of people/."""
        sides = ("left", "top", "right", "bottom", "image_width", "image_height", "confidence", "pose", "enlarged")
        across, down = self.centre
        known: dict[str, object] = {name: getattr(self, name) for name in sides}
        return {**known, "share": self.share, "centre_x": across, "centre_y": down}


class FaceDetector:
    """Finds faces. What it finds in an image depends on that image alone."""

    def __init__(self, name: str) -> None:
        """Load the detector for the classifier called `name`.

        Raises:
            ClassifierError: the extra `[faces]` is not installed.
        """
        try:
            self._detector: Any = import_module("dlib").get_frontal_face_detector()
        except ImportError as error:
            raise missing_extra(name, error) from None

    def fingerprint(self) -> dict[str, object]:
        """How faces are looked for, JSON-able."""
        return {"name": "dlib frontal", "enlarged": 2, "enlarged_pixels": _ENLARGED_PIXELS}

    def find(self, image: Image.Image) -> list[Face]:
        """The faces of an image, the most prominent (largest box) first.

        Faces in the image as it is are given alone; only where there are none, those of the image at twice its size
        are, marked `enlarged`.
        """
        pixels = np.asarray(image.convert("RGB"))
        faces = self._faces(pixels, 0)
        if not faces and image.width * image.height <= _ENLARGED_PIXELS:
            faces = self._faces(pixels, 1)
        return sorted(faces, key=lambda face: (-face.share, -face.confidence, face.left, face.top))

    def _faces(self, pixels: np.ndarray[Any, Any], doublings: int) -> list[Face]:
        height, width = pixels.shape[:2]
        boxes, scores, filters = self._detector.run(pixels, doublings, 0.0)
        return [
            Face(
                left=box.left(),
                top=box.top(),
                right=box.right() + 1,
                bottom=box.bottom() + 1,
                image_width=width,
                image_height=height,
                confidence=float(score),
                pose=_POSES[number],
                enlarged=doublings > 0,
            )
            for box, score, number in zip(boxes, scores, filters, strict=True)
        ]


class AnyOf(NamedTuple):
    """How often a class was answered, image by image and person by person. Nobody is left out of the counts."""

    images: int
    """All images: `shown` + `not_shown` + `unknown` + `nobody`."""
    shown: int
    """Images with at least one person of the class."""
    not_shown: int
    """Images with people, all of whom have another class."""
    unknown: int
    """Images in which nobody has the class, but somebody is unclear."""
    nobody: int
    """Images without a face that was found."""
    people: int
    """All people: `of_class` + those of other classes + `unclear`."""
    of_class: int
    """People of the class."""
    unclear: int
    """People without a class."""

    @property
    def share_of_images(self) -> float:
        """Share that shows the class among images where that is known; NaN if it is for none."""
        return self.shown / known if (known := self.shown + self.not_shown) else float("nan")

    @property
    def share_of_people(self) -> float:
        """Share of the class among people who have one; NaN if nobody has."""
        return self.of_class / known if (known := self.people - self.unclear) else float("nan")


def any_of(people: Iterable[Sequence[Face]], attribute: str, cls: str) -> AnyOf:
    """Count images that show at least one person of a class, and people of that class.

    Args:
        people: the faces of every image with their answers, as `people(images)` of a classifier gives them.
        attribute: the attribute answered, such as `gender`.
        cls: the class looked for, such as `woman`.

    Raises:
        ClassifierError: if a face has no answer for the attribute, or `cls` is no class.
    """
    if cls in NOT_MEASURED:
        raise ClassifierError(f"{cls} is no class that people can have. Ask for a class of {attribute}.")
    images = shown = not_shown = unknown = nobody = persons = of_class = unclear = 0
    for faces in people:
        for face in faces:
            if attribute not in face.answers:
                given = ", ".join(face.answers) or "none"
                raise ClassifierError(f"a face has no answer for {attribute} (got {given}). Take people(images).")
        answers = [face.answers[attribute] for face in faces]
        images, persons = images + 1, persons + len(answers)
        of_class, unclear = of_class + answers.count(cls), unclear + answers.count(UNCLEAR)
        if not answers:
            nobody += 1
        elif cls in answers:
            shown += 1
        elif UNCLEAR in answers:
            unknown += 1
        else:
            not_shown += 1
    return AnyOf(images, shown, not_shown, unknown, nobody, persons, of_class, unclear)


def missing_extra(name: str, error: ImportError) -> ClassifierError:
    """The error for a classifier whose packages are not installed."""
    return ClassifierError(
        f"the classifier {name} needs an extra that is not installed ({error}): pip install 'rolecall[faces]'"
    )
