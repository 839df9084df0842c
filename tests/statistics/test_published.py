"""Oracles: figures that others published, from their own counts, with the functions that the tables are made with.

Kay, Matuszek & Munson (2015): women in image search beside women in the occupation. Fair Diffusion (Friedrich et al.
2023): 153 occupations, Stable Diffusion 1.5 beside LAION. SD 3.5 (VoErik): counts by hand of 259 prompts.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from audit.statistics.amplification import amplification, quasi_binomial_glm
from audit.statistics.gap import gap_of_population, squared_distance
from audit.statistics.heterogeneity import prompts_differ
from audit.statistics.intervals import shares, wilson
from audit.statistics.multiplicity import benjamini_hochberg
from audit.statistics.plugin import plug_in
from audit.statistics.resampling import bootstrap
from audit.statistics.significance import binomial, chi_square, compare_with_reference

HALF = np.array([0.5, 0.5])


@pytest.fixture(scope="module")
def kay(shared_data: Path):
    name = "filtered_bls_occupations_with_search_gender_proportions.csv"
    with (shared_data / "oracles/gender-in-image-search" / name).open() as file:
        rows = list(csv.DictReader(file))
    return tuple(np.array([float(row[c]) for row in rows]) for c in ("search_women", "search_n", "bls_p_women"))


def fair_diffusion(shared_data: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Counts of women and men by occupation, and of what the authors' detector failed on."""
    text = (shared_data / "oracles/fair-diffusion" / name).read_text()
    found = re.findall(r"man: (\d+), woman: (\d+), except: (\d+)", text)
    counts = np.array(found, dtype=int)
    return counts[:, [1, 0]], counts[:, 2]


@pytest.fixture(scope="module")
def generated(shared_data: Path):
    return fair_diffusion(shared_data, "results_fairface_generated_1-5.txt")[0]


@pytest.fixture(scope="module")
def laion(shared_data: Path):
    return fair_diffusion(shared_data, "results_fairface_laion.txt")[0]


def test_regression_of_image_search_on_the_occupations(kay):
    women, n, reference = kay
    assert (len(women), women.sum(), n.sum()) == (45, 1_270, 3_262)
    found = quasi_binomial_glm(women, n, reference - 0.5)
    assert [round(found.intercept, 4), round(found.intercept_se, 4)] == [-0.2604, 0.0971]
    assert [round(found.slope, 4), round(found.slope_se, 4)] == [5.3307, 0.3773]
    assert round(found.dispersion, 3) == 4.467


def test_regression_agrees_with_statsmodels(kay):
    women, n, reference = kay
    design = sm.add_constant(reference - 0.5)
    fit = sm.GLM(women / n, design, family=sm.families.Binomial(), var_weights=n).fit(scale="X2", tol=1e-14)
    ours = quasi_binomial_glm(women, n, reference - 0.5)
    np.testing.assert_allclose(ours, [*fit.params, *fit.bse, fit.scale], rtol=1e-8)


def test_image_search_follows_the_occupations_in_log_odds(kay):
    """Their finding of slight exaggeration is one on shares; in log odds the slope is not above 1."""
    women, n, reference = kay
    found = amplification(women, n, reference)
    assert found.slope_low < 1 < found.slope_high
    assert found.correlation > 0.9
    assert (found.probes, found.images) == (45, 3_262)


def test_mean_shares_of_women(generated, laion):
    assert len(generated) == len(laion) == 153
    assert round(shares(generated)[:, 0].mean(), 4) == 0.4483
    assert round(shares(laion)[:, 0].mean(), 4) == 0.4327


def test_five_images_are_missing_though_no_row_says_so(shared_data):
    counts, failed = fair_diffusion(shared_data, "results_fairface_generated_1-5.txt")
    assert (failed == 0).all()
    assert 153 * 250 - counts.sum() == 5


def test_difference_of_plug_in_gaps_and_its_bootstrap_interval(generated, laion):
    difference = plug_in(generated, HALF).uneven - plug_in(laion, HALF).uneven
    for method in ("percentile", "bca"):
        found = bootstrap(difference, 20_000, np.random.default_rng(0), method=method)
        assert round(100 * found.mean[0], 2) == 5.35
        assert [round(100 * found.low[0], 1), round(100 * found.high[0], 1)] == [3.3, 7.3]


def test_correlation_and_amplification_over_occupations(generated, laion):
    women, n, reference = generated[:, 0], generated.sum(axis=1), shares(laion)[:, 0]
    found = amplification(women, n, reference)
    assert round(found.correlation, 3) == 0.904
    assert found.correlation_low < 0.904 < found.correlation_high
    one = gap_of_population(generated, HALF, np.arange(153)).squared
    assert found.excess == pytest.approx(one - ((2 * reference - 1) ** 2).mean())
    assert found.excess_low > 0  # the model leans further from one half than what it was trained on
    assert found.slope_low < 1 < found.slope  # not so clearly in log odds: a few occupations decide
    many = laion.sum(axis=1) > 1
    sampled = amplification(women, n, reference, reference_n=laion.sum(axis=1))
    u = (squared_distance(generated, HALF) - squared_distance(laion, HALF))[many] / 0.5
    assert (sampled.probes, sampled.excess) == (152, pytest.approx(u.mean()))  # one face of one occupation
    assert sampled.excess_low > 0


def test_occupations_that_differ_from_one_half(generated):
    p = binomial(generated[:, 0], generated.sum(axis=1), 0.5)
    assert (p < 0.05).sum() == 141
    assert (benjamini_hochberg(p) < 0.05).sum() == 141
    assert (p * 153 < 0.05).sum() == 125
    low, high = wilson(generated[:, 0], generated.sum(axis=1))
    assert abs(((low > 0.5) | (high < 0.5)).sum() - 141) <= 2


def test_occupations_differ_from_each_other(generated):
    found = prompts_differ(generated, 999, np.random.default_rng(0))
    assert found.p_value == 0.001
    assert found.cramers_v > 0.5


@pytest.fixture(scope="module")
def sd3(shared_data: Path):
    with (shared_data / "oracles/sd3-ethics/processed_bias_data.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("Female", "Male", "Asian", "Black", "Hispanic", "White", "Ethnicity Unclear")
    return {name: sum(float(row[name] or 0) for row in rows) for name in names}


def test_chi_square_with_unclear_as_a_class_and_without(sd3):
    gender = [sd3["Female"], sd3["Male"]]
    ethnicity = [sd3[name] for name in ("Asian", "Black", "Hispanic", "White")]
    assert round(chi_square([gender], HALF)[0], 4) == 27.2213
    as_published = chi_square([[*ethnicity, sd3["Ethnicity Unclear"]]], np.full(5, 0.2))
    assert round(as_published[0], 3) == 600.168
    measured = chi_square([ethnicity], np.full(4, 0.25))
    assert round(measured[0], 2) == 83.05
    tested = compare_with_reference([ethnicity], np.full(4, 0.25), draws=999, rngs=[np.random.default_rng(0)])
    assert tested.p_value[0] == 0.001
