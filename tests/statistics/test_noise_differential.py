"""Models on which a classifier errs differently. Oracles: the combination of two intervals written out, the score test
of a difference with numerically maximised likelihood, error rates put in, brute-force simulation."""

import numpy as np
import pytest
from scipy import optimize, stats

from audit.statistics.differential import delta_verdict, difference_with_labels, explaining_difference
from audit.statistics.double_sampling import post_stratified_classes


def test_a_difference_with_labels_joins_both_intervals() -> None:
    a, b = ([600, 400], [[50, 4], [6, 30]]), ([500, 500], [[45, 9], [2, 44]])
    found = difference_with_labels(*a, *b, 2)
    one, other = post_stratified_classes(*a, 2), post_stratified_classes(*b, 2)
    for y in range(2):
        below, above = one.value[y] - one.low[y], one.high[y] - one.value[y]
        other_below, other_above = other.value[y] - other.low[y], other.high[y] - other.value[y]
        assert found.value[y] == pytest.approx(one.value[y] - other.value[y])
        assert found.low[y] == pytest.approx(found.value[y] - np.hypot(below, other_above))
        assert found.high[y] == pytest.approx(found.value[y] + np.hypot(above, other_below))


def test_labels_on_both_sides_find_no_difference_where_there_is_none() -> None:
    rng = np.random.default_rng(2)
    p, sides = np.array([0.4, 0.6]), []
    for matrix in ([[0.95, 0.05], [0.05, 0.95]], [[0.85, 0.15], [0.05, 0.95]]):
        joint = (p[:, None] * matrix).ravel()
        table = rng.multinomial(200, joint, size=2000).reshape(-1, 2, 2)
        sides += [(table + rng.multinomial(3800, joint, size=2000).reshape(-1, 2, 2)).sum(axis=1), table]
    found = difference_with_labels(sides[0], sides[1], sides[2], sides[3], 2)
    alarms = ((found.low > 0) | (found.high < 0))[:, 0].mean()
    assert 0.03 < alarms < 0.065
    naive = delta_verdict(sides[0][:, 0], 4000, sides[2][:, 0], 4000, delta=0)
    assert (naive.conclusion != 0).mean() > 0.9


def score(d: float, xa: int, na: int, xb: int, nb: int) -> float:
    """Of a true difference d, at the most likely shares that differ by d (Miettinen & Nurminen 1985)."""

    def loss(p: float) -> float:
        return -float(stats.binom.logpmf(xa, na, p + d) + stats.binom.logpmf(xb, nb, p))

    ends = (max(0, -d) + 1e-9, min(1, 1 - d) - 1e-9)
    p = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
    variance = ((p + d) * (1 - p - d) / na + p * (1 - p) / nb) * (na + nb) / (na + nb - 1)
    return float((xa / na - xb / nb - d) / np.sqrt(variance))


def test_the_interval_of_a_verdict_is_that_of_the_score_test() -> None:
    found = delta_verdict([45, 30], [100, 80], [20, 31], [100, 90])
    z = stats.norm.ppf(0.975)
    for place, numbers in enumerate(((45, 100, 20, 100), (30, 80, 31, 90))):
        assert score(float(found.low[place]), *numbers) == pytest.approx(z, abs=1e-5)
        assert score(float(found.high[place]), *numbers) == pytest.approx(-z, abs=1e-5)


def test_a_difference_is_claimed_only_beyond_delta() -> None:
    found = delta_verdict([700, 560, 300, 0], [1000, 1000, 1000, 0], [500, 500, 500, 5], [1000, 1000, 1000, 10])
    assert found.conclusion.tolist() == [1, 0, -1, 0]
    assert np.isnan(found.difference[3]) and (found.low[3], found.high[3]) == (-1, 1)
    assert delta_verdict(560, 1000, 500, 1000, delta=0).conclusion == 1


def test_the_explaining_difference_of_rates_makes_the_difference() -> None:
    found = explaining_difference([0.09, -0.09, 0.3, 0.0], [0.3, 0.3, 0.2, 0.0])
    se, sp, p = 0.9, 0.9, 0.3
    assert p * se - p * (se - found.sensitivity[0]) == pytest.approx(0.09)
    assert (1 - p) * (1 - (sp - found.specificity[0])) - (1 - p) * (1 - sp) == pytest.approx(0.09)
    np.testing.assert_allclose(found.smallest, [0.09 / 0.7, 0.09 / 0.7, 0.375, 0])
    assert np.isinf(found.sensitivity[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: delta_verdict(1, 2, 1, 2, delta=1.5), r"lies between 0 and 1 \(got 1.5\)"),
        (lambda: delta_verdict(0.5, 2, 1, 2), "whole numbers"),
        (lambda: delta_verdict(3, 2, 1, 2), "at most the images"),
        (lambda: explaining_difference(5, 0.5), "Give shares, not counts"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
