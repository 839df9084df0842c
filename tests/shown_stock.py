"""What the commands of the documents read: models, folders, files and runs of the names that stand there, small."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from commands import PAINTER, WORDINGS
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from shown import ROOT, blocks

import audit
from audit.human import COLUMNS

HUB = ("stabilityai/sd-turbo", "some/model")
"""Ids of the hub that lie in the cache."""
PIPELINES = ("my-fine-tune", "my-model", "sd-turbo", "sd-turbo-tuned", "v1", "v2")
LORAS = ("my-lora.safetensors", "fair.safetensors")
DRAWN = ("runs/v1", "runs/v2")
"""Runs of the drawn phantom: as it is, and asked for women."""
CONDITIONS = ("baseline", "controlled")


def study_names(images: int, *conditions: str) -> list[str]:
    """The files of a study with two subjects."""
    return [
        f"{who}/{how}/{who}_{how}_s{i}.png"
        for who in ("nurse", "ceo")
        for how in conditions or CONDITIONS
        for i in range(images)
    ]


def seen(names: list[str]) -> str:
    """The table of what people saw in them."""
    return "image_file,gender,race\n" + "".join(f"/{name},F,white\n" for name in names)


TEXTS: Mapping[str, str] = {
    "my_model.py": PAINTER.replace("def paint", "def draw"),
    "prompts.csv": "prompt,subject\na photo of a nurse,nurse\na photo of a pilot,pilot\n",
    "listed.csv": "file,prompt\n" + "".join(f"{name},a photo of a nurse\n" for name in study_names(2)),
    "datei.csv": "datei;frage\n" + "".join(f"{name};eine Pflegekraft\n" for name in study_names(2)),
    "train/metadata.jsonl": f'{{"file_name": "{study_names(2)[0]}", "text": "a photo of a nurse"}}\n',
    "targets.csv": "subject,attribute,class,share\n*,gender,woman,0.468\n*,gender,man,0.532\n",
    "audit.yaml": "model: phantom-drawn\nsubjects: [nurse, builder]\nlanguages: en\nimages: 40\n",
    "other-images.csv": "attribute,true,predicted\n"
    + "".join(f"gender,{true},{seen}\n" for true, seen in [("woman", "woman"), ("man", "man")] * 20),
    "rates.yaml": "gender: {woman: [0.9, 0.98], man: 0.95}\n",
    "my-wordings.yaml": WORDINGS,
    "one-person.yaml": WORDINGS,
    "labels.csv": seen(study_names(2)),
    "baseline.csv": "file,subject\n" + "".join(f"{name},{name.split('/')[0]}\n" for name in study_names(4, "baseline")),
    "controlled.csv": "file,subject\n"
    + "".join(f"{name},{name.split('/')[0]}\n" for name in study_names(4, "controlled")),
}


def block(page: str, words: str) -> str:
    """The first block of a document that holds these words."""
    return next(each.text for each in blocks((ROOT / page).read_text(encoding="utf-8")) if words in each.text)


def noise(folder: Path, names: list[str], caption: str = "") -> None:
    """Small images of noise, with captions beside them if wanted."""
    rng = np.random.default_rng(3)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
        if caption:
            path.with_suffix(".txt").write_text(caption.format(path.parent.name), encoding="utf-8")


def study(folder: Path, images: int = 2) -> None:
    """Images by subject and condition, with the table of what people saw in them."""
    noise(folder, study_names(images))
    (folder / "gpt.csv").write_text(seen(study_names(images)))


def settings(path: Path) -> None:
    """An image that says how it was made, as Automatic1111 writes it."""
    noise(path.parent, [path.name])
    told = PngInfo()
    told.add_text("parameters", "a photo of a nurse\nSteps: 20, Sampler: Euler, Seed: 5, Size: 16x16, Model: some")
    Image.open(path).save(path, pnginfo=told)


def captioned(folder: Path) -> None:
    """A collection with captions."""
    noise(folder, [f"{who}/{i}.png" for who in ("nurse", "pilot") for i in range(4)], "a photo of a {}")


class Stock:
    """Gives a folder what a command reads and the folder does not have, made once for all."""

    def __init__(self, root: Path, pipeline: Path, single: tuple[Path, Path], lora: Path, classifier: Path) -> None:
        self.root, self.classifier = root, classifier
        links = dict.fromkeys(PIPELINES, pipeline) | dict.fromkeys(LORAS, lora)
        links |= {"checkpoint.safetensors": single[0], "sd15-config": single[1], "small-clip": classifier}
        links |= {"new.safetensors": ROOT / "probes/phantom/weights/lora/skewed.safetensors"}
        links |= {"probes/phantom/weights": ROOT / "probes" / "phantom" / "weights"}
        self.makers: dict[str, Callable[[Path], object]] = {}
        for name, target in links.items():
            self.makers[name] = lambda path, target=target: path.symlink_to(target)
        for name, text in TEXTS.items():
            self.makers[name] = lambda path, text=text: path.write_text(text, encoding="utf-8")
        for name in DRAWN:
            self.makers[name] = lambda path, name=name: shutil.copytree(self.drawn(name), path)
        self.makers |= {
            "codes.yaml": lambda path: path.write_text(block("docs/human-labels.md", "several_people: {both")),
            "baseline.json": lambda path: audit.export_baseline(self.drawn(DRAWN[0]), path),
            "runs/laion-shards-training": lambda path: shutil.copytree(self.training, path),
        }
        self.makers |= dict.fromkeys(("dall-e-3", "dall_e_3", "midjourney", "images"), study)
        self.makers["IMAGES/dall_e_3"] = lambda path: study(path, 4)
        self.makers["00012.png"] = settings
        self.makers["by-language"] = lambda path: noise(path, [f"a/en/a photo of a nurse/{i}.png" for i in range(2)])
        self.makers["by-file"] = lambda path: noise(path, [f"baseline/a_photo_of_a_nurse_{i}.png" for i in range(2)])
        self.makers |= dict.fromkeys(("laion-shards", "laion-sample"), captioned)

    def hub(self, cache: Path) -> None:
        """Put the pipeline into a cache of the hub, under all ids."""
        commit = "0123456789abcdef0123456789abcdef01234567"
        for name in HUB:
            folder = cache / f"models--{name.replace('/', '--')}"
            (folder / "snapshots").mkdir(parents=True)
            (folder / "refs").mkdir()
            (folder / "refs" / "main").write_text(commit)
            self.makers["my-model"](folder / "snapshots" / commit)

    def drawn(self, name: str) -> Path:
        """A run of the drawn phantom: 2 probes × 8 images, with the seeds of the others."""
        intervention = None if name == DRAWN[0] else "woman"
        path = self.root / f"drawn-{intervention}"
        if not path.exists():
            audit.run(
                model="phantom-drawn", subjects="nurse,builder", templates="portrait", languages="en", images=8,
                attributes="gender", draws=200, threads=1, intervention=intervention, out=str(path), report=False,
            )  # fmt: skip
        return path

    @cached_property
    def training(self) -> Path:
        """A run of training data, labelled as the other runs are."""
        captioned(self.root / "collection")
        wordings = self.root / "one-person.yaml"
        wordings.write_text(WORDINGS)
        return audit.import_training(
            self.root / "collection", out=self.root / "training", classifier=f"local-dir:{self.classifier}",
            wordings=str(wordings), attributes="gender", draws=200, threads=1, report=False,
        ).path  # fmt: skip

    def supply(self, folder: Path, text: str) -> None:
        """Make what `text` (a command) names, and what the YAML files name that it names."""
        for name, make in self.makers.items():
            path = folder / name
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) and not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                make(path)
        for name in re.findall(r"[\w.-]+\.yaml", text):
            if (folder / name).is_file() and (folder / name).read_text() != text:
                self.supply(folder, (folder / name).read_text())


def labels(run: Path, path: Path) -> None:
    """What the person after whom the file is named gives back for the sheet of a run: the first class, each time."""
    sheet = max((run / "human").glob("sheet-*.csv"), key=lambda file: file.stat().st_mtime)
    with sheet.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            given = (row["sample_id"], path.stem, "gender", "woman", row["code"], row["sampling_probability"])
            writer.writerow(given)
