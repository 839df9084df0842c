"""A small antialiased drawing surface for the phantom's figures.

Coordinates are those of the finished 64 × 64 picture, as floats; everything is drawn ``SCALE`` times larger and
averaged down once, which is what makes the edges smooth.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

SIZE = 64
"""Edge of a finished picture, in pixels."""
SCALE = 6
"""Supersampling factor: pictures are drawn at ``SIZE * SCALE`` and box-filtered down."""

Colour = tuple[int, int, int]
"""An sRGB colour, 0 to 255 a channel."""
Point = tuple[float, float]
"""A position in figure units (64 to the picture's edge)."""


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """``first`` moved towards ``second`` by ``amount`` (0 keeps the first, 1 gives the second)."""
    r, g, b = (round(a + (c - a) * amount) for a, c in zip(first, second, strict=True))
    return (r, g, b)


def darker(colour: Colour, amount: float = 0.15) -> Colour:
    """A shade of ``colour``, moved towards black by ``amount``."""
    return mix(colour, (0, 0, 0), amount)


def lighter(colour: Colour, amount: float = 0.2) -> Colour:
    """A tint of ``colour``, moved towards white by ``amount``."""
    return mix(colour, (255, 255, 255), amount)


class Pen:
    """Draws flat shapes on a supersampled image, optionally shifted and scaled (for several figures).

    ``origin`` is where the figure's (0, 0) lands on the picture and ``zoom`` how large one of its units is.
    """

    def __init__(self, image: Image.Image, origin: Point = (0.0, 0.0), zoom: float = 1.0) -> None:
        self._image = image
        self._draw = ImageDraw.Draw(image)
        self._origin = origin
        self._zoom = zoom * SCALE

    def placed(self, origin: Point, zoom: float) -> Pen:
        """A pen on the same picture for a figure that stands elsewhere, ``zoom`` times as large."""
        return Pen(self._image, origin, zoom)

    def _at(self, point: Point) -> Point:
        return (
            self._origin[0] * SCALE + point[0] * self._zoom,
            self._origin[1] * SCALE + point[1] * self._zoom,
        )

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> list[Point]:
        return [self._at((x0, y0)), self._at((x1, y1))]

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """A filled ellipse inside the box."""
        self._draw.ellipse(self._box(x0, y0, x1, y1), fill=fill)

    def dot(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A filled circle."""
        self.ellipse(x - radius, y - radius, x + radius, y + radius, fill)

    def ring(self, x: float, y: float, radius: float, colour: Colour, width: float) -> None:
        """An unfilled circle with a line of ``width`` units."""
        box = self._box(x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, outline=colour, width=max(1, round(width * self._zoom)))

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float = 0.0) -> None:
        """A filled rectangle, with rounded corners where ``radius`` is positive."""
        self._draw.rounded_rectangle(self._box(x0, y0, x1, y1), radius=radius * self._zoom, fill=fill)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=fill)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A polyline with round joints."""
        self._draw.line(
            [self._at(point) for point in points],
            fill=colour,
            width=max(1, round(width * self._zoom)),
            joint="curve",
        )

    def arc(
        self, box: tuple[float, float, float, float], start: float, end: float, colour: Colour, width: float
    ) -> None:
        """Part of an ellipse's outline, in degrees clockwise from three o'clock."""
        self._draw.arc(self._box(*box), start, end, fill=colour, width=max(1, round(width * self._zoom)))

    def chord(self, box: tuple[float, float, float, float], start: float, end: float, fill: Colour) -> None:
        """The part of a filled ellipse between an arc and its chord, in degrees clockwise from three o'clock."""
        self._draw.chord(self._box(*box), start, end, fill=fill)

    def pie(self, box: tuple[float, float, float, float], start: float, end: float, fill: Colour) -> None:
        """A filled slice of an ellipse, in degrees clockwise from three o'clock."""
        self._draw.pieslice(self._box(*box), start, end, fill=fill)


def blank(colour: Colour) -> Image.Image:
    """A new supersampled picture of one colour."""
    return Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), colour)


def finished(image: Image.Image) -> Image.Image:
    """The supersampled picture averaged down to ``SIZE`` × ``SIZE``."""
    return image.reduce(SCALE)
