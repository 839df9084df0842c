"""300 real images, audited again and again with the labels that people gave to a few of them. See `real_images.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

import audit
from audit.calibration import errors_table, tabulate
from audit.classifiers.base import Question
from audit.compared import Settings
from audit.corrections import Evidence, correct, overall, shares_of_images
from audit.counts import LOST, Counts
from audit.progress import Progress
from audit.statistics.intervals import Floats, Interval, wilson

ROOT = Path(__file__).parent.parent
CODES = ROOT / "docs" / "human-labels.md"
MODELS = {"dall_e_3": "DALL·E 3", "flux_dev": "FLUX.1-dev", "sdxl_turbo": "SDXL Turbo"}
GENDER = Question("gender", ("woman", "man"))
LABELS = 40
"""Images that people label in each draw."""
ALPHA = 0.05


class Whole(NamedTuple):
    """Shares of women among all images of a model, over D draws of labelled images."""

    human: float
    """What people said of all images: those of one woman among all of them."""
    human_single: float
    """The same among images of which people say that they show one person."""
    corrected: Interval
    """D intervals for these images, from faces and the labelled ones."""
    labels: Interval
    """D intervals for these images from the labelled ones alone."""
    faces: Interval
    """One interval: the share among images that faces gave a class, as if it made no errors."""
    faces_share: float


class Occupations(NamedTuple):
    """Shares of women among images of one person, by occupation, over D draws."""

    names: tuple[str, ...]
    human: Floats
    """J shares that people say."""
    images: Floats
    """J numbers of images of one person."""
    faces: Floats
    """J shares that faces says."""
    faces_interval: Interval
    """J intervals of those."""
    labelled: Floats
    """J numbers of images that faces gave a class."""
    corrected: Interval
    """D × J: errors of all occupations taken for each."""
    own: Interval
    """D × J: for these images, from the labels of the occupation alone; of all of its images."""
    human_all: Floats
    """J shares of images of one woman among all images of the occupation."""
    errors: pd.DataFrame
    """errors.csv with all images labelled."""
    flagged: Floats
    """J: part of the draws that flag the occupation."""


@dataclass(frozen=True)
class Draw:
    """What Rolecall says with one choice of labelled images."""

    images: tuple[float, float]
    labels: tuple[float, float]
    corrected: Interval
    own: Interval
    flagged: Floats


def codes(folder: Path) -> Path:
    """The table of codes that docs/human-labels.md shows for these images, as a file."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", CODES.read_text(encoding="utf-8"), re.M | re.S)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "codes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def imported(folder: Path, work: Path) -> audit.Run:
    """The run of one model: `rolecall import` with faces and people's labels. What is stored already is read."""
    return audit.import_folder(
        folder,
        folders="subject/condition",
        suite="occupations",
        classifier=("faces",),
        human_labels=next(folder.glob("*.csv")),
        codes=codes(work),
        threads=1,
        out=str(work / folder.name),
        report=False,
        progress=Progress(),
    )


def paired(run: audit.Run) -> pd.DataFrame:
    """One row an image: probe_id, subject, template, true (people), predicted (faces)."""
    labels = run.labels()
    labels = labels[labels["attribute"] == GENDER.attribute]
    keys = ["sample_id", "probe_id"]
    wide = labels.pivot(index=keys, columns="classifier", values="class").reset_index()
    wide = wide.merge(run.probes()[["probe_id", "subject", "template"]], on="probe_id").sort_values("sample_id")
    return wide.rename(columns={"human": "true", "faces": "predicted"}).reset_index(drop=True)


def counted(images: pd.DataFrame) -> Counts:
    """Answers of faces by occupation, both conditions together."""
    rows = []
    for subject, own in images.groupby("subject", sort=True):
        seen = own["predicted"].value_counts()
        given = {f"class__{name}": int(seen.get(name, 0)) for name in GENDER.classes}
        lost = {name: int(seen.get(name, 0)) for name in LOST}
        known = {"probe_id": subject, "subject": subject, "kind": "occupation", "language": "en", "form": "neutral"}
        rows.append({**known, "template": "", "people": "one", "asked": len(own), "made": len(own), **lost, **given})
    return Counts("faces", GENDER.attribute, GENDER.classes, False, pd.DataFrame(rows))


def drawn(images: pd.DataFrame, counts: Counts, chosen: npt.NDArray[np.int64], settings: Settings) -> Draw:
    """The tables that Rolecall makes with the human labels of the chosen images."""
    rows = images.iloc[chosen].assign(probe_id=images["subject"], sampling_probability=len(chosen) / len(images))
    calibration = tabulate("faces", GENDER, rows, "audited")
    evidence, every = Evidence(calibration), np.ones(len(counts.table), dtype=np.bool_)
    women = overall(counts, every, evidence, alpha=ALPHA, declared=True).iloc[0]
    by_occupation = correct(counts, evidence, alpha=ALPHA)
    nothing = np.zeros_like(calibration.table)
    names = list(counts.table["probe_id"])
    tables = np.stack([calibration.by_probe.get(name, nothing) for name in names])
    own = shares_of_images(counts.answers(), tables, len(GENDER.classes), alpha=ALPHA)
    errors = errors_table({("faces", "gender"): calibration}, {name: name for name in names}, settings)
    flagged = errors.set_index("subject")["flagged"].reindex(names).eq(True)
    return Draw(
        (float(women["images_low"]), float(women["images_high"])),
        _labels_alone((rows["true"] == "woman").sum(), len(rows), len(images)),
        Interval(by_occupation.low[:, 0], by_occupation.high[:, 0]),
        Interval(own.low[:, 0], own.high[:, 0]),
        flagged.to_numpy(np.float64),
    )


def _labels_alone(women: float, labelled: int, images: int) -> tuple[float, float]:
    """Wilson's interval of a sample without putting back: as many labels as have its variance with putting back."""
    share, n, z = women / labelled, labelled * (images - 1) / (images - labelled), float(special.ndtri(1 - ALPHA / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def experiment(images: pd.DataFrame, *, draws: int, labels: int, seed: int) -> tuple[Whole, Occupations]:
    """Draw labelled images again and again.

    Args:
        images: as `paired` gives them.
        draws: how often.
        labels: images labelled in each draw.
        seed: of the draws.

    Returns:
        Intervals of all draws beside what people said of all images.
    """
    counts, rng = counted(images), np.random.default_rng(seed)
    settings = Settings("list", ("", "", ""), ALPHA, 0.05, 499, seed, sequential=False)
    made = [drawn(images, counts, rng.permutation(len(images))[:labels], settings) for _ in range(draws)]
    woman, single = images["true"] == "woman", images["true"].isin(GENDER.classes)
    x, by = counts.array(), images["subject"]
    faces = wilson(x[:, 0], x.sum(axis=1))
    whole = wilson(x[:, 0].sum(), x.sum())
    n = single.groupby(by).sum().to_numpy(np.float64)
    thorough = settings._replace(draws=10_000)
    everything = images.assign(probe_id=by, sampling_probability=1.0)
    names = tuple(counts.table["probe_id"])
    errors = errors_table(
        {("faces", "gender"): tabulate("faces", GENDER, everything, "audited")},
        {name: name for name in names},
        thorough,
    )
    return (
        Whole(
            float(woman.mean()),
            float(woman.sum() / single.sum()),
            Interval(*np.array([draw.images for draw in made]).T),
            Interval(*np.array([draw.labels for draw in made]).T),
            whole,
            float(x[:, 0].sum() / x.sum()),
        ),
        Occupations(
            names,
            woman.groupby(by).sum().to_numpy(np.float64) / np.maximum(n, 1),
            n,
            x[:, 0] / np.maximum(x.sum(axis=1), 1),
            faces,
            x.sum(axis=1),
            Interval(*(np.array([draw.corrected[end] for draw in made]) for end in (0, 1))),
            Interval(*(np.array([draw.own[end] for draw in made]) for end in (0, 1))),
            woman.groupby(by).mean().to_numpy(np.float64),
            errors,
            np.mean([draw.flagged for draw in made], axis=0),
        ),
    )


def coverage(interval: Interval, truth: float | Floats) -> Floats:
    """Part of the draws whose interval holds the truth."""
    held: Floats = ((interval.low <= np.asarray(truth) + 1e-9) & (np.asarray(truth) <= interval.high + 1e-9)).mean(
        axis=0
    )
    return held


def agreement(images: pd.DataFrame) -> tuple[int, int, int]:
    """Images in which exactly one face was found and given a class; those of them of which people say that they show
    one person; and those with the same answer."""
    found = images[images["predicted"].isin(GENDER.classes)]
    one = found[found["true"].isin(GENDER.classes)]
    return len(found), len(one), int((one["true"] == one["predicted"]).sum())
