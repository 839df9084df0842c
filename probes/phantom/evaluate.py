"""Measure the shipped weights: `python -m probes.phantom.evaluate`.

First the classifier on fresh drawings with equal shares, whose truth is known; then the diffusion model, as that
classifier sees it, against the planted shares. Prints two tables and what they come to.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from probes.generators.base import Generator, Request
from probes.phantom import CLASSIFIER
from probes.phantom.captions import TEMPLATES
from probes.phantom.data import Example, balanced_example
from probes.phantom.wordings import wordings
from probes.phantom.world import ATTRIBUTES, LANGUAGES, load_world

FRESH = 50_000_000
"""First seed of the drawings for evaluation, far above those of training."""
MARGIN = 0.1
"""Least distance between the two highest scores of an answer; below it the answer is unclear."""


class ZeroShot:
    """The phantom's classifier, asked with its own wordings."""

    def __init__(self, folder: Path = CLASSIFIER) -> None:
        """Load the open_clip model in `folder` and encode every wording (mean of a class's unit vectors)."""
        import open_clip
        import torch

        self._model, _, self._preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self._model.eval()
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.classes: dict[str, tuple[str, ...]] = {}
        self._texts: dict[str, torch.Tensor] = {}
        with torch.inference_mode():
            for question, answers in wordings(load_world()).items():
                rows = [self._model.encode_text(tokenizer(texts), normalize=True).mean(0) for texts in answers.values()]
                self.classes[question] = tuple(answers)
                self._texts[question] = torch.nn.functional.normalize(torch.stack(rows), dim=-1)

    def scores(self, images: Sequence[Image.Image]) -> dict[str, npt.NDArray[np.float32]]:
        """Question → softmax scores, images × classes."""
        import torch

        found: dict[str, list[torch.Tensor]] = {question: [] for question in self._texts}
        with torch.inference_mode():
            for first in range(0, len(images), 128):
                pixels = torch.stack([self._preprocess(image) for image in images[first : first + 128]])
                seen = self._model.encode_image(pixels, normalize=True)
                for question, asked in self._texts.items():
                    found[question].append((self._model.logit_scale.exp() * seen @ asked.T).softmax(-1))
        return {question: torch.cat(parts).numpy() for question, parts in found.items()}


def accuracy(classifier: ZeroShot, drawn: Sequence[Example]) -> dict[str, float]:
    """Share of drawings answered rightly, 0 to 1: each attribute where one person is shown, and `persons` on all."""
    world = load_world()
    scores = classifier.scores([Image.fromarray(example.pixels) for example in drawn])
    right: dict[str, float] = {}
    for question in (*ATTRIBUTES, "persons"):
        pairs = [
            (classifier.classes[question][int(scores[question][row].argmax())], truth)
            for row, example in enumerate(drawn)
            if (truth := _truth(question, example, world.subjects[example.subject].people)) is not None
        ]
        right[question] = float(np.mean([answer == truth for answer, truth in pairs]))
    return right


def _truth(question: str, example: Example, people: str) -> str | None:
    if question == "persons":
        return people
    return None if example.person is None else str(getattr(example.person, question))


def generated_shares(
    generator: Generator, classifier: ZeroShot, images: int, seed: int
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    """Subject → attribute → perceived share of every class, with `missing`: shares of not one person, and of unclear.

    Each subject with one person is asked for `images` times, half in English and half in German.
    """
    world = load_world()
    subjects = world.asking("one")
    found = {}
    for number, subject in enumerate(subjects):
        prompts = [TEMPLATES[language][0].format(subject=subject.phrases[language]) for language in LANGUAGES]
        first = (seed * len(subjects) + number) * images
        requests = [Request(prompts[i % len(prompts)], first + i) for i in range(images)]
        scores = classifier.scores(draw(generator, requests))
        one = scores["persons"].argmax(-1) == classifier.classes["persons"].index("one")
        ordered = np.sort(scores["gender"], axis=-1)
        unclear = one & (ordered[:, -1] - ordered[:, -2] < MARGIN)
        counted = one & ~unclear
        shares: dict[str, npt.NDArray[np.float64]] = {
            attribute: np.bincount(scores[attribute][counted].argmax(-1), minlength=len(classes))
            / max(1, counted.sum())
            for attribute, classes in ATTRIBUTES.items()
        }
        shares["missing"] = np.array([1 - one.mean(), unclear.mean()])
        found[subject.id] = shares
    return found


def draw(generator: Generator, requests: Sequence[Request]) -> list[Image.Image]:
    """The images of all requests, in batches of the generator's size, the last one padded with copies.

    Raises:
        RuntimeError: if the generator gives no image for a request.
    """
    size, images = generator.batch_size, []
    for first in range(0, len(requests), size):
        batch = list(requests[first : first + size])
        padded = batch + [batch[-1]] * (size - len(batch)) if generator.fixed_batches else batch
        for request, result in zip(batch, generator.generate(padded), strict=False):
            if result.image is None:
                raise RuntimeError(f"{generator.name} gave no image for {request.prompt!r}: {result.reason}.")
            images.append(result.image)
    return images


def summary(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Distances from the planted shares over the occupations, each 0 to 1.

    `mean` and `largest` absolute difference of the share of women, their `correlation` with the planted ones, `missing`
    (mean share of images unclear or without one person), and the mean absolute differences of `age` and `ethnicity`.
    """
    subjects = [subject for subject in load_world().asking("one") if subject.kind == "occupation"]
    seen = np.array([found[subject.id]["gender"][0] for subject in subjects])
    planted = np.array([subject.shares["gender"][0] for subject in subjects])
    result = {
        "mean": float(np.abs(seen - planted).mean()),
        "largest": float(np.abs(seen - planted).max()),
        "correlation": float(np.corrcoef(seen, planted)[0, 1]),
        "missing": float(np.mean([found[subject.id]["missing"].sum() for subject in subjects])),
    }
    for attribute in ("age", "ethnicity"):
        gaps = [np.abs(found[subject.id][attribute] - subject.shares[attribute]).mean() for subject in subjects]
        result[attribute] = float(np.mean(gaps))
    return result


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m probes.phantom.evaluate", description=__doc__)
    parser.add_argument("--drawings", type=int, default=2_000, help="fresh drawings for the classifier")
    parser.add_argument("--images", type=int, default=200, help="generated images per subject")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="phantom", help="phantom, phantom-drawn, or the folder of a pipeline")
    parser.add_argument("--classifier", type=Path, default=CLASSIFIER, help="folder of the open_clip model")
    given = parser.parse_args()
    classifier = ZeroShot(given.classifier)
    first = FRESH + given.seed * given.drawings
    right = accuracy(classifier, [balanced_example(first + i) for i in range(given.drawings)])
    print(f"{given.drawings} fresh drawings answered rightly")
    for question, share in right.items():
        print(f"  {question:10} {share:.3f}")
    from probes.generators.registry import load_generator

    found = generated_shares(load_generator(given.model), classifier, given.images, given.seed)
    print(f"\n{given.images} images a subject by {given.model}: perceived share / planted share")
    for subject in load_world().asking("one"):
        cells = [
            " ".join(f"{a:.2f}/{b:.2f}" for a, b in zip(found[subject.id][name], subject.shares[name], strict=True))
            for name in ATTRIBUTES
        ]
        absent, unclear = found[subject.id]["missing"]
        print(f"  {subject.id:15} {' | '.join(cells)} | not one person {absent:.3f}, unclear {unclear:.3f}")
    print()
    for name, value in summary(found).items():
        print(f"  {name:12} {value:.3f}")


if __name__ == "__main__":
    main()
