"""The page of a comparison: sentences from the tables, the same seeds in pairs, and quiet in Chromium."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import call, refused
from grids import drawn_grid

import audit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the drawn grid. Read them only."""
    return drawn_grid(tmp_path_factory.getbasetemp()).path


@pytest.fixture(scope="module")
def page(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Women against the baseline."""
    return audit.compare(cells / "women", cells / "base").report(tmp_path_factory.mktemp("page") / "compare.html")


def seen(page: Path) -> str:
    """The words of a page, without marks."""
    bare = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(bare))


def test_it_opens_with_plain_sentences(page: Path, cells: Path) -> None:
    text = seen(page)
    assert text.index("What changed from base to women") < text.index("Perceived gender. The gap from the phantom’s")
    found = audit.compare(cells / "women", cells / "base")
    row = found.gaps().iloc[0]
    assert f"larger : {row['other_gap']:.2f} instead of {row['baseline_gap']:.2f}" in text
    moved = found.moved()
    moved = moved[moved["attribute"] == "gender"]
    assert f"{len(moved)} of 3 prompts moved" in text and len(moved) > 0
    assert "Whether phantom errs otherwise in women is unknown" in text
    assert "This run audits a phantom" in text
    assert page.stat().st_size < 3_000_000


def test_pairs_are_the_first_seeds_and_say_what_is_perceived(page: Path, cells: Path) -> None:
    source = page.read_text(encoding="utf-8")
    couples = re.findall(r'<figure class="couple">(.*?)</figure>', source, re.S)
    assert len(couples) == 3 * 6
    assert all(couple.count("<img") == 2 for couple in couples)
    labels = {}
    for name in ("base", "women"):
        frame = audit.open(cells / name).labels("phantom")
        labels[name] = frame[frame["attribute"] == "gender"].set_index(["probe_id", "index"])["class"]
    names = re.findall(r"<h3>(\w+)<span", source)
    assert sorted(names) == ["builder", "nurse", "pilot"]
    for place, couple in enumerate(couples):
        probe, index = f"{names[place // 6]}.en.portrait", place % 6
        one, two = (labels[name][probe, index] for name in ("base", "women"))
        said = re.findall(r"<figcaption>(.*?)</figcaption>", couple)[0]
        assert said == (one if one == two else f"<strong>{one} → {two}</strong>")
    moved = audit.compare(cells / "women", cells / "base").changes().query("attribute == 'gender' and probe_id != ''")
    sizes = moved.assign(size=moved["difference"].abs()).groupby("probe_id")["size"].max()
    changed = [name for name in names if sizes[f"{name}.en.portrait"] > 0]
    assert [sizes[f"{name}.en.portrait"] for name in changed] == sorted(
        (sizes[f"{name}.en.portrait"] for name in changed), reverse=True
    )


def test_images_that_one_run_lacks_leave_their_place_empty(cells: Path, tmp_path: Path) -> None:
    found = audit.compare(cells / "shy", cells / "base")
    source = found.report(tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "More pictures are missing:" in source and 'class="none"' in source
    couples = re.findall(r'<figure class="couple">(.*?)</figure>', source, re.S)
    assert all(couple.count("<img") + couple.count('class="none"') == 2 for couple in couples)


def test_without_images_blurred_and_in_german(cells: Path, page: Path, tmp_path: Path) -> None:
    found = audit.compare(cells / "women", cells / "base")
    bare = found.report(tmp_path / "bare.html", images=False).read_text(encoding="utf-8")
    assert "<img" not in bare and "written without pictures" in bare
    blurred = found.report(tmp_path / "blurred.html", blur=True)
    assert blurred.stat().st_size < page.stat().st_size
    assert "averaged down to a few dots" in seen(blurred)
    german = seen(found.report(tmp_path / "de.html", images=False, lang="de"))
    assert "Was sich von base zu women änderte" in german
    assert not re.search(r"\b(gap|pictures|baseline|prompts|moved)\b", german)


def test_a_baseline_file_gives_a_page_without_pictures(cells: Path, tmp_path: Path) -> None:
    audit.export_baseline(cells / "base", tmp_path / "base.json")
    source = audit.compare(cells / "women", tmp_path / "base.json").report(tmp_path / "compare.html").read_text()
    assert "A baseline file holds no pictures" in source and "<img" not in source


def test_what_was_left_out_and_what_is_unpaired_stands_out(cells: Path, tmp_path: Path) -> None:
    found = audit.compare(cells / "women", cells / "base")
    found.unpaired, found.left_out = "the model of Big <b> takes no seeds", ("age has other classes.",)
    source = found.report(tmp_path / "compare.html", images=False).read_text(encoding="utf-8")
    assert "The model of Big &lt;b&gt; takes no seeds." in source
    assert "Not everything was compared.</strong>" in source and "age has other classes." in source


def test_it_says_in_which_settings_the_two_differ(cells: Path, tmp_path: Path) -> None:
    page = audit.compare(cells / "women", cells / "base").report(tmp_path / "x.html", images=False)
    (settings,) = re.findall(r'<td>[^<]+ <span class="band">([^<]+)</span></td>', page.read_text(encoding="utf-8"))
    assert settings.endswith(": woman")


def test_the_command_writes_it_into_the_run_and_forgetting_an_image_deletes_it(cells: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(cells / "women", tmp_path / "women"))
    answer = call("compare", new, cells / "base", "--quiet", "--report")
    page = new / "comparisons" / "base" / "compare.html"
    assert (answer.code, answer.out, answer.err) == (0, f"Report: {page}\n", "")
    links = re.findall(r'<a href="([^#"]+)"', page.read_text(encoding="utf-8"))
    assert len(links) == 2 and all((page.parent / link).is_file() for link in links)
    before = audit.compare(new, cells / "base").gaps()
    assert call("export", new, "--imagefolder", tmp_path / "export").code == 0
    forgotten = call("forget", new, "nurse.en.portrait/0")
    assert forgotten.code == 0 and "compare.html held images and was deleted" in forgotten.err
    assert sorted(path.suffix for path in page.parent.iterdir()) == [".csv"] * 4
    after = audit.compare(new, cells / "base")
    assert after.gaps().equals(before)
    shown = after.report(page).read_text(encoding="utf-8")
    assert shown.count("<img") == 2 * 18 - 1
    assert call("compare", new, cells / "base", "--report", "--no-images").code == 0
    assert call("forget", new, "nurse.en.portrait/1").code == 0
    assert page.is_file()
    other = call("report", new, "--baseline", cells / "base", "--lang", "de", "--out", tmp_path / "page.html")
    assert (other.code, other.out) == (0, f"Report: {tmp_path / 'page.html'}\n")
    assert '<html lang="de"' in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "with --report" in refused(call("compare", new, cells / "base", "--blur"))


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1200, "light")])
def test_it_opens_quietly_and_fits(browser: Browser, page: Path, width: int, scheme: str) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
    tab.goto(page.as_uri(), wait_until="load")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    if width == 1200:
        cut = "[...document.querySelectorAll('.box')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        assert tab.evaluate(cut) == 0
    assert heard == [page.as_uri()]
    tab.close()
