"""Oracles: statsmodels' multipletests; the definition of e-BH, step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from audit.statistics.multiplicity import benjamini_hochberg, benjamini_yekutieli, e_benjamini_hochberg, holm

FAMILIES = st.lists(st.floats(0, 1), min_size=1, max_size=40)
METHODS = [(benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by"), (holm, "holm")]


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
@settings(max_examples=25)  # statsmodels collects garbage at every call: 0.15 s each for Holm
@given(p=FAMILIES)
def test_agrees_with_statsmodels(ours, theirs, p):
    np.testing.assert_allclose(ours(p), multipletests(p, method=theirs)[1], atol=1e-12)


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
@given(p=FAMILIES, at=st.integers(0, 40))
def test_tests_that_were_not_made_do_not_count(ours, theirs, p, at):
    at = min(at, len(p))
    adjusted = ours([*p[:at], np.nan, *p[at:]])
    assert np.isnan(adjusted[at])
    np.testing.assert_array_equal(np.delete(adjusted, at), ours(p))


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
@given(data=st.data(), p=FAMILIES)
def test_order_is_irrelevant_and_nothing_gets_smaller(ours, theirs, data, p):
    order = data.draw(st.permutations(range(len(p))))
    adjusted = ours(p)
    np.testing.assert_array_equal(ours(np.array(p)[order]), adjusted[order])
    assert (adjusted >= np.array(p) - 1e-12).all()
    assert (adjusted <= 1).all()


def test_keeps_the_shape_and_survives_an_empty_family():
    p = np.array([[0.01, np.nan], [0.04, 0.03]])
    assert benjamini_hochberg(p).shape == (2, 2)
    np.testing.assert_allclose(benjamini_hochberg(p), [[0.03, np.nan], [0.04, 0.04]])
    for ours, _ in METHODS:
        assert ours([]).shape == (0,)
        assert np.isnan(ours([np.nan, np.nan])).all()


def test_what_is_no_p_value_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
@given(e=st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_e_values_are_rejected_as_defined(alpha, e):
    """Wang & Ramdas: with e sorted downwards, reject the j* largest, j* the last with j·e_j/m ≥ 1/α."""
    e = np.array(e)
    down = np.sort(e)[::-1]
    enough = np.flatnonzero(down * np.arange(1, e.size + 1) / e.size >= (1 - 1e-12) / alpha)
    rejected = e >= down[enough[-1]] if enough.size else np.zeros(e.size, dtype=bool)
    np.testing.assert_array_equal(e_benjamini_hochberg(e) <= alpha * (1 + 1e-9), rejected)


def test_e_values_that_were_not_made_do_not_count():
    adjusted = e_benjamini_hochberg([[100.0, np.nan], [0.0, np.inf]])
    np.testing.assert_allclose(adjusted, [[0.015, np.nan], [1.0, 0.0]])
    with pytest.raises(ValueError, match="0 or more"):
        e_benjamini_hochberg([3.0, -1.0])
