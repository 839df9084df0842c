"""The notebooks as they are stored: readable with their figures on a code host. nbmake executes them."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from audit.exporting import Exported
from audit.forgetting import Forgotten

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SUBJECTS = ("quickstart", "reading", "two-versions", "data", "your-own-images", "own-suite")
"""What the notebooks 01 to 06 are about, as their names say."""
LARGEST = {"04-from-data-to-model-and-back": 1_200_000}
"""Bytes of a stored notebook that shows more pictures than others may."""
MACHINE = re.compile(r"(?<![\w.:/-])/(?:home|root|tmp|work|Users|usr|opt|var|mnt|private)/|[A-Z]:\\\\|site-packages")
"""Paths that hold on one machine only."""


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(path) for output in cell["outputs"]]


def title(path: Path) -> str:
    first = "".join(cells(path, "markdown")[0]["source"])
    found = re.match(r"# (.+)\n", first)
    assert found, first
    return found[1]


def test_all_six_are_there() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == [f"{number:02}-" for number in range(1, 7)]
    assert all(word in path.stem for word, path in zip(SUBJECTS, NOTEBOOKS, strict=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_executed_in_order_and_printed_no_noise(path: Path) -> None:
    assert [cell["execution_count"] for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"] == "python3"
    for output in outputs(path):
        assert output["output_type"] in ("stream", "display_data", "execute_result"), output
        assert output.get("name") != "stderr", output
        told = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
        assert not re.search(r"Warning|Traceback|\d+%\|", told), told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_holds_its_figures_and_stays_small(path: Path) -> None:
    figures = [output["data"]["image/png"] for output in outputs(path) if "image/png" in output.get("data", {})]
    assert figures
    for figure in figures:
        image = Image.open(io.BytesIO(base64.b64decode("".join(figure))))
        image.load()
        assert image.width <= 1300, "wider than a page shows it"
    assert path.stat().st_size <= LARGEST.get(path.stem, 600_000)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_names_no_path_of_a_machine(path: Path) -> None:
    texts = ["".join(cell["source"]) for kind in ("code", "markdown") for cell in cells(path, kind)]
    for output in outputs(path):
        data = {kind: text for kind, text in output.get("data", {}).items() if not kind.startswith("image/")}
        texts += ["".join(text) for text in (output.get("text", ""), *data.values())]
    found = [match[0] for text in texts for match in MACHINE.finditer(text)]
    assert not found, found


def test_machine_paths_are_recognised() -> None:
    for text in ("<b>Run</b> /tmp/x/run", "PosixPath('/home/a/b')", "/opt/x/audit", "lib/site-packages/x"):
        assert MACHINE.search(text), text
    for text in ("runs/home/x", "https://example.org/home/x", "a photo of a doctor at work/rest"):
        assert not MACHINE.search(text), text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    for cell in cells(path, "markdown"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", "".join(cell["source"])):
            assert target.startswith("https://") or (FOLDER / target).is_file(), target


def test_the_list_names_each_by_its_title() -> None:
    listed = re.findall(r"^\| \[(\d\d) ([^]]+)\]\(([^)]+)\) \|", (FOLDER / "README.md").read_text("utf-8"), re.M)
    assert listed == [(path.stem[:2], title(path), path.name) for path in NOTEBOOKS]


def test_what_verbs_give_back_shows_itself() -> None:
    exported = Exported(Path("out/<x>"), 12, 12, 3)
    assert "out/&lt;x&gt;" in exported._repr_html_() and "Images: 12" in exported._repr_html_()
    forgotten = Forgotten(Path("runs/<x>"), 2, 1)
    assert "runs/&lt;x&gt;" in forgotten._repr_html_() and "Forgotten samples: 2" in forgotten._repr_html_()
