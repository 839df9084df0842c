"""Real sets of images before and after, compared by `audit.compare`, against figures computed here from the tables.

Oracles: pandas on the raw cells; Cochran–Mantel–Haenszel of statsmodels; scipy (t intervals, false discovery rates);
the score interval of a difference by the roots of the likelihood's derivative; enumeration of all pairs and quadruples
of images for gaps and their errors; a search over pairs of gaps for the bounds of a change; a parametric bootstrap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call
from real_runs import TABLES, codes_of_the_document, folder_of
from scipy import optimize, special, stats
from statsmodels.stats.contingency_tables import StratifiedTable

import audit
from benchmarks.real_pairs import (
    CONDITIONS,
    counts_rows,
    gap_rows,
    moved_rows,
    occupation_rows,
    of_conditions,
    of_counts,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "real-pairs.md"
GENDER = {"F": "woman", "female": "woman", "M": "man", "male": "man"}
US_WOMEN = {"ceo": 0.292, "nurse": 0.879, "swe": 0.215}
"""Women among those employed, US Bureau of Labor Statistics 2022 (CPS table 11), to three places."""
FEWEST = 4
"""Images with a class on either side, below which an occupation does not count in a gap."""
Z = stats.norm.ppf(0.975)


# -- oracles -----------------------------------------------------------------------------------------------------------


def score_interval(new: tuple[int, int], old: tuple[int, int]) -> tuple[float, float]:
    """Miettinen & Nurminen's interval of the difference of two shares (counts and what they are out of): the ends at
    which the score test, with the most likely shares that differ by so much, is at its limit."""
    (x, n), (y, m) = new, old
    found = x / n - y / m

    def beyond(d: float) -> float:
        p, q = likeliest(d, x, n, y, m)
        return abs(found - d) - Z * np.sqrt((p * (1 - p) / n + q * (1 - q) / m) * (n + m) / (n + m - 1))

    ends = []
    for edge in (-1.0, 1.0):
        near = found + 1e-9 * edge  # at no difference between none and none the test has no variance
        ends.append(edge if found == edge or beyond(edge) <= 0 else optimize.brentq(beyond, near, edge, xtol=1e-10))
    return ends[0], ends[1]


def likeliest(d: float, x: int, n: int, y: int, m: int) -> tuple[float, float]:
    """The most likely shares that differ by d: where the derivative of the likelihood is 0, or at the edge."""
    q = np.poly1d([1, 0])
    p = q + d
    slope = (
        x * q * (1 - q) * (1 - p) - (n - x) * q * (1 - q) * p + y * p * (1 - p) * (1 - q) - (m - y) * p * (1 - p) * q
    )
    low, high = max(0.0, -d), min(1.0, 1 - d)
    inner = [float(root.real) for root in slope.roots if abs(root.imag) < 1e-6]
    candidates = np.clip([low, high, *inner], low, high)
    best = max(candidates, key=lambda q: likelihood(q + d, x, n) + likelihood(q, y, m))
    return min(max(float(best) + d, 0.0), 1.0), float(best)


def likelihood(p: float, x: int, n: int) -> float:
    """Its logarithm."""
    return float(special.xlogy(x, max(p, 0)) + special.xlogy(n - x, max(1 - p, 0)))


def strata_p_value(tables: Sequence[np.ndarray]) -> float:
    """Cochran–Mantel–Haenszel; 1 where no table shows both classes."""
    telling = [each for each in tables if each.sum(axis=0).all()]
    return float(StratifiedTable(telling).test_null_odds(correction=False).pvalue) if telling else 1.0


def mean_interval(differences: np.ndarray, ends: np.ndarray) -> tuple[float, float, float]:
    """The mean of independent differences; the squared distances to the ends of their intervals add (MOVER)."""
    j, mean = len(differences), differences.mean()
    low, high = (np.sqrt(((differences - ends[:, side]) ** 2).sum()) / j for side in (0, 1))
    return float(mean), float(mean - low), float(mean + high)


def images_as_numbers(women: int, men: int, r: float) -> np.ndarray:
    """Distance of every image from a reference share of women, as a part of the largest there can be."""
    return np.concatenate([np.full(women, 1 - r), np.full(men, -r)]) / max(r, 1 - r)


def squared_gap(y: np.ndarray) -> float:
    """Squared gap of a probe without bias: the mean product of all pairs of different images."""
    return float(np.mean([a * b for a, b in permutations(y, 2)]))


def variances(y: np.ndarray, r: float) -> tuple[float, float, float]:
    """Of the squared gap of a probe: its variance without bias, by all quadruples of different images; the part of it
    that falls with the square of the number of images; and the square of what one image of the other class changes."""
    i, j, k, m = np.array(list(permutations(range(len(y)), 4))).T
    whole = squared_gap(y) ** 2 - float(np.mean(y[i] * y[j] * y[k] * y[m]))
    quick = 2 * y.var(ddof=1) ** 2 / (len(y) * (len(y) - 1))
    return whole, quick, (2 * y.mean() / max(r, 1 - r) / len(y)) ** 2


def least_favourable(d: float, d_error: float, s: float, s_error: float) -> tuple[float, float]:
    """Least and largest difference of two gaps whose squares differ by d ± its error and add up to s ± its error."""
    found = []
    for difference in (d - Z * d_error, d + Z * d_error):
        sums = np.maximum(np.linspace(max(s - Z * s_error, 0), s + Z * s_error, 200_001), abs(difference))
        found.append(np.sqrt((sums + difference) / 2) - np.sqrt((sums - difference) / 2))
    return max(float(found[0].min()), -1.0), min(float(found[1].max()), 1.0)


@pytest.mark.parametrize(
    ("new", "old", "ends"), [((56, 70), (48, 80), (0.0528, 0.3382)), ((9, 10), (3, 10), (0.17, 0.8406))]
)
def test_the_score_interval_is_the_published_one(
    new: tuple[int, int], old: tuple[int, int], ends: tuple[float, float]
) -> None:
    """Newcombe 1998, table II, method 6."""
    assert score_interval(new, old) == pytest.approx(ends, abs=6e-5)


# -- 300 real images ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, audit.Comparison]:
    """Each model's controlled prompts against its baseline prompts."""
    work = tmp_path_factory.mktemp("conditions")
    return {model: of_conditions(folder_of(shared_data, model), work) for model in TABLES}


@pytest.fixture(scope="module")
def seen(shared_data: Path) -> dict[str, pd.DataFrame]:
    """What people saw in each image, straight from the tables: subject, setting, answer (empty for several people)."""
    return {model: seen_in(folder_of(shared_data, model) / table) for model, table in TABLES.items()}


def seen_in(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, encoding="utf-8-sig", dtype=str)
    answer = rows["gender"].str.strip().map(GENDER).where(rows["race"].str.strip() != "mixed").fillna("")
    return pd.DataFrame({"subject": rows["category"].str.strip(), "setting": rows["setting"].str.strip(), "is": answer})


def women_of(seen: pd.DataFrame, subject: str) -> list[tuple[int, int]]:
    """Women, and images of one person, in the baseline and the controlled condition."""
    own = [seen.loc[(seen["subject"] == subject) & (seen["setting"] == each), "is"] for each in CONDITIONS]
    return [(int((each == "woman").sum()), int((each != "").sum())) for each in own]


@pytest.mark.parametrize("model", TABLES)
def test_shares_by_subject_and_over_all(
    model: str, found: dict[str, audit.Comparison], seen: dict[str, pd.DataFrame]
) -> None:
    table = found[model].changes().query("attribute == 'gender' and `class` == 'woman'").set_index("probe_id")
    subjects = sorted(set(seen[model]["subject"]))
    assert list(table.index) == ["", *subjects] and len(subjects) == 5
    cells = {subject: women_of(seen[model], subject) for subject in subjects}
    strata = [np.array([[new[0], new[1] - new[0]], [old[0], old[1] - old[0]]]) for old, new in cells.values()]
    tests = [strata_p_value([each]) for each in strata]
    ends = np.array([score_interval(new, old) for old, new in cells.values()])
    shares = np.array([[old[0] / old[1], new[0] / new[1]] for old, new in cells.values()])
    rows = table.loc[subjects]
    assert rows[["baseline_count", "baseline_n", "other_count", "other_n"]].to_numpy().tolist() == [
        [*old, *new] for old, new in cells.values()
    ]
    np.testing.assert_allclose(rows["difference"], shares[:, 1] - shares[:, 0], atol=1e-12)
    np.testing.assert_allclose(rows[["low", "high"]], ends, atol=1e-5)
    np.testing.assert_allclose(rows["p_value"], tests, atol=1e-9)
    np.testing.assert_allclose(rows["p_adjusted"], stats.false_discovery_control(tests), atol=1e-9)
    whole = table.loc[""]
    expected = mean_interval(shares[:, 1] - shares[:, 0], ends)
    np.testing.assert_allclose(whole[["difference", "low", "high"]].astype(float), expected, atol=1e-5)
    assert whole["p_value"] == pytest.approx(strata_p_value(strata))
    certain = (rows["p_adjusted"] < 0.05) & ((rows["low"] > 0) | (rows["high"] < 0))
    assert list(rows["conclusion"].isin(["higher", "lower"])) == list(certain)


@pytest.mark.parametrize("reference", ["uniform", "us-labour-2022"])
@pytest.mark.parametrize("model", TABLES)
def test_the_change_of_the_gap(
    model: str, reference: str, found: dict[str, audit.Comparison], seen: dict[str, pd.DataFrame]
) -> None:
    (row,) = found[model].gaps().query("attribute == 'gender' and reference == @reference").to_dict("records")
    subjects = sorted(set(seen[model]["subject"]))
    known = dict.fromkeys(subjects, 0.5) if reference == "uniform" else US_WOMEN
    probes = {subject: (r, women_of(seen[model], subject)) for subject, r in known.items()}
    sides = [
        [(images_as_numbers(women, n - women, r), r) for women, n in both]
        for r, both in probes.values()
        if min(n for _, n in both) >= FEWEST
    ]
    j = len(sides)
    old, new = (float(np.mean([squared_gap(probe[side][0]) for probe in sides])) for side in (0, 1))
    parts = np.array([[variances(*each) for each in probe] for probe in sides]).sum(axis=(0, 1)) / j**2
    error = np.sqrt(max(parts[0], parts[1]) + parts[2] / j)
    low, high = least_favourable(new - old, error, new + old, error)
    assert row["probes"] == j
    gaps = [np.sqrt(max(0.0, each)) for each in (old, new)]
    assert [row["baseline_gap"], row["other_gap"]] == pytest.approx(gaps)
    assert row["change"] == pytest.approx(gaps[1] - gaps[0])
    assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-5)
    said = "higher" if low > 0 else "lower" if high < 0 else "close" if max(-low, high) <= 0.05 else "inconclusive"
    assert row["conclusion"] == said


@pytest.mark.parametrize("model", TABLES)
def test_images_of_several_people_are_missing(
    model: str, found: dict[str, audit.Comparison], seen: dict[str, pd.DataFrame]
) -> None:
    comparison = found[model]
    assert not comparison.paired and "were made by others" in comparison.unpaired
    lost = comparison.lost().set_index("attribute").loc["gender"]
    several = seen[model].assign(lost=seen[model]["is"] == "").groupby(["setting", "subject"])["lost"].sum()
    old, new = (several[each] for each in CONDITIONS)
    assert (lost["baseline_lost"], lost["other_lost"]) == (old.sum(), new.sum())
    assert (lost["baseline_asked"], lost["other_asked"]) == (50, 50)
    ends = np.array([score_interval((b, 10), (a, 10)) for a, b in zip(old, new, strict=True)])
    expected = mean_interval((new - old).to_numpy() / 10, ends)
    np.testing.assert_allclose(lost[["difference", "low", "high"]].astype(float), expected, atol=1e-5)
    assert (comparison.errors()["conclusion"] == "people").all()


def test_the_same_by_the_commands_that_the_page_shows(
    shared_data: Path, tmp_path: Path, found: dict[str, audit.Comparison]
) -> None:
    folder = folder_of(shared_data, "dall_e_3")
    codes = codes_of_the_document(tmp_path)
    rows = pd.read_csv(folder / "gpt.csv", encoding="utf-8-sig", dtype=str)
    block = next(part for part in re.findall(r"(?:^    .*\n)+", PAGE.read_text("utf-8"), re.M) if "compare" in part)
    commands = [line.split()[1:] for line in block.replace("\\\n", " ").strip().splitlines()]
    for condition in CONDITIONS:
        own = rows[rows["setting"] == condition].rename(columns={"image_file": "file", "category": "subject"})
        own[["file", "subject"]].to_csv(tmp_path / f"{condition}.csv", index=False)
    places = {"IMAGES/dall_e_3/": f"{folder}/", "IMAGES/dall_e_3": str(folder), "codes.yaml": str(codes)}
    places |= {f"{each}.csv": str(tmp_path / f"{each}.csv") for each in CONDITIONS}
    places |= {f"runs/{each}": str(tmp_path / "runs" / each) for each in CONDITIONS}
    answers = []
    for words in commands:
        named = [places.get(word, word.replace("IMAGES/dall_e_3/", f"{folder}/")) for word in words]
        more = ["--threads", 1, "--draws", 200] if words[0] == "import" else []
        answers.append(call(*named, *more))
        assert answers[-1].code == 0, answers[-1]
    lines = [line for line in str(found["dall_e_3"]).splitlines() if line.startswith(("gap", "images", "gender"))]
    assert len(lines) > 5
    assert set(lines) <= set(answers[-1].out.splitlines())


# -- Fair Diffusion ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, audit.Comparison]:
    return of_counts(shared_data / "oracles" / "fair-diffusion", tmp_path_factory.mktemp("counts"))


@pytest.fixture(scope="module")
def counts(shared_data: Path) -> pd.DataFrame:
    """Women and men by occupation, read line by line."""
    sides = []
    for name in ("laion", "generated_1-5"):
        path = shared_data / "oracles" / "fair-diffusion" / f"results_fairface_{name}.txt"
        lines = path.read_text(encoding="utf-8").splitlines()
        numbers = [dict(part.split(": ") for part in line.split(", ")) for line in lines[1::2]]
        sides.append(pd.DataFrame(numbers, index=lines[::2])[["woman", "man"]].astype(int))
    return pd.concat(sides, axis=1, keys=["old", "new"])


def test_shares_of_women_in_153_occupations(counted: dict[str, audit.Comparison], counts: pd.DataFrame) -> None:
    table = counted["list"].changes().query("`class` == 'woman'")
    whole, rows = table.iloc[0], table.iloc[1:]
    n = {side: counts[side].sum(axis=1) for side in ("old", "new")}
    shares = {side: counts[side]["woman"] / n[side] for side in n}
    assert list(rows["subject"].str.replace("-", " ")) == [re.sub(r"\W+", " ", each) for each in counts.index]
    assert (rows["baseline_n"].sum(), rows["other_n"].sum()) == (1_228_961, 153 * 250 - 5)
    np.testing.assert_allclose(rows["difference"], shares["new"] - shares["old"], atol=1e-12)
    pairs = zip(counts["new"]["woman"], n["new"], counts["old"]["woman"], n["old"], strict=True)
    ends = np.array([score_interval((a, b), (c, d)) for a, b, c, d in pairs])
    np.testing.assert_allclose(rows[["low", "high"]], ends, atol=1e-5)
    strata = [np.array([new, old]) for new, old in zip(counts["new"].to_numpy(), counts["old"].to_numpy(), strict=True)]
    tests = [strata_p_value([each]) for each in strata]
    np.testing.assert_allclose(rows["p_value"], tests, atol=1e-9)
    assert [whole["baseline_share"], whole["other_share"]] == pytest.approx([0.4327, 0.4483], abs=5e-5)  # as published
    expected = mean_interval((shares["new"] - shares["old"]).to_numpy(), ends)
    np.testing.assert_allclose(whole[["difference", "low", "high"]].astype(float), expected, atol=1e-5)
    assert whole["p_value"] == pytest.approx(strata_p_value(strata))
    leaning = (rows["other_share"] - 0.5).abs() - (rows["baseline_share"] - 0.5).abs()
    assert round(100 * leaning.mean(), 2) == 5.35  # the plug-in figure as published
    adjusted = stats.false_discovery_control(tests)
    words = np.where(ends[:, 0] > 0.05, "higher", np.where(ends[:, 1] < -0.05, "lower", ""))
    words = np.where((words != "") & (adjusted < 0.05), words, "")
    assert list(rows["conclusion"].where(rows["conclusion"].isin(["higher", "lower"]), "")) == list(words)


def squared(women: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(2p − 1)² of each occupation without bias, in closed form."""
    return ((2 * women - n) ** 2 - n) / (n * (n - 1))


def test_the_gap_from_even_shares_grew(counted: dict[str, audit.Comparison], counts: pd.DataFrame) -> None:
    (row,) = counted["list"].gaps().to_dict("records")
    women = {side: counts[side]["woman"].to_numpy(float) for side in ("old", "new")}
    n = {side: counts[side].sum(axis=1).to_numpy(float) for side in women}
    used = np.minimum(n["old"], n["new"]) >= FEWEST
    assert row["probes"] == used.sum() == 152
    gap = {side: np.sqrt(squared(women[side][used], n[side][used]).mean()) for side in women}
    assert [row["baseline_gap"], row["other_gap"]] == pytest.approx([gap["old"], gap["new"]])
    assert row["change"] == pytest.approx(gap["new"] - gap["old"])
    rng = np.random.default_rng(2026)
    drawn = {}
    for side in women:
        again = rng.binomial(n[side][used].astype(int), women[side][used] / n[side][used], (4000, used.sum()))
        drawn[side] = np.sqrt(squared(again, n[side][used]).mean(axis=1))
    change = drawn["new"] - drawn["old"]
    assert row["low"] < np.quantile(change, 0.025) and np.quantile(change, 0.975) < row["high"]
    errors = [(drawn["new"] ** 2 + sign * drawn["old"] ** 2).std(ddof=1) for sign in (-1, 1)]
    low, high = least_favourable(
        gap["new"] ** 2 - gap["old"] ** 2, errors[0], sum(g**2 for g in gap.values()), errors[1]
    )
    assert [row["low"], row["high"]] == pytest.approx([low, high], abs=3e-4)
    assert row["conclusion"] == "higher" and row["low"] > 0.05


def test_the_claim_about_such_occupations(counted: dict[str, audit.Comparison], counts: pd.DataFrame) -> None:
    (row,) = counted["population"].gaps().to_dict("records")
    n = {side: counts[side].sum(axis=1).to_numpy(float) for side in ("old", "new")}
    used = np.minimum(n["old"], n["new"]) >= FEWEST
    old, new = (squared(counts[side]["woman"].to_numpy(float)[used], n[side][used]) for side in n)
    spreads = [stats.ttest_1samp(each, 0).confidence_interval().high - each.mean() for each in (new - old, new + old)]
    low, high = least_favourable((new - old).mean(), spreads[0] / Z, (new + old).mean(), spreads[1] / Z)
    assert [row["low"], row["high"]] == pytest.approx([low, high], abs=1e-6)
    shares = {side: counts[side]["woman"] / counts[side].sum(axis=1) for side in n}
    expected = stats.ttest_1samp(shares["new"] - shares["old"], 0).confidence_interval()
    whole = counted["population"].changes().query("`class` == 'woman' and probe_id == ''").iloc[0]
    assert [whole["low"], whole["high"]] == pytest.approx([expected.low, expected.high])


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_shows_these_figures(found: dict[str, audit.Comparison], counted: dict[str, audit.Comparison]) -> None:
    text = PAGE.read_text("utf-8")
    for table in (gap_rows(found), occupation_rows(found), counts_rows(counted), moved_rows(counted["list"])):
        assert table in text
