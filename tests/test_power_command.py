"""`rolecall power` as a user runs it: words, tables, JSON, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest
from commands import call, refused, spawn

import audit
from audit.planning import LADDER, Question
from audit.statistics.power import images_for_test, power_of_test
from audit.statistics.power_noise import power_with_noise


def numbers(text: str) -> list[int]:
    return [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?= images?\b)", text)]


def test_words_and_tables_hold_the_planned_numbers() -> None:
    answer = spawn("power", "--share", ".6", "--probes", 40)
    assert answer.code == 0 and answer.err == ""
    first, *_ = answer.out.splitlines()
    plan = audit.power(share=0.6, probes=40)
    assert plan.answers["images_alone"] == images_for_test(0.6, 0.5)
    assert plan.answers["images_among_many"] == images_for_test(0.6, 0.5, probes=40)
    assert numbers(first) == [plan.answers[f"images_{name}"] for name in ("alone", "among_many", "only_one")]
    assert f"({plan.answers['images_among_many'] * 40:,} in all)" in first
    assert answer.out == f"{plan}\n"
    assert "more probes" not in answer.err
    table = next(table for table in plan.tables if "share of 0.6" in table.title)
    images = [row[0] for row in table.rows]
    assert {*LADDER, plan.answers["images_alone"], plan.answers["images_among_many"]} == set(images)
    assert [row[1] for row in table.rows] == pytest.approx(power_of_test(0.6, 0.5, images))
    assert max(len(line) for line in answer.out.splitlines() if line.startswith("  ")) < 100


def test_more_probes_beat_more_images_is_seen_in_the_table() -> None:
    table = audit.power(gap=0.3, difference=0.05).tables[1]
    such = [row[table.columns.index("such probes")] for row in table.rows]
    images = [row[table.columns.index("images in both")] for row in table.rows]
    assert such[:-1] == sorted(such[:-1]) and such[0] < 0.5 < 0.9 < such[-1]  # the last has too few images a probe
    assert max(images) < 1.03 * min(images)


def test_given_images_are_judged_and_priced() -> None:
    answer = call("power", "--share", "0.6", "--images", 100, "--seconds-per-image", "0.5", "--cost-per-image", "0.02")
    assert "With 100 images a probe (5,000 in all, 41.7 minutes, at a cost of 100.00)" in answer.out
    assert f"{power_of_test(0.6, 0.5, 100):.0%} alone" in answer.out


def test_json_is_for_programs() -> None:
    options = ("--share", ".7", "--sensitivity", ".9", "--specificity", ".85", "--labels", "150", "--paired", "--json")
    answer = call("power", *options)
    (line,) = answer.out.splitlines()
    plan = json.loads(line)
    assert set(plan) == {"question", "answers", "tables"}
    assert plan["question"]["paired"] is True and plan["question"]["power"] == 0.9
    needed = plan["answers"]["images_with_labels"]
    noise = {"sensitivity": 0.9, "specificity": 0.85, "labels": 150}
    assert power_with_noise(0.7, 0.5, needed, **noise) >= 0.9 > power_with_noise(0.7, 0.5, needed - 2, **noise)
    assert plan["answers"]["images_for_list"] < audit.power(share=0.7).answers["images_for_list"]
    assert plan["tables"][0]["rows"][0]["images a probe"] == 10


def test_what_no_number_of_images_finds_is_said() -> None:
    few = audit.power(probes=5)
    assert few.answers["images_for_population"] is None
    assert "by no number of images a probe and run" in str(few)
    noisy = str(audit.power(share=0.6, sensitivity=0.85, specificity=0.85, labels=20))
    assert re.search(r"no number of images: the chance stays at \d+% at most\. Label more images\.", noisy)


def test_a_gap_of_0_before_and_a_gap_near_1_after_can_be_planned() -> None:
    assert audit.power(gap=0, difference=0.1).answers["images_for_list"] > 10
    assert audit.power(gap=0.85, difference=0.05, between=0.3).answers["images_for_list"] > 3
    assert audit.power(reference_share=0.2, share=0.5, gap=0.2).answers["images_to_pass"] > 10


def test_a_plan_shows_itself_in_a_notebook() -> None:
    page = audit.power()._repr_html_()
    assert page.count("<table>") == 2 and "<p>One probe: " in page


def test_every_option_is_a_field_and_is_explained() -> None:
    answer = call("power", "--help")
    for name, field in Question.model_fields.items():
        assert f"--{name.replace('_', '-')}" in answer.out
        assert field.description


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--share", "1.2"), "share in the question: input should be less than or equal to 1 (got 1.2)"),
        (("--share", ".5"), "a share of 0.5 does not differ from the reference's"),
        (("--reference-share", "0"), "reference_share in the question: input should be greater than 0"),
        (("--gap", ".9", "--difference", ".2"), "it cannot grow from 0.9 by 0.2"),
        (("--labels", "20"), "needs --sensitivity and --specificity together"),
        (("--sensitivity", ".5", "--specificity", ".5"), "tells nothing (got 0.5 and 0.5)"),
        (("--between", ".9"), "a spread between probes from 0 to the gap"),
        (("--probes", "many"), "Invalid value for '--probes'"),
        (("--probes", "1"), "probes in the question: input should be greater than or equal to 2 (got 1)"),
        (("--images", "1"), "images must be a whole number of at least 2 per probe"),
        (("--shre", "1"), "No such option '--shre'"),
        (("--power", "1"), "power in the question"),
        (("--seconds-per-image", "-1"), "seconds_per_image in the question"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(call("power", *arguments))
