"""The gate on 50 prompts × 50 pairs of images: false alarms without a change, wrong passes at δ, power at 2δ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from audit.statistics.gap_change import GapChange, gap_change
from audit.statistics.intervals import Floats
from audit.statistics.noninferiority import worsening
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error

ORDER = 8
PROMPTS = IMAGES = 50
DELTA = 0.05
ALPHA = 0.05
AT_ONCE = 500
RESAMPLES = 200
LARGEST = {"false alarm": 0.065, "wrong pass": 0.06}
ENOUGH = 0.9


def run(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Shares of runs that pass and fail, by the gate and by two naive ones."""
    found = dict.fromkeys(("pass", "fail", "delta pass", "delta fail", "bootstrap pass", "bootstrap fail"), 0)
    done = 0
    while done < repeats:
        lists = min(AT_ONCE, repeats - done)
        pairs = _runs(cell, lists, rng)
        for name, verdict in _verdicts(pairs, lists, rng):
            found[name] += int(np.count_nonzero(verdict))
        done += lists
    return {name: number / repeats for name, number in found.items()} | {"repeats": repeats}


def _runs(cell: Cell, lists: int, rng: np.random.Generator) -> Floats:
    """Tables of pairs of prompts."""
    joint = joint_shares(cell, lists, rng)
    return rng.multinomial(IMAGES, joint).reshape(-1, cell["k"], cell["k"]).astype(np.float64)


def joint_shares(cell: Cell, lists: int, rng: np.random.Generator) -> Floats:
    """Shares of pairs (lists · prompts × k²), each prompt with its own distance and direction in each run.

    A part `tied` of the pairs agrees as often as the shares allow; the others are independent.
    """
    k, old, tied = int(cell["k"]), float(cell["old"]), float(cell["tied"])
    rows = (lists, PROMPTS)
    effect = rng.uniform(size=rows)
    towards = rng.integers(k, size=rows)
    elsewhere = rng.uniform(size=rows) < 0.2
    before = _shares(effect, towards, old, k)
    after = _shares(
        (effect + rng.uniform(size=rows)) / 2,
        np.where(elsewhere, rng.integers(k, size=rows), towards),
        old + float(cell["change"]),
        k,
    )
    same = np.minimum(before, after)
    rest = np.maximum(1 - same.sum(axis=1), 1e-12)[:, None, None]
    closest = same[:, :, None] * np.eye(k) + (before - same)[:, :, None] * (after - same)[:, None, :] / rest
    joint = tied * closest + (1 - tied) * before[:, :, None] * after[:, None, :]
    joint = np.maximum(joint, 0).reshape(len(joint), -1)
    whole: Floats = joint / joint.sum(axis=1, keepdims=True)
    return whole


def _shares(effect: Floats, towards: np.ndarray, gap: float, k: int) -> Floats:
    """Shares from the uniform reference towards one class, so that the gap of each list is `gap`."""
    length = 0.4 + 0.6 * effect
    length *= gap / np.sqrt((length**2).mean(axis=1, keepdims=True))
    return ((1 - length[..., None]) / k + length[..., None] * np.eye(k)[towards]).reshape(-1, k)


def _verdicts(pairs: Floats, lists: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    k = pairs.shape[1]
    r = np.full(k, 1 / k)
    old, new = pairs.sum(axis=2), pairs.sum(axis=1)
    change = gap_change(new, old, r, paired=pairs, lists=lists)
    bounds = worsening(change, ALPHA)
    yield from _named("", bounds.low, bounds.high)
    plain = [(((x / IMAGES - r) ** 2).sum(axis=1) / (1 - 1 / k)).reshape(lists, PROMPTS) for x in (old, new)]
    yield from _named("delta ", *_delta_method(change, plain))
    yield from _named("bootstrap ", *_bootstrap(plain, rng))


def _delta_method(change: GapChange, plain: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Roots of plug-in distances, with the error of D divided by their sum."""
    before, after = (np.sqrt(each.mean(axis=1)) for each in plain)
    reach = 1.645 * change.error / (before + after)
    return after - before - reach, after - before + reach


def _bootstrap(plain: Sequence[Floats], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Percentiles of the difference of roots of plug-in distances, prompts drawn again."""
    weights = rng.multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS), size=RESAMPLES) / PROMPTS
    before, after = (np.sqrt(each @ weights.T) for each in plain)
    low, high = np.quantile(after - before, [ALPHA, 1 - ALPHA], axis=1)
    return low, high


def _named(name: str, low: Floats, high: Floats) -> Iterator[tuple[str, np.ndarray]]:
    passes = high < DELTA
    yield f"{name}pass", passes
    yield f"{name}fail", ~passes & (low > 0)


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """The worst cell of each promise."""
    met = True
    figures, naive = [], []
    for promise, change, verdict in (("false alarm", 0.0, "fail"), ("wrong pass", DELTA, "pass")):
        here = [result for cell, result in results if cell["change"] == change]
        worst = max(result[verdict] for result in here)
        met &= worst <= LARGEST[promise] + slack * standard_error(LARGEST[promise], here[0]["repeats"])
        figures.append(f"{promise} ≤ {worst:.1%}")
        delta, bootstrap = (max(result[f"{name} {verdict}"] for result in here) for name in ("delta", "bootstrap"))
        naive.append(
            f"{promise} up to {delta:.1%} (plug-in root, delta method), {bootstrap:.1%} (percentile bootstrap)"
        )
    power = [(cell, result) for cell, result in results if cell["change"] == 2 * DELTA]
    least = min(result["fail"] for cell, result in power if cell["old"] >= 0.3)
    met &= least >= ENOUGH - slack * standard_error(ENOUGH, power[0][1]["repeats"])
    near = [f"{result['fail']:.0%} ({_named_cell(cell)})" for cell, result in power if cell["old"] == 0]
    figures.append(f"power at 2δ ≥ {least:.1%} from G_old .3; at 0 {', '.join(near)}")
    passing = [
        f"{result['pass']:.0%} at G_old {cell['old']:g} ({_named_cell(cell)})"
        for cell, result in results
        if cell["change"] == 0
    ]
    remark = (
        "50 prompts × 50 pairs, half or nine tenths of which are tied to each other; every prompt changes on its own. "
        f"Without a change the gate passes: {', '.join(passing)}."
    )
    return Line("gate", TARGET, "; ".join(figures), "; ".join(naive), bool(met), remark)


def _named_cell(cell: Cell) -> str:
    return f"{cell['k']} classes, {cell['tied']:.0%} tied"


TARGET = "false alarm ≤ 6.5 %; wrong pass at δ ≤ 6 %; power at 2δ ≥ 90 % for G_old ≥ .3, reported at 0"
CELLS = [
    {"k": k, "tied": tied, "old": old, "change": change}
    for k, tied, olds in ((2, 0.5, (0.0, 0.3, 0.6)), (2, 0.9, (0.0, 0.3, 0.6)), (7, 0.5, (0.0, 0.3)))
    for old in olds
    for change in (0.0, DELTA, 2 * DELTA)
]
EXPERIMENTS = [
    Experiment(
        name="gate",
        target=TARGET,
        cells=CELLS,
        run=run,
        judge=judge,
        repeats=10_000,
        small=200,
        tested=[cell for cell in CELLS if cell["k"] == 2],
    )
]
