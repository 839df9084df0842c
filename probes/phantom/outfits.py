"""Clothes and headgear of the phantom's occupations, drawn over a figure's body."""

from __future__ import annotations

from collections.abc import Callable

from probes.phantom.canvas import Colour, Pen, darker, lighter

WHITE: Colour = (250, 250, 252)
GOLD: Colour = (246, 196, 60)
NAVY: Colour = (34, 46, 92)
INK: Colour = (40, 38, 48)


def _torso(pen: Pen, woman: bool, fill: Colour) -> None:
    """Shoulders and chest; a man's are wider."""
    left, right = (12.5, 51.5) if woman else (7.5, 56.5)
    pen.rectangle(left, 44.5 if woman else 43.2, right, 80, fill, radius=11)
    pen.polygon([(26.5, 41.5), (37.5, 41.5), (46, 47), (18, 47)], fill)


def _sleeves(pen: Pen, woman: bool, fill: Colour) -> None:
    x = 18.5 if woman else 14.0
    pen.line([(x, 55), (x, 66)], fill, 0.8)
    pen.line([(64 - x, 55), (64 - x, 66)], fill, 0.8)


def _lapels(pen: Pen, shirt: Colour, lapel: Colour) -> None:
    pen.polygon([(26, 43), (38, 43), (32, 66)], shirt)
    pen.polygon([(26, 42.5), (22.5, 48.5), (25, 50.5), (31.4, 66), (27, 50)], lapel)
    pen.polygon([(38, 42.5), (41.5, 48.5), (39, 50.5), (32.6, 66), (37, 50)], lapel)


def _nurse(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (84, 188, 190))
    _sleeves(pen, woman, (58, 156, 160))
    pen.polygon([(26, 43), (38, 43), (32, 54)], WHITE)
    pen.rectangle(39.5, 54.5, 46, 61, (66, 166, 170), radius=0.8)
    pen.rectangle(42.1, 53, 43.4, 57.5, (232, 70, 90))


def _doctor(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (244, 247, 252))
    _sleeves(pen, woman, (196, 206, 224))
    _lapels(pen, (92, 150, 214), (222, 229, 241))
    pen.arc((24, 41, 40, 60), 18, 162, (62, 66, 84), 1.3)
    pen.line([(32, 60), (32, 62)], (62, 66, 84), 1.3)
    pen.dot(41.5, 55.6, 2.5, (62, 66, 84))
    pen.dot(41.5, 55.6, 1.3, (206, 212, 224))


def _teacher(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (222, 158, 58))
    _sleeves(pen, woman, (186, 126, 38))
    pen.polygon([(26, 43), (38, 43), (35, 66), (29, 66)], (252, 244, 226))
    for y in (56.0, 60.5):
        pen.dot(36.8, y, 0.9, (140, 88, 24))
    pen.rectangle(40.5, 53.5, 51, 63.5, (198, 62, 60), radius=0.8)
    pen.rectangle(41.8, 53.5, 43, 63.5, (240, 214, 190))


def _ceo(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (46, 48, 66))
    _sleeves(pen, woman, (28, 30, 44))
    _lapels(pen, WHITE, (66, 70, 94))
    pen.polygon([(30.6, 50), (33.4, 50), (34.4, 60), (32, 64), (29.6, 60)], (186, 32, 60))
    pen.polygon([(42, 53.5), (47, 53.5), (44.5, 50.8)], WHITE)


def _engineer(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (56, 104, 176))
    _sleeves(pen, woman, (38, 78, 142))
    pen.line([(32, 48), (32, 66)], (38, 78, 142), 0.8)
    pen.rectangle(38.5, 53.5, 45.5, 60.5, (44, 88, 156), radius=0.8)
    for x, colour in ((40.2, (240, 90, 60)), (42.2, GOLD), (44.0, WHITE)):
        pen.rectangle(x - 0.55, 51.5, x + 0.55, 57, colour)


def _chef(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (250, 248, 244))
    _sleeves(pen, woman, (208, 204, 200))
    pen.line([(26.5, 48), (27.5, 66)], (214, 208, 204), 0.7)
    for y in (54.5, 59.0, 63.2):
        pen.dot(26.2, y, 1.0, (52, 50, 56))
        pen.dot(37.8, y, 1.0, (52, 50, 56))


def _firefighter(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (52, 54, 66))
    _sleeves(pen, woman, (32, 34, 42))
    pen.line([(32, 48), (32, 66)], (96, 98, 108), 1.0)
    pen.rectangle(4, 57, 60, 60.4, (238, 240, 70)) if not woman else pen.rectangle(12.5, 57, 51.5, 60.4, (238, 240, 70))
    x0, x1 = (12.5, 51.5) if woman else (7.5, 56.5)
    pen.rectangle(x0, 57, x1, 60.4, (238, 240, 70))
    pen.rectangle(x0, 58.3, x1, 59.2, (236, 238, 240))


def _farmer(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (206, 70, 62))
    for x in (16.5, 21.5, 42.5, 47.5):
        pen.line([(x, 46), (x, 66)], (238, 150, 136), 0.7)
    for y in (50.5, 56, 61.5):
        pen.line([(9 if not woman else 13.5, y), (55 if not woman else 50.5, y)], (238, 150, 136), 0.7)
    pen.rectangle(21.5, 53, 42.5, 70, (62, 98, 168), radius=1.2)
    for x in (22.0, 39.0):
        pen.rectangle(x, 44.5, x + 3, 55, (62, 98, 168))
        pen.dot(x + 1.5, 55, 1.0, GOLD)


def _pilot(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, NAVY)
    _sleeves(pen, woman, (22, 32, 68))
    _lapels(pen, WHITE, (50, 64, 118))
    pen.polygon([(31, 50), (33, 50), (33.6, 66), (30.4, 66)], INK)
    x = 14.5 if woman else 10.5
    for side in (x, 58.5 - x):
        pen.rectangle(side, 47.6, side + 5.5, 48.7, GOLD)
        pen.rectangle(side, 49.8, side + 5.5, 50.9, GOLD)
    pen.polygon([(40, 55.5), (47.5, 54.6), (44.5, 57.6), (41.4, 57.4)], GOLD)


def _hairdresser(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (238, 130, 164))
    _sleeves(pen, woman, (206, 96, 134))
    pen.polygon(
        [(24, 44), (27, 44), (29, 53), (35, 53), (37, 44), (40, 44), (41.5, 53), (44, 66), (20, 66), (22.5, 53)], INK
    )
    pen.line([(35.6, 64), (38.6, 56.5)], (224, 228, 236), 1.0)
    pen.line([(39.6, 64), (36.6, 56.5)], (224, 228, 236), 1.0)
    pen.ring(35.2, 63.6, 1.3, (224, 228, 236), 0.7)
    pen.ring(40.0, 63.6, 1.3, (224, 228, 236), 0.7)


def _police_officer(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (96, 140, 206))
    _sleeves(pen, woman, (68, 108, 172))
    pen.polygon([(31, 50), (33, 50), (33.8, 66), (30.2, 66)], NAVY)
    pen.rectangle(20, 54.5, 26, 60.5, (82, 124, 190), radius=0.6)
    pen.polygon([(39.5, 53), (46.5, 53), (46, 58), (43, 60.5), (40, 58)], GOLD)
    pen.dot(43, 56, 1.2, NAVY)
    x = 14.0 if woman else 10.0
    for side in (x, 59.0 - x):
        pen.rectangle(side, 47.8, side + 5, 50.2, NAVY, radius=0.5)


def _judge(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (34, 32, 40))
    for x in (18.0, 24.0, 40.0, 46.0):
        pen.line([(x, 52), (x - (32 - x) * 0.08, 66)], (62, 58, 70), 0.9)
    pen.polygon([(28.2, 48), (35.8, 48), (37.4, 62), (32.6, 60.6), (32, 54), (31.4, 60.6), (26.6, 62)], WHITE)


def _scientist(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (244, 246, 250))
    _sleeves(pen, woman, (200, 204, 220))
    _lapels(pen, (150, 98, 196), (224, 226, 238))
    pen.polygon([(43, 52), (45.6, 52), (45.6, 56), (49.5, 63), (39.1, 63), (43, 56)], (228, 240, 244))
    pen.polygon([(42, 58.6), (46.7, 58.6), (49.2, 62.7), (39.5, 62.7)], (72, 200, 92))


def _artist(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (246, 244, 238))
    x0, x1 = (12.5, 51.5) if woman else (7.5, 56.5)
    for y in (49.6, 54.0, 58.4, 62.8):
        pen.rectangle(x0 + (2.0 if y < 50 else 0.0), y, x1 - (2.0 if y < 50 else 0.0), y + 2.1, (44, 62, 128))


def _secretary(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (176, 146, 214))
    _sleeves(pen, woman, (146, 114, 188))
    for y in (56.2, 60.4):
        pen.dot(32, y, 0.8, (116, 84, 160))
    pen.rectangle(38.6, 53.6, 49, 64, (250, 236, 186), radius=0.5)
    for y in (56.0, 58.4, 60.8):
        pen.line([(40.2, y), (47.4, y)], (160, 140, 100), 0.7)
    pen.line([(38, 62.5), (44, 53.5)], (232, 96, 62), 1.0)


def _builder(pen: Pen, woman: bool) -> None:
    _torso(pen, woman, (244, 120, 40))
    x0, x1 = (12.5, 51.5) if woman else (7.5, 56.5)
    pen.rectangle(x0, 58, x1, 61, (232, 236, 236))
    for x in (19.5, 41.5):
        pen.rectangle(x, 46, x + 3.2, 66, (244, 240, 90))
    pen.line([(32, 50), (32, 66)], (178, 80, 20), 0.9)


def _hat_nurse(pen: Pen) -> None:
    pen.polygon([(22, 6.4), (42, 6.4), (43.6, 15.2), (20.4, 15.2)], WHITE)
    pen.rectangle(20.2, 13.2, 43.8, 15.6, (206, 230, 232), radius=0.8)
    pen.rectangle(30.9, 7.4, 33.1, 12.8, (232, 70, 90))
    pen.rectangle(29.3, 9, 34.7, 11.2, (232, 70, 90))


def _hat_chef(pen: Pen) -> None:
    shade: Colour = (226, 222, 218)
    for x, y, radius in ((24, 6.8, 5.4), (40, 6.8, 5.4), (32, 5.2, 6.4)):
        pen.dot(x, y, radius, WHITE)
    pen.rectangle(22.6, 7, 41.4, 15.4, WHITE, radius=0.8)
    for fold in (27.0, 32.0, 37.0):
        pen.line([(fold, 7), (fold, 12.6)], shade, 0.7)
    pen.rectangle(22.2, 13, 41.8, 16.2, (238, 234, 230), radius=0.8)


def _hard_hat(pen: Pen, fill: Colour, band: Colour) -> None:
    pen.chord((20, 3.4, 44, 28.6), 180, 360, fill)
    pen.rectangle(29.8, 2.6, 34.2, 15.6, lighter(fill, 0.35), radius=1.8)
    pen.rectangle(17.6, 14.6, 46.4, 17.4, band, radius=1.4)


def _hat_engineer(pen: Pen) -> None:
    _hard_hat(pen, (240, 243, 248), (196, 206, 222))
    pen.rectangle(30, 9.6, 34, 13.6, (56, 104, 176), radius=0.6)


def _hat_builder(pen: Pen) -> None:
    _hard_hat(pen, (250, 204, 40), (220, 164, 20))


def _hat_firefighter(pen: Pen) -> None:
    red: Colour = (206, 36, 36)
    pen.chord((20, 2.6, 44, 29.4), 180, 360, red)
    pen.rectangle(30.4, 2, 33.6, 14, darker(red, 0.25), radius=1.4)
    pen.polygon([(28.4, 7), (35.6, 7), (35, 12.6), (32, 14.8), (29, 12.6)], GOLD)
    pen.rectangle(15.2, 14.8, 48.8, 18, darker(red, 0.2), radius=1.6)


def _hat_farmer(pen: Pen) -> None:
    pen.chord((21.4, 2.4, 42.6, 27), 180, 360, (240, 206, 118))
    pen.rectangle(21.4, 11.2, 42.6, 14.8, (178, 76, 50))
    pen.ellipse(10.6, 13.2, 53.4, 18.6, (230, 190, 96))
    pen.arc((10.6, 11.4, 53.4, 18.2), 20, 160, (206, 162, 70), 0.7)


def _peaked_cap(pen: Pen, top: Colour, band: Colour, badge: Colour) -> None:
    pen.polygon([(17.4, 8.6), (24, 4), (40, 4), (46.6, 8.6), (42.8, 13.6), (21.2, 13.6)], top)
    pen.rectangle(21.2, 11.4, 42.8, 15.8, band, radius=0.6)
    pen.chord((20.6, 11.6, 43.4, 20), 10, 170, INK)
    pen.dot(32, 10.4, 2.3, badge)


def _hat_pilot(pen: Pen) -> None:
    _peaked_cap(pen, (246, 247, 250), NAVY, GOLD)
    pen.polygon([(26, 11), (38, 11), (32, 14)], GOLD)


def _hat_police_officer(pen: Pen) -> None:
    _peaked_cap(pen, (42, 62, 128), (28, 40, 88), (226, 230, 238))
    for x in (23.5, 27.5, 36.5, 40.5):
        pen.rectangle(x - 1, 13.2, x + 1, 15, WHITE)


def _hat_scientist(pen: Pen) -> None:
    pen.line([(20.6, 17), (43.4, 17)], (60, 62, 80), 1.8)
    for x in (26.6, 37.4):
        pen.rectangle(x - 4.6, 13.4, x + 4.6, 19.4, (60, 62, 80), radius=2.6)
        pen.rectangle(x - 3.5, 14.4, x + 3.5, 18.4, (150, 226, 236), radius=1.8)


def _hat_artist(pen: Pen) -> None:
    pen.ellipse(15.6, 5.6, 46, 16.4, (150, 34, 62))
    pen.rectangle(21.6, 12.8, 42.4, 16, (118, 22, 48), radius=1.4)
    pen.line([(30, 6.2), (29, 3.4)], (118, 22, 48), 1.1)


def _hat_secretary(pen: Pen) -> None:
    pen.arc((19.2, 8.8, 44.8, 36), 184, 356, INK, 1.5)
    pen.rectangle(17.8, 22.6, 21.6, 30, INK, radius=1.4)
    pen.arc((18.6, 22, 34, 37.4), 98, 176, INK, 0.9)
    pen.dot(25.4, 37.0, 1.2, INK)


OUTFITS: dict[str, Callable[[Pen, bool], None]] = {
    "nurse": _nurse,
    "doctor": _doctor,
    "teacher": _teacher,
    "ceo": _ceo,
    "engineer": _engineer,
    "chef": _chef,
    "firefighter": _firefighter,
    "farmer": _farmer,
    "pilot": _pilot,
    "hairdresser": _hairdresser,
    "police_officer": _police_officer,
    "judge": _judge,
    "scientist": _scientist,
    "artist": _artist,
    "secretary": _secretary,
    "builder": _builder,
}
"""Clothes of each occupation; the flag says whether the figure shows a woman (narrower shoulders)."""

HEADGEAR: dict[str, Callable[[Pen], None]] = {
    "nurse": _hat_nurse,
    "chef": _hat_chef,
    "engineer": _hat_engineer,
    "builder": _hat_builder,
    "firefighter": _hat_firefighter,
    "farmer": _hat_farmer,
    "pilot": _hat_pilot,
    "police_officer": _hat_police_officer,
    "scientist": _hat_scientist,
    "artist": _hat_artist,
    "secretary": _hat_secretary,
}
"""Headgear of the occupations that wear some."""


def draw_jumper(pen: Pen, woman: bool, fill: Colour) -> None:
    """The plain jumper of a figure without an occupation."""
    _torso(pen, woman, fill)
    _sleeves(pen, woman, darker(fill, 0.2))
