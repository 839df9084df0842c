"""A run's images with their labels for other tools: a Hugging Face imagefolder, or a folder that FiftyOne reads."""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from audit import human
from audit.entries import Entry, columns_of, entries, finders
from audit.errors import UsageError
from audit.marks import DRAWN, TRAINED, packet, with_xmp
from audit.parts import FORGOTTEN
from audit.pictures import load

if TYPE_CHECKING:
    from audit.progress import Progress
    from audit.store import Store

MARKER = "export.json"
"""The file that says that a folder holds an export, and whether it is whole."""
WITHOUT = "without_image.jsonl"
"""Where the rows of samples stand that have no image."""
LAYOUTS = ("imagefolder", "fiftyone")
_PEOPLE = "people"
"""Stands in the place of an attribute for the people whom a classifier found, one by one."""
_OURS = ("train", "data", "README.md", "metadata.json", "samples.json", WITHOUT, MARKER)
_SUFFIXES = (".webp", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    path: Path
    """The folder."""
    images: int
    marked: int
    """Images that carry the mark of media made by AI: those that the run made itself."""
    without: int
    """Rows in `without_image.jsonl`: samples that were refused, failed, forgotten or whose image is lost."""

    def __str__(self) -> str:
        marked = f" ({self.marked} marked as made by AI)" if self.marked else ""
        lacking = f"; samples without an image, in {WITHOUT}: {self.without}" if self.without else ""
        return f"Images: {self.images}{marked}{lacking}. Folder: {self.path}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


def export(
    path: str | Path,
    *,
    imagefolder: str | Path | None = None,
    fiftyone: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the images of a run with their labels for other tools (docs/export.md).

    Reads a part of the run at a time; memory does not grow with the number of images. The run is not changed.

    Args:
        path: the run.
        imagefolder: folder for a Hugging Face imagefolder.
        fiftyone: folder for a FiftyOneDataset; one of the two.
        force: replace an earlier export in that folder.
        progress: told how far it is.

    Returns:
        What was written, and where.

    Raises:
        UsageError: for anything that the caller can mend, in one line.
    """
    from audit.progress import Progress
    from audit.store import Store
    from audit.training import check_images

    if (imagefolder is None) == (fiftyone is None):
        raise UsageError("an export has one layout: give --imagefolder DIR or --fiftyone DIR.")
    check_images(path, "to export")
    store = Store.open(Path(path))
    layout = LAYOUTS[fiftyone is not None]
    folder = Path(str(fiftyone if imagefolder is None else imagefolder))
    try:
        _clear(folder, store.root, force=force)
        _mark(folder, layout, complete=False)
        done = _write(store, folder, layout, progress or Progress())
        _mark(folder, layout, complete=True)
    except OSError as error:
        raise UsageError(
            f"{error.filename or folder} could not be written: {error.strerror or error}. "
            "The export is not whole; free some room or choose another folder, and give --force."
        ) from error
    return done


def _write(store: Store, folder: Path, layout: str, progress: Progress) -> Exported:
    record = store.record()
    source, model = _source(record), model_name(record)
    images = marked = without = 0
    with ExitStack() as files:
        writer: _Writer = (_ImageFolder if layout == "imagefolder" else _FiftyOne)(folder, store, files)
        lacking = files.enter_context((folder / WITHOUT).open("w", encoding="utf-8"))
        with progress.task("Exporting", int(record["plan"]["samples"])) as task:
            for entry in entries(store):
                data, reason = _image(store, entry.sample)
                if data:
                    changed = _marked(data, source, model, entry.probe.text)
                    marked += changed != data
                    images += 1
                    name = f"p{entry.place:04d}/{entry.sample['index']:06d}{_suffix(entry.sample['file'], data)}"
                    writer.add(entry, name, changed)
                else:
                    without += 1
                    _line(lacking, {**entry.columns(), "reason": reason, **_flat(entry)})
                task.advance(1)
        writer.end()
    return Exported(folder, images, marked, without)


class _Writer(Protocol):
    def add(self, entry: Entry, name: str, data: bytes) -> None:
        """Add one image."""

    def end(self) -> None:
        """All images are there."""


class _ImageFolder:
    """train/pPROBE/INDEX.webp and train/metadata.jsonl, as `datasets` reads them."""

    def __init__(self, folder: Path, store: Store, files: ExitStack) -> None:
        self._folder = folder / "train"
        self._folder.mkdir(parents=True)
        self._lines = files.enter_context((self._folder / "metadata.jsonl").open("w", encoding="utf-8"))
        self._finders = finders(store)
        (folder / "README.md").write_text(_readme(store), encoding="utf-8")

    def add(self, entry: Entry, name: str, data: bytes) -> None:
        _put(self._folder / name, data)
        people = {f"{key}/{_PEOPLE}": _objects(entry.people[key], names) for key, names in self._finders.items()}
        _line(self._lines, {"file_name": name, **entry.columns(), **_flat(entry), **people})

    def end(self) -> None:
        """Nothing is left to write."""


class _FiftyOne:
    """data/pPROBE/INDEX.webp, samples.json and metadata.json: the layout of a FiftyOneDataset without a version, which
    every version of FiftyOne reads."""

    def __init__(self, folder: Path, store: Store, files: ExitStack) -> None:
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        self._finders = finders(store)
        self._fields = field_names([*columns_of(store), *((name, _PEOPLE) for name in self._finders)])
        self._lines = files.enter_context((folder / "samples.json").open("w", encoding="utf-8"))
        self._lines.write('{"samples": [')
        self._count = 0
        record = store.record()
        classes = {
            self._fields[name, question["attribute"]]: list(question["classes"])
            for name in human.ordered_classifiers(store)
            for question in record["classifiers"][name]["questions"]
        }
        about = {"media_type": "image", "info": {"about": _about(record), "labels": _CAVEAT}, "classes": classes}
        (folder / "metadata.json").write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    def add(self, entry: Entry, name: str, data: bytes) -> None:
        _put(self._folder / "data" / name, data)
        columns = entry.columns()
        row = {"filepath": f"data/{name}", "tags": [], "metadata": None, "prompt": columns.pop("text"), **columns}
        for key, (answer, score) in entry.labels.items():
            label = {"_cls": "Classification", "tags": [], "label": answer}
            scored = label if score is None else {**label, "confidence": score}
            row[self._fields[key]] = scored if answer else None
        for finder, names in self._finders.items():
            found = [_detection(person, names) for person in entry.people[finder]]
            row[self._fields[finder, _PEOPLE]] = {"_cls": "Detections", "detections": found}
        self._lines.write(",\n" if self._count else "\n")
        self._lines.write(json.dumps(row, ensure_ascii=False))
        self._count += 1

    def end(self) -> None:
        self._lines.write("\n]}\n")


def field_names(columns: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A FiftyOne field for each classifier and attribute, such as `gender_by_faces`: letters, digits, underscores."""
    names: dict[tuple[str, str], str] = {}
    for classifier, attribute in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", f"{attribute} by {classifier}".lower()).strip("_")
        number, name = 2, plain
        while name in names.values():
            name, number = f"{plain}_{number}", number + 1
        names[classifier, attribute] = name
    return names


def model_name(record: Mapping[str, Any]) -> str:
    """What the model is called, without the folders it lies in."""
    name = str((record.get("model") or {}).get("name", "")) or "unknown model"
    return Path(name).name if Path(name).is_absolute() else name


def _source(record: Mapping[str, Any]) -> str | None:
    """The IPTC digital source type of the images; None if the run did not make them itself."""
    made = record["identity"].get("model") or {}
    if "imported" in made or (record.get("plan") or {}).get("seed") is None:
        return None
    return DRAWN if made.get("kind") == "phantom-drawn" else TRAINED


def _image(store: Store, sample: Mapping[str, Any]) -> tuple[bytes, str]:
    """The bytes of an image as they are stored, or why there are none."""
    if sample["sample_id"].startswith(FORGOTTEN):
        return b"", "forgotten"
    if sample["outcome"] != "ok" or not sample["file"]:
        return b"", sample["reason"] or "no image is kept"
    try:
        if not (store.root / sample["file"]).resolve().is_relative_to(store.root.resolve()):
            return b"", "the image lies outside the run"
        data = load(store.root, store.place(sample))
    except OSError as error:
        return b"", f"the image cannot be read: {error.strerror or error}"
    if hashlib.sha256(data).hexdigest() != sample["sha256"]:
        return b"", "the image is damaged: its SHA-256 is another than when it was stored"
    return data, ""


def _marked(data: bytes, source: str | None, model: str, prompt: str) -> bytes:
    """The image with the mark of media made by AI if the run made it and stored it as WebP; else as it is."""
    if source is None or data[8:12] != b"WEBP":
        return data
    try:
        return with_xmp(data, packet(model, prompt, source))
    except ValueError:
        return data


def _suffix(file: str, data: bytes) -> str:
    known = Path(file).suffix.lower()
    if known in _SUFFIXES:
        return known
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        kind = str(image.format).lower()
    return {"jpeg": ".jpg", "mpo": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")


def _objects(people: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> dict[str, list[Any]]:
    """The people of an image as data sets of objects have them: x, y, width and height in pixels, and the answers."""
    answers = {name: [person["answers"][place] for person in people] for place, name in enumerate(attributes)}
    return {**answers, "bbox": [list(_box(person)) for person in people]}


def _detection(person: Mapping[str, Any], attributes: Sequence[str]) -> dict[str, Any]:
    """A person as FiftyOne's Detection: the box relative to the image, every answer as an attribute."""
    width, height = person["image_width"], person["image_height"]
    left, top, across, down = _box(person)
    return {
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": person["answers"][0],
        "bounding_box": [left / width, top / height, across / width, down / height],
        **{f"perceived_{name}": answer for name, answer in zip(attributes, person["answers"], strict=True)},
    }


def _box(person: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The part of a box inside the image: left, top, width, height."""
    left, right = (min(max(person[side], 0), person["image_width"]) for side in ("left", "right"))
    top, bottom = (min(max(person[side], 0), person["image_height"]) for side in ("top", "bottom"))
    return left, top, right - left, bottom - top


def _flat(entry: Entry) -> dict[str, str]:
    return {f"{name}/{attribute}": answer for (name, attribute), (answer, _) in entry.labels.items()}


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _line(file: TextIO, row: Mapping[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _clear(folder: Path, root: Path, *, force: bool) -> None:
    """Make room for an export; refuse a folder that holds anything else, or lies in the run."""
    if folder.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{folder} lies in the run {root}, which an export does not change. Choose another folder.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Choose another folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        return
    if not (folder / MARKER).is_file():
        raise UsageError(f"{folder} is not empty and holds no earlier export. Choose another folder.")
    if not force:
        raise UsageError(f"{folder} holds an earlier export. Choose another folder, or give --force to replace it.")
    for name in _OURS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        elif name != MARKER:
            (folder / name).unlink(missing_ok=True)


def _mark(folder: Path, layout: str, *, complete: bool) -> None:
    text = json.dumps({"made_by": "rolecall export", "layout": layout, "complete": complete})
    (folder / MARKER).write_text(text + "\n", encoding="utf-8")


_CAVEAT = (
    "Labels say what instruments, or people, perceived in the images; never who anybody is. "
    "Single labels err: use the corrected shares of the run for statements about the model."
)


def _about(record: Mapping[str, Any]) -> str:
    suite = (record.get("suite") or {}).get("name", "unnamed")
    name = record.get("name", "")
    return f"Images of {model_name(record)} for the suite {suite}, from the Rolecall run {name}.".replace("\n", " ")


def _readme(store: Store) -> str:
    columns = "\n".join(
        f"* `{name}/{attribute}`: perceived {attribute} as answered by {name}" for name, attribute in columns_of(store)
    )
    people = "".join(
        f"\n* `{name}/{_PEOPLE}`: the people found by {name}, the most prominent first: `bbox` (x, y, width, height in "
        "pixels), and what was answered for each"
        for name in finders(store)
    )
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: train/**
---
# {_about(store.record())}

{_CAVEAT}

`train/metadata.jsonl` has one line an image: `file_name`, `text` (the prompt), `revised_prompt` (where a service
rewrote it), `probe_id`, `subject`, `language`, `template`, `index`, `seed`, `sample_id`, `outcome`, and

{columns}{people}

An empty label means that there is none. Samples without an image (refused, failed, forgotten) stand in
`{WITHOUT}` with their `reason`.
"""
