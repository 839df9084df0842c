"""Guides, concepts and how to speak about results: their code runs, their figures are those of independent formulas."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import call, refused
from scipy import stats
from stored import drawn, store_run

import audit
from audit.config import Config
from audit.policy import Policy
from audit.reference import load_reference
from probes.suite import load_suite

DOCS = Path(__file__).resolve().parents[1] / "docs"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
CONCEPTS = sorted((DOCS / "concepts").glob("*.md"))
PAGES = [*GUIDES, *CONCEPTS, DOCS / "speaking.md"]
CLASSES = {
    "gender": ("woman", "man"),
    "age": ("young", "middle_aged", "older"),
    "ethnicity": ("ivory", "honey", "copper", "umber"),
}
IMAGES = 40


def ids(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


def prose(page: Path) -> str:
    """A page without its Python and its outputs."""
    return re.sub(r"^```(?:python|text|console)\n.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/v1, of which people labelled 100 images, and runs/v2, which leans further: answers drawn from
    the shares that are planted in the phantom, for its English portraits."""
    folder = tmp_path_factory.mktemp("guides")
    probes = [probe for probe in load_suite("phantom").probes if probe.language == "en" and probe.people == "one"]
    world = load_reference("phantom-world")
    for name, seed, lean in (("v1", 1, 0.0), ("v2", 2, 0.8)):
        answers = {}
        for attribute, classes in CLASSES.items():
            planted = [world.shares(attribute, classes, subject=each.subject, keys=each.keys) for each in probes]
            shares = np.array([list(row) for row in planted if row is not None])
            if attribute == "gender":
                shares = (1 - lean) * shares + lean * (shares == shares.max(axis=1, keepdims=True))
            answers[attribute] = drawn(shares, IMAGES, classes, np.random.default_rng([seed, len(attribute)]))
        answers["age"][0, :2] = "unclear"
        given: dict[str, Any] = {"classes": CLASSES, "probes": probes, "classifier": "phantom"}
        store_run(folder / "runs" / name, answers, reference=("phantom-world",), **given)
    labels = audit.open(folder / "runs" / "v1").labels()
    chosen = labels["sample_id"].drop_duplicates().sample(100, random_state=1)
    rows = labels[labels["sample_id"].isin(chosen)][["sample_id", "attribute", "class"]]
    chance = len(chosen) / labels["sample_id"].nunique()
    rows.assign(rater="anna", stratum="all", sampling_probability=chance).to_csv(folder / "labels.csv", index=False)
    audit.read_labels(folder / "runs" / "v1", [folder / "labels.csv"], report=False)
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=ids)
def test_python_of_a_page_runs_from_top_to_bottom(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.chdir(place)
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name}, block {number + 1}", "exec"), names)
    plt.close("all")


def pairs(x: tuple[int, ...], r: tuple[float, ...]) -> float:
    """U/d² of one probe from all pairs of different images, one by one."""
    images = [np.eye(len(x))[c] - np.array(r) for c, number in enumerate(x) for _ in range(number)]
    farthest = max(float((axis - r) @ (axis - r)) for axis in np.eye(len(x)))
    return float(np.mean([one @ other for one, other in permutations(images, 2)])) / farthest


def bonett_price(b: int, c: int, n: int) -> tuple[float, float, float]:
    """Rise with its one-sided bounds, as the page has them by hand."""
    d = (b - c) / (n + 2)
    error = math.sqrt(((b + c + 2) / (n + 2) - d**2) / (n + 2))
    z = stats.norm.ppf(0.95)
    return (b - c) / n, d - z * error, d + z * error


def short(value: float, digits: int = 3) -> str:
    """A figure as the pages write it: `.042`, `−.111`."""
    return f"{value:.{digits}f}".replace("0.", ".", 1).replace("-", "−")


def by_hand() -> Iterator[tuple[str, str]]:
    """Page and the text that must stand there, from formulas that share nothing with the library."""
    half = (0.5, 0.5)
    one, two, opposite = (pairs(x, half) for x in ((9, 1), (5, 5), (1, 9)))
    mean = (one + two) / 2
    yield "gap", f"| *U* | {short(one / 2)} | {short(two / 2)} |"
    yield "gap", f"| *U*/*d²*, *d²* = ½ | {short(one)} | {short(two)} |"
    yield "gap", f"The mean is {short(mean)}, and G = √{short(mean)} = {short(math.sqrt(mean))}."
    yield "gap", f"a gap of {short(math.sqrt((one + opposite) / 2))}"
    floor = sum(math.comb(8, i) / 2**8 * abs(i / 8 - 0.5) for i in range(9))
    yield "gap", f"|f − ½| = {short(floor)}"
    interval = stats.binomtest(30, 100).proportion_ci(method="wilson")
    yield "reference", f"{short(interval.low)} to {short(interval.high)}"
    yield "reference", f"| .500 | {short(0.3 - 0.5)} | {short(stats.binomtest(30, 100, 0.5).pvalue, 4)} |"
    yield "reference", f"| .292 | +{short(0.3 - 0.292)} | {short(stats.binomtest(30, 100, 0.292).pvalue, 2)} |"
    reported = 0.1 * 0.9 + 0.9 * 0.05
    yield "noise", f"= {short(reported)}. It is right for {100 * (0.1 * 0.9 + 0.9 * 0.95):.1f} of 100"
    people = 0.4 * 36 / 40 + 0.6 * 6 / 60
    spread = (0.4 * (36 / 40 - people) ** 2 + 0.6 * (6 / 60 - people) ** 2) / 1000
    error = math.sqrt(0.4**2 * 0.9 * 0.1 / 40 + 0.6**2 * 0.1 * 0.9 / 60 + spread)
    yield "noise", f"+ .60 × .10 = {short(people)}"
    yield "noise", f"+ {short(spread, 5)}) = {short(error)}"
    interval = stats.binomtest(400, 1000).proportion_ci(method="wilson")
    yield "noise", f"from {short(interval.low)} to {short(interval.high)}"
    first, second = (0.3 * sensitivity + 0.7 * 0.05 for sensitivity in (0.95, 0.85))
    yield "noise", f"reported as {short(first)} and {short(second)}"
    yield "missing-images", f"| {short(54 / 72)} | {short(54 / 100)} to {short((54 + 28) / 100)} |"
    for b, c in ((12, 10), (30, 10), (60, 48)):
        rise, low, high = bonett_price(b, c, 500)
        word = "pass" if high < 0.05 else "fail" if low > 0 else "inconclusive"
        yield "verdict", f"| {b} | {c} | {short(rise)} | {short(low)} | {short(high)} | {word} |"


@pytest.mark.parametrize(("page", "text"), list(by_hand()))
def test_worked_examples_are_right(page: str, text: str) -> None:
    assert text in " ".join(prose(DOCS / "concepts" / f"{page}.md").split())


QUOTED = [
    ("concepts/gap.md", "validity.md", "plug-in |f − ½| at n = 8: 0.137", "0.137"),
    ("concepts/gap.md", "validity.md", "mean G 0.025 at 50 × 50", "0.025"),
    ("concepts/gap.md", "validity.md", "lower end 0 in ≥ 99.1%", "99.1%"),
    ("concepts/gap.md", "validity.md", "errors of images only: 23%–98%", "23%–98%"),
    ("concepts/gap.md", "validity.md", "least 94.8%; mean 96.8%; 89.8% where rare", "94.8%, and in 89.8%"),
    ("concepts/reference.md", "validity.md", "excess 94.2%–96.5%", "94.2%"),
    ("concepts/reference.md", "validity.md", "without over-dispersion: 42%–94%", "42%–94%"),
    ("concepts/reference.md", "references.md", "show a gap of about .12 from each other", "a gap of about .12"),
    (
        "concepts/noise.md",
        "validity.md",
        "uncorrected: lowest 0.0%, mean 78.6%",
        "78.6% of the cases on average, for some in 0.0%",
    ),
    ("concepts/noise.md", "validity.md", "lowest 94.0%, mean 97.9%", "97.9%, in the worst case 94.0%"),
    ("concepts/noise.md", "validity.md", "4.3% to 5.2%, mean 4.7%", "4.3% to 5.2%"),
    ("concepts/noise.md", "validity.md", "classifier's shares compared: 4.6% to 100.0%", "up to 100.0%"),
    (
        "concepts/missing-images.md",
        "real-images.md",
        "| DALL·E 3 | **all** | 100 | 40 | 6 | 17 | 63 % |",
        "63 % (DALL·E 3)",
    ),
    ("concepts/missing-images.md", "real-images.md", "| 35 | 0 | 34 | 69 % |", "69 % (FLUX.1-dev)"),
    ("concepts/missing-images.md", "real-images.md", "| 24 | 1 | 33 | 58 % |", "58 % (SDXL Turbo)"),
    ("concepts/missing-images.md", "real-images.md", "| SDXL Turbo | ceo | 20 | 0 | 0 | 3 | 15 % |", "15 to 100 %"),
    ("concepts/missing-images.md", "real-images.md", "| SDXL Turbo | 59 % |", "59 % of all"),
    ("concepts/missing-images.md", "real-images.md", "| 40 % (27–56 %) | no | no (59 %) |", "40 % are of women"),
    ("concepts/missing-images.md", "phantom.md", "| .174 (change", ".174 of its images"),
    ("concepts/missing-images.md", "phantom.md", "| `base` | .730 |", "from .730"),
    ("concepts/missing-images.md", "phantom.md", "| `fewer-people` | .669 |", "to .669"),
    (
        "concepts/verdict.md",
        "validity.md",
        "false alarm ≤ 5.4%; wrong pass ≤ 5.4%",
        "5.4% and a wrong pass in at most 5.4%",
    ),
    ("concepts/verdict.md", "validity.md", "passes: 11% at G_old 0", "11% to 32%"),
    ("concepts/verdict.md", "validity.md", "32% at G_old 0 (7 classes", "11% to 32%"),
    ("concepts/verdict.md", "validity.md", "13.4% to 22.5%", "13.4% to 22.5%"),
    ("concepts/verdict.md", "validity.md", "2.6% to 3.9%", "at most 3.9%"),
]
"""Page, where its figure comes from, and how it stands in either."""


@pytest.mark.parametrize(("page", "source", "there", "here"), QUOTED)
def test_figures_quoted_from_other_pages_are_theirs(page: str, source: str, there: str, here: str) -> None:
    assert there in (DOCS / source).read_text("utf-8")
    assert here in " ".join(prose(DOCS / page).split())


def test_the_index_lists_every_page_once() -> None:
    text = (DOCS / "README.md").read_text("utf-8")
    listed = re.findall(r"^\* \[[^\]]+\]\(([^)]+)\): .+\.$", text, re.M)
    assert sorted(listed) == sorted(ids(path) for path in DOCS.rglob("*.md") if path != DOCS / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_pages_are_short_and_lead_on(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= (80 if page in CONCEPTS else 150)
    others = {name for name in re.findall(r"\]\(([^)#]+\.md)", text) if (page.parent / name).resolve() != page}
    assert len(others) >= 3


@pytest.mark.parametrize("page", GUIDES, ids=ids)
def test_configurations_of_the_guides_are_valid(page: Path) -> None:
    root = DOCS.parent
    for block in blocks(page, "yaml"):
        given = yaml.safe_load(block)
        if "jobs" in given:
            used = [step["with"] for job in given["jobs"].values() for step in job["steps"] if "with" in step]
            known = yaml.safe_load((root / "action.yml").read_text("utf-8"))["inputs"]
            assert used and all(set(each) <= set(known) for each in used)
        elif "lines" in given:
            Policy.model_validate(given)
        else:
            settings = Config.model_validate(given | {"languages": ("en",), "templates": ("portrait",)})
            assert settings.primary is not None


def _spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.fixture(scope="module")
def troubles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """What the command says of each trouble."""
    folder = tmp_path_factory.mktemp("troubles")
    gender = np.full((4, 8), "woman", dtype=object)
    for name, number in (("v1", 3), ("v2", 4), ("changed", 3)):
        store_run(folder / name, {"gender": gender[:number]}, classes=CLASSES)
    assert call("export", folder / "v1", "--baseline", folder / "baseline.json").code == 0
    _spoil(next((folder / "changed" / "labels").rglob("*.parquet")))
    (folder / "edited.json").write_text((folder / "baseline.json").read_text().replace('"seed": 0', '"seed": 3'))
    (folder / "gate.yaml").write_text("lines: [{measure: missing, whithin: 0.05}]")
    cases = {
        "key": ("v1", "--baseline", folder / "baseline.json", "--policy", folder / "gate.yaml"),
        "baseline": ("v1",),
        "prompts": ("v2", "--baseline", folder / "baseline.json"),
        "changed": ("changed", "--baseline", folder / "baseline.json"),
        "edited": ("v1", "--baseline", folder / "edited.json"),
    }

    def say(name: str) -> str:
        run, *options = cases[name]
        return refused(call("gate", folder / str(run), *options)).replace(f"{folder}/", "")

    return say


@pytest.mark.parametrize("name", ["key", "baseline", "prompts", "changed", "edited"])
def test_errors_in_the_guide_for_ci_are_what_the_command_says(name: str, troubles: Callable[[str], str]) -> None:
    said = troubles(name).replace("edited.json", "baseline.json")
    table = re.findall(r"^\| `([^`]+)` \|", (DOCS / "guides" / "ci.md").read_text("utf-8"), re.M)
    pattern = [".*".join(map(re.escape, line.split("…"))) for line in table]
    assert any(re.match(each, said) for each in pattern), said


def test_intervals_in_example_sentences_are_right() -> None:
    """Oracle: the score interval of a difference by inverting its test on a fine grid."""
    from scipy.optimize import brentq

    def chi(d: float) -> float:
        grid = np.linspace(max(0, -d), min(1, 1 - d), 20_001)[1:-1]
        likelihood = stats.binom.logpmf(20, 50, grid) + stats.binom.logpmf(25, 50, grid + d)
        p = float(grid[np.argmax(likelihood)])
        variance = (p * (1 - p) + (p + d) * (1 - p - d)) / 50 * (100 / 99)
        return float((0.1 - d) ** 2 / variance) - float(stats.chi2.ppf(0.95, 1))

    low, high = brentq(chi, -0.5, 0.1 - 1e-6), brentq(chi, 0.1 + 1e-6, 0.6)
    text = f"(95 % interval −{abs(100 * low):.0f} to {100 * high:.0f}; 50 images each)"
    assert text in (DOCS / "speaking.md").read_text("utf-8"), text
