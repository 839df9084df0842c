"""Checkpoints as they are published, reduced in width where possible, with random weights, through the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import call

import audit

PROBES = {"a-nurse-at-work", "an-engineer"}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "prompts.txt"
    path.write_text("a nurse at work\nan engineer\n")
    return path


@pytest.fixture(scope="module")
def options(prompts: Path, small_clip: Path, wordings_file: Path) -> list[object]:
    """Two prompts × two images in batches of two, two steps each."""
    return [
        "--suite", prompts, "--images", 2, "--steps", 2, "--width", 64, "--height", 64, "--batch-size", 2,
        "--classifier", f"local-dir:{small_clip}", "--wordings", wordings_file, "--draws", 200, "--threads", 1,
        "--quiet",
    ]  # fmt: skip


def whole(out: Path, classifiers: int = 1) -> audit.Run:
    """The run in `out`, after a look at all that it must hold."""
    run = audit.open(out)
    assert run.complete
    samples = run.samples()
    assert len(samples) == 4
    assert set(samples["outcome"]) == {"ok"}
    assert set(samples["probe_id"]) == PROBES
    assert samples["sha256"].is_unique
    assert (samples[["width", "height"]] == 64).all(axis=None)
    shares = run.shares()
    assert len(set(shares["classifier"])) == classifiers
    # classes of gender and age × probes × references
    assert len(shares) == classifiers * (2 + 3) * 2 * 1
    assert (shares["n"] == 2).all()
    assert (shares.groupby(["classifier", "probe_id", "attribute"])["count"].sum() == 2).all()
    assert (run.missing()["made"] == 2).all()
    assert len(run.missing()) == classifiers * 2 * 2
    assert set(run.gaps()["claim"]) == {"list", "population"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert run.record["model"]["name"] in page
    assert page.count("data:image/") >= 1
    return run


def digests(run: audit.Run) -> list[str]:
    return [str(digest) for digest in run.samples()["sha256"]]


@pytest.fixture(scope="module")
def sd15_run(sd15: Path, options: list[object], tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    """Stable Diffusion 1.5 from its folder."""
    out = tmp_path_factory.mktemp("runs") / "sd15"
    answer = call("run", "--model", sd15, "--out", out, *options)
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    return whole(out)


def test_stable_diffusion_15(sd15_run: audit.Run, sd15: Path) -> None:
    fingerprint = sd15_run.record["model"]["fingerprint"]
    weights = {path.relative_to(sd15).as_posix() for path in sd15.rglob("*.safetensors")}
    assert {name for name in fingerprint["files"] if name.endswith(".safetensors")} == weights
    assert str(sd15.parent) not in json.dumps(fingerprint)


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux"])
def test_other_classes_of_pipelines(
    request: pytest.FixtureRequest, name: str, options: list[object], tmp_path: Path
) -> None:
    out = tmp_path / name
    answer = call("run", "--model", request.getfixturevalue(name), "--out", out, *options)
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    whole(out)


def test_a_single_file_is_the_folder(
    single: tuple[Path, Path], sd15_run: audit.Run, options: list[object], tmp_path: Path
) -> None:
    file, config = single
    out = tmp_path / "single"
    answer = call("run", "--model", file, "--pipeline-config", config, "--out", out, *options)
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    assert digests(whole(out)) == digests(sd15_run)


def test_lora_weights_change_the_images(
    lora: Path, sd15: Path, sd15_run: audit.Run, options: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "lora"
    answer = call("run", "--model", sd15, "--lora", f"{lora}:0.5", "--out", out, *options)
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    run = whole(out)
    assert not set(digests(run)) & set(digests(sd15_run))
    (entry,) = run.record["model"]["fingerprint"]["lora"]
    assert (entry["file"], entry["weight"]) == (lora.name, 0.5)


def test_vit_b_32_at_full_size_and_a_siglip_label_a_finished_run(
    vit_b_32: Path, small_siglip: Path, sd15_run: audit.Run, wordings_file: Path
) -> None:
    path = sd15_run.path
    for number, model in enumerate((f"ViT-B-32/{vit_b_32}", f"local-dir:{small_siglip}"), start=2):
        answer = call("label", path, "--classifier", model, "--wordings", wordings_file, "--quiet")
        assert answer == (0, f"Report: {path / 'report.html'}\n", ""), answer
        assert len(whole(path, number).record["classifiers"]) == number
    vit, siglip = list(audit.open(path).record["classifiers"].values())[1:]
    assert vit["fingerprint"] != siglip["fingerprint"]
    assert str(vit_b_32.parent) not in json.dumps(vit)


def test_several_instruments_from_the_start(
    vit_b_32: Path, small_siglip: Path, sd15: Path, options: list[object], tmp_path: Path, sd15_run: audit.Run
) -> None:
    out = tmp_path / "several"
    names = f"ViT-B-32/{vit_b_32},local-dir:{small_siglip}"
    answer = call("run", "--model", sd15, "--out", out, *options, "--classifier", names)
    assert answer == (0, f"Report: {out / 'report.html'}\n", ""), answer
    assert digests(whole(out, 2)) == digests(sd15_run)
