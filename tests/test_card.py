"""What goes onto a model's card, read back by those who read it: the hub's library, a schema, YAML."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from commands import call, refused
from stored import CLASSES, drawn, store_run

import audit

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata", "model_info", "eval_library"),
        "evaluation_results",
    ],
    "properties": {
        **{key: {"type": "string"} for key in ("schema_version", "evaluation_id", "evaluation_timestamp")},
        "retrieved_timestamp": {"type": "string", "pattern": "^[0-9]+$"},
        "source_metadata": {
            "required": ["source_type", "source_organization_name", "evaluator_relationship"],
            "properties": {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
                "additional_details": {"additionalProperties": {"type": "string"}},
            },
        },
        "model_info": {
            "required": ["name", "id", "additional_details"],
            "properties": {
                "additional_details": {
                    "required": ["deployment_type", "model_availability"],
                    "properties": {
                        "deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                        "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]},
                    },
                    "additionalProperties": {"type": "string"},
                }
            },
        },
        "eval_library": {"required": ["name", "version"]},
        "evaluation_results": {
            "type": "array",
            "minItems": 1,
            "items": {
                "required": ["evaluation_name", "source_data", "metric_config", "score_details"],
                "properties": {
                    "source_data": {
                        "required": ["dataset_name", "source_type"],
                        "properties": {"source_type": {"const": "other"}},
                    },
                    "metric_config": {
                        "required": ["lower_is_better", "score_type", "min_score", "max_score"],
                        "properties": {
                            **{f"metric_{key}": {"type": "string"} for key in ("id", "name", "kind", "unit")},
                            "additional_details": {"additionalProperties": {"type": "string"}},
                        },
                    },
                    "score_details": {
                        "required": ["score", "uncertainty"],
                        "properties": {
                            "score": {"type": "number", "minimum": 0, "maximum": 1},
                            "details": {"additionalProperties": {"type": "string"}},
                            "uncertainty": {
                                "properties": {
                                    "num_samples": {"type": "integer"},
                                    "confidence_interval": {"required": ["lower", "upper"]},
                                }
                            },
                        },
                    },
                },
            },
        },
    },
}
"""What Every Eval Ever asks of a record (version 0.3.0), as far as ours uses it."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> audit.Run:
    rng = np.random.default_rng(3)
    shares = np.column_stack([np.full(10, 0.8), np.full(10, 0.2)])
    gender = np.where(rng.random((10, 30)) < 0.1, "no_person", drawn(shares, 30, CLASSES["gender"], rng))
    age = drawn(np.tile([0.3, 0.4, 0.3], (10, 1)), 30, CLASSES["age"], rng)
    return audit.open(store_run(tmp_path_factory.mktemp("card") / "a-model", {"gender": gender, "age": age}))


def test_the_section_gives_every_figure_with_interval_reference_and_limits(run: audit.Run) -> None:
    text = call("card", run.path).out
    gaps = run.gaps("gender").set_index("claim").loc["list"]
    assert f"| gender (declared beforehand) | uniform | {gaps['gap']:.3f} | {gaps['gap_low']:.3f}" in text
    lost = run.missing().query("attribute == 'gender'")
    share = lost["no_person"].sum() / lost["asked"].sum()
    assert f"| woman | {share:.0%} of 300 |" in text
    assert "not anyone's identity" in text
    assert text.startswith("## ")


def test_the_hubs_own_library_reads_the_block(run: audit.Run) -> None:
    from huggingface_hub.repocard_data import model_index_to_eval_results

    block = yaml.safe_load(audit.card(run, form="model-index", model="owner/name"))
    name, results = model_index_to_eval_results(block["model-index"])
    assert name == "owner/name"
    assert [result.metric_name for result in results] == [
        "gap of perceived gender from uniform (0 to 1)",
        "gap of perceived age from uniform (0 to 1)",
    ]
    gaps = run.gaps("gender").set_index("claim")
    assert results[0].metric_value == pytest.approx(gaps.loc["list", "gap"], abs=1e-4)
    assert results[0].metric_args["interval_high"] == pytest.approx(gaps.loc["list", "gap_high"], abs=1e-4)


def test_a_whole_card_is_read_by_the_hubs_own_library(run: audit.Run) -> None:
    from huggingface_hub import ModelCard

    head = audit.card(run, form="model-index", model="owner/name")
    card = ModelCard(f"---\n{head}---\n{audit.card(run)}")
    assert card.data.model_name == "owner/name"
    assert [result.task_type for result in card.data.eval_results] == ["text-to-image"] * 2
    assert [result.source_name for result in card.data.eval_results] == ["Rolecall"] * 2
    assert card.text.strip().startswith("## How this model portrays people")


def test_results_for_the_hub_name_their_dataset(run: audit.Run, tmp_path: Path) -> None:
    from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

    path = tmp_path / ".eval_results" / "rolecall.yaml"
    answer = call("card", run.path, "--form", "eval-results", "--dataset", "owner/name", "--out", path)
    assert (answer.code, answer.out) == (0, f"Card: {path}\n")
    results = yaml.safe_load(path.read_text("utf-8"))
    entries = parse_eval_result_entries(results)
    assert eval_result_entries_to_yaml(entries) == results  # nothing is left out, and nothing is unknown to the hub
    assert [entry.task_id for entry in entries] == ["gender.uniform", "age.uniform"]
    for result in results:
        assert result["dataset"]["id"] == "owner/name" and 0 <= result["value"] <= 1
        assert re.match(r"\d{4}-\d\d-\d\dT", result["date"]) and result["source"]["url"].startswith("https://")


def test_every_eval_ever_takes_the_record(run: audit.Run) -> None:
    record = json.loads(audit.card(run, form="every-eval-ever", organization="An institute"))
    jsonschema.validate(record, SCHEMA)
    (first, _) = record["evaluation_results"]
    assert record["schema_version"] == "0.3.0"
    assert record["model_info"]["additional_details"]["deployment_type"] == "unknown"
    interval = first["score_details"]["uncertainty"]["confidence_interval"]
    assert interval["lower"] <= first["score_details"]["score"] <= interval["upper"]


@pytest.mark.parametrize(
    ("kind", "said"), [("diffusers", "self_deployed"), ("images-api", "externally_managed"), (None, "unknown")]
)
def test_every_eval_ever_is_told_who_ran_the_model(tmp_path: Path, kind: str | None, said: str) -> None:
    answers = np.full((2, 4), "woman", dtype=object)
    made = {"kind": kind, "revision": "abc", "steps": None} if kind else {"imported": "them"}
    path = store_run(tmp_path / "run", {"gender": answers}, model=made)
    text = audit.card(path, form="every-eval-ever", organization="An institute", model="owner/name")
    model = json.loads(text)["model_info"]
    assert model["additional_details"]["deployment_type"] == said
    assert model["additional_details"].get("revision") == ("abc" if kind else None)
    assert model["id"] == "owner/name" and model["name"] == "run"


def test_what_a_form_needs_is_asked_for(run: audit.Run, tmp_path: Path) -> None:
    assert "--dataset OWNER/NAME" in refused(call("card", run.path, "--form", "eval-results"))
    assert "--organization NAME" in refused(call("card", run.path, "--form", "every-eval-ever"))
    assert str(tmp_path) in refused(call("card", tmp_path))
