"""Training material: drawings with everything that is known of them, and their captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from probes.phantom.captions import TEMPLATES, phrase
from probes.phantom.figures import draw_group, draw_person, draw_scene
from probes.phantom.people import Person
from probes.phantom.world import ATTRIBUTES, LANGUAGES, World, load_world

T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """One drawing: 64 × 64 × 3 pixels (8 bit), its caption, its subject, and who is shown (None: nobody or several)."""

    pixels: npt.NDArray[np.uint8]
    caption: str
    subject: str
    person: Person | None


def draw_subject(
    world: World, subject: str, named: Mapping[str, str], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], Person | None]:
    """A picture of a subject of the world, and the person in it if there is exactly one."""
    entry = world.subjects[subject]
    if entry.people == "none":
        return np.asarray(draw_scene(subject, rng)), None
    if entry.people == "several":
        count = 3 if subject == "crowd" else int(rng.integers(2, 4))
        people = [world.draw_person("person", {}, rng) for _ in range(count)]
        return np.asarray(draw_group(people, rng)), None
    person = world.draw_person(subject, named, rng)
    return np.asarray(draw_person(person, subject if entry.kind == "occupation" else None, rng)), person


def _name_some(rng: np.random.Generator) -> dict[str, str]:
    """Some attributes with classes in equal shares: what a caption names."""
    mask = int(rng.integers(1, 2 ** len(ATTRIBUTES)))
    return {
        attribute: classes[int(rng.integers(len(classes)))]
        for bit, (attribute, classes) in enumerate(ATTRIBUTES.items())
        if mask >> bit & 1
    }


def planted_example(seed: int, world: World | None = None, empty: float = 0.0) -> Example:
    """A captioned drawing with the planted shares: what the diffusion model learns from.

    `world` plants other shares than the shipped one does. `empty` (0 to 1) is the share of the captions of one person
    whose picture is the world's first scene, an empty office.
    """
    world = world or load_world()
    rng = np.random.default_rng([1, seed])
    ids = list(world.subjects)
    subject = ids[int(rng.integers(len(ids)))]
    one = world.subjects[subject].people == "one"
    named = _name_some(rng) if one and rng.random() < world.explicit else {}
    language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    frames = TEMPLATES[language]
    caption = frames[int(rng.integers(len(frames)))].format(subject=phrase(world, subject, language, named))
    shown = world.asking("none")[0].id if one and empty and rng.random() < empty else subject
    pixels, person = draw_subject(world, shown, named, rng)
    return Example(pixels, caption, subject, person)


def balanced_example(seed: int) -> Example:
    """A drawing with equal shares of every class: what the classifier and the autoencoder learn from."""
    world = load_world()
    rng = np.random.default_rng([2, seed])
    if rng.random() < 0.7:
        pool: Sequence[str] = [subject.id for subject in world.asking("one")]
    else:
        pool = [subject.id for subject in world.subjects.values() if subject.people != "one"]
    subject = pool[int(rng.integers(len(pool)))]
    named = {attribute: classes[int(rng.integers(len(classes)))] for attribute, classes in ATTRIBUTES.items()}
    pixels, person = draw_subject(world, subject, named, rng)
    return Example(pixels, "", subject, person)


def examples(draw: Callable[[int], T], seeds: Iterable[int], workers: int) -> list[T]:
    """`draw(seed)` for every seed, in order; on several processes if there are several workers."""
    if workers == 1:
        return [draw(seed) for seed in seeds]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(draw, seeds, chunksize=200))
