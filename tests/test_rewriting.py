"""How a service rewrote prompts: counted by probe, shown in the report, in both languages."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import PAINTER, call
from images_server import ImagesServer, Reply, images
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

import audit
from audit.results import Run

NURSE, PILOT = "a portrait of a nurse", "a portrait of a pilot"
REVISED = (
    "A portrait of a NURSE.",  # the same words: not rewritten
    "A portrait of a young Hispanic nurse in her ward",
    "A portrait of a young woman working as a nurse",
    "",
)
"""What the service makes of the nurse, image after image; it says nothing of the last."""


def asked(path: Path, server: ImagesServer, prompts: tuple[str, ...]) -> Run:
    (path / "prompts.txt").write_text("\n".join(prompts))
    out = path / "run"
    answer = call(
        "run", "--model", "openai:gpt-image-test", "--api-base-url", server.url, "--suite", path / "prompts.txt",
        "--images", 4, "--batch-size", 1, "--concurrency", 1, "--classifier", "phantom", "--reference", "uniform",
        "--threads", 1, "--out", out,
    )  # fmt: skip
    assert answer.code == 0, answer
    return audit.open(out)


def text_of(page: Path) -> str:
    bare = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page.read_text("utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(bare).replace("\u202f", " ").replace("\xa0", " "))


def test_a_run_tells_by_probe_what_became_of_the_prompts(tmp_path: Path, server: ImagesServer) -> None:
    given = dict.fromkeys((NURSE, PILOT), 0)

    def script(body: Mapping[str, Any], number: int) -> Reply:
        prompt = body["prompt"]
        revised = REVISED[given[prompt] % 4] if prompt == NURSE else prompt
        given[prompt] += 1
        reply = images(body, number)
        reply.body["data"][0]["revised_prompt"] = revised
        return reply

    server.script = script
    run = asked(tmp_path, server, (NURSE, PILOT))
    whole, *rows = run.table("rewriting").to_dict("records")
    nurse, pilot = sorted(rows, key=lambda row: row["subject"])
    assert (whole["images"], whole["told"], whole["rewritten"]) == (8, 7, 2)
    assert (nurse["images"], nurse["told"], nurse["rewritten"], nurse["texts"]) == (4, 3, 2, 3)
    assert (pilot["images"], pilot["told"], pilot["rewritten"], pilot["texts"]) == (4, 4, 0, 1)
    for row in (whole, nurse, pilot):
        wilson = proportion_confint(row["rewritten"], row["told"], method="wilson")
        assert (row["rewritten_low"], row["rewritten_high"]) == pytest.approx(wilson, abs=1e-12)
    assert nurse["added_words"] == "young 2, her 1, hispanic 1, ward 1, woman 1, working 1"
    assert (nurse["prompt_words"], nurse["words"]) == (5, pytest.approx((5 + 10 + 10) / 3))
    assert pilot["added_words"] == ""
    page = text_of(run.path / "report.html")
    assert (
        "The service rewrote the prompt of 2 of 7 pictures (29 %) before its model saw it, from 5.0 words to 6.4"
    ) in page
    assert "For 1 picture it does not say what it used." in page
    assert "Added most often, with the number of pictures: young 2, her 1," in page
    assert "Der Dienst hat den Prompt von 2 der 7 Bilder" in text_of(run.report(tmp_path / "de.html", lang="de"))


def test_prompts_used_as_they_were_are_said_to_be(tmp_path: Path, server: ImagesServer) -> None:
    def script(body: Mapping[str, Any], number: int) -> Reply:
        reply = images(body, number)
        reply.body["data"][0]["revised_prompt"] = body["prompt"]
        return reply

    server.script = script
    run = asked(tmp_path, server, (NURSE,))
    assert "The service says that it used the prompts of all 4 pictures as they were." in text_of(
        run.path / "report.html"
    )


def test_an_archive_tells_it_too(tmp_path: Path) -> None:
    folder = tmp_path / "dalle"
    folder.mkdir()
    with (folder / "prompts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "prompt", "revised_prompt"))
        for number in range(4):
            Image.new("RGB", (16, 16), (number, 80, 90)).save(folder / f"{number}.png")
            rows.writerow((f"{number}.png", NURSE, f"{NURSE}, smiling" if number else NURSE))
    run = audit.import_folder(folder, classifier=("phantom",), wordings="phantom", out=str(tmp_path / "run"))
    whole = run.table("rewriting").iloc[0]
    assert (whole["told"], whole["rewritten"], whole["added_words"]) == (4, 3, "smiling 3")


def test_a_model_that_takes_prompts_as_they_are_has_no_such_section(tmp_path: Path) -> None:
    (tmp_path / "painter.py").write_text(PAINTER)
    (tmp_path / "prompts.txt").write_text(NURSE)
    answer = call(
        "run", "--model", f"python:{tmp_path / 'painter.py'}:paint", "--suite", tmp_path / "prompts.txt", "--images", 2,
        "--classifier", "phantom", "--reference", "uniform", "--threads", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert answer.code == 0, answer
    assert audit.open(tmp_path / "run").table("rewriting").empty
    assert "How the prompts were rewritten" not in (tmp_path / "run" / "report.html").read_text("utf-8")
