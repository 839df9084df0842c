"""The phantom's pictures: flat, friendly figures whose make-up is known exactly.

A figure shows one person of a perceived gender, age and invented people in an occupation's outfit; scenes without a
person and groups exist too, so that those outcomes are real. The figures are calibration objects: their markers are
drawing conventions and say nothing about people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from probes.phantom.canvas import Colour, Pen, blank, finished, mix
from probes.phantom.outfits import HEADGEAR, OUTFITS, draw_jumper
from probes.phantom.people import (
    AGES,
    ETHNICITIES,
    GENDERS,
    Person,
    draw_back_hair,
    draw_face,
    draw_front_hair,
    draw_head,
    draw_neckerchief,
    look_of,
)
from probes.phantom.scenes import BACKDROPS, JUMPERS, PLAIN, SCENES, draw_backdrop

__all__ = ["AGES", "ETHNICITIES", "GENDERS", "Person", "draw_group", "draw_person", "draw_scene"]


def _tinted(ground: Colour, rng: np.random.Generator) -> Colour:
    shift = rng.integers(-6, 7, size=3)
    r, g, b = (min(255, max(0, channel + int(s))) for channel, s in zip(ground, shift, strict=True))
    return (r, g, b)


def _figure(pen: Pen, person: Person, occupation: str | None, rng: np.random.Generator) -> None:
    look = look_of(person, rng)
    woman = person.gender == "woman"
    draw_back_hair(pen, person, look)
    if occupation is None:
        draw_jumper(pen, woman, JUMPERS[int(rng.integers(len(JUMPERS)))])
    else:
        OUTFITS[occupation](pen, woman)
    draw_head(pen, person, look)
    draw_neckerchief(pen, person.ethnicity)
    draw_face(pen, person, look)
    draw_front_hair(pen, person, look)
    if occupation in HEADGEAR:
        HEADGEAR[occupation](pen)


def draw_person(person: Person, occupation: str | None, rng: np.random.Generator) -> Image.Image:
    """One person, head and shoulders, as a 64 × 64 RGB picture.

    ``occupation`` is a key of ``OUTFITS``, or None for somebody in a jumper. All variation (hair colour, position,
    tints) comes from ``rng``, so that equal generators give equal pixels.
    """
    ground = _tinted(PLAIN[int(rng.integers(len(PLAIN)))] if occupation is None else BACKDROPS[occupation], rng)
    image = blank(ground)
    draw_backdrop(Pen(image), occupation or "", ground)
    zoom = 1.0 + float(rng.uniform(-0.02, 0.02))
    x, y = rng.uniform(-1.2, 1.2), rng.uniform(0.0, 1.0)
    _figure(Pen(image, (32 - 32 * zoom + float(x), float(y)), zoom), person, occupation, rng)
    return finished(image)


def draw_scene(scene: str, rng: np.random.Generator) -> Image.Image:
    """A scene without a person (a key of ``SCENES``) as a 64 × 64 RGB picture."""
    image = blank((255, 255, 255))
    x, y = rng.uniform(-1.5, 1.5), rng.uniform(-1.0, 1.0)
    SCENES[scene](Pen(image, (float(x) - 1.6, float(y) - 1.6), 1.05), float(rng.uniform(0.0, 0.7)))
    return finished(image)


def draw_group(people: Sequence[Person], rng: np.random.Generator) -> Image.Image:
    """Two or three people next to each other, as a 64 × 64 RGB picture."""
    if len(people) not in (2, 3):
        raise ValueError(f"a group shows 2 or 3 people (got {len(people)}). Pass two or three persons.")
    ground = _tinted(PLAIN[int(rng.integers(len(PLAIN)))], rng)
    image = blank(ground)
    pen = Pen(image)
    pen.rectangle(0, 46, 64, 64, mix(ground, (120, 100, 80), 0.35))
    if len(people) == 2:
        places = [(-1.6, 18.0, 0.62), (26.0, 19.0, 0.62)]
    else:
        places = [(-2.8, 14.0, 0.5), (34.8, 14.0, 0.5), (14.4, 25.0, 0.55)]
    for person, (x, y, zoom) in zip(people, places, strict=True):
        dx, dy = rng.uniform(-1, 1, size=2)
        _figure(pen.placed((x + float(dx), y + float(dy)), zoom), person, None, rng)
    return finished(image)
