"""A small version of every experiment of `benchmarks/validity.py`, judged within its Monte-Carlo error."""

import pytest

from benchmarks.experiments.base import Experiment
from benchmarks.validity import all_experiments, generator


@pytest.mark.parametrize("experiment", all_experiments(), ids=lambda each: each.name)
def test_experiment_meets_its_target_within_monte_carlo_error(experiment: Experiment) -> None:
    results = []
    for cell in experiment.tested or experiment.cells:
        results.append((cell, experiment.run(cell, experiment.small, generator(1, experiment, cell))))
    line = experiment.judge(results, 4.0)
    assert line.met, line
