"""Real open_clip models with random weights, saved as published checkpoints are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """open_clip's ViT-B-32 at full size, as one safetensors file."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vit-b-32") / "random.safetensors"
    save_file(open_clip.CLIP(**open_clip.get_model_config("ViT-B-32")).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of two narrow layers, as a folder for `local-dir:`."""
    config = {
        "embed_dim": 48,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }
    return _save(tmp_path_factory.mktemp("small") / "small-clip", config, {})


@pytest.fixture(scope="session")
def small_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP reduced: timm's image tower with attention pooling, a text tower without causal mask, a logit bias."""
    folder = tmp_path_factory.mktemp("siglip") / "small-siglip"
    config = {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 64,
            "hf_tokenizer_name": "small-siglip",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 64,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}
    _save(folder, config, preprocess)
    _words(folder)
    return folder


def _words(folder: Path) -> None:
    """A tokenizer with one token a word, in the folder of the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    texts = "a photo picture portrait of one person several people no empty place woman man young old older child"
    names = ["<pad>", "<unk>", "</s>", *texts.split()]
    vocabulary = {word: number for number, word in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")
    fast.save_pretrained(folder)


def _save(folder: Path, config: dict[str, Any], preprocess: dict[str, Any]) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    given = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    kind = open_clip.CoCa if "multimodal_cfg" in config else kind
    weights = {key: value.contiguous() for key, value in kind(**given).state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def wordings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attribute set that takes every image for one person."""
    path = tmp_path_factory.mktemp("wordings") / "plain.yaml"
    path.write_text(
        """
        attributes:
          gender:
            classes: {woman: [a photo of a woman, a portrait of a woman], man: [a photo of a man, a portrait of a man]}
          age:
            ordered: true
            classes: {young: a photo of a young person, older: a photo of an older person, child: a photo of a child}
        """
    )
    return path


@pytest.fixture(scope="session", params=["coca", "resnet"])
def small_relative(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Relatives of CLIP with other towers, reduced: CoCa, whose image tower gives tokens too, and a ResNet."""
    import open_clip

    config = open_clip.get_model_config({"coca": "coca_ViT-B-32", "resnet": "RN50"}[request.param])
    config["embed_dim"] = 64
    config["text_cfg"].update(layers=2, width=64, heads=2)
    if request.param == "coca":
        config["vision_cfg"].update(layers=2, width=64, image_size=64)
        config["multimodal_cfg"].update(layers=1, width=64, heads=2)
    else:
        config["vision_cfg"].update(layers=[1, 1, 1, 1], width=16)
    return _save(tmp_path_factory.mktemp("relative") / f"small-{request.param}", config, {})
