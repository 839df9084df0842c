"""Oracles: all outcomes of a few pairs enumerated; sums over images written out; `gap_of_list`; simulation."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audit.statistics.gap import distance_variance, gap_of_list, largest_squared_distance, squared_distance
from audit.statistics.gap_change import _covariance, _parts, gap_change

JOINT = np.array([[0.35, 0.15], [0.05, 0.45]])
R2 = np.array([0.6, 0.4])


def outcomes(n, p):
    x = np.array([c for c in product(range(n + 1), repeat=p.size) if sum(c) == n])
    return x.reshape(-1, *p.shape).astype(float), stats.multinomial.pmf(x, n, p.ravel())


@pytest.mark.parametrize("n", [4, 5, 7])
def test_variances_have_no_bias(n):
    """Over all tables of n pairs, the mean of each estimate is the variance of what it is for."""
    tables, chance = outcomes(n, JOINT)
    parts = _parts(tables.sum(axis=1), tables.sum(axis=2), R2, tables, False)
    for value, estimate in ((parts.new - parts.old, parts.variance), (parts.new + parts.old, parts.total_variance)):
        variance = chance @ value**2 - (chance @ value) ** 2
        assert chance @ estimate == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize("ordered", [False, True])
def test_variance_without_pairs_is_hoeffdings(ordered):
    p, q, r = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.3]), np.array([0.2, 0.3, 0.5])
    (old, chance), (new, other) = outcomes(5, p), outcomes(4, q)
    many = np.repeat(old, len(new), axis=0), np.tile(new, (len(old), 1))
    parts = _parts(many[1], many[0], r, None, ordered)
    expected = distance_variance([p], [5], r, ordered=ordered) + distance_variance([q], [4], r, ordered=ordered)
    largest = largest_squared_distance(r, ordered=ordered)
    assert np.outer(chance, other).ravel() @ parts.variance == pytest.approx((expected / largest**2)[0], abs=1e-12)
    assert np.outer(chance, other).ravel() @ (parts.new - parts.old) == pytest.approx(
        np.diff([np.square(np.cumsum(s - r)[:-1] if ordered else s - r).sum() for s in (p, q)])[0] / largest[0]
    )


def test_covariance_is_the_sum_over_images_written_out():
    """6 old and 5 new images of 3 classes, of which 4 are pairs."""
    rng = np.random.default_rng(0)
    old, new = rng.integers(3, size=6), rng.integers(3, size=5)
    kernel = rng.normal(size=(3, 3))
    kernel = kernel @ kernel.T
    # image 0 … 3 of the one has the seed of image 0 … 3 of the other
    seeds_old, seeds_new = [0, 1, 2, 3, 10, 11], [0, 1, 2, 3, 20]
    first = np.mean([kernel[old[i], old[j]] for i, j in permutations(range(6), 2)])
    second = np.mean([kernel[new[i], new[j]] for i, j in permutations(range(5), 2)])
    apart = [
        kernel[old[i], old[j]] * kernel[new[s], new[t]]
        for i, j in permutations(range(6), 2)
        for s, t in permutations(range(5), 2)
        if not {seeds_old[i], seeds_old[j]} & {seeds_new[s], seeds_new[t]}
    ]
    pairs = np.zeros((1, 3, 3))
    np.add.at(pairs[0], (old[:4], new[:4]), 1)
    counts = (np.bincount(x, minlength=3)[None].astype(float) for x in (old, new))
    found = _covariance(pairs, *counts, kernel[None])
    assert found[0] == pytest.approx(first * second - np.mean(apart), abs=1e-12)


def test_is_the_difference_of_the_squared_gaps():
    rng = np.random.default_rng(1)
    r = rng.dirichlet(np.ones(4), size=6)
    r[2] = np.nan
    old, new = rng.integers(0, 9, size=(2, 6, 4))
    old[4] = [1, 1, 1, 0]
    change = gap_change(new, old, r)
    kept = [0, 1, 3, 5]
    assert change.squared[0] == pytest.approx(
        gap_of_list(new[kept], r[kept]).squared - gap_of_list(old[kept], r[kept]).squared
    )
    assert change.total[0] == pytest.approx(change.new[0] + change.old[0])
    assert change.probes[0] == 4
    assert change.images[0] == (old[kept] + new[kept]).sum() / 8


def test_several_lists_are_each_as_if_alone():
    rng = np.random.default_rng(2)
    pairs = rng.integers(0, 5, size=(12, 3, 3)).astype(float)
    new, old, r = pairs.sum(axis=1), pairs.sum(axis=2), np.array([0.2, 0.3, 0.5])
    together = gap_change(new, old, r, paired=pairs, lists=3)
    for i in range(3):
        part = slice(4 * i, 4 * i + 4)
        alone = gap_change(new[part], old[part], r, paired=pairs[part])
        np.testing.assert_allclose([each[i] for each in together], [each[0] for each in alone])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=5), st.booleans())
def test_same_run_has_no_change_and_no_error(rows, ordered):
    x = np.array([[a, b, a + 4] for a, b in rows], dtype=float)
    same = x[:, :, None] * np.eye(3)
    change = gap_change(x, x, [0.2, 0.3, 0.5], paired=same, ordered=ordered, same=True)
    assert change.squared[0] == 0
    assert change.error[0] == 0
    assert gap_change(x, x, [0.2, 0.3, 0.5], paired=same, ordered=ordered).error[0] > 0
    assert gap_change(x, x, [0.2, 0.3, 0.5], ordered=ordered).error[0] > 0


def test_one_pair_that_disagrees_keeps_a_width_where_all_show_one_class():
    old, new = np.array([[20.0, 0.0]]), np.array([[19.0, 1.0]])
    pairs = np.array([[[19.0, 1.0], [0.0, 0.0]]])
    change = gap_change(new, old, [0.5, 0.5], paired=pairs)
    assert change.error[0] > abs(change.squared[0]) / 2
    assert gap_change(old, old, [0.5, 0.5]).error[0] > 0.2


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_names_of_classes_do_not_matter_and_swapping_runs_turns_the_sign(seed, order):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, 6, size=(4, 3, 3)).astype(float)
    r = rng.dirichlet(np.ones(3), size=4)
    change = gap_change(pairs.sum(axis=1), pairs.sum(axis=2), r, paired=pairs)
    other = pairs[:, order][:, :, order]
    again = gap_change(other.sum(axis=1), other.sum(axis=2), r[:, order], paired=other)
    np.testing.assert_allclose([each[0] for each in again], [each[0] for each in change], atol=1e-9)
    back = gap_change(pairs.sum(axis=2), pairs.sum(axis=1), r, paired=pairs.swapaxes(1, 2))
    assert back.squared[0] == pytest.approx(-change.squared[0], abs=1e-9)


def test_standard_error_is_that_of_simulated_runs_with_pairs():
    rng = np.random.default_rng(3)
    lists, probes, n = 3000, 12, 20
    joint = rng.dirichlet(np.ones(9) / 2, size=probes)
    pairs = rng.multinomial(n, np.tile(joint, (lists, 1))).reshape(-1, 3, 3)
    change = gap_change(pairs.sum(axis=1), pairs.sum(axis=2), np.full(3, 1 / 3), paired=pairs, lists=lists)
    assert np.sqrt((change.error**2).mean()) == pytest.approx(change.squared.std(), rel=0.06)
    assert np.sqrt((change.total_error**2).mean()) == pytest.approx(change.total.std(), rel=0.06)
    truth = np.array(
        [[side - 1 / 3 for side in (each.reshape(3, 3).sum(0), each.reshape(3, 3).sum(1))] for each in joint]
    )
    squares = (truth**2).sum(axis=2) / (2 / 3)
    assert change.squared.mean() == pytest.approx((squares[:, 0] - squares[:, 1]).mean(), abs=4 * 0.05 / np.sqrt(lists))
    unpaired = gap_change(pairs.sum(axis=1), pairs.sum(axis=2), np.full(3, 1 / 3), lists=lists)
    assert unpaired.squared[0] == change.squared[0]


def test_pairs_of_only_some_images_count_for_what_they_are():
    pairs = np.array([[[8.0, 1.0], [1.0, 6.0]]])
    new, old = pairs.sum(axis=1) + np.array([[3, 0]]), pairs.sum(axis=2) + np.array([[0, 2]])
    errors = [gap_change(new, old, R2, paired=each).error[0] for each in (pairs, None)]
    assert 0 < errors[0] < errors[1]
    d = squared_distance(new, R2) - squared_distance(old, R2)
    assert gap_change(new, old, R2, paired=pairs).squared[0] == pytest.approx((d / largest_squared_distance(R2))[0])


def test_no_probe_that_can_be_used():
    change = gap_change([[2, 1]], [[5, 5]], R2)
    assert np.isnan(change.squared[0])
    assert np.isnan(change.error[0])
    assert change.probes[0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gap_change([[5, 5]], [[5, 5], [5, 5]], R2), "same probes"),
        (lambda: gap_change([[5, 5]], [[5, 5]], R2, paired=[[[6, 0], [0, 0]]]), "more pairs of a class"),
        (lambda: gap_change([[5, 5]], [[5, 5]], R2, paired=[[6, 0], [0, 0]]), "old × new classes"),
        (lambda: gap_change([[5, 5]], [[5, 5]], R2, paired=[[[-1, 0], [0, 0]]]), "0 or more"),
        (lambda: gap_change([[5, 5]], [[5, 5]], R2, lists=2), "2 lists"),
        (lambda: gap_change([[5, 5]], [[5, 5]], [0.7, 0.4]), "add up to 1"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
