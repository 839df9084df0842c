"""Public readers of these formats read our fixtures too, and agree: sd-parsers and sd-prompt-reader (both MIT)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from importers import metadata_files as made
from importers import metadata_graphs as graphs

from probes.importers.metadata import read_metadata
from probes.importers.metadata.comfygraph import _WIDGETS


def comfyui(graph: dict[str, graphs.Entry]) -> dict[str, str]:
    return {"prompt": json.dumps(graph), "workflow": json.dumps(graphs.drawing(graph, _WIDGETS))}


FILES = {
    "automatic1111": lambda prompt: made.png_texts({"parameters": made.a1111(prompt)}),
    "automatic1111 zTXt": lambda prompt: made.png_texts({"parameters": made.a1111(prompt)}, "iTXt-z"),
    "comfyui": lambda prompt: made.png_texts(comfyui(graphs.comfy_plain(prompt))),
    "invokeai 3": lambda prompt: made.png_texts(made.invoke_third(prompt)),
    "novelai": lambda prompt: made.png_texts(made.novelai(prompt)),
    "fooocus": lambda prompt: made.png_texts({"parameters": made.fooocus(prompt), "fooocus_scheme": "fooocus"}),
}


@pytest.mark.parametrize("name", made.PROMPTS)
@pytest.mark.parametrize("family", FILES)
def test_another_reader_agrees(family: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(FILES[family](made.PROMPTS[name]))
    sd_parsers = pytest.importorskip("sd_parsers")
    ours = read_metadata(path)
    theirs = sd_parsers.ParserManager().parse(path)
    assert ours is not None and theirs is not None
    assert ours.prompt == made.PROMPTS[name]
    (sampler,) = theirs.samplers
    (prompt,) = sampler.prompts
    (negative,) = sampler.negative_prompts
    assert prompt.value == ours.prompt
    assert negative.value == ours.negative_prompt
    assert int(sampler.parameters["seed"]) == ours.seed
    assert int({**theirs.metadata, **sampler.parameters}["steps"]) == ours.steps  # beside the sampler for NovelAI
    assert float(sampler.parameters["cfg_scale"]) == ours.guidance
    assert sampler.name == ours.sampler
    assert sampler.model is not None and sampler.model.name == ours.model


SECOND = {
    "jpeg": lambda prompt: made.jpeg_exif(made.exif({}, {0x9286: made.user_comment(made.a1111(prompt))}, ">")),
    "swarmui": lambda prompt: made.png_texts({"parameters": made.swarmui(prompt)}),
    "invokeai 2": lambda prompt: made.png_texts(made.invoke_second(prompt)),
    "dream": lambda prompt: made.png_texts({"Dream": made.dream(prompt)}),
    "easydiffusion": lambda prompt: made.png_texts(made.easy_diffusion(prompt) | {"negative_prompt": "blurry"}),
}
MISREAD = {
    *((family, "braces") for family in ("jpeg", "dream", "easydiffusion")),
    ("jpeg", "steps"),
    ("invokeai 2", "newlines"),
    ("invokeai 2", "steps"),
    ("dream", "quotes"),
    ("dream", "newlines"),
    ("dream", "steps"),
    ("easydiffusion", "quotes"),
    ("easydiffusion", "latin1"),
}
"""Where the second reader stumbles over a quote or a new line within the prompt."""


@pytest.mark.parametrize("name", made.PROMPTS)
@pytest.mark.parametrize("family", SECOND)
def test_a_second_reader_agrees_where_it_can_read_the_prompt(family: str, name: str, tmp_path: Path) -> None:
    reader = pytest.importorskip("sd_prompt_reader.image_data_reader")
    path = tmp_path / "x.img"
    path.write_bytes(SECOND[family](made.PROMPTS[name]))
    ours, theirs = read_metadata(path), reader.ImageDataReader(path)
    assert ours is not None and ours.prompt == made.PROMPTS[name]
    read = (theirs.positive, theirs.negative, str(theirs.parameter["seed"]), str(theirs.parameter["steps"]))
    agree = read == (ours.prompt, ours.negative_prompt, str(ours.seed), str(ours.steps))
    assert agree is ((family, name) not in MISREAD)
