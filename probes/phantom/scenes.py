"""Backdrops of the occupations and the scenes in which nobody is shown."""

from __future__ import annotations

from collections.abc import Callable

from probes.phantom.canvas import Colour, Pen, darker, lighter, mix

BACKDROPS: dict[str, Colour] = {
    "nurse": (196, 232, 224),
    "doctor": (176, 208, 240),
    "teacher": (52, 104, 84),
    "ceo": (160, 178, 206),
    "engineer": (36, 84, 148),
    "chef": (250, 214, 160),
    "firefighter": (250, 176, 92),
    "farmer": (164, 214, 246),
    "pilot": (120, 190, 240),
    "hairdresser": (250, 206, 222),
    "police_officer": (208, 216, 226),
    "judge": (150, 98, 62),
    "scientist": (206, 190, 236),
    "artist": (252, 238, 206),
    "secretary": (222, 214, 200),
    "builder": (198, 110, 84),
}
"""The ground colour behind each occupation."""

JUMPERS: tuple[Colour, ...] = ((110, 160, 96), (92, 124, 190), (196, 110, 92), (140, 112, 160))
"""Colours of the jumper that a figure without an occupation wears."""

PLAIN: tuple[Colour, ...] = ((214, 224, 210), (226, 218, 206), (206, 218, 230))
"""Ground colours behind a figure without an occupation."""


def draw_backdrop(pen: Pen, occupation: str, ground: Colour) -> None:
    """What stands behind a figure of ``occupation``, on the colour ``ground``."""
    shade, tint = darker(ground, 0.1), lighter(ground, 0.35)
    match occupation:
        case "nurse" | "doctor":
            x = 8.5 if occupation == "nurse" else 55.5
            pen.dot(x, 12, 6.4, tint)
            mark: Colour = (232, 70, 90) if occupation == "nurse" else (66, 132, 206)
            pen.rectangle(x - 1.2, 8.2, x + 1.2, 15.8, mark)
            pen.rectangle(x - 3.8, 10.8, x + 3.8, 13.2, mark)
        case "teacher":
            pen.rectangle(0, 0, 64, 2.2, (176, 120, 66))
            for y, x0, x1 in ((8, 3, 14), (13, 3, 11), (18, 3, 13)):
                pen.line([(x0, y), (x1, y)], (220, 236, 226), 1.0)
            pen.line([(50, 9), (60, 9), (55, 17), (50, 9)], (220, 236, 226), 1.0)
        case "ceo":
            for x, top in ((2, 22), (10, 12), (47, 16), (55, 8)):
                pen.rectangle(x, top, x + 7, 64, darker(ground, 0.22))
                for y in range(top + 3, 60, 5):
                    pen.rectangle(x + 1.4, y, x + 2.8, y + 2, tint)
                    pen.rectangle(x + 4.2, y, x + 5.6, y + 2, tint)
        case "engineer":
            for at in range(4, 64, 8):
                pen.line([(at, 0), (at, 64)], lighter(ground, 0.16), 0.6)
                pen.line([(0, at), (64, at)], lighter(ground, 0.16), 0.6)
            pen.ring(8, 14, 4.6, tint, 1.6)
            pen.ring(55, 20, 5.6, tint, 1.6)
        case "chef":
            for row in range(0, 64, 8):
                for column in range((row // 8) % 2 * 8, 64, 16):
                    pen.rectangle(column, row, column + 8, row + 8, mix(ground, (255, 255, 255), 0.28))
        case "firefighter":
            for x, top in ((2, 26), (11, 36), (53, 36), (62, 26)):
                pen.polygon([(x - 8, 64), (x, top), (x + 8, 64)], (240, 104, 44))
                pen.polygon([(x - 5, 64), (x, top + 14), (x + 5, 64)], (252, 220, 90))
        case "farmer":
            pen.dot(55, 9, 5.4, (255, 222, 84))
            pen.rectangle(0, 40, 64, 64, (132, 190, 92))
            pen.ellipse(-14, 34, 24, 58, (112, 174, 80))
            pen.ellipse(40, 35, 80, 58, (112, 174, 80))
        case "pilot":
            for x, y in ((6, 12), (58, 26)):
                pen.dot(x - 4, y + 1, 3, (250, 252, 255))
                pen.dot(x, y, 4.2, (250, 252, 255))
                pen.dot(x + 4, y + 1, 3, (250, 252, 255))
        case "hairdresser":
            pen.ellipse(8, 0, 56, 56, (236, 242, 248))
            pen.arc((8, 0, 56, 56), 0, 360, (222, 160, 84), 1.6)
        case "police_officer":
            for index in range(8):
                pen.rectangle(index * 8, 26, index * 8 + 8, 30, (60, 84, 150) if index % 2 else (250, 250, 252))
                pen.rectangle(index * 8, 30, index * 8 + 8, 34, (250, 250, 252) if index % 2 else (60, 84, 150))
        case "judge":
            for x in (1, 45):
                pen.rectangle(x, 3, x + 18, 64, shade, radius=1)
                pen.rectangle(x + 2.4, 5.4, x + 15.6, 64, lighter(ground, 0.1), radius=1)
        case "scientist":
            for x, y, radius in ((8, 10, 4.4), (14, 20, 2.6), (6, 28, 1.8), (56, 14, 3.2), (51, 7, 1.8), (58, 26, 4.4)):
                pen.dot(x, y, radius, tint)
        case "artist":
            for x, y, radius, colour in (
                (8, 10, 5.2, (236, 92, 80)),
                (55, 12, 4.6, (74, 150, 214)),
                (6, 28, 3.6, (250, 190, 60)),
                (58, 30, 4.4, (108, 184, 104)),
            ):
                pen.dot(x, y, radius, colour)
        case "secretary":
            pen.rectangle(0, 24, 64, 26, (150, 112, 76))
            colours: tuple[Colour, ...] = ((206, 92, 84), (92, 146, 190), (232, 186, 84))
            for index, x in enumerate((1.5, 6.5, 11.5, 48.0, 53.0, 58.0)):
                pen.rectangle(x, 9, x + 4, 24, colours[index % 3], radius=0.5)
                pen.rectangle(x + 1, 12, x + 3, 15, (250, 246, 238))
        case "builder":
            for row in range(8):
                pen.line([(0, row * 8), (64, row * 8)], tint, 0.9)
                for x in range(4 + 8 * (row % 2), 64, 16):
                    pen.line([(x, row * 8), (x, row * 8 + 8)], tint, 0.9)
        case _:
            pen.dot(32, 30, 25, mix(ground, (255, 255, 255), 0.4))


def _office(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((224, 226, 230), (240, 224, 200), warm))
    pen.rectangle(0, 50, 64, 64, (178, 152, 124))
    pen.rectangle(6, 7, 30, 27, (250, 250, 252))
    pen.rectangle(7.6, 8.6, 17.2, 25.4, (150, 206, 240))
    pen.rectangle(18.8, 8.6, 28.4, 25.4, (150, 206, 240))
    pen.rectangle(8, 41, 56, 44.5, (138, 92, 58))
    pen.rectangle(11, 44, 14, 58, (112, 74, 46))
    pen.rectangle(50, 44, 53, 58, (112, 74, 46))
    pen.rectangle(31, 25, 51, 38, (52, 56, 66), radius=1)
    pen.rectangle(32.4, 26.4, 49.6, 36.4, (120, 190, 226))
    pen.rectangle(39.4, 38, 42.6, 41, (52, 56, 66))
    pen.rectangle(12, 36, 17, 41, (206, 120, 78))
    for x, y in ((11.5, 33), (17.5, 33), (14.5, 30.5)):
        pen.dot(x, y, 2.8, (84, 160, 92))


def _landscape(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((146, 206, 246), (250, 206, 160), warm))
    pen.dot(49, 13, 6, (255, 224, 96))
    pen.polygon([(-6, 44), (14, 15), (34, 44)], (136, 148, 172))
    pen.polygon([(14, 15), (8.5, 23), (12, 22), (14.5, 25), (17, 22), (19.6, 23.2)], (250, 252, 255))
    pen.polygon([(22, 44), (42, 23), (66, 44)], (112, 126, 154))
    pen.ellipse(-20, 36, 44, 84, (124, 186, 92))
    pen.ellipse(20, 40, 90, 84, (92, 162, 84))


def _still_life(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((196, 206, 190), (226, 196, 170), warm))
    pen.rectangle(0, 44, 64, 64, (156, 104, 70))
    pen.rectangle(0, 44, 64, 46, (184, 130, 90))
    pen.rectangle(11, 24, 21, 48, (70, 122, 180), radius=4)
    pen.rectangle(13.5, 18, 18.5, 28, (70, 122, 180), radius=1)
    for x, y, colour in ((10, 12, (238, 110, 130)), (16, 8, (250, 204, 84)), (22, 12, (238, 110, 130))):
        pen.line([(16, 19), (x, y)], (84, 150, 84), 1.0)
        pen.dot(x, y, 3.6, colour)
    pen.dot(36, 38, 5.2, (214, 56, 52))
    pen.dot(50, 38, 5.2, (246, 156, 48))
    pen.dot(43, 34, 5.4, (142, 190, 72))
    pen.chord((27, 26, 59, 54), 0, 180, (240, 236, 226))
    pen.rectangle(37, 52, 49, 55, (218, 212, 200), radius=1)


def _house(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((162, 212, 244), (250, 216, 180), warm))
    pen.rectangle(0, 48, 64, 64, (126, 186, 96))
    pen.rectangle(15, 27, 47, 54, (244, 228, 196))
    pen.polygon([(10, 29), (31, 10), (52, 29)], (194, 74, 60))
    pen.rectangle(41, 12, 45, 23, (150, 62, 52))
    pen.rectangle(27.5, 38, 35, 54, (122, 78, 50), radius=0.6)
    for x in (18.5, 38.0):
        pen.rectangle(x, 33, x + 6, 40, (112, 178, 224))
        pen.line([(x + 3, 33), (x + 3, 40)], (250, 250, 250), 0.8)
    pen.rectangle(55, 40, 58, 54, (124, 84, 54))
    pen.dot(56.5, 35, 6.4, (78, 148, 82))


def _seaside(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((176, 222, 248), (252, 200, 150), warm))
    pen.dot(14, 14, 5.6, (255, 226, 104))
    pen.rectangle(0, 31, 64, 64, (54, 132, 190))
    for y, x in ((36, 4), (40, 46), (44, 8)):
        pen.line([(x, y), (x + 10, y)], (150, 204, 234), 0.9)
    pen.polygon([(38, 10), (38, 31), (53, 31)], (250, 248, 242))
    pen.polygon([(36, 14), (36, 31), (26, 31)], (236, 96, 84))
    pen.polygon([(24, 33), (55, 33), (50, 39), (29, 39)], (128, 80, 50))
    pen.ellipse(-14, 50, 78, 84, (240, 216, 156))


def _forest(pen: Pen, warm: float) -> None:
    pen.rectangle(0, 0, 64, 64, mix((198, 226, 214), (240, 222, 176), warm))
    pen.rectangle(0, 50, 64, 64, (116, 152, 84))
    for x, base, size in ((10, 50, 9), (54, 50, 9), (32, 46, 7), (21, 55, 11), (44, 55, 11)):
        pen.rectangle(x - 1.4, base - 4, x + 1.4, base + 4, (112, 76, 50))
        for level in range(3):
            y = base - 4 - level * size * 0.85
            width = size * (1 - 0.24 * level)
            fill = mix((48, 112, 78), (96, 160, 96), level / 3)
            pen.polygon([(x - width, y), (x, y - size * 1.5), (x + width, y)], fill)


SCENES: dict[str, Callable[[Pen, float], None]] = {
    "office": _office,
    "landscape": _landscape,
    "still_life": _still_life,
    "house": _house,
    "seaside": _seaside,
    "forest": _forest,
}
"""Scenes without a person; the number from 0 to 1 is how warm the light is."""
