"""The section on pictures of several people, in both languages, and nothing of it where there are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import call
from crowd import crowd_audit
from labelled import CODES, ROWS, labelled_folder
from noise_audit import noise_audit

import audit
from audit.analysis import view
from audit.store import Store
from reports.html import render
from reports.people import section
from reports.view import probe_names
from reports.words import load_words


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    return audit.open(crowd_audit(tmp_path_factory.mktemp("made") / "run"))


@pytest.mark.parametrize("lang", ["en", "de"])
def test_every_share_of_the_table_stands_in_the_section(run: audit.Run, lang: str) -> None:
    words = load_words(lang)
    page = render(view(Store.open(run.path)), images=False, lang=lang)
    (text,) = re.findall(r'<h2 id="persons">.*?</section>', page, re.S)
    table = run.table("people").query("attribute == 'gender'")
    for row in table[(table["several"] > 0) | (table["probe_id"] == "")].to_dict("records"):
        for kind in ("single", "any", "person"):
            assert words.percent(row[f"{kind}_share"]) in text
            assert words.interval(row[f"{kind}_low"], row[f"{kind}_high"]) in text
        assert words.plain("findings.of", count=row["any_count"], n=row["any_n"]) in text
        assert words.interval(row["any_worst_low"], row["any_worst_high"]) in text
    assert str(words("persons.text")) in text and str(words("persons.bounds")) in text
    assert str(words("persons.uncounted")) not in text
    assert page.count('href="#persons"') == 1


def test_what_was_declared_comes_first(run: audit.Run) -> None:
    shown = view(Store.open(run.path))
    blocks = section(shown, load_words("en"), probe_names(shown.probes))
    assert [block["key"] for block in blocks] == ["gender", "age"]
    assert [group["name"] for group in blocks[0]["together"]] == ["All prompts"]


def test_without_several_people_there_is_no_section(tmp_path: Path) -> None:
    page = (noise_audit(tmp_path / "noise" / "run") / "report.html").read_text(encoding="utf-8")
    assert "persons" not in re.sub("<style>.*?</style>", "", page, flags=re.S)
    assert not (tmp_path / "noise" / "run" / "tables" / "people.csv").exists()
    one = dict.fromkeys(ROWS, ("F", "white"))
    (tmp_path / "one").mkdir()
    images, table, codes = labelled_folder(tmp_path / "one", one)
    codes.write_text(CODES.replace("several_people: [both]", "several_people: {both: [woman, man]}"), encoding="utf-8")
    answer = call(
        "import", images, "--folders", "subject/condition", "--human-labels", table, "--codes", codes, "--reference",
        "uniform", "--threads", 1, "--draws", 200, "--out", tmp_path / "run", "--quiet",
    )  # fmt: skip
    assert answer.code == 0, answer
    assert (tmp_path / "run" / "tables" / "people.csv").is_file()
    assert 'id="persons"' not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
