"""The looks of a gate that makes more images while it is inconclusive: at how many images, and at what rate in all.

A gate that looks up to K times errs if one of its looks does. Each look is judged at 1/K of an error rate, so that all
together keep to it (Bonferroni): whatever images they share, whatever ends them, and whichever way a look points.

How many images each look has follows from the first number, the cap and K alone. A number chosen by what the images
show, such as the number that would decide, would spoil this: a look's level is that of a test at a given number, and a
second number fitted to the first look can more than double its errors (Proschan & Hunsberger 1995). To leave a declared
look out, or to stop, is always allowed: the sum over all declared looks bounds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def look_sizes(first: int, most: int, looks: int) -> tuple[int, ...]:
    """Images a probe at each look: from `first` to `most`, each the same multiple of the one before, rounded.

    Args:
        first: images at the first look.
        most: images at the last one.
        looks: number of looks; fewer come of it where rounded numbers are equal.

    Returns:
        Rising numbers; only `first` if `most` is not above it.

    Raises:
        ValueError: if `first` or `looks` is below 1.
    """
    if first < 1 or looks < 1:
        raise ValueError(f"a gate needs an image and a look or more (got {first} and {looks}).")
    if most <= first or looks == 1:
        return (first,)
    return tuple(sorted({round(first * (most / first) ** (k / (looks - 1))) for k in range(looks)}))


def total_rate(judged: Mapping[int, float], planned: Iterable[int], level: float) -> float:
    """Chance that any look errs, at most: the sum over numbers of images (Bonferroni).

    Looks at the same images by the same lines are nested: what is found at a smaller level is found at a larger one, so
    the largest level of each number counts. Lines chosen after a look are beyond what any sum can bound.

    Args:
        judged: images → largest level at which they were judged, before and now.
        planned: images at which the gate may still look.
        level: the level of these looks.

    Returns:
        The rate, at most 1.
    """
    levels = dict.fromkeys(planned, level)
    for images, own in judged.items():
        levels[images] = max(own, levels.get(images, 0.0))
    return min(1.0, sum(levels.values()))
