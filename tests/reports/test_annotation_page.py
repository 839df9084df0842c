"""The labelling sheet in Chromium, offline: warning, keyboard, progress kept, and a CSV that can be read back."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import call
from PIL import Image

import audit
from audit import human
from audit.store import Store
from reports.annotation import KEYS, SIDE, Item, LabellingSheet, encoded, render, write_sheet
from reports.view import Picture

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

QUESTIONS = (("gender", ("woman", "man")), ("age", ("young", "middle_aged", "older")))


def sheet_of(folder: Path, images: int = 5, size: int = 64, **options: bool) -> LabellingSheet:
    """A sheet of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    items = []
    for number in range(images):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
        items.append(Item(f"{number:064x}", Picture("nurse.en.portrait", number, path), f"s{number % 2 + 1}", 0.1))
    return LabellingSheet("abcdef0123456789", tuple(items), QUESTIONS, **options)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sheet")
    path = folder / "annotate.html"
    write_sheet(sheet_of(folder / "images"), path)
    return path


def opened(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("data:", "blob:")) else heard.append(request.url)
    )
    page.goto(path.as_uri(), wait_until="load")
    return page, heard


def begin(page: Page, rater: str | None = None) -> None:
    page.check("#read")
    if rater is not None:
        page.fill("#rater", rater)
    page.click("#start")


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def downloaded(page: Page, where: Path) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.locator("[data-download]:visible").last.click()
    waiting.value.save_as(where)
    assert waiting.value.suggested_filename == "labels-abcdef01-anna-B.csv"
    with where.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_nothing_is_shown_before_the_warning_was_read(browser: Browser, page_file: Path) -> None:
    context = browser.new_context()
    page, heard = opened(context, page_file)
    assert page.locator("#picture").is_hidden()
    press(page, "1 2 n")
    page.click("#start")
    assert page.locator("#missing").inner_text() == "Tick the box above first."
    page.check("#read")
    page.click("#start")
    assert page.locator("#missing").inner_text() == "Give a name or a code first."
    assert page.locator("#picture").is_hidden()
    assert page.evaluate("document.getElementById('picture').src") == ""
    page.fill("#rater", "anna")
    page.keyboard.press("Enter")
    assert page.locator("#picture").is_visible()
    assert heard == [page_file.as_uri()]
    context.close()


def test_labelled_by_keyboard_closed_and_opened_again(browser: Browser, page_file: Path, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    page, heard = opened(context, page_file)
    begin(page, "anna,  B")
    where = page.locator("#where")
    press(page, "1 2")  # a woman of middle age: on to the next picture
    assert where.inner_text() == "Picture 2 of 5"
    press(page, "n")
    assert where.inner_text() == "Picture 3 of 5"
    press(page, "ArrowDown 0 ArrowUp 2")  # age first: cannot tell; then gender
    assert where.inner_text() == "Picture 4 of 5"
    press(page, "s u")  # several people, taken back
    assert where.inner_text() == "Picture 4 of 5"
    assert page.locator("#count").inner_text() == "3 of 5 labelled"
    press(page, "1")
    page.reload()
    assert page.locator("#picture").is_hidden()
    assert page.locator("#rater").input_value() == "anna, B"
    assert page.locator("#start").inner_text() == "Go on"
    begin(page)
    assert where.inner_text() == "Picture 4 of 5"
    assert page.locator("#count").inner_text() == "3 of 5 labelled"
    assert page.locator('[data-attribute="gender"] [aria-pressed="true"]').inner_text().split() == ["1", "woman"]
    assert page.locator('[data-attribute="age"][aria-current="true"]').count() == 1
    found = downloaded(page, tmp_path / "labels.csv")
    answers = {(int(row["sample_id"], 16), row["attribute"]): row["class"] for row in found}
    assert answers == {
        (0, "gender"): "woman", (0, "age"): "middle_aged", (1, "gender"): "no_person", (1, "age"): "no_person",
        (2, "gender"): "man", (2, "age"): "unclear", (3, "gender"): "woman",
    }  # fmt: skip
    assert {(row["rater"], row["sampling_probability"]) for row in found} == {("anna, B", "0.1")}
    assert [row["stratum"] for row in found[:3]] == ["s1", "s1", "s2"]
    assert set(heard) == {page_file.as_uri()}
    context.close()


def test_the_last_answer_ends_the_sheet_and_can_be_changed(browser: Browser, page_file: Path, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    page, heard = opened(context, page_file)
    begin(page, "anna-B")
    press(page, "ArrowRight n n n n")  # the first is left out, and comes up at the end
    assert page.locator("#where").inner_text() == "Picture 1 of 5"
    page.locator('[data-attribute="age"] [data-value="older"]').click()
    page.locator('[data-attribute="gender"] [data-value="man"]').click()
    assert page.locator("#finished").is_visible()
    press(page, "1 2 n")  # nothing is labelled by accident
    assert len(downloaded(page, tmp_path / "all.csv")) == 10
    page.click("#again")
    press(page, "1")
    assert page.locator("#where").inner_text() == "Picture 1 of 5"
    rows = downloaded(page, tmp_path / "changed.csv")
    assert [row["class"] for row in rows[:2]] == ["woman", "older"]
    assert set(heard) == {page_file.as_uri()}
    context.close()


def test_raters_on_one_device_do_not_see_each_other(browser: Browser, page_file: Path) -> None:
    context = browser.new_context()
    page, _ = opened(context, page_file)
    begin(page, "anna")
    press(page, "n n")
    page.reload()
    begin(page, "ben")
    assert page.locator("#count").inner_text() == "0 of 5 labelled"
    page.reload()
    page.fill("#rater", "carla")
    assert page.locator("#start").inner_text() == "Start"
    page.fill("#rater", "anna")
    assert page.locator("#start").inner_text() == "Go on"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_and_every_control_can_be_reached(browser: Browser, page_file: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page, heard = opened(context, page_file)
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    begin(page, "anna")
    assert page.evaluate(fits)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark))) < 150) == (scheme == "dark")
    nameless = "[...document.querySelectorAll('button')].filter((each) => !each.textContent.trim()).length"
    assert page.evaluate(nameless) == 0
    small = "[...document.querySelectorAll('.choices button')].filter((b) => b.offsetHeight < 40).length"
    assert page.evaluate(small) == 0
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert (page.evaluate("document.activeElement.tagName"), outline) == ("BUTTON", "solid")
    assert heard == [page_file.as_uri()]
    context.close()


def test_what_is_downloaded_is_read_back_into_the_run(browser: Browser, tmp_path: Path) -> None:
    run = tmp_path / "run"
    audit.run(
        model="phantom-drawn", subjects="nurse,builder", languages="en", images=8, draws=200, threads=1, out=str(run),
        report=False,
    )  # fmt: skip
    sheet = audit.annotate(run, images=3, stratified=True, lang="de")
    context = browser.new_context(accept_downloads=True)
    page, heard = opened(context, sheet)
    begin(page, "anna")
    press(page, "1 2 3 n 2 0 1")
    with page.expect_download() as waiting:
        page.locator("#finished [data-download]").click()
    waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    assert heard == [sheet.as_uri()]
    context.close()
    (file,) = tmp_path.glob("labels-*-anna.csv")
    answer = call("annotate", run, "--read", file, "--quiet")
    assert (answer.code, answer.err) == (0, ""), answer
    table = human.labels(Store.open(run))
    assert table["class"].tolist() == [
        *("woman", "middle_aged", "copper", "no_person", "no_person", "no_person", "man", "unclear", "ivory")
    ]
    assert set(table["stratum"]) == {"woman", "man"}


def test_where_nothing_can_be_stored_it_says_so(browser: Browser, page_file: Path) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})")
    page, heard = opened(context, page_file)
    begin(page, "anna")
    press(page, "n")
    assert page.locator("#unstored").is_visible()
    assert page.locator("#where").inner_text() == "Picture 2 of 5"
    assert heard == [page_file.as_uri()]
    context.close()


def test_pictures_are_small_enough_and_small_ones_are_kept() -> None:
    large = Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 1800, 3), dtype=np.uint8))
    import io

    with Image.open(io.BytesIO(encoded(large))) as image:
        assert image.size == (SIDE, SIDE // 2)
    small = large.crop((0, 0, 64, 64))
    with Image.open(io.BytesIO(encoded(small))) as image:
        assert image.convert("RGB").tobytes() == small.tobytes()


def test_languages_warnings_and_markup(tmp_path: Path) -> None:
    plain, german = sheet_of(tmp_path), sheet_of(tmp_path, sensitive=True, phantom=True)
    assert "this sheet holds sensitive content" not in render(plain)
    page = render(german, lang="de")
    assert "Dieser Bogen enthält heikle Inhalte" in page
    assert "sind erfunden, die Merkmale sind Zeichenkonventionen" in page
    assert "Zeichenkonventionen" not in render(plain, lang="de")
    tricky = LabellingSheet("abcdef0123", (), (("hair_</script>", ('a"<b>', "plain")),))
    text = render(tricky)
    assert text.count("<script") == text.count("</script>") == 2
    assert "<b>" not in text


def test_keys_do_not_clash() -> None:
    assert len(set(KEYS)) == len(KEYS)
    assert not set("nsu0") & set(KEYS)
    many = LabellingSheet("abcdef0123", (), (("age", tuple(f"c{i}" for i in range(40))),))
    assert render(many).count("aria-keyshortcuts") == len(KEYS) + 6
