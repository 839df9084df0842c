"""Is the gap of every single prompt below a limit? Few images a prompt: no normal approximation, but simulated counts.

The normal bound of a mean of many prompts (`noninferiority.bound_of_gap`) passes one prompt of 100 images wrongly in up
to 18 % of the cases.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audit.statistics.gap import check, largest_squared_distance, squared_distance
from audit.statistics.intervals import Floats
from audit.statistics.multiplicity import holm
from audit.statistics.noninferiority import INCONCLUSIVE, Decision, bound_of_gap, check_limit, quantile, verdict_of

_HALVINGS = 10
_FINEST = 500_000
"""Draws at most."""


def bound_of_worst_gap(
    x: npt.ArrayLike,
    r: npt.ArrayLike,
    limit: float,
    *,
    ordered: bool = False,
    alpha: float = 0.05,
    draws: int = 2000,
    seed: int = 0,
) -> Decision:
    """Whether the gap sqrt(U/d²max) of each prompt is below a limit.

    A prompt's U is compared with those of simulated counts from shares that lie at the limit: to pass, from the points
    at the limit on the way from the smoothed shares (x + 1/k)/(n + 1) to each class, the least favourable of which
    counts; to fail, from the one on the way to the reference. All prompts must pass, each at level α; one fails if it
    does after Holm. At the limit a prompt passes wrongly in up to 6 % of the cases with 2 classes, 8 % with 7.

    Args:
        x: counts, J × k.
        r: reference shares, J × k (or k); NaN for probes that the reference does not know.
        limit: the gap must be below it, above 0 and at most 1.
        ordered: whether the classes are ordered.
        alpha: chance of a wrong pass, and of a false alarm, at the limit.
        draws: simulated counts for each point; more for the smallest p-value, whose adjustment over many prompts could
            else never come below alpha.
        seed: seed of the simulations, the same for each prompt and limit: results do not depend on other prompts.

    Returns:
        The decision about the largest gap, with the bounds of the prompt that has it; inconclusive, with NaN, where no
        prompt has 2 images and a reference.

    Raises:
        ValueError: if the shapes do not fit, the shares of a reference do not add up to 1, the limit is not within
            0 … 1, `alpha` is not between 0 and ½, or `draws` is below 1.
    """
    quantile(alpha)
    check_limit(limit)
    if draws < 1:
        raise ValueError(f"draws must be 1 or more (got {draws}).")
    counts, reference = check(x, r)
    used = (counts.sum(axis=1) > 1) & ~np.isnan(reference).any(axis=1)
    if not used.any():
        return bound_of_gap(counts, reference, limit, ordered=ordered, alpha=alpha)
    tests = [_Test(each, own, ordered, draws, seed) for each, own in zip(counts[used], reference[used], strict=True)]
    p_value = holm(_refined(tests, limit, alpha))
    passes = all(test.below(limit) <= alpha for test in tests)
    verdict = verdict_of(passes, bool(p_value.min() <= alpha))
    worst = int(np.argmax([test.squared for test in tests]))
    test = tests[worst]
    needed = None
    if verdict == INCONCLUSIVE:
        alone = bound_of_gap(counts[used][[worst]], reference[used][[worst]], limit, ordered=ordered, alpha=alpha)
        needed = alone.images_needed
    low = _turn(lambda at: test.above(at) <= alpha, 0.0)
    high = 1 - _turn(lambda at: test.below(1 - at) <= alpha, 0.0)
    return Decision(verdict, float(np.sqrt(max(0.0, test.squared))), low, high, float(p_value.min()), needed)


def _refined(tests: list[_Test], limit: float, alpha: float) -> Floats:
    """p-values of gaps of at most the limit, the smallest of them (the largest gap among equals) from more draws."""
    p_value = np.array([test.above(limit) for test in tests])
    least = min(range(len(tests)), key=lambda j: (p_value[j], -tests[j].squared))
    draws = min(_FINEST, int(100 * len(tests) / alpha))
    if draws > tests[least].draws:
        p_value[least] = tests[least].above(limit, draws)
    return p_value


class _Test:
    """One prompt against limits."""

    def __init__(self, counts: Floats, reference: Floats, ordered: bool, draws: int, seed: int) -> None:
        self.n = int(counts.sum())
        self.k = counts.size
        self.reference, self.ordered, self.draws, self.seed = reference, ordered, draws, seed
        self.axes = (np.arange(self.k)[:, None] <= np.arange(self.k - 1)).astype(float) if ordered else np.eye(self.k)
        self.largest = float(largest_squared_distance(reference, ordered=ordered)[0])
        self.squared = float(self._squared(counts[None])[0])
        self.smoothed = (counts + 1 / self.k) / (self.n + 1)

    def below(self, limit: float) -> float:
        """p-value of a gap of at least the limit."""
        points = [p for p in (self._towards(one, limit) for one in np.eye(self.k)) if p is not None]
        if not points or self._distance(self.smoothed) >= limit**2:
            return float(self._distance(self.smoothed) >= limit**2)
        return max(float(np.mean(self._simulated(p, self.draws) <= self.squared + 1e-12)) for p in points)

    def above(self, limit: float, draws: int | None = None) -> float:
        """p-value of a gap of at most the limit."""
        draws = draws or self.draws
        distance = self._distance(self.smoothed)
        if distance <= limit**2:
            return 1.0
        p = self.reference + (self.smoothed - self.reference) * limit / np.sqrt(distance)
        return float((1 + np.count_nonzero(self._simulated(p, draws) >= self.squared - 1e-12)) / (1 + draws))

    def _towards(self, one: Floats, limit: float) -> Floats | None:
        """Shares at the limit on the way from the smoothed ones to one class; None if it is not that far."""
        here, step = (self.smoothed - self.reference) @ self.axes, (one - self.smoothed) @ self.axes
        a, b, c = step @ step, here @ step, here @ here - limit**2 * self.largest
        root = b * b - a * c
        if root < 0:
            return None
        t = (-b + np.sqrt(root)) / a
        return (1 - t) * self.smoothed + t * one if t <= 1 + 1e-9 else None

    def _distance(self, p: Floats) -> float:
        return float((((p - self.reference) @ self.axes) ** 2).sum() / self.largest)

    def _squared(self, counts: Floats) -> Floats:
        squared: Floats = squared_distance(counts, self.reference, ordered=self.ordered) / self.largest
        return squared

    def _simulated(self, p: Floats, draws: int) -> Floats:
        shares = np.maximum(p, 0)
        rng = np.random.default_rng(self.seed)
        return self._squared(rng.multinomial(self.n, shares / shares.sum(), size=draws).astype(np.float64))


def _turn(holds: Callable[[float], bool], low: float) -> float:
    """Largest limit up to which it holds, to a thousandth."""
    high = 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
