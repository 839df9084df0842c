"""Colour as it is measured: sRGB to CIELAB under D65, the individual typology angle, and the difference ΔE00.

Sources: IEC 61966-2-1:1999 (sRGB: transfer function and primaries); CIE 15:2018 (CIELAB); Chardon, Cretois and
Hourseau, "Skin colour typology and suntanning pathways", International Journal of Cosmetic Science 13 (1991) (angle);
CIE 142-2001 as written out by Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", Color Research and
Application 30 (2005) (difference).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TO_XYZ = np.array(
    [
        [0.4123907992659595, 0.35758433938387796, 0.1804807884018343],
        [0.21263900587151036, 0.7151686787677559, 0.07219231536073371],
        [0.01933081871559185, 0.11919477979462599, 0.9505321522496606],
    ]
)
"""Linear sRGB to XYZ, from the chromaticities of the primaries and of D65 (x .3127, y .3290); Y of white is 1."""
_WHITE = _TO_XYZ.sum(axis=1)
"""XYZ of the white of sRGB (D65), so that equal channels have a* = b* = 0."""
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27


def linear(rgb: npt.ArrayLike) -> Floats:
    """Linear light, 0 to 1, of sRGB values from 0 to 255: … × 3, in the order red, green, blue."""
    value = np.asarray(rgb, dtype=np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4)


def lab(rgb: npt.ArrayLike) -> Floats:
    """L*, a*, b* (2° observer, D65) of sRGB values from 0 to 255: … × 3, in the order red, green, blue.

    Raises:
        ValueError: if the last axis has not three values.
    """
    light = linear(rgb)
    if light.shape[-1:] != (3,):
        raise ValueError(f"a colour has red, green and blue (got an array of shape {light.shape}).")
    ratio = light @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > _EPSILON, np.cbrt(ratio), (_KAPPA * ratio + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def chroma(colour: npt.ArrayLike) -> Floats:
    """C*ab = √(a*² + b*²) of CIELAB colours, … × 3; 0 for a grey."""
    given = np.asarray(colour, dtype=np.float64)
    return np.hypot(given[..., 1], given[..., 2])


def typology_angle(colour: npt.ArrayLike) -> Floats:
    """ITA = arctan((L* − 50) / b*) · 180/π of CIELAB colours, … × 3, in degrees; higher is lighter.

    Where b* is 0 it is the limit from b* > 0: ±90°, and NaN at L* = 50.
    """
    given = np.asarray(colour, dtype=np.float64)
    above, yellow = given[..., 0] - 50, given[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.degrees(np.arctan(above / np.where(yellow == 0, 0.0, yellow)))
    return np.asarray(angle)


def difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Floats:
    """ΔE00 (CIEDE2000, k_L = k_C = k_H = 1) of CIELAB colours, … × 3, that are broadcast against each other."""
    one, two = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    grey = (chroma(one) + chroma(two)) / 2
    stretch = 1 + (1 - np.sqrt(grey**7 / (grey**7 + 25.0**7))) / 2
    (c1, h1), (c2, h2) = _polar(one, stretch), _polar(two, stretch)
    light, colourful = (one[..., 0] + two[..., 0]) / 2, (c1 + c2) / 2
    coloured = c1 * c2 > 0
    turn = np.where(coloured, (h2 - h1 + 180) % 360 - 180, 0)
    far = np.abs(h2 - h1) > 180
    mean = np.where(far, (h1 + h2 + 360) / 2 % 360, (h1 + h2) / 2)
    mean = np.radians(np.where(coloured, mean, h1 + h2))
    degrees = np.degrees(mean)
    weight = (
        1
        - 0.17 * np.cos(mean - np.radians(30))
        + 0.24 * np.cos(2 * mean)
        + 0.32 * np.cos(3 * mean + np.radians(6))
        - 0.20 * np.cos(4 * mean - np.radians(63))
    )
    by_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    d_light = (two[..., 0] - one[..., 0]) / by_light
    d_chroma = (c2 - c1) / (1 + 0.045 * colourful)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / (1 + 0.015 * colourful * weight)
    rotation = -2 * np.sqrt(colourful**7 / (colourful**7 + 25.0**7))
    rotation = rotation * np.sin(np.radians(60 * np.exp(-(((degrees - 275) / 25) ** 2))))
    total = d_light**2 + d_chroma**2 + d_hue**2 + rotation * d_chroma * d_hue
    return np.asarray(np.sqrt(np.maximum(total, 0)))


def _polar(colour: Floats, stretch: Floats) -> tuple[Floats, Floats]:
    """Chroma and hue in degrees (0 to 360) with a* stretched, as CIEDE2000 takes them."""
    a, b = colour[..., 1] * stretch, colour[..., 2]
    return np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
