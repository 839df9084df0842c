"""Shares of persons who come in clusters. Oracles: statsmodels' cluster-robust variance, its Wilson interval, and
clusters planted with a known share."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from audit.statistics.clusters import Sums, clustered_share, effective_size, ratio_variance
from audit.statistics.intervals import wilson


def sums(x: object, m: object) -> Sums:
    """Of clusters with m members each, x of them with the property; groups in rows."""
    x_, m_ = np.asarray(x, float), np.asarray(m, float)
    return Sums((m_ > 0).sum(-1), x_.sum(-1), m_.sum(-1), (x_ * x_).sum(-1), (x_ * m_).sum(-1), (m_ * m_).sum(-1))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    m = draw(st.lists(st.integers(1, 6), min_size=2, max_size=15))
    return [draw(st.integers(0, size)) for size in m], m


@given(clusters())
def test_the_variance_is_the_cluster_robust_one(drawn: tuple[list[int], list[int]]) -> None:
    x, m = drawn
    y = np.concatenate([[1.0] * a + [0.0] * (size - a) for a, size in zip(x, m, strict=True)])
    groups = np.repeat(np.arange(len(m)), m)
    fitted = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert float(ratio_variance(sums(x, m))) == pytest.approx(float(fitted.cov_params()[0, 0]), abs=1e-12)


@given(clusters())
def test_the_interval_is_wilsons_of_fewer_persons(drawn: tuple[list[int], list[int]]) -> None:
    x, m = drawn
    given_sums = sums(x, m)
    low, high = clustered_share(given_sums)
    share, whole = sum(x) / sum(m), wilson(sum(x), sum(m))
    assert 0 <= low <= share <= high <= 1
    assert low <= whole.low + 1e-12 and high >= whole.high - 1e-12
    assert 0 < float(effective_size(given_sums)) <= sum(m)
    other = clustered_share(sums(np.subtract(m, x), m))  # the other class
    assert (float(1 - other.high), float(1 - other.low)) == pytest.approx((float(low), float(high)), abs=1e-9)
    twice = clustered_share(sums([*x[::-1], 0], [*m[::-1], 0]))  # order, and an image without anybody
    assert (float(twice.low), float(twice.high)) == pytest.approx((float(low), float(high)), abs=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_with_one_person_an_image_it_is_wilsons_interval(women: list[bool]) -> None:
    low, high = clustered_share(sums(women, [1] * len(women)))
    expected = proportion_confint(sum(women), len(women), method="wilson")
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-9)


def test_people_who_are_all_alike_tell_as_much_as_one() -> None:
    x = np.array([4, 0, 4, 0, 0, 4, 0, 4, 4, 0])
    assert float(effective_size(sums(x, [4] * 10))) == pytest.approx(40 / (4 * 10 / 9 * 39 / 40))
    assert float(effective_size(sums([4] * 10, [4] * 10))) == 10  # all of one class: nothing tells how alike they are
    assert float(effective_size(sums([2] * 10, [4] * 10))) == 40  # a woman and a man in each: never more than persons
    assert float(effective_size(sums([3], [5]))) == 1
    low, high = clustered_share(sums([[0], [3]], [[0], [5]]))
    assert (low[0], high[0]) == (0, 1)
    assert 0 < low[1] < 0.6 < high[1] < 1


def test_bad_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        clustered_share(sums([1], [2]), 95)
    with pytest.raises(ValueError, match="must not exceed"):
        clustered_share(Sums(1, 3, 2, 9, 6, 4))


@pytest.mark.parametrize("images", [20, 50, 200])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("alike", [0.01, 0.5, 0.95])
def test_planted_clusters_are_covered(images: int, share: float, alike: float) -> None:
    """Pictures of 1 to 3 people, alike by this correlation (beta-binomial). Taken for independent, they are not."""
    rng = np.random.default_rng([images, int(100 * share), int(100 * alike)])
    m = rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1], size=(3000, images))
    pull = (1 - alike) / alike
    x = rng.binomial(m, rng.beta(share * pull, (1 - share) * pull, size=m.shape))
    low, high = clustered_share(sums(x, m))
    assert 0.92 <= np.mean((low <= share) & (share <= high)) <= 0.985
    naive = wilson(x.sum(1), m.sum(1))
    if alike == 0.95 and images >= 50:
        assert np.mean((naive.low <= share) & (share <= naive.high)) < 0.9
