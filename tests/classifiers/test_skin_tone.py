"""Skin tone as a measured colour: the Monk scale itself, disturbed, mixed with what is no skin, and on real images."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import call
from PIL import Image

import audit
from audit.classifiers.base import NOT_MEASURED, Classifier, ClassifierError
from audit.classifiers.colour import lab, linear
from audit.classifiers.people import Face, any_of
from audit.classifiers.registry import classifier_names, load_classifier
from audit.classifiers.skin_tone import MONK, SkinColour, SkinToneClassifier, measure, nearest
from probes.phantom.data import planted_example

CLASSES = tuple(f"mst_{number}" for number in range(1, 11))
SIDE = 120


@pytest.fixture(scope="module")
def tones() -> SkinToneClassifier:
    classifier = load_classifier("skin_tone")
    assert isinstance(classifier, SkinToneClassifier)
    return classifier


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> list[Path]:
    """Twelve images with faces of several sizes, with several and with none."""
    folder = shared_data / "images"
    if not folder.is_dir():
        pytest.skip("no folder images in shared/data")
    return sorted(
        path for name in ("dall_e_3", "flux_dev", "sdxl_turbo") for path in folder.glob(f"{name}/ceo/**/*.jpg")
    )[::5]


def colour_of(tone: str) -> tuple[int, int, int]:
    code = MONK[tone]
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def whole(image: Image.Image) -> Face:
    """The whole image as one face."""
    return Face(0, 0, image.width, image.height, image.width, image.height, confidence=1, pose="front")


def measured(pixels: np.ndarray | tuple[int, int, int]) -> SkinColour:
    """What is measured in a face of these pixels, or of this one colour."""
    if isinstance(pixels, tuple):
        pixels = np.full((SIDE, SIDE, 3), pixels, dtype=np.uint8)
    image = Image.fromarray(pixels)
    return measure(image, whole(image))


def patch(tone: str, other: tuple[int, int, int], part: float) -> SkinColour:
    """What is measured in a face of one tone, this part of whose pixels, at random places, has another colour."""
    pixels = np.full((SIDE, SIDE, 3), colour_of(tone), dtype=np.uint8)
    pixels[np.random.default_rng(5).random((SIDE, SIDE)) < part] = other
    return measured(pixels)


def test_the_reference_colours_are_their_own_tones() -> None:
    assert tuple(MONK) == CLASSES
    for tone in CLASSES:
        found = measured(colour_of(tone))
        assert (found.answer, nearest(lab(colour_of(tone)))) == (tone, tone)
        assert found.distance == pytest.approx(0, abs=1e-6)
        assert found.part == 1
        assert found.lab == pytest.approx(tuple(lab(colour_of(tone))))
    angles = [measured(colour_of(tone)).ita for tone in CLASSES]
    assert angles == sorted(angles, reverse=True)


@pytest.mark.parametrize("quality", [75, 80, 85, 90, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_reference_colours_survive_jpeg(quality: int, subsampling: int) -> None:
    for tone in CLASSES:
        file = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), colour_of(tone)).save(file, "JPEG", quality=quality, subsampling=subsampling)
        found = measured(np.asarray(Image.open(file)))
        assert found.answer == tone
        assert found.distance < 1.5


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.1])
def test_a_tenth_more_or_less_brightness_moves_a_tone_by_one_step_at_most(factor: float) -> None:
    noise = np.random.default_rng(3).normal(0, 2, (SIDE, SIDE, 3))
    for place, tone in enumerate(CLASSES):
        values = np.array(colour_of(tone), dtype=float)
        light = np.minimum(linear(values) * factor, 1)
        encoded = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        for changed in (values * factor, encoded):
            found = measured(np.clip(np.round(changed + noise), 0, 255).astype(np.uint8))
            assert found.answer in CLASSES
            assert abs(CLASSES.index(found.answer) - place) <= 1


def test_channels_are_not_swapped() -> None:
    red, green, blue = colour_of("mst_6")
    assert measured((red, green, blue)).answer == "mst_6"
    swapped = measured((blue, green, red))
    assert (swapped.answer, swapped.pixels) == ("unclear", 0)
    assert [nearest(lab(colour_of(tone)[::-1])) == tone for tone in CLASSES[4:8]] == [False] * 4


@pytest.mark.parametrize("tone", ["mst_2", "mst_5", "mst_7", "mst_9"])
@pytest.mark.parametrize(
    "other",
    [(10, 8, 6), (255, 255, 255), (170, 40, 60), (90, 140, 200), (40, 160, 60)],
    ids=["hair", "highlight", "lips", "mask", "wall"],
)
def test_what_is_no_skin_is_left_out(tone: str, other: tuple[int, int, int]) -> None:
    found = patch(tone, other, 0.3)
    assert found.answer == tone
    if abs(lab(other)[0] - lab(colour_of(tone))[0]) > 10:
        assert found.distance == pytest.approx(0, abs=1e-6)
        assert found.part == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        ((90, 140, 200), "a mask over the face"),
        ((40, 40, 40), "black and white"),
        ((230, 120, 20), "farther from every tone than skin is"),
        (np.where(np.arange(SIDE)[None, :, None] < SIDE / 2, 240, 25) * np.array([1.0, 0.85, 0.7]), "half in shadow"),
        (np.full((24, 24, 3), colour_of("mst_6")), "a face of a few pixels"),
    ],
    ids=["mask", "grey", "far", "shadow", "few"],
)
def test_what_cannot_be_told_is_unclear(pixels: np.ndarray | tuple[int, int, int], why: str) -> None:
    given = pixels if isinstance(pixels, tuple) else pixels.astype(np.uint8)
    if not isinstance(given, tuple) and given.shape[0] != given.shape[1]:
        given = np.repeat(given, SIDE, axis=0)
    assert measured(given).answer == "unclear", why


def test_a_box_over_the_edge_of_the_image_is_measured_inside_it() -> None:
    image = Image.new("RGB", (60, SIDE), colour_of("mst_7"))
    face = Face(-60, 0, 60, SIDE, 60, SIDE, confidence=1, pose="front")
    assert measure(image, face).answer == "mst_7"
    assert measure(image, Face(70, 0, 190, SIDE, 60, SIDE, confidence=1, pose="front")).pixels == 0


def test_every_real_image_has_an_answer_of_its_own(tones: SkinToneClassifier, photographs: list[Path]) -> None:
    images = [Image.open(path).convert("RGB") for path in photographs]
    (labels,) = tones.label(images)
    assert len(labels.answer) == len(images) == len(labels.scores)
    assert set(labels.answer) <= {*CLASSES, *NOT_MEASURED}
    assert len({answer for answer in labels.answer if answer in CLASSES}) >= 2
    for image, answer, scores, faces in zip(images, labels.answer, labels.scores, tones.find(images), strict=True):
        assert tones.label([image])[0].answer == (answer,)
        assert (answer == "no_person") == (not faces)
        assert (answer == "several_people") == (len(faces) > 1 and not faces[0].enlarged)
        if answer in CLASSES:
            assert CLASSES[int(scores.argmax())] == answer
            assert 1 / scores.max() - 1 == pytest.approx(measure(image, faces[0]).distance, rel=1e-4)
            assert measure(image, faces[0]).distance <= 15
        elif answer != "unclear":
            assert np.isnan(scores).all()


def test_a_real_face_given_the_colour_of_a_tone_has_that_tone(
    tones: SkinToneClassifier, photographs: list[Path]
) -> None:
    """Each channel of a real image is scaled in linear light so that the skin takes a reference colour."""
    kept = 0
    for path in photographs:
        image = Image.open(path).convert("RGB")
        (faces,) = tones.find([image])
        if len(faces) != 1 or faces[0].enlarged or measure(image, faces[0]).part < 0.6:
            continue
        box = image.crop(faces[0].inside)
        middle = np.median(
            np.asarray(box)[box.height // 2 : box.height * 3 // 5, box.width // 3 : -box.width // 3], (0, 1)
        )
        for tone in ("mst_5", "mst_6", "mst_7", "mst_8"):
            light = np.minimum(linear(np.asarray(image)) * linear(colour_of(tone)) / linear(middle), 1)
            values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
            changed = Image.fromarray(np.round(255 * values).astype(np.uint8))
            (labels,) = tones.label([changed])
            if labels.answer[0] in CLASSES:
                kept += 1
                assert abs(CLASSES.index(labels.answer[0]) - CLASSES.index(tone)) <= 1
    assert kept >= 4


def test_several_people_are_measured_one_by_one(tones: SkinToneClassifier, photographs: list[Path]) -> None:
    for path in photographs:
        image = Image.open(path).convert("RGB")
        if tones.label([image])[0].answer[0] in CLASSES:
            break
    twice = Image.new("RGB", (2 * image.width, image.height))
    twice.paste(image, (0, 0))
    twice.paste(image, (image.width, 0))
    assert tones.label([twice])[0].answer == ("several_people",)
    (faces,) = tones.people([twice])
    assert len(faces) == 2
    tone = tones.label([image])[0].answer[0]
    counts = any_of([faces], "skin_tone", tone)
    assert (counts.images, counts.shown, counts.people) == (1, 1, 2)


def test_drawn_figures_have_no_face_that_could_be_measured(tones: SkinToneClassifier) -> None:
    drawn = [Image.fromarray(planted_example(seed).pixels) for seed in range(4)]
    assert tones.label(drawn)[0].answer == ("no_person",) * 4


def test_it_says_what_it_is(tones: SkinToneClassifier) -> None:
    assert "skin_tone" in classifier_names()
    assert isinstance(tones, Classifier)
    (question,) = tones.questions
    assert (question.attribute, question.classes, question.ordered) == ("skin_tone", CLASSES, True)
    assert json.loads(json.dumps(tones.fingerprint()))["references"]["mst_6"] == "#a07e56"
    card = json.loads(json.dumps(tones.card()))
    assert "skintone.google" in card["source"]
    assert "a measured colour, not a group of people" in card["construct"]
    assert any("Light, exposure" in caveat for caveat in card["caveats"])
    assert tones.label([])[0].scores.shape == (0, 10)


@pytest.mark.parametrize("attributes", [["gender"], ["skin_tone", "age"], []])
def test_it_answers_nothing_else(attributes: list[str]) -> None:
    with pytest.raises(ClassifierError, match="skin_tone answers skin_tone only"):
        load_classifier("skin_tone", attributes=attributes)
    assert load_classifier("skin_tone", attributes=["skin_tone"], margin=0.2).name == "skin_tone"


def test_without_the_extra_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['dlib'] = None\n"
        "from audit.classifiers.base import ClassifierError\n"
        "from audit.classifiers.registry import load_classifier\n"
        "try:\n    load_classifier('skin_tone')\nexcept ClassifierError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("the classifier skin_tone needs an extra")
    assert said.strip().endswith("pip install 'rolecall[faces]'")
    assert len(said.splitlines()) == 1


def test_a_run_counts_every_image(photographs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "images" / "ceo"
    folder.mkdir(parents=True)
    for path in photographs[::2]:
        shutil.copy(path, folder / f"{path.parts[-4]}-{path.name}")
    out = tmp_path / "run"
    answer = call(
        "import", folder.parent, "--folders", "subject", "--suite", "occupations", "--classifier", "skin_tone",
        "--threads", 1, "--draws", 200, "--out", out, "--quiet",
    )  # fmt: skip
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    (row,) = audit.open(out).missing().to_dict("records")
    assert row["attribute"] == "skin_tone"
    assert row["asked"] == len(photographs[::2])
    assert row["no_person"] + row["several_people"] + row["unclear"] + row["labelled"] == row["asked"]
    assert row["labelled"] > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Monk tone" in page
    assert "a measured colour, not a group of people" in page
