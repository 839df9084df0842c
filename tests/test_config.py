"""The configuration: what is refused, with the nearest known key, and how defaults follow from the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.config import Config, Primary, read_config, resolve, slug
from audit.errors import UsageError


def written(folder: Path, text: str) -> Path:
    path = folder / "audit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, "images: 10\nseed: 3\n"), {"images": 20, "seed": None})
    assert (config.images, config.seed) == (20, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imges: 10", r"unknown key 'imges' in .*audit.yaml\. Did you mean 'images'\?"),
        ("primary: {atribute: gender}", r"unknown key 'primary.atribute' .* Did you mean 'attribute'\?"),
        ("- a\n- b", r"must hold a mapping .* \(got a list\)"),
        ("just words", r"must hold a mapping .* \(got a str\)"),
        ("model: [a", r"is not YAML"),
        ("images: 1", r"at least 2 per probe, since a gap cannot be estimated from one \(got 1\)"),
        ("images: many", r"at least 2 per probe.*\(got 'many'\)"),
        ("dtype: fp8", r"dtype in .*audit.yaml: input should be 'fp32', 'bf16' or 'fp16' \(got 'fp8'\)"),
        ("model: !!python/object/apply:os.system ['true']", r"is not YAML"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_config(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: No such file"):
        read_config(tmp_path / "none.yaml")


def test_defaults_follow_from_the_model() -> None:
    phantom = resolve(Config())
    assert (phantom.suite, phantom.classifier, phantom.reference) == ("phantom", ("phantom",), ("phantom-world",))
    other = resolve(Config(model="owner/name"))
    assert (other.suite, other.classifier) == ("occupations", ("ViT-L-14/openai",))
    assert other.reference == ("us-labour-2022", "uniform")
    assert other.out == "runs/name-occupations"
    assert resolve(Config(model="a/model.safetensors", suite="my/probes.csv")).out == "runs/model-probes"


def test_names_come_as_lists_or_with_commas() -> None:
    assert read_config(None, {"attributes": "gender, age"}).attributes == ("gender", "age")
    assert read_config(None, {"attributes": ["gender", "age"]}).attributes == ("gender", "age")
    assert read_config(None, {"primary": "gender,uniform"}).primary == Primary(attribute="gender", reference="uniform")


@given(st.text(max_size=40))
def test_a_slug_is_a_safe_folder_name(text: str) -> None:
    name = slug(text)
    assert name == slug(name)
    assert "/" not in name and name not in ("", ".", "..")


def test_a_resolved_configuration_survives_a_round_trip() -> None:
    config = resolve(Config(lora=("a:0.5",), primary=Primary(attribute="age")))
    assert Config(**config.model_dump(mode="json")) == config
