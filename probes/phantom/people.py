"""The figures' bodies: skin, hair, face and neckerchief.

Every marker here is a drawing convention of a calibration object. The four peoples (`ivory`, `honey`, `copper`,
`umber`) are invented; all share the same facial features, and neither they nor the markers of gender and age say
anything about people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes.phantom.canvas import Colour, Pen, darker, lighter, mix

GENDERS = ("woman", "man")
"""Classes of perceived gender that the phantom draws."""
AGES = ("young", "middle_aged", "older")
"""Classes of perceived age that the phantom draws."""
ETHNICITIES = ("ivory", "honey", "copper", "umber")
"""The invented peoples: skin pigment, hair and the colours of a neckerchief."""


@dataclass(frozen=True)
class Person:
    """What one figure is meant to show, each a class of its attribute."""

    gender: str
    age: str
    ethnicity: str


@dataclass(frozen=True)
class People:
    """How one invented people is drawn: skin, hair colours, hair texture, neckerchief (ground, pattern, motif)."""

    skin: Colour
    hair: tuple[Colour, ...]
    texture: str
    ground: Colour
    pattern: Colour
    motif: str


PEOPLES = {
    "ivory": People(
        (250, 224, 204), ((186, 92, 48), (214, 158, 78)), "straight", (44, 84, 190), (255, 255, 255), "dots"
    ),
    "honey": People((236, 192, 132), ((40, 42, 66), (58, 46, 54)), "fringe", (206, 40, 62), (255, 214, 92), "stripes"),
    "copper": People((192, 124, 78), ((104, 50, 30), (84, 40, 48)), "wavy", (28, 164, 158), (240, 250, 244), "zigzag"),
    "umber": People((116, 74, 52), ((30, 26, 30), (52, 34, 28)), "coils", (250, 178, 34), (122, 44, 140), "dots"),
}
"""The drawing of each invented people."""

_SILVER: Colour = (232, 233, 238)
_GREY: Colour = (168, 168, 174)


@dataclass(frozen=True)
class Look:
    """The colours and small variations of one figure, drawn once and used by every layer of it."""

    skin: Colour
    hair: Colour
    streak: Colour
    brow: Colour
    beard: str
    lips: Colour
    smile: float


def _jitter(colour: Colour, rng: np.random.Generator, spread: int) -> Colour:
    shift = int(rng.integers(-spread, spread + 1))
    r, g, b = (min(255, max(0, channel + shift)) for channel in colour)
    return (r, g, b)


def look_of(person: Person, rng: np.random.Generator) -> Look:
    """The colours of ``person``, with the natural variation of one figure from ``rng``."""
    people = PEOPLES[person.ethnicity]
    skin = _jitter(people.skin, rng, 4)
    natural = _jitter(people.hair[int(rng.integers(len(people.hair)))], rng, 5)
    hair, streak, brow = natural, lighter(natural, 0.14), darker(natural, 0.1)
    if person.age == "middle_aged":
        hair, streak = mix(natural, _GREY, 0.22), (206, 206, 212)
    elif person.age == "older":
        hair = _jitter(_SILVER, rng, 5)
        streak, brow = darker(hair, 0.12), (238, 238, 242)
    beard = "full" if rng.random() < 0.65 else "moustache"
    lips = (204, 52, 72) if person.gender == "woman" else darker(skin, 0.32)
    return Look(skin, hair, streak, brow, beard, lips, float(rng.uniform(-0.4, 0.5)))


def draw_back_hair(pen: Pen, person: Person, look: Look) -> None:
    """Hair that falls behind head and shoulders: long at the sides for a woman, close to the head for a man."""
    texture, hair = PEOPLES[person.ethnicity].texture, look.hair
    if person.gender == "man":
        pen.ellipse(20.0, 11.2, 44.0, 33.0, darker(hair, 0.08))
        return
    shade = darker(hair, 0.1)
    if texture == "coils":
        for x, y, radius in (
            (20, 21, 6.0),
            (44, 21, 6.0),
            (17.5, 29, 6.2),
            (46.5, 29, 6.2),
            (18, 37, 6.4),
            (46, 37, 6.4),
        ):
            pen.dot(x, y, radius, shade)
        for x, y, radius in (
            (15.5, 26, 3.0),
            (48.5, 26, 3.0),
            (14.5, 34, 3.0),
            (49.5, 34, 3.0),
            (16, 41, 3.4),
            (48, 41, 3.4),
        ):
            pen.dot(x, y, radius, hair)
        pen.ellipse(19, 9.5, 45, 40, shade)
    elif texture == "wavy":
        pen.rectangle(17.5, 12, 46.5, 48, shade, radius=12)
        for height in (24.0, 31.5, 39.0, 46.0):
            pen.dot(18.6, height, 4.2, shade)
            pen.dot(45.4, height, 4.2, shade)
            pen.dot(18.9, height - 0.5, 2.4, hair)
            pen.dot(45.1, height - 0.5, 2.4, hair)
    else:
        pen.rectangle(18, 11, 46, 52, shade, radius=11)
        pen.rectangle(17.5, 30, 46.5, 53, shade, radius=3)
        if texture == "straight":
            pen.line([(20, 26), (19.5, 50)], look.streak, 0.8)
            pen.line([(44, 26), (44.5, 50)], look.streak, 0.8)


def draw_head(pen: Pen, person: Person, look: Look) -> None:
    """Neck, ears, head and jaw, in the figure's skin."""
    skin = look.skin
    pen.rectangle(27.6, 33, 36.4, 48, darker(skin, 0.14), radius=2)
    for x in (21.4, 42.6):
        pen.ellipse(x - 2, 24.5, x + 2, 30.5, darker(skin, 0.06))
    if person.gender == "man":
        pen.rectangle(21.6, 13.5, 42.4, 38.6, skin, radius=9.4)
    else:
        pen.ellipse(21.6, 13.2, 42.4, 36.5, skin)
        pen.ellipse(23.4, 20, 40.6, 39.2, skin)


def _draw_beard(pen: Pen, look: Look) -> None:
    fill = look.hair
    if look.beard == "full":
        pen.chord((21.4, 17.5, 42.6, 41.6), 14, 166, fill)
        pen.rectangle(21.4, 25, 23.4, 33.5, fill, radius=0.6)
        pen.rectangle(40.6, 25, 42.6, 33.5, fill, radius=0.6)
        pen.ellipse(27.8, 30.6, 36.2, 35.8, fill)
    else:
        pen.chord((22, 15.5, 42, 39.3), 22, 158, mix(look.skin, look.hair, 0.36))
        pen.pie((26.4, 30.4, 32.6, 35.2), 180, 360, fill)
        pen.pie((31.4, 30.4, 37.6, 35.2), 180, 360, fill)


def draw_face(pen: Pen, person: Person, look: Look) -> None:
    """Eyes, brows, nose, mouth and cheeks, and what tells gender and age apart."""
    woman, skin = person.gender == "woman", look.skin
    ink: Colour = (38, 30, 34)
    if person.age == "young":
        blush = mix(skin, (236, 84, 84), 0.34)
        pen.dot(25.4, 31.2, 2.1, blush)
        pen.dot(38.6, 31.2, 2.1, blush)
    if not woman:
        _draw_beard(pen, look)
    for side in (-1, 1):
        x = 32 + side * 4.7
        pen.ellipse(x - 2.1, 24.8, x + 2.1, 28.6, (255, 255, 255))
        pen.dot(x, 26.8, 1.5, ink)
        pen.dot(x + 0.5, 26.3, 0.45, (255, 255, 255))
        if woman:
            pen.arc((x - 2.4, 24.2, x + 2.4, 29.2), 190, 350, ink, 0.75)
            pen.line([(x + side * 2.0, 25.6), (x + side * 3.3, 24.5)], ink, 0.75)
            pen.arc((x - 2.8, 21.6, x + 2.8, 25.6), 205, 335, look.brow, 0.7)
        else:
            pen.line([(x - 2.7, 22.9), (x + 2.7, 22.6)], look.brow, 1.35)
    pen.arc((30.6, 27.6, 33.4, 31.2), 20, 160, darker(skin, 0.28), 0.8)
    depth = 35.3 + look.smile
    if woman:
        pen.chord((28.9, 31.6, 35.1, depth + 0.5), 10, 170, look.lips)
        pen.line([(29.4, 33.9), (34.6, 33.9)], darker(look.lips, 0.25), 0.4)
    else:
        pen.chord((29.3, 31.8, 34.7, depth - 0.2), 12, 168, (250, 240, 236) if look.beard == "full" else look.lips)
    if person.age == "middle_aged":
        _draw_glasses(pen, (44, 40, 58), 3.7, 0.95)
    elif person.age == "older":
        _draw_lines(pen, darker(skin, 0.24))


def _draw_glasses(pen: Pen, frame: Colour, radius: float, width: float) -> None:
    for side in (-1, 1):
        pen.ring(32 + side * 4.9, 26.8, radius, frame, width)
        pen.line([(32 + side * (4.9 + radius), 26.2), (32 + side * 10.6, 25.4)], frame, width * 0.8)
    pen.line([(30.9, 26.4), (33.1, 26.4)], frame, width)


def _draw_lines(pen: Pen, shade: Colour) -> None:
    for side in (-1, 1):
        x = 32 + side * 4.7
        pen.arc((x - 2.6, 26.2, x + 2.6, 30.8), 25, 155, shade, 0.6)
        pen.line([(32 + side * 3.3, 30.4), (32 + side * 5.6, 33.2)], shade, 0.7)
        pen.line([(32 + side * 8.0, 25.6), (32 + side * 9.6, 24.6)], shade, 0.55)
        pen.line([(32 + side * 8.0, 27.0), (32 + side * 9.7, 27.3)], shade, 0.55)
    pen.line([(28.6, 20.5), (35.4, 20.5)], shade, 0.6)


def draw_front_hair(pen: Pen, person: Person, look: Look) -> None:
    """Hair on top of the head and at its sides; the sides stay visible under every hat."""
    texture, hair, streak = PEOPLES[person.ethnicity].texture, look.hair, look.streak
    if person.gender == "man":
        _draw_short_hair(pen, texture, hair)
        if person.age != "young":
            for x in (20.9, 41.1):
                pen.rectangle(x, 20.6, x + 2.0, 26.4, streak, radius=0.9)
        return
    if texture == "coils":
        for index in range(7):
            angle = np.pi * (1.03 + 0.94 * index / 6)
            pen.dot(32 + 11.0 * np.cos(angle), 20.5 + 8.2 * np.sin(angle), 4.0, hair)
        for x in (19.4, 44.6):
            pen.dot(x, 25, 3.2, hair)
            pen.dot(x, 31, 3.4, hair)
    elif texture == "wavy":
        pen.chord((20.2, 10.2, 43.8, 33), 183, 290, hair)
        pen.chord((20.2, 10.2, 43.8, 33), 235, 357, hair)
        for y in (22.0, 28.0, 34.0):
            pen.dot(21.0, y, 2.1, hair)
            pen.dot(43.0, y, 2.1, hair)
    elif texture == "fringe":
        pen.chord((20, 10.2, 44, 31.4), 180, 360, hair)
        pen.rectangle(19.8, 19, 22.4, 44, hair, radius=1)
        pen.rectangle(41.6, 19, 44.2, 44, hair, radius=1)
    else:
        pen.polygon([(32.5, 12), (36, 13.5), (28, 19.4), (22.4, 26), (20, 26), (20.4, 19), (25, 13)], hair)
        pen.polygon([(31.5, 12), (38.8, 13.2), (43.6, 19), (44, 26), (41.6, 26), (38, 19.6), (33, 14.6)], hair)
        pen.chord((20.2, 10.2, 43.8, 30), 196, 344, hair)
        pen.rectangle(19.6, 20, 22.2, 42, hair, radius=1.2)
        pen.rectangle(41.8, 20, 44.4, 42, hair, radius=1.2)
    if person.age == "middle_aged":
        for x in (20.9, 43.1):
            pen.line([(x, 22), (x - 0.2, 37)], streak, 1.3)


def _draw_short_hair(pen: Pen, texture: str, hair: Colour) -> None:
    if texture == "coils":
        for index in range(8):
            angle = np.pi * (1.0 + index / 7)
            pen.dot(32 + 10.0 * np.cos(angle), 19.4 + 7.0 * np.sin(angle), 2.9, hair)
        pen.chord((21.2, 11.4, 42.8, 27.5), 184, 356, hair)
    elif texture == "wavy":
        pen.chord((20.6, 10.2, 43.4, 29), 186, 354, hair)
        for x, y in ((24.5, 17.5), (28.5, 16), (33, 16.2), (37.5, 17), (40.5, 18.6)):
            pen.dot(x, y, 2.4, hair)
    elif texture == "fringe":
        pen.chord((20.8, 10.2, 43.2, 29.6), 183, 357, hair)
        pen.polygon([(23, 19.6), (41, 19.6), (38.5, 21.4), (35.5, 19.8), (32, 21.4), (28, 19.8), (25, 21.4)], hair)
    else:
        pen.chord((20.8, 10, 43.2, 28), 186, 354, hair)
        pen.polygon([(22, 19), (37, 16.4), (43, 20), (43, 14), (30, 10.5)], hair)
    for x in (20.7, 41.3):
        pen.rectangle(x, 17.5, x + 2.0, 26.6, hair, radius=0.8)


def draw_neckerchief(pen: Pen, ethnicity: str) -> None:
    """The neckerchief that each invented people wears, over any outfit."""
    people = PEOPLES[ethnicity]
    ground, pattern = people.ground, people.pattern
    pen.polygon([(25.2, 41.2), (38.8, 41.2), (41.4, 45.6), (32, 53.4), (22.6, 45.6)], ground)
    pen.chord((25, 37.6, 39, 44), 20, 160, darker(ground, 0.22))
    if people.motif == "dots":
        for x, y in ((27, 45.4), (32, 45.9), (37, 45.4), (29.6, 48.3), (34.4, 48.3), (32, 51)):
            pen.dot(x, y, 0.95, pattern)
    elif people.motif == "stripes":
        pen.line([(24.3, 45), (32, 50.8), (39.7, 45)], pattern, 1.1)
        pen.line([(26.4, 43.4), (32, 47.4), (37.6, 43.4)], pattern, 1.1)
    else:
        for y in (45.6, 48.8):
            half = (53.4 - y) * 1.05
            xs = np.linspace(32 - half, 32 + half, 7)
            pen.line([(float(x), y + (0.9 if i % 2 else -0.9)) for i, x in enumerate(xs)], pattern, 0.9)
