"""A gate that makes more images while it is inconclusive: errors over all looks, and the images that it asks for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audit.statistics.gap_change import gap_change
from audit.statistics.looks import look_sizes
from audit.statistics.noninferiority import worsening
from benchmarks.experiments.base import Cell, Experiment, Line, Result, standard_error
from benchmarks.experiments.gate import ALPHA, DELTA, LARGEST, PROMPTS, joint_shares

ORDER = 8
LOOKS = 3
SIZES = look_sizes(50, 200, LOOKS)
AT_ONCE = 500


def run(cell: Cell, repeats: int, rng: np.random.Generator) -> Result:
    """Shares of runs that pass and fail at any look, and the same if each look were judged at the whole rate."""
    found = dict.fromkeys(("pass", "fail", "first", "images", "naive pass", "naive fail"), 0.0)
    for done in range(0, repeats, AT_ONCE):
        for name, number in _gates(cell, min(AT_ONCE, repeats - done), rng).items():
            found[name] += number
    return {name: number / repeats for name, number in found.items()} | {"repeats": repeats}


def _gates(cell: Cell, lists: int, rng: np.random.Generator) -> dict[str, float]:
    """So many gates, each looking until it is decided; images are paired, and added to those of the look before."""
    k = int(cell["k"])
    joint = joint_shares(cell, lists, rng)
    pairs = np.zeros((lists * PROMPTS, k, k))
    state = {name: np.full(lists, "", dtype="<U4") for name in ("", "naive ")}
    images, first = np.full(lists, SIZES[-1]), 0
    for before, size in zip((0, *SIZES), SIZES, strict=False):
        pairs += rng.multinomial(size - before, joint).reshape(-1, k, k)
        change = gap_change(pairs.sum(axis=1), pairs.sum(axis=2), np.full(k, 1 / k), paired=pairs, lists=lists)
        for name, level in (("", ALPHA / LOOKS), ("naive ", ALPHA)):
            bounds = worsening(change, level)
            verdict = np.where(bounds.high < DELTA, "pass", np.where(bounds.low > 0, "fail", ""))
            state[name] = np.where(state[name] == "", verdict, state[name])
            if not name:
                images = np.where((state[name] != "") & (images > size), size, images)
        first = first or int(np.count_nonzero(state[""] != ""))
    counted = {
        f"{name}{kind}": float((each == kind).sum()) for name, each in state.items() for kind in ("pass", "fail")
    }
    return {**counted, "first": float(first), "images": float(images.sum())}


def judge(results: Sequence[tuple[Cell, Result]], slack: float) -> Line:
    """The worst cell of each promise."""
    met = True
    figures, naive = [], []
    for promise, change, verdict in (("false alarm", 0.0, "fail"), ("wrong pass", DELTA, "pass")):
        here = [result for cell, result in results if cell["change"] == change]
        worst = max(result[verdict] for result in here)
        met &= worst <= LARGEST[promise] + slack * standard_error(LARGEST[promise], here[0]["repeats"])
        figures.append(f"{promise} ≤ {worst:.1%}")
        naive.append(f"{promise} up to {max(result[f'naive {verdict}'] for result in here):.1%}")
    told = [
        f"{result['first']:.0%} and {result['pass'] + result['fail']:.0%} with {result['images']:.0f} images "
        f"({cell['old']:g}, {cell['change']:g}, {cell['tied']:.0%} tied)"
        for cell, result in results
    ]
    remark = (
        f"50 prompts, looks at {', '.join(map(str, SIZES))} pairs, each at a third of the rates. Decided at the first "
        f"look, and at any, with the mean images a prompt (G_old, change, pairs tied): {'; '.join(told)}."
    )
    text = f"{'; '.join(naive)} (each look at the whole rate)"
    return Line("gate that makes more images", TARGET, "; ".join(figures), text, bool(met), remark)


TARGET = "over all looks: false alarm ≤ 6.5 %, wrong pass at δ ≤ 6 %"
CELLS = [
    {"k": 2, "tied": tied, "old": old, "change": change}
    for tied in (0.5, 0.9)
    for old in (0.0, 0.3, 0.6)
    for change in (0.0, DELTA, 2 * DELTA)
]
EXPERIMENTS = [
    Experiment("gate looks", TARGET, CELLS, run, judge, repeats=10_000, small=200, tested=CELLS[:9:2]),
]
