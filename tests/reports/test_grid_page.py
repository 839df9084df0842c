"""The page of a grid: plain sentences from the tables, and quiet in Chromium."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from grids import drawn_grid

from reports.grid import GridView, write_grid

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the drawn grid and its page lie."""
    return drawn_grid(tmp_path_factory.getbasetemp()).path


@pytest.fixture(scope="module")
def view(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> GridView:
    return drawn_grid(tmp_path_factory.getbasetemp())._view(folder / "grid.html")


def said(page: str, cell: str) -> str:
    """What the page says of a cell first of all, without marks."""
    item = next(item for item in re.findall(r"<li>(.*?)</li>", page, re.S) if item.startswith(f"<strong>{cell}<"))
    return re.sub(r"<[^>]+>", "", item).replace("\xa0", " ")


def test_each_cell_is_said_in_plain_sentences(folder: Path) -> None:
    page = (folder / "grid.html").read_text()
    women = said(page, "women")
    assert "More pictures are perceived as a woman than in base" in women
    assert "The gap from the phantom’s planted world is larger" in women
    assert "lost" not in women
    assert "All 72 pictures are those of base, byte for byte" in said(page, "same")
    assert "open" not in said(page, "same")
    shy = said(page, "shy")
    assert "More pictures are lost" in shy and "no success" in shy
    assert "pictures are those of base, byte for byte." in shy
    scene = said(page, "scene")
    assert "cannot be compared" in scene and "100 % instead of 0 %" in scene
    assert "hold for all 4 cells at once: together 95 %, each 98.75 %" in page
    assert len(page.encode()) < 3_000_000


def test_what_a_cell_sets_is_escaped_and_links_lead_to_reports(folder: Path) -> None:
    page = (folder / "grid.html").read_text()
    assert "in an &lt;b&gt;empty office&lt;/b&gt;" in page and "<b>empty" not in page
    links = re.findall(r'<a href="([^#"]+)"', page)
    assert links == ["base/report.html", "women/report.html"]
    assert all((folder / link).is_file() for link in links)
    assert not re.findall(r'(?:src|href)="(?!data:|#)(?!base/|women/)', page)


def test_every_cell_shows_the_same_prompts_and_what_has_no_image_is_empty(folder: Path) -> None:
    page = (folder / "grid.html").read_text()
    rows = re.findall(r'<div class="line"><p class="count">(\w+)</p><div class="thumbs">(.*?)</div></div>', page, re.S)
    assert [name for name, _ in rows] == ["base", "women", "shy", "same", "scene"] * 3
    for name, row in rows:
        images, empty = row.count("<img"), row.count('class="none"')
        assert images + empty == 6
        assert name == "shy" or not empty
    assert sum(row.count('class="none"') for _, row in rows) > 0


def test_it_says_what_is_not_paired_and_what_was_left_out(view: GridView, tmp_path: Path) -> None:
    alone = dataclasses.replace(
        view.cells[1], unpaired="the model takes no seeds", left_out=("age has other classes.",)
    )
    other = dataclasses.replace(view, cells=(view.cells[0], alone, *view.cells[2:]))
    page = write_grid(other, tmp_path / "grid.html", images=False).read_text()
    assert "no pairs with those of the baseline" in said(page, "women")
    assert "no pairs" not in said(page, "shy")
    assert "age has other classes." in page
    assert "<img" not in page


def test_in_german_it_is_german_and_the_numbers_are_the_same(view: GridView, tmp_path: Path) -> None:
    page = write_grid(view, tmp_path / "de.html", lang="de", images=False).read_text()
    assert "Mehr Bilder werden als Frau wahrgenommen als in base" in said(page, "women")
    assert "Mehr Bilder fehlen" in said(page, "shy")
    assert "jedes zu 98,75 %" in page.replace("\xa0", " ")
    seen = re.sub(r"<(style|script)>.*?</\1>|<[^>]+>", "", page, flags=re.S)
    assert not re.search(r"\b(gap|pictures|baseline|prompts)\b", seen)


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1200, "light")])
def test_it_opens_quietly_and_fits(browser: Browser, folder: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
    path = folder / "grid.html"
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    if width == 1200:
        cut = "[...document.querySelectorAll('.box')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        assert page.evaluate(cut) == 0
    assert heard == [path.as_uri()]
    page.click('a[href="base/report.html"]')
    assert page.title() == "Rolecall: how draw portrays people"
    page.close()
