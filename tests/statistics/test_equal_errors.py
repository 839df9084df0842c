"""Does a classifier err alike in all groups? Oracles: enumeration of all tables with the same margins, brute force."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from audit.statistics.differential import equal_errors

RIGHT = np.eye(2, 3, dtype=bool)


def generators(number: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, j]) for j in range(number)]


def enumerated(tables: np.ndarray, group: int) -> float:
    """p by adding up the probability of every table that is as far from its expectation, over strata."""
    strata = []
    for y in range(tables.shape[1]):
        own, rest = tables[group, y], tables[:, y].sum(axis=0) - tables[group, y]
        every, n = own + rest, int(own.sum())
        if not 0 < n < every.sum():
            continue
        ways = [way for way in product(*(range(int(m) + 1) for m in every)) if sum(way) == n]
        chance = stats.multivariate_hypergeom.pmf(ways, m=every.astype(int), n=n)
        kept = every > 0

        def distance(way: np.ndarray, every: np.ndarray = every, kept: np.ndarray = kept) -> float:
            found: float = stats.chi2_contingency(np.stack([way, every - way])[:, kept], correction=False).statistic
            return found

        strata.append((distance(own), [(distance(np.array(way)), p) for way, p in zip(ways, chance, strict=True)]))
    seen = sum(each for each, _ in strata)
    total = 0.0
    for cell in product(*(each for _, each in strata)):
        if sum(d for d, _ in cell) >= seen - 1e-9:
            total += float(np.prod([p for _, p in cell]))
    return total


@pytest.mark.parametrize(
    "tables",
    [
        [[[5, 1, 2], [0, 0, 0]], [[7, 0, 1], [0, 0, 0]]],
        [[[2, 4, 0], [1, 3, 1]], [[6, 0, 1], [0, 5, 0]], [[3, 1, 1], [2, 2, 0]]],
        [[[4, 0, 0], [0, 1, 4]], [[4, 0, 0], [0, 5, 0]]],
    ],
)
def test_p_is_that_of_enumeration(tables: list[list[list[int]]]) -> None:
    given = np.array(tables, dtype=float)
    found = equal_errors(given, RIGHT, generators(len(given)), draws=20_000)
    for j in range(len(given)):
        exact = enumerated(given, j)
        assert found.p_value[j] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_errors_are_answers_other_than_those_of_people() -> None:
    given = np.array([[[8, 1, 1], [2, 3, 0]], [[5, 5, 0], [0, 4, 1]]], dtype=float)
    found = equal_errors(given, RIGHT, generators(2), draws=100)
    assert found.labels.tolist() == [15, 15]
    assert found.errors.tolist() == [4, 6]
    assert found.expected == pytest.approx([10 * 7 / 20 + 5 * 3 / 10] * 2)
    assert found.expected.sum() == found.errors.sum()


def test_equal_errors_are_called_different_no_more_often_than_the_level_says() -> None:
    """Also where images to label were chosen by the classifier's answer, and groups differ in what they show."""
    rng = np.random.default_rng(5)
    rates = np.array([[0.7, 0.1, 0.2], [0.05, 0.6, 0.35]])
    chosen = np.array([0.9, 0.9, 0.3])
    mixes = [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]
    p = []
    for repeat in range(400):
        tables = np.stack(
            [rng.multinomial(30, (np.array(mix)[:, None] * rates).ravel()).reshape(2, 3) for mix in mixes]
        )
        kept = rng.binomial(tables, chosen)
        p.append(equal_errors(kept, RIGHT, generators(3, repeat), draws=199).p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_errors_in_opposite_directions_do_not_cancel() -> None:
    """A group whose women are taken for men and whose men are not, beside one where it is the other way round."""
    given = np.array([[[5, 15, 0], [0, 20, 0]], [[20, 0, 0], [15, 5, 0]]], dtype=float)
    found = equal_errors(given, RIGHT, generators(2), draws=999)
    assert (found.errors == found.expected).all()
    assert (found.p_value == 0.001).all()


def test_without_a_comparison_there_is_no_p() -> None:
    given = np.array([[[5, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 7, 2]]], dtype=float)
    assert np.isnan(equal_errors(given, RIGHT, generators(2), draws=99).p_value).all()


def test_tables_must_fit() -> None:
    with pytest.raises(ValueError, match="a mark for each pair of answers"):
        equal_errors(np.zeros((2, 2, 3)), np.eye(3, dtype=bool), generators(2))
    with pytest.raises(ValueError, match="and 1 generators"):
        equal_errors(np.zeros((2, 2, 3)), RIGHT, generators(1))
    with pytest.raises(ValueError, match="whole numbers"):
        equal_errors(np.full((2, 2, 3), 0.5), RIGHT, generators(2))
