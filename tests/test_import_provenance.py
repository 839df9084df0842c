"""Content Credentials from file to report, with the command as a user runs it."""

from __future__ import annotations

import html
import re
import shutil
import zlib
from pathlib import Path

import pytest
from commands import WORDINGS, call, contents
from credentials import PERSON, drawn, signed, signer

import audit


def imported(folder: Path, clip: Path) -> audit.Run:
    """The import of a folder, labelled by an instrument of random weights."""
    (folder.parent / "plain.yaml").write_text(WORDINGS)
    out = folder.parent / "run"
    before = contents(folder)
    answer = call(
        "import", folder, "--folders", "subject", "--classifier", f"local-dir:{clip}", "--wordings",
        folder.parent / "plain.yaml", "--attributes", "gender", "--draws", 200, "--threads", 1, "--out", out, "--quiet",
    )  # fmt: skip
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    assert contents(folder) == before
    return audit.open(out)


def cells(page: Path) -> list[list[str]]:
    """The rows of the table of Content Credentials in a report."""
    (section,) = re.findall(r'<h2 id="origins">.*?</section>', page.read_text("utf-8"), re.S)
    rows = re.findall(r'<tr><th scope="row">(.*?)</tr>', section, re.S)
    return [[html.unescape(cell) for cell in re.split(r"(?:</t[hd]>)?<td[^>]*>|</td>$", row)] for row in rows]


def test_the_original_of_dall_e_3_shows_its_claim(shared_data: Path, small_clip: Path, tmp_path: Path) -> None:
    original = shared_data / "images" / "dall_e_3" / "ceo_baseline_s0.c2pa.png"
    if not original.is_file():
        pytest.skip("no original of DALL·E 3 with Content Credentials in shared/data")
    (tmp_path / "original" / "ceo").mkdir(parents=True)
    shutil.copy(original, tmp_path / "original" / "ceo")
    run = imported(tmp_path / "original", small_clip)
    (row,) = run.table("provenance").to_dict("records")
    codes = "signingCredential.untrusted, signingCredential.expired"
    assert row == {
        "claim_generator": "OpenAI-API", "software_agent": "DALL·E", "source_type": "trainedAlgorithmicMedia",
        "signature": "untrusted", "reason": codes, "issuer": "OpenAI", "images": 1,
    }  # fmt: skip
    head = ["OpenAI-API", "DALL·E", "made by a trained model", "OpenAI"]
    assert cells(run.path / "report.html") == [[*head, f"holds, not trusted ({codes})", "1", ""]]
    german = cells(run.report(run.path / "de.html", lang="de"))
    assert german[0][2:5] == ["von einem trainierten Modell gemacht", "OpenAI", f"gilt, nicht vertraut ({codes})"]


def test_whole_changed_damaged_and_bare_files_side_by_side(small_clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "nurse"
    folder.mkdir(parents=True)
    maker = signer()
    for number, colour in enumerate(("red", "green", "blue")):
        (folder / f"whole{number}.png").write_bytes(signed(maker, data=drawn(colour=colour)))
    moved = signed(maker)
    start = moved.index(b"caBX") - 4
    block = moved[start : start + 12 + int.from_bytes(moved[start : start + 4], "big")]
    other = drawn(colour="white")
    (folder / "moved.png").write_bytes(other[:33] + block + other[33:])
    body = block[4:-4].replace(b"jumd", b"jumx")
    cut = block[:4] + body + zlib.crc32(body).to_bytes(4, "big")
    (folder / "damaged.png").write_bytes(other[:33] + cut + other[33:])
    (folder / "bare.png").write_bytes(drawn(colour="black"))
    run = imported(tmp_path / "pictures", small_clip)
    table = run.table("provenance")
    assert table["images"].sum() == 5
    states = table.groupby("signature")["images"].sum().to_dict()
    assert states == {"untrusted": 3, "broken": 1, "unreadable": 1}
    shown = [(row[4].split(" (")[0], row[5]) for row in cells(run.path / "report.html")]
    assert sorted(shown) == [("broken", "1"), ("holds, not trusted", "3"), ("unreadable", "1")]
    page = (run.path / "report.html").read_text("utf-8")
    for meaning in ("Holds, not trusted: ", "Broken: ", "Unreadable: "):
        assert page.count(meaning) == 1
    assert "Not checked: " not in page
    for path in (run.path / "report.html", *run.path.glob("tables/*.csv"), *run.path.glob("samples/*")):
        assert PERSON.encode() not in path.read_bytes()
    assert not any(PERSON in text for text in run.samples()["details"])
