"""Declared error rates: what is read, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from audit.attribute import load_wordings
from audit.errors import UsageError
from audit.rates import rates_of, read_rates

QUESTIONS = {"gender": ("woman", "man"), "age": ("young", "middle_aged", "older")}
MATRIX = """
source: a test set
age:
  young: {young: 0.8, middle_aged: 0.15, older: 0.05}
  middle_aged: {young: 0.1, middle_aged: 0.8, older: 0.1}
  older: {young: 0, middle_aged: 0.2, older: 0.8}
"""


def given(folder: Path, text: str) -> Path:
    path = folder / "rates.yaml"
    path.write_text(text)
    return path


def test_two_classes_take_a_rate_or_a_range(tmp_path):
    found = read_rates(given(tmp_path, "gender: {woman: [0.9, 0.98], man: 0.95}\n"), QUESTIONS)["gender"]
    assert found.ranges == ((0.9, 0.98), (0.95, 0.95))
    assert found.matrices is None
    assert found.source == "rates.yaml"


def test_more_classes_take_a_confusion_matrix_or_several(tmp_path):
    found = read_rates(given(tmp_path, MATRIX), QUESTIONS)["age"]
    assert found.source == "a test set"
    np.testing.assert_allclose(found.matrices, [[[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0, 0.2, 0.8]]])
    rows = {"woman": {"woman": 0.9, "man": 0.1}, "man": {"woman": 0.2, "man": 0.8}}
    many = rates_of("gender", QUESTIONS["gender"], {"matrices": [rows, rows]}, "x", "x")
    assert many.matrices.shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gendre: {woman: 0.9, man: 0.9}", "attribute 'gendre' is not labelled. Did you mean 'gender'"),
        ("gender: {woman: 0.9}", "needs a rate for each of woman, man (got woman)"),
        ("gender: {woman: 95, man: 0.9}", "between 0 and 1 (got 95). Divide percentages by 100"),
        ("gender: {woman: [0.98, 0.9], man: 0.9}", "must rise from lowest to highest"),
        ("gender: {woman: 0.4, man: 0.9}", "both above one half"),
        ("age: {young: 0.9, middle_aged: 0.9, older: 0.9}", "Give a whole confusion matrix"),
        (MATRIX.replace("0.05", "0.35"), "the rates of 'young' add up to 1.3, not 1"),
        (MATRIX.replace("0.8, middle_aged: 0.15, older: 0.05", "0.1, middle_aged: 0.8, older: 0.1"), "be inverted"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        read_rates(given(tmp_path, text), QUESTIONS)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "rates.yaml" in str(error.value)


@pytest.mark.parametrize("name", ["default", "phantom"])
def test_the_cards_of_the_attribute_sets_can_be_read(name):
    wordings = load_wordings(name)
    for attribute, value in wordings.card["error_rates"].items():
        classes = next(tuple(each.classes) for each in wordings.attributes if each.name == attribute)
        assert rates_of(attribute, classes, value, "card", name).ranges
