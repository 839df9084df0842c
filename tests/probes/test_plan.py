"""The plan of a run in rounds asks the same images as the plan of a whole run."""

from __future__ import annotations

import pytest
from helpers import probes

from probes.plan import Plan

PLAN = Plan(probes(3), 10, 7, 4, {"kind": "test"})


def test_a_part_holds_images_of_one_probe_with_their_seeds_and_numbers() -> None:
    whole = {sample.number: sample for number in range(len(PLAN)) for sample in PLAN.batch(number).samples}
    for probe in range(3):
        for first, size in ((0, 4), (4, 4), (8, 2)):
            part = PLAN.part(99, probe, first)
            assert part.number == 99 and len(part.samples) == size
            assert all(whole[sample.number] == sample for sample in part.samples)
            assert {sample.probe_id for sample in part.samples} == {PLAN.probes[probe].probe_id}
            assert [sample.index for sample in part.samples] == list(range(first, first + size))


@pytest.mark.parametrize(("probe", "first"), [(3, 0), (-1, 0), (0, 10), (0, -1)])
def test_a_part_that_the_plan_does_not_have_is_refused(probe: int, first: int) -> None:
    with pytest.raises(IndexError, match=f"no image {first} of probe {probe}"):
        PLAN.part(0, probe, first)
