"""The report in Chromium: nothing on the console, nothing asked of anybody, nothing wider than a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports.html import write_report
from reports.view import View

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def report(phantom_view: View, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(phantom_view, tmp_path_factory.mktemp("report") / "report.html")


def opened(browser: Browser, path: Path, width: int, scheme: str) -> tuple[Page, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    return page, heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_opens_quietly_and_fits(browser: Browser, report: Path, width: int, scheme: str) -> None:
    page, heard = opened(browser, report, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    page.wait_for_timeout(100)
    assert heard == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    page.close()


@pytest.mark.parametrize(("name", "lang"), [("whole", "de"), ("whole", "en"), ("early", "de")])
def test_with_every_section_it_is_as_quiet_and_fits(
    browser: Browser, name: str, lang: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    view: View = request.getfixturevalue(f"{name}_view")
    path = write_report(view, tmp_path / "report.html", images=False, lang=lang)
    page, heard = opened(browser, path, 390, "dark")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for width in (390, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert heard == [path.as_uri()]
    # At a desktop's width no table is cut off, so that conclusions and marks are seen at once.
    cut = "[...document.querySelectorAll('.box')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
    sections = page.evaluate("[...document.querySelectorAll('h2')].map((head) => head.id)")
    assert ("comparison" in sections, "early" in sections) == (name == "whole", name == "early")
    page.close()


def test_heat_has_figures_that_can_be_read(browser: Browser, whole_view: View, tmp_path: Path) -> None:
    path = write_report(whole_view, tmp_path / "report.html", images=False)
    for scheme in ("light", "dark"):
        page, _ = opened(browser, path, 1200, scheme)
        cells = page.evaluate(
            "[...document.querySelectorAll('.heat td[style]')].map((cell) => {"
            " const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');"
            " const of = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);"
            "   return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };"
            " const style = getComputedStyle(cell);"
            " return [of(style.backgroundColor), of(style.color)]; })"
        )
        page.close()
        assert len({tuple(background) for background, _ in cells}) > 2
        assert min(contrast(*pair) for pair in cells) >= 4.5


def contrast(one: list[int], other: list[int]) -> float:
    """Contrast of two colours as WCAG 2 defines it."""
    light = []
    for colour in (one, other):
        linear = [v / 12.92 if (v := c / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for c in colour]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_dark_is_dark_and_light_is_light(browser: Browser, report: Path) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        page, _ = opened(browser, report, 800, scheme)
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('svg text')).fill]"
        )
        lightness[scheme] = [sum(map(int, colour[4:-1].split(","))) for colour in colours]
        page.close()
    assert lightness["light"][0] > 700 > 300 > lightness["light"][1]
    assert lightness["dark"][0] < 150 < 400 < lightness["dark"][1]


def test_the_table_of_findings_can_be_sorted(browser: Browser, report: Path) -> None:
    page, heard = opened(browser, report, 1200, "light")
    shares = "[...document.querySelector('#findings ~ .box table').tBodies[0].rows].map((r) => +r.cells[4].dataset.v)"
    before = page.evaluate(shares)
    button = page.locator("#findings ~ .box th button").nth(4)
    button.click()
    assert page.evaluate(shares) == sorted(before)
    button.click()
    assert page.evaluate(shares) == sorted(before, reverse=True)
    assert heard == [report.as_uri()]
    page.close()
