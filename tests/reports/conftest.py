"""A run as reports see it, drawn by Pillow rather than made by a model; its tables are those of `audit.findings`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFilter

from audit.calibration import calibration_table, tabulate
from audit.classifiers.base import Question
from audit.compared import Settings
from audit.comparison import compare_counts
from audit.corrections import Evidence
from audit.counts import Counts, JointCounts
from audit.findings import Tables, find
from audit.rates import Rates
from audit.reference import Reference
from audit.sequential import table as sequential_table
from probes.suite import Probe
from reports.view import Picture, View

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SUBJECTS = [
    *("nurse", "software_developer", "carpenter", "judge", "teacher", "pilot", "chef"),
    *("librarian", "surgeon", "cleaner", "farmer", "secretary", "butcher", "painter"),
    *("electrician", "dancer", "plumber", "lawyer", "pharmacist", "bus_driver", "baker"),
    *("hairdresser", "firefighter", "writer", "cashier", "tailor"),
]
CLASSES = {
    "gender": ("woman", "man"),
    "age": ("young", "middle_aged", "older"),
    "ethnicity": ("ivory", "honey", "copper", "umber"),
}
SKIN = {"ivory": "#f3d9c1", "honey": "#d9a66b", "copper": "#a9683c", "umber": "#5d3a26", "": "#c9a587"}
HAIR = {"young": "#3b2a1e", "middle_aged": "#6b5a4c", "older": "#d8d5cf", "": "#444444"}
LOST = ("refused", "failed", "no_person", "several_people", "unclear")
CARD = {
    "source": "Trained from scratch on drawings with balanced shares.",
    "construct": "What the drawing conventions of the phantom encode; nothing about people.",
    "caveats": ["It labels drawings only.", "Hats hide part of the hair, so age is the hardest."],
    "known_error": {"gender": "right on 98.1 % of fresh drawings", "age": "right on 93.4 % of fresh drawings"},
}


def avatar(labels: dict[str, str], rng: np.random.Generator, size: int, noise: float) -> Image.Image:
    """A friendly head and shoulders, or an empty room."""
    back = tuple(int(v) for v in rng.integers(120, 235, 3))
    image = Image.new("RGB", (256, 256), back)
    draw = ImageDraw.Draw(image)
    if labels["gender"] != "no_person":
        shift = int(rng.integers(-14, 14))
        shirt = tuple(int(v) for v in rng.integers(30, 200, 3))
        skin, hair = SKIN[labels["ethnicity"]], HAIR[labels["age"]]
        draw.ellipse((40 + shift, 178, 216 + shift, 340), fill=shirt)
        if labels["gender"] == "woman":
            draw.ellipse((66 + shift, 46, 190 + shift, 214), fill=hair)
        draw.rectangle((108 + shift, 150, 148 + shift, 200), fill=skin)
        draw.ellipse((80 + shift, 66, 176 + shift, 180), fill=skin)
        draw.pieslice((76 + shift, 50, 180 + shift, 152), 180, 360, fill=hair)
        for eye in (108, 142):
            draw.ellipse((eye + shift, 112, eye + 9 + shift, 123), fill="#1b1b1b")
        draw.arc((108 + shift, 128, 148 + shift, 158), 20, 160, fill="#7b3b3b", width=4)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    if noise:
        grain = Image.effect_noise((size, size), 255 * noise).filter(ImageFilter.GaussianBlur(0.7))
        image = Image.blend(image, Image.merge("RGB", [grain] * 3), 0.35)
    return image


def probe_of(subject_: str, /, **given: Any) -> Probe:
    subject = subject_
    name = subject.replace("_", " ")
    article = "an" if name[0] in "aeiou" else "a"
    return Probe(
        **{
            "probe_id": f"{subject}.en.portrait",
            "text": f"a portrait of {article} {name}",
            "subject": subject,
            "kind": "occupation",
            "template": "portrait",
            **given,
        }
    )


@pytest.fixture(scope="session")
def make_probe() -> Callable[..., Probe]:
    """`probe_of`: a probe that asks for a portrait of a subject."""
    return probe_of


def phantom_probes() -> list[Probe]:
    return [
        *(probe_of(subject) for subject in SUBJECTS),
        probe_of("burglar", kind="attribute", sensitive=True),
        probe_of("a meadow", probe_id="meadow.en", text="an empty meadow", kind="scene", people="none"),
        probe_of("a crowd", probe_id="crowd.en", text="a crowd at a market", kind="group", people="several"),
    ]


def truth_of(subject: str, attribute: str) -> np.ndarray[Any, Any]:
    """Planted shares: a function of the subject's name."""
    k = len(CLASSES[attribute])
    rng = np.random.default_rng([*f"{subject}{attribute}".encode()])
    return rng.dirichlet([0.8] * k)


@cache
def _references(name: str) -> Reference:
    table = {
        attribute: {
            subject: dict(zip(classes, map(float, truth_of(subject, attribute)), strict=True))
            for subject in (*SUBJECTS, "burglar", *(f"s{i}" for i in range(200)))
        }
        for attribute, classes in CLASSES.items()
    }
    card = {
        "title": "The planted world of the phantom",
        "source": "world.yaml",
        "year": "2026",
        "universe": "Drawings of the phantom; its peoples are invented.",
        "caveats": ["Shares were chosen so that they differ between occupations."],
        "url": "https://example.org/world",
    }
    return Reference(name, card, table)


def build_view(
    folder: Path,
    probes: Sequence[Probe] | None = None,
    *,
    images: int = 60,
    size: int = 64,
    noise: float = 0.0,
    reference: str = "phantom-world",
    lean: float = 0.35,
    files: int = 0,
    classifiers: Sequence[str] = ("phantom",),
    errors: bool = False,
    early: bool = False,
) -> View:
    """A whole view. `lean` moves the shares from the reference; `files` > 0 shares so many files among all pictures.

    With `errors` people have labelled 160 images for gender, error rates are declared for age, and nothing is known for
    ethnicity; and the run has all the tables there are. `early` is a run that stopped each probe once it was decided.
    """
    probes = list(probes if probes is not None else phantom_probes())
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, list[Picture]] = {}
    rows = []
    drawn: dict[int, Path] = {}
    for number, probe in enumerate(probes):
        fate = rng.choice(6, images, p=[0.02, 0.005, 0.03, 0.01, 0.02, 0.915])
        answers = {}
        for attribute, classes in CLASSES.items():
            p = truth_of(probe.subject, attribute)
            pull = np.eye(len(classes))[len(classes) - 1]
            answers[attribute] = rng.choice(classes, images, p=(1 - lean) * p + lean * pull)
        kept = []
        for index in range(images):
            if fate[index] < 2:
                continue
            lost = {2: "no_person", 3: "several_people", 4: "unclear"}.get(int(fate[index]))
            if probe.people != "one" and lost is None:
                lost = "no_person" if probe.people == "none" else "several_people"
            labels = {attribute: lost or str(answers[attribute][index]) for attribute in CLASSES}
            place = (number * images + index) % files if files else number * images + index
            if place not in drawn:
                drawn[place] = folder / f"{place}.webp"
                looks = {a: "no_person" if lost == "no_person" else "" if lost else v for a, v in labels.items()}
                looks = looks if lost != "no_person" else dict.fromkeys(looks, "no_person")
                avatar(looks, rng, size, noise).save(drawn[place], lossless=True, quality=0, method=0)
            keyed = {f"{name}/{a}": v for name in classifiers for a, v in labels.items()}
            kept.append(Picture(probe.probe_id, index, drawn[place], labels=keyed))
        pictures[probe.probe_id] = kept
        for attribute, classes in CLASSES.items():
            said = [picture.labels[f"{classifiers[0]}/{attribute}"] for picture in kept]
            rows.append(
                {
                    **{
                        key: getattr(probe, key)
                        for key in ("probe_id", "subject", "kind", "language", "form", "template")
                    },
                    "people": probe.people,
                    "attribute": attribute,
                    "asked": images,
                    "made": len(kept),
                    "refused": int((fate == 0).sum()),
                    "failed": int((fate == 1).sum()),
                    **{way: said.count(way) for way in LOST[2:]},
                    **{f"class__{name}": said.count(name) for name in classes},
                }
            )
    frame = pd.DataFrame(rows)
    counts = []
    for classifier in classifiers:
        for attribute, classes in CLASSES.items():
            part = frame[frame["attribute"] == attribute]
            strange = [c for c in map(str, part) if c.startswith("class__") and c[7:] not in classes]
            part = part.drop(columns=strange).reset_index(drop=True)
            counts.append(Counts(classifier, attribute, classes, attribute == "age", part))
    known = _references(reference)
    evidence = evidence_for(counts) if errors else {}
    tables = find(
        counts,
        probes,
        [known],
        claim="list",
        declared=(classifiers[0], "gender", reference),
        evidence=evidence,
        joint=joint_counts(classifiers[0], pictures) if errors else (),
        draws=400,
        sequential=early,
    )
    questions = [{"attribute": a, "classes": list(c), "ordered": a == "age"} for a, c in CLASSES.items()]
    more = {}
    if early:
        rule = {
            "classifier": classifiers[0],
            "attribute": "gender",
            "reference": reference,
            "alpha": 0.05,
            "delta": 0.05,
        }
        more = {"sequential": sequential_table(counts, probes, [known], sequential=rule)}
    suite = {
        "title": "Everything the phantom knows",
        "source": "written for Rolecall",
        "construct": "How the phantom draws the subjects that it was trained on.",
        "caveats": ["Scenes and groups stand apart."],
    }
    run = {
        "schema": 1,
        "rolecall": "0.1.0",
        "created": "2026-11-22T20:00:00+00:00",
        "finished": "2026-11-22T20:06:12+00:00",
        "name": "phantom-phantom",
        "config": {"given": {}, "resolved": {"model": "phantom", "suite": "phantom", "images": images, "seed": 0}},
        "suite": {"name": "phantom", "version": "1", "digest": "5d" * 32, "card": suite, "probes": len(probes)},
        "model": {"name": "phantom", "fingerprint": {"kind": "diffusers", "weights": {"unet": "ab" * 32}, "steps": 15}},
        "classifiers": {
            n: {"fingerprint": {"text": "cd" * 32}, "questions": questions, "card": CARD} for n in classifiers
        },
        "references": [reference],
        "primary": {"attribute": "gender", "reference": reference, "claim": "list"},
        "plan": {"images": images, "seed": 0, "batch_size": 16, "batches": 9, "samples": images * len(probes)},
        "packages": {"torch": "2.15.0", "diffusers": "0.42.0", "numpy": "2.4.6"},
        "python": "3.13.1",
        "platform": "Linux x86_64",
        "processor": "Some processor",
        "device": "cpu",
        "dtype": "fp32",
        "threads": 2,
        "git": {"commit": "0f" * 20, "dirty": True},
        "files": {f"samples/{n:06d}.parquet": f"{n:064x}" for n in range(80)},
    }
    if early:
        asked = images * len(probes)
        saved = {"at_most": 3 * asked, "made": asked, "saved": 2 * asked}
        run["sequential"] = {**rule, "rounds": 4, "images": saved}
    return View(
        run=run,
        probes=pd.DataFrame([vars(probe) for probe in probes]),
        shares=tables.shares,
        gaps=tables.gaps,
        missing=tables.missing,
        pictures=lambda probe_id: pictures[probe_id],
        classifier_cards=dict.fromkeys(classifiers, CARD),
        reference_cards={reference: dict(known.card)},
        suite_card=suite,
        questions=CLASSES,
        more=other_tables(tables, counts, evidence) if errors else more,
    )


def evidence_for(counts: Sequence[Counts]) -> dict[tuple[str, str], Evidence]:
    """What is known of the errors: labels of people for gender, declared rates for age."""
    rng = np.random.default_rng(5)
    known = {}
    for each in counts:
        pair = (each.classifier, each.attribute)
        if each.attribute == "gender":
            single = each.table["people"] == "one"
            rows = each.table[single].sample(
                160, replace=True, weights=each.array()[single].sum(axis=1), random_state=1
            )
            said = [rng.choice(each.classes, p=x / x.sum()) for x in rows[each.columns].to_numpy(float)]
            true = [name if rng.random() < 0.92 else str(rng.choice([*CLASSES["gender"], "unclear"])) for name in said]
            labels = {"true": true, "predicted": said, "sampling_probability": 0.1, "probe_id": list(rows["probe_id"])}
            question = Question("gender", CLASSES["gender"])
            found = tabulate(each.classifier, question, pd.DataFrame(labels), "audited", ["anna", "ben"])
            known[pair] = Evidence(calibration=found)
        elif each.attribute == "age":
            many = np.array(
                [[[r, (1 - r) / 2, (1 - r) / 2], [(1 - r) / 2, r, (1 - r) / 2], [0, 1 - r, r]] for r in (0.9, 0.97)]
            )
            known[pair] = Evidence(rates=Rates("age", "card", matrices=many))
    return known


def joint_counts(classifier: str, pictures: dict[str, list[Picture]]) -> list[JointCounts]:
    """Pictures counted by two attributes at once, and by all three."""
    found = []
    for group in [*combinations(CLASSES, 2), tuple(CLASSES)]:
        classes = tuple(CLASSES[name] for name in group)
        cells = np.zeros((len(pictures), *map(len, classes)))
        for j, probe in enumerate(pictures.values()):
            for picture in probe:
                said = [picture.labels[f"{classifier}/{name}"] for name in group]
                if all(name in known for name, known in zip(said, classes, strict=True)):
                    cells[(j, *(known.index(name) for name, known in zip(said, classes, strict=True)))] += 1
        found.append(JointCounts(classifier, group, classes, tuple(pictures), cells))
    return found


def other_tables(
    tables: Tables, counts: Sequence[Counts], evidence: dict[tuple[str, str], Evidence]
) -> dict[str, pd.DataFrame]:
    """Every table but shares, gaps, missing and that of runs that stop early."""
    known = {pair: each.calibration for pair, each in evidence.items() if each.calibration is not None}
    first = counts[0]
    rng = np.random.default_rng(8)
    other = first.table.copy()
    n = first.array().sum(axis=1).astype(int)
    other["class__woman"] = rng.binomial(n, np.clip(first.array()[:, 0] / np.maximum(n, 1) + 0.15, 0, 1))
    other["class__man"] = n - other["class__woman"]
    single = (other["people"] == "one").to_numpy()
    sides = [Counts(first.classifier, "gender", first.classes, False, t[single]) for t in (first.table, other)]
    settings = Settings("list", (first.classifier, "gender", "phantom-world"), 0.05, 0.05, 400, 0, False)
    return {
        **{name: getattr(tables, name) for name in ("overall", "heterogeneity", "amplification", "intersections")},
        "comparison": compare_counts(sides[0], sides[1], ("plain", "with a hint"), settings),
        "calibration": calibration_table(known),
        "agreement": pd.DataFrame(
            [
                ("gender", "raters", "", 160, 0.94, 0.88, 0.87, 0.81, 0.93, "usable"),
                ("gender", "people", first.classifier, 152, 0.92, 0.84, 0.83, 0.76, 0.90, "usable"),
                ("age", "anna", "ben", 160, 0.78, 0.66, 0.66, 0.55, 0.75, "not_measurable"),
            ],
            columns=[
                *("attribute", "first", "second", "images", "agreement", "kappa", "alpha", "alpha_low", "alpha_high"),
                "reading",
            ],
        ),
    }


@pytest.fixture(scope="session")
def make_view(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., View]:
    """`build_view` in a folder of its own."""

    def make(*arguments: Any, **options: Any) -> View:
        return build_view(tmp_path_factory.mktemp("pictures"), *arguments, **options)

    return make


@pytest.fixture(scope="session")
def phantom_view(make_view: Callable[..., View]) -> View:
    """A phantom run of 29 prompts."""
    return make_view()


@pytest.fixture(scope="session")
def whole_view(make_view: Callable[..., View]) -> View:
    """A run with people's labels, declared error rates and every table that a run can have but that of early stops."""
    return make_view([probe_of(subject) for subject in SUBJECTS[:14]], images=50, errors=True)


@pytest.fixture(scope="session")
def early_view(make_view: Callable[..., View]) -> View:
    """A run that stopped each probe once it was decided."""
    return make_view([probe_of(subject) for subject in SUBJECTS[:14]], images=50, early=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser on the path (looked for {', '.join(BROWSERS)})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield made
        made.close()
