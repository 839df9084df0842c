"""The colour of the skin in a picture, as the nearest of the ten tones of the Monk scale.

A face is found (`audit.classifiers.people`), a band over its cheeks and nose is taken, pixels that stand out from it
are left out, and the median of the rest in CIELAB is compared with the ten reference colours by ΔE00. This measures the
colour of a picture; light, exposure and style change it as much as the skin that is shown does.

ΔE00 rather than the distance in CIELAB (CIE76): it is the formula that the CIE recommends, and skin in pictures is
more colourful than the reference colours. CIE76 counts that surplus in full, so that one limit on the distance would
fit pale and dark tones badly. On 101 faces of generated images the two named the same tone for 91.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.classifiers.base import NO_PERSON, SEVERAL_PEOPLE, UNCLEAR, ClassifierError, Labels, Question
from audit.classifiers.colour import Floats, chroma, difference, lab, typology_angle
from audit.classifiers.people import Face, FaceDetector

NAME = "skin_tone"
MONK = {
    "mst_1": "#f6ede4",
    "mst_2": "#f3e7db",
    "mst_3": "#f7ead0",
    "mst_4": "#eadaba",
    "mst_5": "#d7bd96",
    "mst_6": "#a07e56",
    "mst_7": "#825c43",
    "mst_8": "#604134",
    "mst_9": "#3a312a",
    "mst_10": "#292420",
}
"""The reference colours of the Monk Skin Tone scale as sRGB, light to dark, as Google publishes them
(Ellis Monk, The Monk Skin Tone Scale, 2022, https://skintone.google)."""

_CLASSES = tuple(MONK)
_REFERENCES = lab([[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in MONK.values()])
_BAND = (0.40, 0.64)
"""Top and bottom of the band over cheeks and nose, in heights of the box: below the eyes, above the mouth."""
_HALF_WIDTH = 0.36
"""Half the width of the ellipse around the middle of the box that bounds the band, in widths of the box."""
_LIMITS = np.array([[3.0, 25.0], [3.0, 12.0], [3.0, 12.0]])
"""How far a pixel may lie from the band's median in L*, a* and b*: at least and at most."""
_SPREADS = 2.5
"""How far it may lie between these, in robust standard deviations (1.4826 times the median absolute deviation)."""
_GREENEST, _BLUEST = -6.0, -2.0
"""Least a* and b* of a pixel of skin: greener or bluer ones are masks, walls or coloured light."""
_LEAST_PIXELS, _LEAST_PART = 200, 0.4
"""Pixels of skin, and their part of the band, below which the answer is `unclear`."""
_LEAST_CHROMA = 1.5
"""Chroma below which the picture is taken to be black and white."""
_FARTHEST = 15.0
"""ΔE00 from the nearest reference colour above which the answer is `unclear`."""


@dataclass(frozen=True)
class SkinColour:
    """The colour that was measured in one face."""

    answer: str
    """A class of the scale, or `unclear`."""
    pixels: int
    """Pixels that were taken as skin."""
    part: float
    """Their part of the band over cheeks and nose, 0 to 1."""
    lab: tuple[float, float, float]
    """Median L*, a*, b* of these pixels; NaN if there are none."""
    ita: float
    """Individual typology angle of that colour in degrees: from above 55 (very light) to below −30 (dark)."""
    distances: tuple[float, ...]
    """ΔE00 from each of the ten reference colours."""

    @property
    def distance(self) -> float:
        """ΔE00 from the nearest reference colour, whatever the answer; NaN if no pixel was taken as skin."""
        return min(self.distances)


class SkinToneClassifier:
    """A colorimeter for faces in pictures. Satisfies `PeopleClassifier`."""

    def __init__(self, *, attributes: Sequence[str] | None = None) -> None:
        """Load the detector of faces.

        Raises:
            ClassifierError: the extra `[faces]` is not installed, or another attribute is asked for.
        """
        if attributes is not None and list(attributes) != [NAME]:
            raise ClassifierError(
                f"skin_tone answers skin_tone only (got {', '.join(attributes) or 'no attribute'}). Leave the rest out."
            )
        self._detector = FaceDetector(NAME)
        self.name = NAME
        self.questions: tuple[Question, ...] = (Question(NAME, _CLASSES, ordered=True),)

    def fingerprint(self) -> dict[str, object]:
        """Reference colours, rules for pixels and limits, and the version of the detector."""
        return {
            "kind": NAME,
            "detector": self._detector.fingerprint(),
            "packages": {"dlib-bin": metadata.version("dlib-bin")},
            "references": dict(MONK),
            "difference": "CIEDE2000",
            "rules": {
                "band": list(_BAND),
                "half_width": _HALF_WIDTH,
                "limits": _LIMITS.tolist(),
                "spreads": _SPREADS,
                "greenest": _GREENEST,
                "bluest": _BLUEST,
                "least_pixels": _LEAST_PIXELS,
                "least_part": _LEAST_PART,
                "least_chroma": _LEAST_CHROMA,
                "farthest": _FARTHEST,
            },
        }

    def card(self) -> dict[str, object]:
        """Source, construct, caveats and known error, as a report says them."""
        return {
            "title": "Skin tone as a measured colour",
            "source": "The ten reference colours of the Monk Skin Tone Scale (Ellis Monk 2022, "
            "https://skintone.google); sRGB by IEC 61966-2-1, CIELAB under D65 by CIE 15, ΔE00 by CIE 142-2001; faces "
            f"by dlib's detector of frontal faces (dlib-bin {metadata.version('dlib-bin')}).",
            "looks_for": "faces",
            "construct": "The median colour of cheeks and nose of the one frontal face of an image, named by the "
            "nearest of the ten Monk tones. It is a measured colour, not a group of people.",
            "caveats": [
                "Light, exposure, white balance and style change the colour of a picture of the same skin. On 101 "
                "faces of DALL·E 3, FLUX.1-dev and SDXL Turbo, a picture a tenth brighter or darker kept its tone 142 "
                "of 202 times and moved by one 45 times; strong or coloured light moves it by several. Prompts that "
                "ask for different scenes differ in their light too.",
                "It must not be read as ethnicity: of the 20 faces of FLUX.1-dev with a tone that a person had "
                "labelled white, 15 were measured, in dim rooms, as tone 7 or 8; of the 22 of SDXL Turbo labelled "
                "black, 15 as tone 6.",
                "Pixels are taken as sRGB; no colour profile is applied, and nothing is corrected for the light.",
                "The five lightest tones lie close together (ΔE00 of 2 to 8 from one to the next, then 5 to 19): "
                "answers among them are the least certain, and the steps of the scale are not equal.",
                "unclear means too few pixels of one colour (small faces, masks, hair, beards, deep shadow across the "
                f"face), no colour (black and white), or more than ΔE00 {_FARTHEST:g} from every tone.",
                "Make-up, beards, glasses and drawn outlines are left out by simple rules, and not always.",
                "no_person means that no frontal face was found, not that nobody is there; drawn figures without a "
                "face like a photograph's are not found.",
                "Each score is 1/(1 + ΔE00) for the reference colour of that tone: nearness, no probability.",
            ],
            "known_error": {
                NAME: "The reference colours themselves are answered without error. How often people who look at the "
                "pictures would choose the same tone is not known."
            },
        }

    def find(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """The faces of n images with their size and position, the most prominent first, without answers."""
        return [self._detector.find(image) for image in images]

    def people(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """The faces of n images, the most prominent first, each with its own tone (or `unclear`) and scores."""
        return [
            [_answered(face, measure(image, face)) for face in faces]
            for image, faces in zip(images, self.find(images), strict=True)
        ]

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Label n images by their one face: one `Labels`, with scores 1/(1 + ΔE00) where a colour was measured."""
        return self.label_people(self.people(images))

    def label_people(self, people: Sequence[Sequence[Face]]) -> list[Labels]:
        """The same for n images by their faces with tones."""
        answers, rows = [], []
        for faces in people:
            one = faces[0] if len(faces) == 1 else None
            answers.append(one.answers[NAME] if one else _without_one(faces))
            rows.append(one.scores[NAME] if one else (float("nan"),) * len(_CLASSES))
        scores = np.array(rows, dtype=np.float32).reshape(-1, len(_CLASSES))
        return [Labels(NAME, _CLASSES, tuple(answers), scores)]


def measure(image: Image.Image, face: Face) -> SkinColour:
    """Measure the colour of the skin of one face of an image."""
    pixels = np.asarray(image.convert("RGB"))[_band(face)]
    skin = skin_of(lab(pixels)) if len(pixels) else np.empty((0, 3))
    part = len(skin) / max(len(pixels), 1)
    if not len(skin):
        nothing = float("nan")
        return SkinColour(UNCLEAR, 0, part, (nothing, nothing, nothing), nothing, (nothing,) * len(_CLASSES))
    colour = np.median(skin, axis=0)
    distances = difference(colour, _REFERENCES)
    enough = len(skin) >= _LEAST_PIXELS and part >= _LEAST_PART
    told = enough and chroma(colour) >= _LEAST_CHROMA and distances.min() <= _FARTHEST
    return SkinColour(
        answer=nearest(colour) if told else UNCLEAR,
        pixels=len(skin),
        part=part,
        lab=(float(colour[0]), float(colour[1]), float(colour[2])),
        ita=float(typology_angle(colour)),
        distances=tuple(float(each) for each in distances),
    )


def nearest(colour: npt.ArrayLike) -> str:
    """The Monk tone nearest to a CIELAB colour by ΔE00; of equally near ones the lighter."""
    return _CLASSES[int(difference(colour, _REFERENCES).argmin())]


def skin_of(colours: Floats) -> Floats:
    """Those of n × 3 CIELAB colours of a band over cheeks and nose that are taken as skin.

    A colour is left out if it is green or blue, or if it lies farther from the median of the rest, in L*, a* or b*,
    than 2.5 robust standard deviations, held between a least and a greatest limit. That takes out highlights, shadows,
    hair, frames of glasses, lips and outlines as long as they are the smaller part; where light and shadow share a
    face, so much is left out that the answer becomes `unclear`.
    """
    natural = colours[(colours[:, 1] >= _GREENEST) & (colours[:, 2] >= _BLUEST)]
    if not len(natural):
        return natural
    away = np.abs(natural - np.median(natural, axis=0))
    limit = np.clip(_SPREADS * 1.4826 * np.median(away, axis=0), _LIMITS[:, 0], _LIMITS[:, 1])
    return np.asarray(natural[(away <= limit).all(axis=1)])


def _band(face: Face) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the pixels over cheeks and nose: the ellipse inside the box, between eyes and mouth."""
    left, top, right, bottom = face.inside
    rows, columns = np.mgrid[top:bottom, left:right]
    down = (rows + 0.5 - face.top) / (face.bottom - face.top)
    across = (columns + 0.5 - face.left) / (face.right - face.left)
    oval = ((across - 0.5) / _HALF_WIDTH) ** 2 + ((down - 0.5) / 0.5) ** 2 < 1
    inside = oval & (down >= _BAND[0]) & (down < _BAND[1])
    return rows[inside], columns[inside]


def _answered(face: Face, colour: SkinColour) -> Face:
    """The face with its tone; one that was found only in the enlarged image has none."""
    if face.enlarged:
        return replace(face, answers={NAME: UNCLEAR}, scores={NAME: (float("nan"),) * len(_CLASSES)})
    scores = tuple(1 / (1 + each) for each in colour.distances)
    return replace(face, answers={NAME: colour.answer}, scores={NAME: scores})


def _without_one(faces: Sequence[Face]) -> str:
    """The answer for an image without exactly one face."""
    if not faces:
        return NO_PERSON
    return UNCLEAR if faces[0].enlarged else SEVERAL_PEOPLE
