"""The report: one file, within 3 MB, that says everything it must and lets nothing in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest

from probes.suite import Probe
from reports.html import render, write_report
from reports.view import View
from reports.words import ReportError

Views: TypeAlias = Callable[..., View]
Probes: TypeAlias = Callable[..., Probe]
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">$\\bad{ {{ 7*7 }} "quoted"'


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.alts: list[str | None] = []
        self.said: list[str] = []
        self._quiet = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._quiet = tag in ("script", "style")
        given = dict(attrs)
        self.handlers += [name for name in given if name.startswith("on")]
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag == "img":
            self.alts.append(given.get("alt"))
        for name in ("src", "href", "srcset", "data", "action"):
            if name in given:
                (self.links if tag == "a" else self.loaded).append(given[name] or "")

    def handle_endtag(self, tag: str) -> None:
        self._quiet = False

    def handle_data(self, data: str) -> None:
        if not self._quiet:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def text(phantom_view: View) -> str:
    return render(phantom_view)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_one_file_that_loads_nothing(page: Page, text: str) -> None:
    assert [address for address in page.loaded if not address.startswith(("data:", "#"))] == []
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#|\"?#)", text)
    assert len(page.ids) == len(set(page.ids))
    targets = [link for link in page.links if link.startswith("#")]
    assert {link[1:] for link in targets} <= set(page.ids)
    assert page.handlers == []


def test_it_opens_with_findings_and_losses(page: Page) -> None:
    said = page.text
    opening = said[: said.index("What was asked")]
    assert re.search(
        r"Of 60 pictures asked for of a \w+, \d+ could be labelled; \d+ were perceived as a woman", opening
    )
    assert "Planted in the phantom’s world:" in opening
    assert re.search(r"Of 1,620 pictures asked for of one person, [\d,]+ \(\d+ %\) could be labelled", opening)
    assert re.search(r"[\d,]+ \(\d+ %\) are missing from every share below", opening)
    assert "This run audits a phantom." in opening
    assert "exploratory" in opening


def test_every_section_says_its_part(page: Page, phantom_view: View) -> None:
    said = page.text
    for words in (
        "every prompt shows only the group farthest from it",
        "Prompts that ask for no person, or for several",
        "Ethnicity read off a face is unreliable",
        "those who are neither a woman nor a man",
        "right on 98.1 % of fresh drawings",
        "Shares were chosen so that they differ between occupations.",
        "0f0f0f0f",
        "with uncommitted changes",
        "torch 2.15.0",
        "Worst case",
    ):
        assert words in said
    assert page.tags.count("img") > 100
    assert page.tags.count("svg") == 4
    assert all(page.alts)
    assert "nurse, picture 1: perceived" in " ".join(alt or "" for alt in page.alts)


def test_scenes_and_groups_stand_apart(page: Page) -> None:
    said = page.text
    findings = said[said.index("All findings Every prompt") : said.index("The pictures Take care")]
    assert "meadow" not in findings
    assert "crowd" not in findings
    losses = said[said.index("the prompts with the largest losses first") : said.index("Here a picture without")]
    assert "meadow" not in losses


def test_the_same_view_gives_the_same_bytes(phantom_view: View, text: str) -> None:
    assert render(phantom_view) == text


def test_german(phantom_view: View) -> None:
    text = render(phantom_view, lang="de")
    said = Page(text).text
    assert '<html lang="de">' in text
    assert "Wie phantom Menschen darstellt" in said
    assert re.search(r"ließen sich 1\.\d+ \(\d+ %\) einordnen", said)
    assert "could be labelled" not in said


def test_unknown_language(phantom_view: View, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="Choose one of"):
        write_report(phantom_view, tmp_path / "r.html", lang="fr")
    assert list(tmp_path.iterdir()) == []


def test_without_images(phantom_view: View) -> None:
    text = render(phantom_view, images=False)
    assert "<img" not in text
    assert "data:image" not in text
    assert "written without pictures" in text


def test_blurred(phantom_view: View, text: str) -> None:
    clear, blurred = text, render(phantom_view, blur=True)
    sources = [set(re.findall(r'src="(data:image/webp[^"]+)"', text)) for text in (clear, blurred)]
    assert sources[0] & sources[1] == set()
    assert "nothing undoes it" in blurred
    assert "nothing undoes it" not in clear


def test_sensitive_pictures_are_folded_up_behind_a_warning(page: Page, make_view: Views, make_probe: Probes) -> None:
    assert "Take care. Some prompts of this run name a stigma" in page.text
    assert "Open the pictures of “burglar”" in page.text
    calm = Page(render(make_view([make_probe(name) for name in ("nurse", "judge", "pilot")], images=10)))
    assert "Take care." not in calm.text


def test_other_models_are_no_phantom(make_view: Views, make_probe: Probes) -> None:
    view = make_view(
        [make_probe(name) for name in ("nurse", "judge", "pilot", "chef")], images=10, reference="us-labour-2022"
    )
    said = Page(render(view)).text
    assert "phantom’s" not in said
    assert "Statistics of the US labour market" in said or "No prompt can be shown to differ" in said


def test_prompts_and_names_are_only_ever_text(make_view: Views, make_probe: Probes) -> None:
    view = make_view([make_probe("nurse", text=EVIL, subject=EVIL), make_probe("judge")], images=12, reference=EVIL)
    run = {**view.run, "name": EVIL, "model": {"name": EVIL, "fingerprint": {EVIL: EVIL}}}
    cards = {EVIL: {**view.reference_cards[EVIL], "title": EVIL, "url": "javascript:alert(3)"}}
    for lang in ("en", "de"):
        page = Page(render(replace(view, run=run, reference_cards=cards), lang=lang))
        assert page.tags.count("script") == 1
        assert page.handlers == []
        assert not [link for link in page.links if link.startswith("javascript")]
        assert "{{ 7*7 }}" in page.text


def test_sixty_prompts_of_a_hundred_grainy_pictures_fit(make_view: Views, make_probe: Probes, tmp_path: Path) -> None:
    probes = [make_probe(f"s{number}") for number in range(60)]
    view = make_view(probes, images=100, size=192, noise=0.6, files=120)
    path = write_report(view, tmp_path / "deep" / "report.html")
    text = path.read_text("utf-8")
    assert 1_500_000 < path.stat().st_size <= 3_000_000
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    shown = [int(number) for number in re.findall(r"(\d+) of \d+ shown</p>", text)]
    assert len(shown) == 60
    assert min(shown) >= 8


def test_very_many_prompts_still_fit(make_view: Views, make_probe: Probes) -> None:
    probes = [make_probe(f"s{number}", subject=f"s{number % 200}") for number in range(700)]
    text = render(make_view(probes, images=4, noise=0.5, files=50))
    assert len(text.encode()) <= 3_000_000
    assert "of 2,100 rows; all are in tables/shares.csv" in text
    assert "The 150 prompts that differ most of 700" in text


def test_several_classifiers(make_view: Views, make_probe: Probes) -> None:
    view = make_view(
        [make_probe(name) for name in ("nurse", "judge", "pilot")], images=20, classifiers=("phantom", "second")
    )
    said = Page(render(view)).text
    assert "The same, labelled by second" in said
    assert "phantom and second" in said


def test_a_run_that_imported_its_pictures(phantom_view: View) -> None:
    run = {**phantom_view.run, "plan": {**phantom_view.run["plan"], "seed": None}, "git": None}
    said = Page(render(replace(phantom_view, run=run), images=False)).text
    assert "pictures that others had made" in said
    assert "Declared when the pictures were read in" in said


def test_a_run_in_which_nothing_could_be_labelled(phantom_view: View) -> None:
    nothing = phantom_view.shares.assign(
        count=0, n=0, share=float("nan"), difference=float("nan"), p_adjusted=float("nan"), conclusion=""
    )
    missing = phantom_view.missing.assign(labelled=0, lost=60, lost_share=1.0, **{"class": ""})
    view = replace(
        phantom_view, shares=nothing, gaps=phantom_view.gaps[:0], missing=missing, pictures=lambda probe_id: []
    )
    said = Page(render(view)).text
    assert "No prompt could be compared" in said
    assert "No gap could be estimated" in said
    assert "1,620 (100 %) are missing" in said
    assert "No picture of this run could be stored." in said
    empty = replace(view, shares=nothing[:0])
    assert "There is nothing to show" in Page(render(empty)).text


def test_tables_read_from_csv_give_the_same_report(phantom_view: View, tmp_path: Path) -> None:
    def reread(name: str) -> pd.DataFrame:
        getattr(phantom_view, name).to_csv(tmp_path / f"{name}.csv", index=False)
        return pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, na_values=[""])

    again = replace(phantom_view, shares=reread("shares"), gaps=reread("gaps"), missing=reread("missing"))
    assert render(again, images=False) == render(phantom_view, images=False)
