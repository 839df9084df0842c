"""Colours against published values: sRGB primaries, the Monk scale, and the test data of CIEDE2000."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.classifiers.colour import chroma, difference, lab, linear, typology_angle

PRIMARIES = {
    (255, 0, 0): (53.2408, 80.0925, 67.2032),
    (0, 255, 0): (87.7347, -86.1827, 83.1793),
    (0, 0, 255): (32.2970, 79.1875, -107.8602),
    (255, 255, 0): (97.1393, -21.5537, 94.4780),
    (0, 255, 255): (91.1132, -48.0875, -14.1312),
    (255, 0, 255): (60.3242, 98.2343, -60.8249),
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
}
"""sRGB → CIELAB (2°, D65) as printed in colour tables, which differ in the third digit."""
MONK = {
    "f6ede4": (94.211, 1.503, 5.422),
    "f3e7db": (92.275, 2.061, 7.28),
    "f7ead0": (93.091, 0.216, 14.205),
    "eadaba": (87.573, 0.459, 17.748),
    "d7bd96": (77.902, 3.471, 23.136),
    "a07e56": (55.142, 7.783, 26.74),
    "825c43": (42.47, 12.325, 20.53),
    "604134": (30.678, 11.667, 13.335),
    "3a312a": (21.069, 2.69, 5.964),
    "292420": (14.61, 1.482, 3.525),
}
"""The Monk scale as published at skintone.google: sRGB and CIELAB."""
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Sharma, Wu and Dalal (2005), table 1: two colours and their ΔE00."""


def rgb(code: str) -> list[int]:
    return [int(code[at : at + 2], 16) for at in (0, 2, 4)]


def test_primaries_are_where_the_tables_have_them() -> None:
    assert lab(list(PRIMARIES)) == pytest.approx(np.array(list(PRIMARIES.values())), abs=0.02)


def test_the_monk_scale_is_where_its_publishers_have_it() -> None:
    assert lab([rgb(code) for code in MONK]) == pytest.approx(np.array(list(MONK.values())), abs=0.01)


def test_greys_have_no_chroma_and_the_two_pieces_of_the_curve_meet() -> None:
    grey = lab(np.repeat(np.arange(256)[:, None], 3, axis=1))
    assert chroma(grey) == pytest.approx(np.zeros(256), abs=1e-10)
    assert (np.diff(grey[:, 0]) > 0).all()
    assert linear(127.5) == pytest.approx(0.2140411, abs=1e-6)
    assert linear(0.04045 * 255) == pytest.approx(linear(0.040451 * 255), abs=1e-6)


def test_the_order_of_the_channels_counts() -> None:
    brown, swapped = lab([[130, 92, 67], [67, 92, 130]])
    assert brown[2] > 20
    assert swapped[2] < -20
    assert float(difference(brown, swapped)) > 25


def test_a_colour_without_three_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"red, green and blue \(got an array of shape \(2, 4\)\)"):
        lab(np.zeros((2, 4)))
    assert lab(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("colour", "angle"),
    [((60, 5, 10), 45), ((40, 5, 10), -45), ((50, 5, 10), 0), ((70, 0, 20), 45), ((60, 0, 0), 90), ((40, 0, 0), -90)],
)
def test_typology_angles(colour: tuple[float, float, float], angle: float) -> None:
    assert float(typology_angle(colour)) == pytest.approx(angle)


def test_differences_are_those_of_the_published_pairs() -> None:
    table = np.array([[float(cell) for cell in row.split()] for row in SHARMA.split("\n") if row])
    assert table.shape == (34, 7)
    assert difference(table[:, :3], table[:, 3:6]) == pytest.approx(table[:, 6], abs=5e-5)


channels = st.tuples(*[st.integers(0, 255)] * 3)


@given(channels, channels)
def test_a_difference_is_the_same_both_ways_and_zero_only_between_equals(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    one, two = lab(first), lab(second)
    there, back = float(difference(one, two)), float(difference(two, one))
    assert there == pytest.approx(back, abs=1e-9)
    assert (there < 1e-9) == (first == second)
