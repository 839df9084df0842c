"""Grids of runs: what a configuration means, what is refused, and grids as a user makes them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from commands import call, contents, refused, spawn
from grids import drawn_grid, written
from hypothesis import given
from hypothesis import strategies as st

import audit
from audit.cells import VARIED, read_cells
from audit.config import Config
from audit.errors import UsageError
from audit.grid_tables import TABLES
from audit.results import Run
from probes.generators.intervention import added

ONE = {"model": "phantom", "grid": {"base": None, "three": {"guidance": 3}}}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> audit.Grid:
    """The drawn grid."""
    return drawn_grid(tmp_path_factory.getbasetemp())


# -- the configuration -------------------------------------------------------------------------------------------------


def test_cells_set_keys_on_top_of_the_common_ones() -> None:
    cells = read_cells(
        {
            "model": "owner/name",
            "guidance": 5,
            "negative_prompt": "hats",
            "baseline": "b",
            "grid": {"a": {"guidance": 3, "negative_prompt": None}, "b": {}, "c": {"model": "phantom"}},
        },
        {"images": 6, "seed": None},
    )
    assert [cell.name for cell in cells.cells] == ["b", "a", "c"]
    b, a, c = (cell.config for cell in cells.cells)
    assert (b.guidance, b.negative_prompt, b.images) == (5, "hats", 6)
    assert (a.guidance, a.negative_prompt) == (3, None)
    assert (c.model, c.suite, c.classifier, c.reference) == ("phantom", b.suite, b.classifier, b.reference)
    assert c.classifier == ("ViT-L-14/openai",)
    assert cells.out == Path("runs/name-occupations-grid")
    assert [cell.config.out for cell in cells.cells] == [f"runs/name-occupations-grid/{name}" for name in "bac"]


def test_lists_of_values_are_all_combined() -> None:
    grid = {"guidance": [1, 3.5], "lora": [None, ["some/fair one.safetensors:0.5"]], "negative_prompt": ["a b"]}
    cells = read_cells({"model": "owner/name", "grid": grid}, {})
    assert [cell.name for cell in cells.cells] == [
        "guidance-1_lora-none_negative-prompt-a-b",
        "guidance-1_lora-fair-one.safetensors-0.5_negative-prompt-a-b",
        "guidance-3.5_lora-none_negative-prompt-a-b",
        "guidance-3.5_lora-fair-one.safetensors-0.5_negative-prompt-a-b",
    ]
    assert cells.cells[3].config.lora == ("some/fair one.safetensors:0.5",)
    assert cells.cells[2].config.lora == ()
    long = read_cells({"grid": {"intervention": ["x" * 80 + "a", "x" * 80 + "b"]}}, {})
    assert len({cell.name for cell in long.cells}) == 2
    assert all(len(cell.name) < 64 for cell in long.cells)


def test_every_key_of_a_cell_is_one_of_the_configuration() -> None:
    assert set(VARIED) < set(Config.model_fields)
    assert not set(VARIED) & {"suite", "images", "seed", "classifier", "attributes", "reference", "out", "device"}


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"base": {}, "x": {"guidence": 3}}, r"unknown key 'guidence' in cell 'x' of .*\. Did you mean 'guidance'\?"),
        ({"base": {}, "x": {"images": 3}}, r"cell 'x' of .* sets images, which must be the same in all cells"),
        ({"base": {}, "x": {"reference": "uniform"}}, "sets reference, which must be the same"),
        ({"base": {}, "x": {"guidance": "much"}}, r"guidance in cell 'x' of .* \(got 'much'\)"),
        ({"base": {}, "x": {"intervention": "  "}}, r"intervention in cell 'x'"),
        ({"base": {}}, "needs a baseline and one more cell"),
        ({}, "has no cells"),
        ("base", "has no cells"),
        ({"base": {}, "guidance": [1, 2]}, r"mixes lists of values \(guidance\) with named cells \(base\)"),
        ({"guidance": []}, r"needs a baseline and one more cell"),
        ({"base": {}, "a/b": {}}, "cannot be called 'a/b'"),
        ({"base": {}, "..": {}}, r"cannot be called '\.\.'"),
        ({"base": {}, "Tables": {}}, "cannot be called 'Tables'"),
        ({"base": {}, 3: {}}, "cannot be called 3"),
        ({"base": {}, "Base": {}}, "two cells of .* are called '[Bb]ase', but for capitals"),
        ({"base": {}, "x": 3}, r"cell 'x' of .* must hold the keys that it sets \(got 3\)"),
        (
            {"base": {}, "x": {"lora": "nowhere.safetensors"}},
            "cell 'x': LoRA weights 'nowhere.safetensors' do not exist",
        ),
    ],
)
def test_what_cannot_be_a_grid_is_refused_before_anything_is_made(grid: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"model": "phantom", "grid": grid}))
    assert re.search(said, refused(call("run", path, "--out", tmp_path / "out", "--quiet")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"baseline": "bsae"}, "baseline 'bsae' is no cell of the grid. Did you mean 'base'?"),
        ({"stop_when_decided": True}, "cannot stop when decided"),
        ({"max_images": 100, "subjects": "nurse", "languages": "en", "images": 60}, "the run asks for 120 images"),
    ],
)
def test_what_does_not_go_with_a_grid_is_refused(options: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        audit.run_grid(ONE, out=str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()


def test_a_grid_is_no_run_and_does_not_go_where_something_else_is(grid: audit.Grid, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"grid\.yaml describes a grid of runs.*audit\.run_grid"):
        audit.run(written(tmp_path))
    for out, said in ((grid.path / "base", "holds a run, not a grid"), (tmp_path, "no folder of a grid and not empty")):
        with pytest.raises(UsageError, match=said):
            audit.run_grid(ONE, out=str(out))
    with pytest.raises(UsageError, match="no folder of a grid"):
        audit.open_grid(grid.path / "base")
    (tmp_path / "grid.json").write_text('{"schema": 99}')
    with pytest.raises(UsageError, match="newer Rolecall"):
        audit.open_grid(tmp_path)


# -- the intervention --------------------------------------------------------------------------------------------------


def test_how_an_intervention_is_added() -> None:
    assert added("a nurse", " ensure diversity ") == "a nurse, ensure diversity"
    assert added("Draw a nurse.", "Ensure diversity.") == "Draw a nurse. Ensure diversity."
    assert added("a {x} nurse", "{prompt} if anybody can be {prompt}") == "a {x} nurse if anybody can be a {x} nurse"


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_the_prompt_and_the_intervention_are_both_sent(prompt: str, text: str) -> None:
    sent = added(prompt, text)
    assert prompt.rstrip() in sent
    assert text.strip() in sent or "{prompt}" in text


def test_an_intervention_is_sent_and_recorded_and_the_probes_stay(grid: audit.Grid) -> None:
    base, asked = grid.runs["base"], grid.runs["women"]
    assert asked.record["model"]["fingerprint"] == {**base.record["model"]["fingerprint"], "intervention": "woman"}
    assert asked.record["config"]["resolved"]["intervention"] == "woman"
    pd.testing.assert_frame_equal(base.probes(), asked.probes())
    one, two = base.samples(), asked.samples()
    assert list(one["seed"]) == list(two["seed"])
    assert not set(one["sample_id"]) & set(two["sample_id"])
    sent = {json.loads(details)["prompt"] for details in two["details"]}
    assert sent == {f"{text}, woman" for text in asked.probes()["text"]}
    assert set(one["details"]) == {""}
    page = (asked.path / "report.html").read_text()
    assert "<dt>Added to every prompt</dt><dd>woman</dd>" in page
    assert "Added to every prompt" not in (base.path / "report.html").read_text()


# -- grids -------------------------------------------------------------------------------------------------------------


def test_the_tables_of_a_grid_say_what_its_runs_say(grid: audit.Grid) -> None:
    assert grid.complete and grid.baseline == "base"
    assert list(grid.runs) == ["base", "women", "shy", "same", "scene"]
    cells = grid.table("cells")
    for name, run in grid.runs.items():
        gaps = run.gaps("gender").query("claim == 'list'").set_index("reference")
        rows = cells[(cells["cell"] == name) & (cells["attribute"] == "gender")]
        for row in rows.dropna(subset="reference").itertuples():
            assert row.gap == pytest.approx(gaps.loc[row.reference, "gap"], nan_ok=True)
            assert row.status == gaps.loc[row.reference, "status"]
        missing = run.missing().query("attribute == 'gender'")
        first = rows.iloc[0]
        for kind in ("asked", "refused", "no_person", "unclear"):
            assert first[kind] == missing[kind].sum()
        assert first["made"] == (run.samples()["outcome"] == "ok").sum()
    same = cells.drop_duplicates("cell").set_index("cell")["same_images"]
    assert same["same"] == 72 and same["scene"] == 0 and pd.isna(same["base"])
    assert set(TABLES) == {path.stem for path in (grid.path / "tables").glob("*.csv")}


def test_what_was_planted_is_found_and_nothing_else(grid: audit.Grid) -> None:
    whole = grid.changes().query("attribute == 'gender' and `class` == 'woman' and probe_id == ''").set_index("other")
    assert whole.loc["women", "conclusion"] == "higher"
    assert whole.loc["same", "difference"] == 0
    assert "scene" not in whole.index or pd.isna(whole.loc["scene", "difference"])
    lost = grid.table("lost_changes").query("attribute == 'gender'").set_index("other")["conclusion"]
    assert lost.to_dict() == {"women": "close", "shy": "higher", "same": "close", "scene": "higher"} or (
        lost["shy"] == lost["scene"] == "higher" and not {"higher", "lower"} & {lost["women"], lost["same"]}
    )
    gaps = grid.table("gap_changes").query("attribute == 'gender' and reference == 'phantom-world'").set_index("other")
    assert gaps.loc["women", "conclusion"] == "higher"
    assert gaps.loc["same", "low"] < gaps.loc["same", "change"] == 0 < gaps.loc["same", "high"]


def test_intervals_and_p_values_hold_for_all_cells_at_once(grid: audit.Grid, tmp_path: Path) -> None:
    """Four cells compared: what one cell says alone, at α/4, with p-values times 4."""
    from audit.changes import share_changes
    from audit.grid_tables import _settings
    from audit.pairs import match_runs, read_answers
    from audit.store import Store

    base, women = (read_answers(Store.open(grid.path / name)) for name in ("base", "women"))
    question = next(q for q in match_runs(base, women).questions if q.attribute == "gender")
    alone = share_changes(question, ("base", "women"), _settings(base.record, 1))
    table = grid.changes().query("attribute == 'gender' and other == 'women'").reset_index(drop=True)
    assert table["p_adjusted"].tolist() == pytest.approx((4 * alone["p_adjusted"]).clip(upper=1).tolist())
    assert (table["p_adjusted"] >= table["p_value"]).all()
    width, single = table["high"] - table["low"], alone["high"] - alone["low"]
    assert (width >= single - 1e-12).all() and (width > single).any()


def test_it_shows_itself_and_its_tables_have_names(grid: audit.Grid) -> None:
    page = grid._repr_html_()
    assert "<table" in page and "women" in page and "baseline base" in page
    assert "base, women, shy, same, scene, complete" in repr(grid)
    with pytest.raises(UsageError, match=r"no table 'cell' of a grid\. Did you mean 'cells'"):
        grid.table("cell")


SMALL = """
model: python:{model}:draw
suite: phantom
subjects: [nurse]
languages: en
images: 8
batch_size: 4
classifier: phantom
reference: uniform
draws: 200
threads: 1
grid:
  base:
  women: {{intervention: woman}}
"""


def test_a_killed_grid_goes_on_and_finished_cells_are_not_made_again(tmp_path: Path) -> None:
    path, out, log = written(tmp_path, SMALL), tmp_path / "out", tmp_path / "calls"
    kill = f"import os; os.environ.update(DRAWN_LOG={str(log)!r}, DRAWN_STOP='4')"
    killed = spawn("run", path, "--out", out, "--quiet", before=kill)
    assert killed.code == 9
    half = audit.open_grid(out)
    assert not half.complete and "not complete" in half._repr_html_()
    assert [run.complete for run in half.runs.values()] == [True, False]
    with pytest.raises(UsageError, match="no tables yet"):
        half.changes()
    assert re.search("is not complete", refused(call("report", out)))
    kept = contents(out / "base" / "images", out / "women" / "images", out / "women" / "samples")
    answer = call("run", path, "--out", out, "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out) == {
        "grid": str(out),
        "complete": True,
        "runs": {name: str(out / name) for name in ("base", "women")},
        "report": str(out / "grid.html"),
    }
    images = contents(out / "base" / "images", out / "women" / "images")
    assert len(images) == 16
    assert {name: digest for name, digest in kept.items() if name in images}.items() <= images.items()
    whole = audit.run_grid(path, out=str(tmp_path / "whole"), report=False)
    assert [*contents(whole.path / "women" / "images").values()] == [*contents(out / "women" / "images").values()]
    for name in TABLES:
        pd.testing.assert_frame_equal(whole.table(name), audit.open_grid(out).table(name))
    assert not (whole.path / "grid.html").exists()


def test_in_shards_the_last_one_makes_the_page_and_a_cell_can_be_added(tmp_path: Path) -> None:
    path, out = written(tmp_path, SMALL), tmp_path / "out"
    first = call("run", path, "--out", out, "--shard", "2/2", "--quiet")
    assert (first.code, first.out) == (0, f"Grid: {out}\n")
    last = audit.run_grid(path, out=str(out), shard=(1, 2), report=False)
    assert last.complete and len(last.changes()) > 0
    made = contents(out / "base" / "samples", out / "women" / "samples")
    cells = {"base": None, "women": {"intervention": "woman"}, "men": {"intervention": "man"}}
    more = audit.run_grid(path, out=str(out), grid=cells, report=False)
    assert list(more.runs) == ["base", "women", "men"]
    assert contents(out / "base" / "samples", out / "women" / "samples") == made
    assert set(more.changes()["other"]) == {"women", "men"}
    with pytest.raises(UsageError, match=r"cell 'women': .* holds a run of another configuration: .*intervention"):
        audit.run_grid(path, out=str(out), grid={"base": None, "women": {"intervention": "man"}}, report=False)
    german = call("report", out, "--lang", "de", "--out", out / "de.html", "--no-images")
    assert (german.code, german.out) == (0, f"Report: {out / 'de.html'}\n")
    assert '<html lang="de">' in (out / "de.html").read_text()


def test_the_phantom_at_two_scales_of_guidance(tmp_path: Path) -> None:
    grid = audit.run_grid(
        model="phantom", subjects="nurse,builder", languages="en", images=8, steps=3, threads=1, draws=200,
        out=str(tmp_path / "out"), grid={"guidance": [1, 3]}, report=False,
    )  # fmt: skip
    assert list(grid.runs) == ["guidance-1", "guidance-3"]
    assert all(isinstance(run, Run) and run.complete for run in grid.runs.values())
    cells = grid.table("cells").query("attribute == 'gender'")
    assert cells["reference"].tolist() == ["phantom-world"] * 2
    assert cells["same_images"].iloc[1] < 16
    assert set(grid.changes()["other"]) == {"guidance-3"}


def test_the_configuration_shown_in_the_guide_is_one() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "mitigations.md").read_text()
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    grids = [block for block in blocks if "grid" in block]
    assert len(grids) >= 2
    for block in grids:
        assert len(read_cells(block, {}).cells) >= 2
