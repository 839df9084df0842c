"""The words in the names of files, names that can be shown, and which of folder and file names the subject."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importers.metadata_files import AUTHOR, JOB, a1111, midjourney, png, png_texts

from probes.importers.asked import file_words
from probes.importers.filenames import shown, words_of
from probes.importers.folder import FolderError, Import, read_folder
from probes.suite import load_suite

SUITE = load_suite("occupations")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a_photo_of_a_nurse_00012.png", "a photo of a nurse"),
        ("nurse-3.jpg", "nurse"),
        ("0001_portrait of a CEO.webp", "portrait of a CEO"),
        ("00012-1234567890-a photo of a nurse.png", "a photo of a nurse"),
        ("nurse (2).png", "nurse"),
        ("nurse copy 2.png", "nurse"),
        ("nurse_seed42.png", "nurse"),
        ("nurse_seed_42.png", "nurse"),
        ("nurse.2.c2pa.png", "nurse"),
        ("ceo_baseline_s0.jpg", "ceo baseline"),
        ("img_0007_a-nurse.png", "a nurse"),
        ("a_nurse_9f86d081884c7d65.png", "a nurse"),
        (f"{JOB}_a_nurse.png", "a nurse"),
        ("DALL·E 2023-10-01 12.00.03 - a nurse at work.png", "a nurse at work"),
        ("Ärztin bei der Arbeit 3.png", "Ärztin bei der Arbeit"),
        ("一位护士_01.png", "一位护士"),
        ("a nurse in 1950 at work.png", "a nurse in 1950 at work"),
        ("IMG_0001.png", ""),
        ("00012.png", ""),
        ("---.png", ""),
        ("deadbeef.png", ""),
    ],
)
def test_words(name: str, words: str) -> None:
    assert words_of(name) == words
    assert file_words(f"other/{name}") == words


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a nurse 👩‍⚕️ <b>.png", "a nurse 👩‍⚕️ <b>.png"),
        ("a\nb\t\x1b\x7f\u2028.png", "a\\nb\\t\\x1b\\x7f\\u2028.png"),
        ("caf\udce9.png", "caf\\xe9.png"),
        ("half \ud83d.png", "half \\ud83d.png"),
    ],
)
def test_names_as_they_can_be_shown(name: str, plain: str) -> None:
    assert shown(name) == plain


@given(st.text(st.characters(), max_size=40))
def test_any_name_can_be_shown_and_read(name: str) -> None:
    plain = shown(name)
    assert plain.encode().decode() == shown(plain) == plain
    assert "\n" not in plain
    words = words_of(name)
    assert words == words.strip()
    assert not words or any(letter.isalpha() for letter in words)


def put(folder: Path, *names: str, data: bytes = b"") -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data or png())
    return folder


def subjects(found: Import) -> dict[str, tuple[str, str, str]]:
    probes = {probe.probe_id: probe for probe in found.probes}
    of = {image.name: probes[image.probe_id] for image in found.images}
    return {name: (probe.subject, probe.template, probe.text) for name, probe in of.items()}


def test_the_folder_comes_before_the_file_and_the_file_before_nothing(tmp_path: Path) -> None:
    put(tmp_path, "Nurses/a_baker_1.png", "set 1/two chefs/3.png", "set 1/a_baker_1.png", "set 1/x.png", "ceo-1.png")
    put(tmp_path, "x.png", "a_nurse_with_a_baker.png")
    found = read_folder(tmp_path, suite=SUITE)
    assert subjects(found) == {
        "Nurses/a_baker_1.png": ("nurse", "", ""),
        "set 1/two chefs/3.png": ("chef", "set-1", ""),
        "set 1/a_baker_1.png": ("baker", "set-1", "a baker"),
        "set 1/x.png": ("set-1", "", ""),
        "ceo-1.png": ("ceo", "", "ceo"),
    }
    assert found.unmatched == (
        "a_nurse_with_a_baker.png (the file's name names 2 subjects: nurse, baker)",
        "x.png (neither the names of its folder and file nor itself name a subject of the suite)",
    )
    assert {image.name: image.details["prompt_source"] for image in found.images} == {
        "Nurses/a_baker_1.png": "folder",
        "set 1/two chefs/3.png": "folder",
        "set 1/a_baker_1.png": "file name",
        "set 1/x.png": "folder",
        "ceo-1.png": "file name",
    }
    nurse = next(probe for probe in found.probes if probe.subject == "nurse")
    assert nurse.keys == {"us-labour-2022": "Registered nurses"}


def test_the_folder_that_is_imported_may_name_the_subject(tmp_path: Path) -> None:
    put(tmp_path / "photos of nurses", "IMG_1.png", "second/IMG_2.png")
    found = read_folder(tmp_path / "photos of nurses", suite=SUITE)
    assert {subject for subject, _, _ in subjects(found).values()} == {"nurse"}
    put(tmp_path / "fotos", "IMG_1.png", "eine Ärztin_2.png")
    (image,) = subjects(read_folder(tmp_path / "fotos", suite=load_suite("berufe"))).values()
    assert image == ("arzt", "", "eine Ärztin")


def test_the_file_names_are_prompts_where_folders_says_so(tmp_path: Path) -> None:
    put(tmp_path, "day/a_nurse_1.png", "day/two wolves-7.png", "night/0001.png", "3.png")
    found = read_folder(tmp_path, folders="condition/file")
    assert subjects(found) == {
        "day/a_nurse_1.png": ("a-nurse", "day", "a nurse"),
        "day/two wolves-7.png": ("two-wolves", "day", "two wolves"),
    }
    assert [str(each) for each in found.left_out] == [
        "3.png (lies 0 folders deep, --folders has 1)",
        "night/0001.png (its name holds no words)",
    ]
    (known,) = read_folder(tmp_path, folders="condition/file", suite=SUITE).probes
    assert (known.subject, known.language) == ("nurse", "en")
    for wrong in ("file/subject", "prompt/file", "condition"):
        with pytest.raises(FolderError, match="--folders must name"):
            read_folder(tmp_path, folders=wrong)


def test_midjourneys_names_come_after_the_folder_where_a_suite_tells_them_apart(tmp_path: Path) -> None:
    put(
        tmp_path, f"nurse/erika_two_wolves_{JOB}_0.png", f"mj/erika_a_baker_{JOB}.png", f"mj/erika_two_wolves_{JOB}.png"
    )
    found = read_folder(tmp_path, suite=SUITE)
    assert {name.split("/")[0]: each for name, each in subjects(found).items()} == {
        "nurse": ("nurse", "", ""),
        "mj": ("baker", "", "a baker"),
    }
    assert [each.reason for each in found.left_out] == ["the prompt names no subject of the suite"]
    plain = subjects(read_folder(tmp_path))
    assert {text for _, _, text in plain.values()} == {"two wolves", "a baker"}
    assert "erika" not in json.dumps([dict(image.details) for image in found.images])


def test_all_that_is_known_of_an_image_is_kept_whoever_names_its_prompt(tmp_path: Path) -> None:
    data = png_texts({"parameters": a1111("a nurse")})
    put(tmp_path, "x/1.png", data=data)
    (tmp_path / "t.csv").write_text("file,prompt,sampler,rater\n1.png,a chef,mine,me\n")
    (listed,) = read_folder(tmp_path).images
    assert listed.details["rater"] == "me"
    assert listed.details["sampler"] == "mine"
    assert listed.details["generator"] == "automatic1111"
    assert listed.details["prompt_source"] == "table"
    (levels,) = read_folder(tmp_path, folders="subject").images
    assert (levels.probe_id, levels.details["generator"]) == ("x", "automatic1111")
    assert AUTHOR not in json.dumps(dict(levels.details))


def test_too_long_prompts_are_not_used_and_details_stay_small(tmp_path: Path) -> None:
    put(tmp_path, "nurse/1.png", data=png_texts({"parameters": a1111("wolf " * 5_000)}))
    put(tmp_path, "nurse/2.png", data=png_texts({"parameters": a1111("a chef") + ", Note: " + "x" * 9_000}))
    found = read_folder(tmp_path, suite=SUITE)
    long, short = (next(image for image in found.images if image.name == f"nurse/{n}.png") for n in (1, 2))
    assert long.probe_id == "nurse"
    assert str(long.details["metadata_error"]).startswith("the prompt has 2")
    assert short.probe_id == "chef.en"
    assert short.details["generator"] == "automatic1111"
    assert (long.details["prompt_source"], short.details["prompt_source"]) == ("folder", "metadata")
    assert len(json.dumps([dict(image.details) for image in found.images])) < 3_000


def test_a_grid_becomes_four_images(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    for key, value in midjourney("a nurse --ar 1:1").items():
        said.add_text(key, value)
    rng = np.random.default_rng(2)
    smooth = [np.full((256, 256, 3), value) + rng.integers(0, 3, (256, 256, 3)) for value in (20, 90, 160, 230)]
    grid = np.block([[[smooth[0]], [smooth[3]]], [[smooth[2]], [smooth[1]]]]).astype(np.uint8)
    for name, text in (("one.png", said), ("other.png", None)):
        path = tmp_path / "nurse" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(grid).save(path, pnginfo=text)
    tiles = {
        grids: [(image.name, image.tile) for image in read_folder(tmp_path, grids=grids, suite=SUITE).images]
        for grids in ("midjourney", "always", "never")
    }
    one = [("nurse/one.png", tile) for tile in range(4)]
    assert tiles["never"] == [("nurse/other.png", None), ("nurse/one.png", None)]
    assert tiles["midjourney"] == [("nurse/other.png", None), *one]
    assert tiles["always"] == [*[("nurse/other.png", tile) for tile in range(4)], *one]
    indices = [image.index for image in read_folder(tmp_path, suite=SUITE).images if image.tile is not None]
    assert indices == [0, 1, 2, 3]
