"""A folder whose images say themselves what was asked: prompts, subjects of a suite, and those that say nothing."""

import re
from pathlib import Path

from importers.metadata_files import a1111, midjourney, png, png_texts, text_chunk
from importers.test_metadata_damaged import TWINS

from probes.importers.folder import read_folder
from probes.suite import load_suite


def folder(root: Path) -> Path:
    """One image of each kind: two with prompts, one whose prompt names no occupation, one damaged, one silent."""
    for name in ("chef", "mixed"):
        (root / name).mkdir(parents=True)
    (root / "mixed" / "a.png").write_bytes(png_texts({"parameters": a1111("a photo of a nurse, 50 mm")}))
    (root / "mixed" / "b.png").write_bytes(png_texts(midjourney("two wolves in the snow --ar 1:1")))
    (root / "mixed" / "c.png").write_bytes(png_texts({"parameters": a1111("portrait of a plumber")}))
    (root / "chef" / "d.png").write_bytes(png())
    (root / "chef" / "e.png").write_bytes(png(text_chunk("parameters", a1111("a nurse"), damaged=True)))
    return root


def test_prompts_in_the_images_come_before_the_names_of_folders(tmp_path):
    found = read_folder(folder(tmp_path), suite=load_suite("occupations"))
    probes = {probe.probe_id: probe for probe in found.probes}
    subjects = {image.path.name: probes[image.probe_id].subject for image in found.images}
    assert subjects["a.png"] == "nurse"
    assert subjects["c.png"] == "plumber"
    assert subjects["d.png"] == "chef"
    nurse = next(probe for probe in found.probes if probe.subject == "nurse")
    assert nurse.text == "a photo of a nurse, 50 mm"
    assert "us-labour-2022" in nurse.keys
    assert len(found.unmatched) == 1
    assert found.unmatched[0].startswith("mixed/b.png (")


def test_seed_and_model_are_kept_with_the_image(tmp_path):
    found = read_folder(folder(tmp_path), suite=load_suite("occupations"))
    details = next(image.details for image in found.images if image.path.name == "a.png")
    assert details["generator"] == "automatic1111"
    assert isinstance(details["seed"], int)
    assert details["sampler"]


def test_without_a_suite_the_prompt_is_the_subject(tmp_path):
    found = read_folder(folder(tmp_path))
    assert "two wolves in the snow" in {probe.text for probe in found.probes}
    assert found.unmatched == ()


def test_levels_of_folders_asked_for_win(tmp_path):
    found = read_folder(folder(tmp_path), folders="subject")
    assert {probe.subject for probe in found.probes} == {"chef", "mixed"}


def test_damage_in_every_format_is_kept_and_the_folder_asked_instead(tmp_path):
    (tmp_path / "nurse").mkdir()
    for number, (data, _) in enumerate(TWINS.values()):
        (tmp_path / "nurse" / f"{number:02d}.png").write_bytes(data)
    found = read_folder(tmp_path, suite=load_suite("occupations"))
    assert [probe.subject for probe in found.probes] == ["nurse"]
    assert found.unmatched == ()
    problems = [str(image.details["metadata_error"]) for image in found.images]
    assert len(problems) == len(TWINS)
    for problem, (_, reason) in zip(problems, TWINS.values(), strict=True):
        assert re.search(reason, problem)
        assert problem.endswith("Save the image again, or give its prompt in a table beside it.")
        assert "\n" not in problem
