"""False discoveries among 200 prompts whose images are correlated, a fifth of which truly differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from audit.statistics.intervals import Floats
from audit.statistics.multiplicity import benjamini_hochberg, benjamini_yekutieli
from audit.statistics.significance import binomial
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 7
PROMPTS, IMAGES = 200, 50
ALPHA = 0.05
SHIFT = 0.8
"""Distance of a share that differs, in standard deviations of what lies behind a picture: .5 becomes .79."""


def run(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Mean share of false discoveries, and of true differences found, raw and adjusted."""
    methods: dict[str, Callable[[Floats], Floats]] = {
        "raw": lambda p: p,
        "bh": benjamini_hochberg,
        "by": benjamini_yekutieli,
    }
    wrong = dict.fromkeys(methods, 0.0)
    right = dict(wrong)
    squares = dict(wrong)
    for _ in range(repeats):
        counts, differs = _audit(cell, rng)
        p = binomial(counts, IMAGES, 0.5)
        for name, adjust in methods.items():
            found = adjust(p) <= ALPHA
            share = np.count_nonzero(found & ~differs) / max(np.count_nonzero(found), 1)
            wrong[name] += share / repeats
            squares[name] += share**2 / repeats
            right[name] += np.count_nonzero(found & differs) / max(np.count_nonzero(differs), 1) / repeats
    error = {name: float(np.sqrt(max(squares[name] - wrong[name] ** 2, 0) / repeats)) for name in methods}
    return {"false": wrong, "found": right, "error": error, "repeats": repeats}


def _audit(cell: Cell, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
    """Counts of a class for each test, and whether its share truly is not one half.

    Image i of every prompt shares a part of what makes the picture: a common seed. Attributes of one image are tested
    in one family: they are read off the same picture, every other one with the opposite sign.
    """
    attributes, together = int(cell["attributes"]), float(cell["together"])
    prompts = PROMPTS // attributes
    common = rng.standard_normal((IMAGES, 1))
    own = rng.standard_normal((IMAGES, prompts))
    picture = np.sqrt(together) * common + np.sqrt(1 - together) * own
    differs = rng.uniform(size=(attributes, prompts)) < cell["differ"]
    shift = np.where(differs, SHIFT * rng.choice([-1.0, 1.0], size=differs.shape), 0.0)
    counts = []
    for attribute in range(attributes):
        sign = -1.0 if attribute % 2 else 1.0
        noise = rng.standard_normal((IMAGES, prompts))
        seen = sign * (np.sqrt(0.7) * picture + np.sqrt(0.3) * noise) if attributes > 1 else picture
        counts.append((seen + shift[attribute] > 0).sum(axis=0))
    return np.concatenate(counts).astype(np.float64), differs.ravel()


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """BH over prompts, BY over attributes of the same images."""
    met = True
    worst = {"bh": 0.0, "by": 0.0}
    for cell, result in results:
        method = "by" if cell["attributes"] > 1 else "bh"
        allowed = ALPHA + slack * max(result["error"][method], standard_error(ALPHA, result["repeats"]))
        met &= result["false"][method] <= allowed
        worst[method] = max(worst[method], result["false"][method])
    raw = {
        some: max(r["false"]["raw"] for cell, r in results if (cell["differ"] > 0) == some) for some in (True, False)
    }
    power = [r["found"]["by" if cell["attributes"] > 1 else "bh"] for cell, r in results if cell["differ"]]
    remark = (
        f"200 tests of 50 images, whose pictures correlate by up to .5 between prompts. A fifth of the shares is "
        f"{special.ndtr(SHIFT):.2f} instead of ½; {min(power):.0%}–{max(power):.0%} of these are found."
    )
    figure = f"BH ≤ {worst['bh']:.1%}; BY, three attributes of an image in one family, ≤ {worst['by']:.1%}"
    naive = f"raw p ≤ .05: up to {raw[True]:.1%}, {raw[False]:.0%} where nothing differs"
    return Line(NAME, TARGET, figure, naive, bool(met), remark)


NAME, TARGET = "false discoveries, 200 correlated prompts", "≤ 5 %"
EXPERIMENTS = [
    Experiment(
        name=NAME,
        target=TARGET,
        cells=[
            {"attributes": attributes, "together": together, "differ": differ}
            for attributes in (1, 3)
            for together in (0.0, 0.2, 0.5)
            for differ in (0.0, 0.2)
        ],
        run=run,
        judge=judge,
        repeats=2_000,
        small=60,
    )
]
