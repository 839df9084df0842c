"""Oracles: Fisher's exact test and scipy's permutations, all multinomial outcomes enumerated, products of margins."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from audit.statistics.gap import squared_distance
from audit.statistics.intersections import expected, independence, interaction
from audit.statistics.intervals import simultaneous

TABLES = arrays(np.int64, (3, 2, 3), elements=st.integers(0, 8))


def test_expected_is_the_product_of_the_margins():
    joint = np.random.default_rng(0).integers(0, 9, size=(4, 2, 3))
    ours = expected(joint)
    for table, own in zip(joint, ours, strict=True):
        np.testing.assert_allclose(own * table.sum(), stats.contingency.expected_freq(table))
    three = np.random.default_rng(1).integers(0, 9, size=(2, 2, 3, 2))
    np.testing.assert_allclose(expected(three)[1] * three[1].sum(), stats.contingency.expected_freq(three[1]))
    np.testing.assert_allclose(expected(three).sum(axis=(1, 2, 3)), 1)
    assert np.isnan(expected(np.zeros((1, 2, 2)))).all()


@pytest.mark.parametrize("p", [[[0.3, 0.1], [0.2, 0.4]], [[0.12, 0.28, 0.0], [0.18, 0.42, 0.0]], [[1.0, 0], [0, 0]]])
def test_interaction_is_without_bias(p):
    p, n = np.array(p), 5
    x = np.array([c for c in product(range(n + 1), repeat=p.size) if sum(c) == n])
    chance = stats.multinomial.pmf(x, n, p.ravel())
    off = p - np.outer(p.sum(axis=1), p.sum(axis=0))
    assert chance @ interaction(x.reshape(-1, *p.shape)) == pytest.approx((off**2).sum(), abs=1e-12)
    assert np.isnan(interaction([[[1, 1], [1, 0]]])).all()


def test_interaction_is_the_mean_over_different_images():
    rng = np.random.default_rng(2)
    first, second = rng.integers(2, size=7), rng.integers(3, size=7)
    table = np.zeros((1, 2, 3))
    np.add.at(table[0], (first, second), 1)
    a, b = (np.equal.outer(v, v).astype(float) for v in (first, second))
    quads = [
        a[i, j] * b[i, j] + a[i, j] * b[k, m] - 2 * a[i, j] * b[i, k]
        for i, j, k, m in product(range(7), repeat=4)
        if len({i, j, k, m}) == 4
    ]
    assert interaction(table)[0] == pytest.approx(np.mean(quads), abs=1e-12)


def exact(table):
    """p of X² over all 2 × 2 tables with these margins."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    first = np.arange(max(0, rows[0] - columns[1]), min(rows[0], columns[0]) + 1)
    off = np.abs(first - rows[0] * columns[0] / table.sum())
    return stats.hypergeom.pmf(first, table.sum(), columns[0], rows[0])[off >= off[first == table[0, 0]] - 1e-9].sum()


def test_two_by_two_is_the_exact_test():
    joint = np.array([[[8, 2], [3, 9]], [[5, 5], [5, 5]], [[1, 6], [7, 2]]])
    draws = 20_000
    for ours, table in zip(independence(joint, draws, np.random.default_rng(3)), joint, strict=True):
        p = exact(table)
        assert ours == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / draws) + 1 / draws)
    symmetric = joint[1:2]
    assert independence(symmetric, 99, np.random.default_rng(0))[0] == 1
    assert exact(joint[0]) == pytest.approx(stats.fisher_exact(joint[0]).pvalue, abs=0.02)


def test_three_attributes_are_tested_for_mutual_independence():
    """Beside shuffling the labels of the images, with classes that do not occur left in."""
    rng = np.random.default_rng(4)
    labels = np.array([rng.integers(2, size=40), rng.integers(3, size=40), rng.integers(2, size=40)])
    labels[2, :14] = labels[0, :14]

    def statistic(first, second, third):
        table = np.zeros((2, 4, 2))
        np.add.at(table, (first, second, third), 1)
        used = expected(table[None])[0] * 40
        return (table**2 / np.where(used > 0, used, 1)).sum(), table

    observed, table = statistic(*labels)
    shuffled = [statistic(labels[0], rng.permutation(labels[1]), rng.permutation(labels[2]))[0] for _ in range(3_000)]
    theirs = np.mean(np.array(shuffled) >= observed - 1e-9)
    assert 0.01 < theirs < 0.5
    for order in ((0, 1, 2), (2, 0, 1)):
        ours = independence(table.transpose(order)[None], 10_000, np.random.default_rng(5))[0]
        assert ours == pytest.approx(theirs, abs=4 * np.sqrt(theirs * (1 - theirs) / 3_000))


@pytest.mark.parametrize("shape", [(2, 4), (2, 2, 3)])
def test_size_is_the_level(shape):
    rng = np.random.default_rng(6)
    margins = [rng.dirichlet(np.full(k, 3.0)) for k in shape]
    cells = np.ones(1)
    for margin in margins:
        cells = np.outer(cells, margin).ravel()
    joint = rng.multinomial(30, cells, size=800).reshape(-1, *shape)
    p = independence(joint, 199, rng)
    p = p[~np.isnan(p)]
    assert 0.025 < (p <= 0.05).mean() < 0.078


def test_margins_are_separated_from_interaction():
    """Both differ from even shares as much; only the first depends."""
    joint = np.array([[[50, 0], [0, 50]], [[50, 50], [0, 0]]])
    even = np.full(4, 0.25)
    np.testing.assert_allclose(squared_distance(joint.reshape(2, 4), even), 0.25, atol=0.01)
    assert interaction(joint) == pytest.approx([0.25, 0], abs=0.01)
    p = independence(joint, 999, np.random.default_rng(7))
    assert p[0] == 0.001
    assert np.isnan(p[1])  # one attribute does not vary
    low, high = simultaneous(joint.reshape(2, 4))
    assert (low[0, [0, 3]] > 0.3).all()
    assert (high[0, [1, 2]] < 0.1).all()


@given(TABLES, st.permutations(range(3)))
def test_names_of_classes_and_order_of_attributes_are_irrelevant(joint, classes):
    turned = joint[:, :, classes].swapaxes(1, 2)
    np.testing.assert_allclose(interaction(joint), interaction(turned), atol=1e-12)
    np.testing.assert_allclose(expected(joint)[:, :, classes].swapaxes(1, 2), expected(turned), atol=1e-12)
    p, back = (independence(table, 19, np.random.default_rng(0)) for table in (joint, turned))
    np.testing.assert_array_equal(np.isnan(p), np.isnan(back))
    assert ((p > 0) & (p <= 1) | np.isnan(p)).all()


def test_bad_input_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="2 attributes or more"):
        independence([[1, 2]], 10, rng)
    with pytest.raises(ValueError, match="whole numbers"):
        expected([[[1, 2], [0.5, 1]]])
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        independence([[[1, 2], [2, 1]]], 0, rng)
    with pytest.raises(ValueError, match="3 axes"):
        interaction(np.ones((1, 2, 2, 2)))
