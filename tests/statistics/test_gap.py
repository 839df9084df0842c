"""Oracles: all multinomial outcomes enumerated, closed forms, simulation with planted shares."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, stats

from audit.statistics.gap import (
    distance_variance,
    estimated_variance,
    gap_of_list,
    gap_of_population,
    largest_squared_distance,
    squared_distance,
    total_variation,
)

TRUTHS = [
    (np.array([0.7, 0.3]), np.array([0.5, 0.5])),
    (np.array([1.0, 0.0]), np.array([0.9, 0.1])),
    (np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.4, 0.0])),
    (np.array([0.25, 0.25, 0.3, 0.2]), np.array([0.25, 0.25, 0.3, 0.2])),
]


def outcomes(n, p):
    """All counts of n images over k classes, with their probabilities."""
    x = np.array([c for c in product(range(n + 1), repeat=len(p)) if sum(c) == n])
    return x, stats.multinomial.pmf(x, n, p)


def cumulated(p):
    return np.cumsum(p)[:-1]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("p", "r"), TRUTHS)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_mean_and_variance_are_exact(n, p, r, ordered):
    x, chance = outcomes(n, p)
    u = squared_distance(x, r, ordered=ordered)
    off = cumulated(p) - cumulated(r) if ordered else p - r
    assert chance @ u == pytest.approx(off @ off, abs=1e-12)
    assert chance @ u**2 - (chance @ u) ** 2 == pytest.approx(
        distance_variance([p], [n], r, ordered=ordered)[0], abs=1e-12
    )


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("p", "r"), TRUTHS)
@pytest.mark.parametrize("n", [4, 6])
def test_estimated_variance_is_without_bias(n, p, r, ordered):
    x, chance = outcomes(n, p)
    expected = distance_variance([p], [n], r, ordered=ordered)[0]
    assert chance @ estimated_variance(x, r, ordered=ordered) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(estimated_variance([[2, 1], [0, 0]], [0.5, 0.5])).all()


def test_is_the_published_formula():
    x, r = np.array([7, 2, 1]), np.array([0.5, 0.3, 0.2])
    n = x.sum()
    by_hand = (x * (x - 1) / (n * (n - 1)) - 2 * r * x / n + r**2).sum()
    assert squared_distance([x], r)[0] == pytest.approx(by_hand)
    assert largest_squared_distance(r)[0] == pytest.approx(1 - 2 * 0.2 + (r**2).sum())
    # three ordered classes: the last is farthest, .5 and .8 away in the two cumulated shares
    assert largest_squared_distance(r, ordered=True)[0] == pytest.approx(0.5**2 + 0.8**2)
    assert total_variation([x], r)[0] == pytest.approx(0.2)


@pytest.mark.parametrize("ordered", [False, True])
def test_one_class_only_is_the_farthest_at_1(ordered):
    r = np.array([0.1, 0.5, 0.4])
    distances = squared_distance(20 * np.eye(3), r, ordered=ordered) / largest_squared_distance(r, ordered=ordered)
    assert distances.max() == pytest.approx(1)


def test_two_classes_against_half_is_the_root_mean_square_of_2p_minus_1():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=40)
    n = 100_000
    x = rng.binomial(n, p)
    gap = gap_of_list(np.column_stack([x, n - x]), [0.5, 0.5])
    assert gap.gap == pytest.approx(np.sqrt(((2 * p - 1) ** 2).mean()), abs=0.003)
    tilt = 2 * p - 1
    assert gap.shared_tilt == pytest.approx(abs(tilt.mean()), abs=0.003)
    assert gap.between == pytest.approx(tilt.var(), abs=0.003)


TABLES = arrays(np.int64, (6, 4), elements=st.integers(0, 12))
ROWS = arrays(np.float64, (6, 4), elements=st.floats(0.01, 1)).map(lambda a: a / a.sum(axis=1, keepdims=True))
SUBJECTS = np.array(["a", "a", "b", "c", "c", "d"])


@given(TABLES, ROWS, st.permutations(range(4)), st.permutations(range(6)))
def test_names_of_classes_and_order_of_probes_are_irrelevant(x, r, classes, probes):
    classes, probes = np.array(classes), np.array(probes)
    for there, back in (
        (gap_of_list(x, r), gap_of_list(x[probes][:, classes], r[probes][:, classes])),
        (
            gap_of_population(x, r, SUBJECTS),
            gap_of_population(x[probes][:, classes], r[probes][:, classes], SUBJECTS[probes]),
        ),
    ):
        # The roots of what is 0 but for rounding are compared as squares.
        names = ("squared", "between", "total_variation", "probes", "images")
        np.testing.assert_allclose([getattr(there, f) for f in names], [getattr(back, f) for f in names], atol=1e-9)
        for name in ("gap", "low", "high", "shared_tilt"):
            np.testing.assert_allclose(getattr(there, name) ** 2, getattr(back, name) ** 2, atol=1e-9)


@given(TABLES, ROWS)
def test_a_reversed_order_of_ordered_classes_is_the_same_gap(x, r):
    there, back = (gap_of_list(x[:, s], r[:, s], ordered=True) for s in (slice(None), slice(None, None, -1)))
    np.testing.assert_allclose([there.squared, there.high], [back.squared, back.high], atol=1e-9)


@given(TABLES, ROWS)
def test_stays_between_0_and_1_and_splits(x, r):
    assume((x.sum(axis=1) > 1).any())
    for gap in (gap_of_list(x, r), gap_of_list(x, r, ordered=True)):
        assert 0 <= gap.low <= gap.gap <= gap.high <= 1
        assert gap.squared <= 1 + 1e-12
        if gap.shared_tilt > 0:
            assert gap.squared == pytest.approx(gap.shared_tilt**2 + gap.between)


@given(
    arrays(np.float64, st.integers(2, 7), elements=st.floats(0.01, 1)).map(lambda a: a / a.sum()),
    st.data(),
)
def test_grows_along_the_ray_from_the_reference_to_any_class(r, data):
    k, n = r.size, 1_000_000
    c = data.draw(st.integers(0, k - 1))
    steps = np.linspace(0, 1, 11)
    rays = [(1 - t) * r + t * np.eye(k)[c] for t in steps]
    counts = [np.append(whole := np.floor(n * p[:-1]), n - whole.sum()) for p in rays]
    gaps = [gap_of_list([x], r) for x in counts]
    assert gaps[0].gap < 0.005
    assert (np.diff([gap.squared for gap in gaps]) > -1e-5).all()
    assert all(b.squared > a.squared for a, b in pairwise(gaps[1:]))
    assert gaps[-1].gap <= 1
    assert max(gap_of_list([n * np.eye(k)[j]], r).gap for j in range(k)) == pytest.approx(1)


def test_rounding_lifts_nothing_above_1():
    r = [0.6012506, 0.09968735, 0.09968735, 0.09968735, 0.09968735]
    gap = gap_of_list([[0, 1_000_000, 0, 0, 0]], r)
    assert gap.squared == pytest.approx(1, abs=1e-12)
    assert (gap.gap, gap.high, gap.shared_tilt) == (1, 1, 1)
    assert gap.low <= 1


@given(TABLES, ROWS)
def test_an_empty_class_that_the_reference_excludes_leaves_the_squared_distance(x, r):
    wider = np.column_stack([x, np.zeros(len(x), dtype=int)])
    theirs = np.column_stack([r, np.zeros(len(r))])
    np.testing.assert_allclose(squared_distance(wider, theirs), squared_distance(x, r), atol=1e-12)


@pytest.mark.parametrize("counts", [[[2.5, 3]], [[-1, 3]], [[np.inf, 3]]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match=r"counts must be whole numbers of 0 or more \(got") as error:
        gap_of_list(counts, [0.5, 0.5])
    assert "\n" not in str(error.value)


def test_probes_without_two_images_or_reference_are_left_out():
    nothing = np.nan * np.ones(2)
    gap = gap_of_list([[30, 10], [1, 0], [0, 0], [20, 20]], [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], nothing])
    alone = gap_of_list([[30, 10]], [0.5, 0.5])
    assert gap == alone
    assert (gap.probes, gap.images) == (1, 40)
    none = gap_of_population([[1, 0], [0, 0]], [0.5, 0.5], ["a", "b"])
    assert np.isnan(none.gap)
    assert np.isnan(none.high)
    assert (none.probes, none.images, none.direction) == (0, 0, -1)


def test_direction_is_the_class_most_over_represented():
    r = [0.2, 0.3, 0.5]
    assert gap_of_list([[10, 30, 60], [30, 40, 30]], r).direction == 1
    assert gap_of_list([[20, 30, 50]], r).direction == -1


def test_population_is_students_t_over_subjects_corrected_for_skewness():
    subjects = np.array(["a", "a", "a", "b", "c", "c", "d", "e", "e"])
    for women, skewed in (([99, 97, 98, 95, 98, 96, 90, 62, 55], False), ([52, 54, 55, 60, 48, 52, 98, 58, 56], True)):
        x = np.array([[v, 100 - v] for v in women])
        u = squared_distance(x, [0.5, 0.5]) / 0.5
        means = np.array([u[subjects == name].mean() for name in "abcde"])
        gap = gap_of_population(x, [0.5, 0.5], subjects)
        assert gap.squared == pytest.approx(means.mean())
        low, high = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
        if skewed:
            a, t = stats.skew(means) / np.sqrt(5), stats.t.ppf(0.975, 4)
            root = optimize.brentq(lambda w: w + a * w**2 / 3 + a**2 * w**3 / 27 + a / 6 + t, -50, 0)  # noqa: B023
            assert means.mean() - root * stats.sem(means) > high + 0.05
            high = means.mean() - root * stats.sem(means)
        else:
            assert stats.skew(means) < 0
        np.testing.assert_allclose([gap.low, gap.high], np.sqrt(np.clip([low, high], 0, 1)))
    alone = gap_of_population(x[7:], [0.5, 0.5], subjects[7:])
    assert alone.gap > 0
    assert np.isnan([alone.low, alone.high, alone.shared_tilt, alone.between]).all()


def test_population_is_never_closer_than_the_list():
    x = np.array([[30, 20], [31, 19], [30, 20], [29, 21]])
    one, such = gap_of_list(x, [0.5, 0.5]), gap_of_population(x, [0.5, 0.5], list("abcd"))
    np.testing.assert_allclose([such.gap, such.low, such.high], [one.gap, one.low, one.high])


@pytest.mark.parametrize("claim", ["list", "population"])
@pytest.mark.parametrize("k", [2, 7])
def test_a_model_that_matches_has_no_gap(k, claim):
    """No trend of G² in the number of images, and the lower end is 0 in at least 95 %."""
    rng = np.random.default_rng(5)
    r = rng.dirichlet(np.ones(k), size=30)
    for n in (5, 50):
        found = []
        for _ in range(300):
            x = np.array([rng.multinomial(n, row) for row in r])
            found.append(gap_of_list(x, r) if claim == "list" else gap_of_population(x, r, np.arange(30) // 2))
        squared = np.array([gap.squared for gap in found])
        assert abs(squared.mean()) < 4 * squared.std() / np.sqrt(squared.size)
        assert np.mean([gap.low == 0 for gap in found]) >= 0.95


@pytest.mark.parametrize(("strength", "k", "n"), [(0.3, 2, 50), (0.9, 2, 20), (0.3, 7, 50), (0.95, 7, 20)])
def test_interval_for_the_list_covers(strength, k, n):
    rng = np.random.default_rng(7)
    r = np.full(k, 1 / k)
    p = (1 - strength * rng.uniform(0.5, 1, size=(25, 1))) * r
    p[:, 0] += 1 - p.sum(axis=1)
    truth = np.sqrt((((p - r) ** 2).sum(axis=1) / largest_squared_distance(r)).mean())
    found = [gap_of_list([rng.multinomial(n, row) for row in p], r) for _ in range(400)]
    assert np.mean([gap.low <= truth <= gap.high for gap in found]) >= 0.92


def test_interval_for_the_population_covers_where_that_for_the_list_cannot():
    rng = np.random.default_rng(11)
    truth = np.sqrt(((2 * stats.beta(2, 2).rvs(100_000, random_state=1) - 1) ** 2).mean())
    covered = {"list": 0, "population": 0}
    for _ in range(400):
        p = np.repeat(rng.beta(2, 2, size=25), 2)
        x = rng.binomial(40, p)
        counts = np.column_stack([x, 40 - x])
        one, all_such = gap_of_list(counts, [0.5, 0.5]), gap_of_population(counts, [0.5, 0.5], np.arange(50) // 2)
        covered["list"] += one.low <= truth <= one.high
        covered["population"] += all_such.low <= truth <= all_such.high
    assert covered["population"] / 400 >= 0.92
    assert covered["list"] / 400 < 0.75


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="add up to 1"):
        gap_of_list([[1, 2]], [0.5, 0.6])
    with pytest.raises(ValueError, match="must fit"):
        squared_distance([[1, 2]], [0.5, 0.25, 0.25])
    with pytest.raises(ValueError, match="2 classes"):
        squared_distance([[1], [2]], [1.0])
    with pytest.raises(ValueError, match="0 or more"):
        squared_distance([[-1, 2]], [0.5, 0.5])
    with pytest.raises(ValueError, match="0 or more"):
        largest_squared_distance([1.5, -0.5])
    with pytest.raises(ValueError, match="one subject"):
        gap_of_population([[1, 2]], [0.5, 0.5], ["a", "b"])
