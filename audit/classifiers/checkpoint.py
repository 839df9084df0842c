"""open_clip checkpoints: where a name leads, and the towers that are built from it.

Relabelling needs texts only, so the text tower can be loaded alone: the architecture is built with the smallest image
tower there is, that stub is dropped, and only the other weights are read from the file.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.classifiers.base import ClassifierError

if TYPE_CHECKING:
    import torch

LOCAL, HUB = "local-dir:", "hf-hub:"
_CONFIG = "open_clip_config.json"
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
    "open_clip_pytorch_model.bin",
)
_STUB = {"image_size": 32, "patch_size": 32, "layers": 1, "width": 64}
"""A native image tower of one layer: built in a millisecond and thrown away."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on this machine: architecture, preprocessing and the file of weights."""

    name: str
    """`MODEL/TAG`, `MODEL/FILE` or the folder's name: what reports may show, without folders of this machine."""
    tokenizer: str
    """What open_clip calls the source of the tokenizer."""
    config: Mapping[str, Any]
    """open_clip's `model_cfg`."""
    preprocess: Mapping[str, Any]
    """open_clip's `preprocess_cfg`, all fields."""
    path: Path
    sha256: str
    """Of the file of weights."""


def find_checkpoint(model: str) -> Checkpoint:
    """Find `MODEL/TAG`, `MODEL/PATH-OF-WEIGHTS`, `local-dir:FOLDER` or `hf-hub:OWNER/NAME`; downloads what is missing.

    Raises:
        ClassifierError: unknown model or tag (the nearest known one is named), weights that are neither here nor to be
            had, a folder without weights, or a file that is damaged.
    """
    if model.startswith(LOCAL):
        return _in_folder(Path(model.removeprefix(LOCAL)), model)
    if model.startswith(HUB):
        return _on_hub(model.removeprefix(HUB), model)
    return _built_in(model)


def load_model(checkpoint: Checkpoint) -> torch.nn.Module:
    """The whole model, fp32 on the CPU, in evaluation mode.

    Raises:
        ClassifierError: if the weights do not fit the architecture or cannot be read.
    """
    import open_clip

    model = _build(checkpoint.config)
    try:
        open_clip.load_checkpoint(model, str(checkpoint.path), strict=True)
    except Exception as error:
        raise _unreadable(checkpoint, error) from None
    return model.eval()


def load_text_tower(checkpoint: Checkpoint) -> torch.nn.Module:
    """The model without its image tower, fp32 on the CPU, in evaluation mode. Only `encode_text` works.

    The image tower is never built, and from a safetensors file its weights are never read.

    Raises:
        ClassifierError: if the weights do not fit the architecture or cannot be read.
    """
    from open_clip.factory import convert_to_custom_text_state_dict, resize_text_pos_embed

    model = _build({**checkpoint.config, "vision_cfg": _STUB})
    del model.visual
    try:
        state = _text_weights(checkpoint.path)
        if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
        for key in ("logit_scale", "logit_bias"):
            own = getattr(model, key, None)
            if own is not None:
                state[key] = state[key].reshape(own.shape) if key in state else own.detach() * 0
        resize_text_pos_embed(state, model)
        # Not strict: files of older transformers hold position ids that are no weights any more.
        missing = model.load_state_dict(state, strict=False).missing_keys
    except Exception as error:
        raise _unreadable(checkpoint, error) from None
    if missing:
        raise _unreadable(checkpoint, f"no weights for {missing[0]} and {len(missing) - 1} more")
    return model.eval()


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer: texts in, n × context length token ids out.

    Raises:
        ClassifierError: if its files are neither here nor to be had.
    """
    import open_clip

    try:
        return open_clip.get_tokenizer(checkpoint.tokenizer)
    except Exception as error:
        raise ClassifierError(
            f"the tokenizer of {checkpoint.name} could not be loaded ({_line(error)}). Connect to the internet once, "
            f"or give a {LOCAL}FOLDER that holds it."
        ) from None


def _built_in(model: str) -> Checkpoint:
    import open_clip

    architecture, _, rest = model.partition("/")
    known = open_clip.list_models()
    if architecture not in known:
        near = difflib.get_close_matches(model.replace("/", "-"), known, 1, 0.3)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ClassifierError(
            f"unknown open_clip model {architecture!r}.{hint} Models are named MODEL/CHECKPOINT, "
            "such as ViT-L-14/openai."
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not rest:
        example = tags[0] if tags else "PATH.safetensors"
        raise ClassifierError(f"{model!r} names no checkpoint. Say which, such as {architecture}/{example}.")
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    config = open_clip.get_model_config(architecture)
    tag = get_pretrained_cfg(architecture, rest)
    if tag:
        # The published OpenAI weights need QuickGELU even under the plain name; open_clip only warns.
        config["quick_gelu"] = bool(tag.get("quick_gelu", config.get("quick_gelu", False)))
        path = Path(_fetch(model, lambda: download_pretrained(tag)))
        return _checkpoint(model, architecture, config, tag, path)
    path = Path(rest)
    if not path.is_file():
        near = difflib.get_close_matches(rest, tags, 1, 0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ClassifierError(
            f"{architecture} has no checkpoint {rest!r}, and there is no such file.{hint} Known: "
            f"{', '.join(tags) or 'none'}."
        )
    return _checkpoint(f"{architecture}/{path.stem}", architecture, config, {}, path)


def _in_folder(folder: Path, model: str) -> Checkpoint:
    if not folder.is_dir():
        raise ClassifierError(f"{model}: there is no such folder.")
    path = folder / _CONFIG
    if not path.is_file():
        raise ClassifierError(f"{model}: the folder has no {_CONFIG}. Give a folder in open_clip's format.")
    weights = [folder / name for name in _WEIGHTS] + sorted(folder.glob("*.safetensors"))
    found = [file for file in weights if file.is_file()]
    if not found:
        raise ClassifierError(f"{model}: the folder has no weights. It needs {_WEIGHTS[0]} beside {_CONFIG}.")
    config, preprocess = _read_config(path, model)
    return _checkpoint(folder.resolve().name, model, config, preprocess, found[0])


def _on_hub(repository: str, model: str) -> Checkpoint:
    from open_clip.pretrained import download_pretrained_from_hf

    path = Path(_fetch(model, lambda: download_pretrained_from_hf(repository, filename=_CONFIG)))
    config, preprocess = _read_config(path, model)
    weights = Path(_fetch(model, lambda: download_pretrained_from_hf(repository)))
    return _checkpoint(repository, model, config, preprocess, weights)


def _read_config(path: Path, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        config = given["model_cfg"]
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(config):
            raise KeyError("embed_dim, vision_cfg and text_cfg")
        return dict(config), dict(given.get("preprocess_cfg") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClassifierError(f"{model}: {_CONFIG} is not a model's configuration ({_line(error)}).") from None


def _checkpoint(
    name: str, tokenizer: str, config: dict[str, Any], preprocess: Mapping[str, Any], path: Path
) -> Checkpoint:
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    merged = merge_preprocess_dict(PreprocessCfg(), dict(preprocess))
    merged["size"] = config["vision_cfg"].get("image_size", 224)
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        try:
            with safe_open(path, framework="pt"):
                pass
        except Exception as error:
            raise ClassifierError(
                f"{name}: {path.name} is damaged or cut short ({_line(error)}). Get it again."
            ) from None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(name, tokenizer, config, merged, path, sha256)


def _build(config: Mapping[str, Any]) -> torch.nn.Module:
    """The architecture with random weights; nothing is downloaded for its parts."""
    import open_clip

    given = deepcopy(dict(config))
    custom = given.pop("custom_text", False) or "hf_model_name" in given["text_cfg"]
    if "hf_model_name" in given["text_cfg"]:
        given["text_cfg"]["hf_model_pretrained"] = False
    if "timm_model_name" in given["vision_cfg"]:
        given["vision_cfg"]["timm_model_pretrained"] = False
    kind = open_clip.CoCa if "multimodal_cfg" in given else open_clip.CustomTextCLIP if custom else open_clip.CLIP
    model: torch.nn.Module = kind(**given)
    return model


def _text_weights(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if not key.startswith("visual.")}  # noqa: SIM118
    from open_clip.factory import load_state_dict

    return {k: v for k, v in load_state_dict(str(path)).items() if not k.startswith("visual.")}


def _fetch(model: str, download: Any) -> str:
    try:
        return str(download())
    except Exception as error:
        raise ClassifierError(
            f"the weights of {model} are not on this machine and could not be downloaded ({_line(error)}). "
            "Connect to the internet once, or give a file: MODEL/PATH.safetensors."
        ) from None


def _unreadable(checkpoint: Checkpoint, error: object) -> ClassifierError:
    return ClassifierError(
        f"{checkpoint.name}: the weights in {checkpoint.path.name} do not fit the model or cannot be read "
        f"({_line(error)})."
    )


def _line(error: object) -> str:
    """The first sentence or so of an error, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "…"


def preprocess_steps(checkpoint: Checkpoint) -> list[Any]:
    """open_clip's own resizing and cropping of an RGB image, without its conversion to numbers."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return list(image_transform_v2(PreprocessCfg(**checkpoint.preprocess), is_train=False).transforms[:-2])
