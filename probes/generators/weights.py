"""Finds the weights of a diffusers pipeline, checks that they are whole, and takes their digests.

Nothing here builds a model: a folder that cannot be used is refused before a gigabyte is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from probes.generators.base import GeneratorError

PICKLES = (".bin", ".ckpt", ".pt", ".pth")
"""Endings of weights files that can run code when they are read."""
_CONNECT_S = 10.0
_VARIANT = re.compile(r"\.([a-z0-9]+)(?:-\d+-of-\d+)?\.(?:safetensors|bin)$")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONFIG_FILES = ("*.json", "*.txt", "*.model", "*/*.json", "*/*.txt", "*/*.model")


@dataclass(frozen=True)
class Source:
    """Where a pipeline comes from."""

    name: str
    """Short name for tables and file names."""
    model: str
    """Hub id, or name of the folder or file; never a path."""
    folder: Path
    """Folder in diffusers' layout: with its weights, or only the configuration of a single file."""
    file: Path | None = None
    """The single file of weights, if that is what was asked for."""
    revision: str | None = None
    """Commit on the hub; None for local files."""
    variant: str | None = None
    """Variant of the file names, such as `fp16`."""


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of an exception as one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def is_hub_id(model: str) -> bool:
    """True if the text has the form of a hub id, `owner/name`."""
    return _HUB_ID.fullmatch(model) is not None


def locate(model: str, *, revision: str | None, config: str | None, allow_pickle: bool) -> Source:
    """Find a pipeline by local folder, single file or hub id.

    `config` is the folder (or hub id) of a single file's configuration; None looks the usual one of its class up.

    Raises:
        GeneratorError: if there is nothing of that name, or nothing that may be read.
    """
    path = Path(model).expanduser()
    if path.is_dir() or path.is_file():
        if revision is not None:
            raise GeneratorError(
                f"revision is for hub ids only (got {revision!r} with the local {path.name!r}). Omit it."
            )
        if path.is_file():
            return _single_file(path, config, allow_pickle)
        if config is not None:
            raise GeneratorError(f"config is for single files only (got it with the folder {path.name!r}). Omit it.")
        return Source(path.resolve().name, path.resolve().name, path, variant=_variant(path))
    if not is_hub_id(model):
        raise GeneratorError(f"model folder or file {model!r} does not exist. Check the path.")
    if config is not None:
        raise GeneratorError(f"config is for single files only (got it with the hub id {model!r}). Omit it.")
    folder, variant = _from_hub(model, revision, allow_pickle)
    return Source(model.rpartition("/")[2], model, folder, revision=_commit(folder), variant=variant)


def pipeline_class(folder: Path) -> str:
    """Class name of the pipeline that `model_index.json` in the folder names.

    Raises:
        GeneratorError: if the file is missing, unreadable or asks for code of its own.
    """
    name = _index(folder).get("_class_name")
    if not isinstance(name, str):
        raise GeneratorError(
            f"model folder {folder.name!r} asks for code of its own (_class_name {name!r} in model_index.json). "
            "Wrap it as python:MODULE:CALLABLE instead."
        )
    return name


def digests(source: Source, *, allow_pickle: bool) -> dict[str, str]:
    """SHA-256 of every file that is read to build the pipeline, by name relative to the model folder.

    Raises:
        GeneratorError: if a component has no weights, only pickled ones, or a file that is cut short.
    """
    files = dict(_used_files(source, allow_pickle))
    for name, file in files.items():
        if file.suffix == ".safetensors":
            check_safetensors(file, name)
    return {name: file_digest(file) for name, file in sorted(files.items())}


def check_safetensors(file: Path, name: str) -> None:
    """Compare the length of a safetensors file with what its header promises.

    Raises:
        GeneratorError: if the file is cut short or no safetensors file.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > size:
                raise ValueError("its header is not whole")
            header = json.loads(stream.read(length))
            end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise GeneratorError(
            f"weights file {name!r} is cut short or no safetensors file ({size} bytes). Download it again."
        ) from None
    if size < 8 + length + end:
        raise GeneratorError(
            f"weights file {name!r} is cut short ({size} bytes of {8 + length + end}). Download it again."
        )


def file_digest(file: Path) -> str:
    """SHA-256 (hexadecimal) of a file; remembered as long as its size and time of change stay the same."""
    stat = file.stat()
    return _digest(str(file.resolve()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _index(folder: Path) -> Mapping[str, object]:
    file = folder / "model_index.json"
    if not file.is_file():
        raise GeneratorError(
            f"model folder {folder.name!r} has no model_index.json. Give a folder in diffusers' layout, or the weights "
            "file itself."
        )
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise GeneratorError(f"model_index.json of {folder.name!r} is no JSON ({one_line(error)}).") from None
    if not isinstance(index, dict):
        raise GeneratorError(f"model_index.json of {folder.name!r} must be a mapping (got {type(index).__name__}).")
    return index


def _components(folder: Path) -> list[str]:
    """Names of the pipeline's parts that are not left empty."""
    parts = _index(folder).items()
    return [
        name for name, value in parts if isinstance(value, list) and not name.startswith("_") and value[:1] != [None]
    ]


def _used_files(source: Source, allow_pickle: bool) -> Iterator[tuple[str, Path]]:
    yield "model_index.json", source.folder / "model_index.json"
    if source.file is not None:
        yield source.file.name, source.file
    for component in _components(source.folder):
        part = source.folder / component
        if not part.is_dir():
            continue
        for file in sorted(part.iterdir()):
            if file.suffix in (".json", ".txt", ".model") and not file.name.endswith(".index.json"):
                yield f"{component}/{file.name}", file
        if source.file is None and (part / "config.json").is_file():
            for file in _weights(source, component, allow_pickle):
                yield f"{component}/{file.name}", file


def _weights(source: Source, component: str, allow_pickle: bool) -> list[Path]:
    files = [file for file in sorted((source.folder / component).iterdir()) if file.is_file()]
    safe = [file for file in files if file.suffix == ".safetensors" and _variant_of(file) in (None, source.variant)]
    if safe:
        exact = [file for file in safe if _variant_of(file) == source.variant]
        return exact or safe
    pickled = [file for file in files if file.suffix in PICKLES]
    if pickled and allow_pickle:
        return pickled
    if pickled:
        raise GeneratorError(
            f"model {source.model!r} has only pickled weights in {component!r} ({pickled[0].name}), which can run "
            "code. Ask for allow_pickle if you trust them."
        )
    raise GeneratorError(f"model {source.model!r} has no weights in its folder {component!r}. Download them.")


def _variant_of(file: Path) -> str | None:
    match = _VARIANT.search(file.name)
    return match.group(1) if match else None


def _variant(folder: Path) -> str | None:
    """The variant of a folder that has weights of no other kind, else None."""
    files = [file for name in _components(folder) for file in (folder / name).glob("*.safetensors")]
    variants = {_variant_of(file) for file in files}
    return variants.pop() if len(variants) == 1 else None


def _single_file(path: Path, config: str | None, allow_pickle: bool) -> Source:
    if path.suffix in PICKLES and not allow_pickle:
        raise GeneratorError(
            f"weights file {path.name!r} is pickled, which can run code. Ask for allow_pickle if you trust it, or "
            "give a .safetensors file."
        )
    if path.suffix not in (".safetensors", *PICKLES):
        raise GeneratorError(f"weights file {path.name!r} must end in .safetensors (got {path.suffix!r}).")
    if path.suffix == ".safetensors":
        check_safetensors(path, path.name)
    if config is None:
        config = _usual_config(path)
    folder = Path(config).expanduser()
    if not folder.is_dir():
        if not is_hub_id(config):
            raise GeneratorError(f"config folder {config!r} of {path.name!r} does not exist. Check the path.")
        folder = _config_from_hub(config, path.name)
    _index(folder)
    return Source(path.stem, path.name, folder, file=path)


def _usual_config(path: Path) -> str:
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

    return str(fetch_diffusers_config(load_single_file_checkpoint(str(path)))["pretrained_model_name_or_path"])


def _commit(folder: Path) -> str | None:
    """Commit of a snapshot in the hub's cache, which is the name of its folder."""
    return folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else None


def _from_hub(model: str, revision: str | None, allow_pickle: bool) -> tuple[Path, str | None]:
    """Snapshot folder of a hub id and the variant of its file names; the local cache first, then the hub."""
    from diffusers import DiffusionPipeline

    safe = None if allow_pickle else True
    for cached in (True, False):
        if not cached:
            _reach_hub(model, revision)
        for variant in (None, "fp16"):
            options = {"revision": revision, "variant": variant, "use_safetensors": safe, "local_files_only": cached}
            try:
                folder = Path(DiffusionPipeline.download(model, **options))
                for component in _components(folder):
                    if (folder / component / "config.json").is_file():
                        _weights(Source(model, model, folder, variant=variant), component, allow_pickle)
            except (OSError, ValueError, GeneratorError) as error:
                problem = one_line(error)
            else:
                return folder, variant
    raise GeneratorError(f"model {model!r} could not be taken from the hub: {problem}")


def _config_from_hub(repository: str, file: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(_CONFIG_FILES), local_files_only=True))
    except OSError:
        pass
    try:
        _reach_hub(repository, None)
        return Path(snapshot_download(repository, allow_patterns=list(_CONFIG_FILES)))
    except (OSError, GeneratorError) as error:
        raise GeneratorError(
            f"configuration of {file!r} is missing: {one_line(error)} Or give its folder as config."
        ) from None


def _reach_hub(model: str, revision: str | None) -> None:
    """Ask the hub for the model once, within seconds, so that a missing connection costs no minutes of retries.

    Raises:
        GeneratorError: if the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import constants, model_info
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    missing = f"model {model!r} is no folder here and not in the local cache of the hub"
    if constants.HF_HUB_OFFLINE:
        raise GeneratorError(f"{missing}, and HF_HUB_OFFLINE is set. Unset it, or download the model first.")
    try:
        model_info(model, revision=revision, timeout=_CONNECT_S)
    except GatedRepoError:
        raise GeneratorError(f"model {model!r} is gated. Accept its terms on the hub and set HF_TOKEN.") from None
    except RevisionNotFoundError:
        raise GeneratorError(f"model {model!r} has no revision {revision!r}. Check it on the hub.") from None
    except RepositoryNotFoundError:
        raise GeneratorError(f"{missing}, and the hub has none of that name. Check the spelling.") from None
    except Exception as error:  # every network library raises its own
        host = os.environ.get("HF_ENDPOINT") or "the hub"
        raise GeneratorError(
            f"{missing}, and {host} cannot be reached ({one_line(error, 120)}). Connect to the internet, or give a "
            "local folder."
        ) from None
