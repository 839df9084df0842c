"""Zero-shot labels from any open_clip model.

An image is encoded once, whatever is asked of it. Its embedding, of unit length, is stored as fp16, and every answer is
computed from the embedding as stored, so that other wordings, classes or margins need neither the image nor the image
tower, and give what they would have given at once.

Classes of one attribute exclude each other, so their scores are a softmax of the scaled cosines. That holds for
SigLIP too: its sigmoid says whether a text fits at all, and its bias, equal for all texts, cancels in the softmax.

Answers must not depend on what else is labelled at the same time. Images go through the tower in batches of one size,
padded with zeros. Cosines are exact: entries of fp16 embeddings are multiples of 2⁻²⁴, those of text features are
rounded to multiples of 2⁻²⁶, and a sum of their products, below 4 for vectors of unit length, fits into the 53 bits of
fp64 in any order of summation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.attribute import AttributeSpec, Joint, Wordings
from audit.classifiers.base import NO_PERSON, SEVERAL_PEOPLE, UNCLEAR, ClassifierError, Labels, Question
from audit.classifiers.checkpoint import (
    find_checkpoint,
    load_model,
    load_text_tower,
    load_tokenizer,
    preprocess_steps,
)

if TYPE_CHECKING:
    import torch

DTYPES = ("fp32", "bf16")
_TEXTS = 16
"""Texts encoded at once, padded: the features of a wording never depend on the other wordings."""
_ROWS = 4096
"""Embeddings labelled at once: 32 MiB of fp64 at 1,024 dimensions."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Texts:
    """Text features of everything asked, as rows of one matrix."""

    scale: float
    """exp(logit_scale), taken once."""
    features: Floats
    """m × d, on the grid of 2⁻²⁶."""
    persons: slice
    """Rows of one, none, several; empty if not asked."""
    alone: dict[str, slice]
    """Attribute → rows of its classes."""
    joint: slice
    """Rows of the combinations of classes, the last attribute varying fastest; empty without a joint set."""


class ClipClassifier:
    """An open_clip model with an attribute set. Satisfies `EmbeddingClassifier`."""

    def __init__(
        self,
        model: str,
        wordings: Wordings,
        *,
        name: str | None = None,
        attributes: Sequence[str] | None = None,
        margin: float | None = None,
        device: str = "cpu",
        dtype: str = "fp32",
        batch_size: int | None = None,
    ) -> None:
        """Find the checkpoint and fix what is asked; towers are loaded when they are first needed.

        `model` is `MODEL/TAG`, `MODEL/PATH`, `local-dir:FOLDER` or `hf-hub:OWNER/NAME`. `attributes` (default: all) and
        `margin` (default: each attribute's own) narrow and override the attribute set; `dtype` is that of the weights
        and images in the image tower, `fp32` or `bf16`; texts are always encoded in fp32.

        Raises:
            ClassifierError: unknown model, tag, attribute or dtype, no weights, a damaged file.
        """
        if dtype not in DTYPES:
            raise ClassifierError(f"dtype of a classifier must be one of {', '.join(DTYPES)} (got {dtype!r}).")
        batch_size = 16 if batch_size is None else batch_size
        if batch_size < 1:
            raise ClassifierError(f"batch_size of a classifier must be at least 1 (got {batch_size}).")
        self._asked = wordings.pick(attributes, margin)
        self._wordings = wordings
        self._checkpoint = find_checkpoint(model)
        self._device, self._dtype, self._batch_size = device, dtype, batch_size
        self._image_tower: torch.nn.Module | None = None
        self._text_features: _Texts | None = None
        self._steps: list[Any] = []
        self._model = name or self._checkpoint.name
        self.name = name or _slug(f"clip-{self._model}")
        self.questions = tuple(Question(a.name, tuple(a.classes), a.ordered) for a in self._asked)
        tower = json.dumps(self._tower(), sort_keys=True).encode()
        self.embedding_name = f"open-clip-{dtype}-{hashlib.sha256(tower).hexdigest()[:12]}"

    def fingerprint(self) -> dict[str, object]:
        """Model, digests of architecture, weights and wordings, preprocessing, dtype, batch size, device, margins."""
        return {
            "kind": "open_clip zero-shot",
            "model": self._model,
            **self._tower(),
            "device": self._device.partition(":")[0],
            "wordings": {
                "name": self._wordings.name,
                "version": self._wordings.version,
                "digest": self._wordings.digest(),
            },
            "attributes": [a.name for a in self._asked],
            "margins": {a.name: a.margin for a in self._asked},
        }

    def card(self) -> dict[str, object]:
        """Source, construct, caveats and known error, as a report says them."""
        card, model = self._wordings.card, self._model
        measured = str(card["measured_with"])
        same = model.replace("-quickgelu", "") == measured
        other = "" if same else f"Not measured for {model}. Of {measured}: "
        caveats, rates = card["caveats"], card["error_rates"]
        asked = {a.name for a in self._asked}
        return {
            "source": f"{model} (open_clip, zero-shot) with the wordings {self._wordings.name} "
            f"{self._wordings.version}. {card['source']}".strip(),
            "construct": card["construct"],
            "caveats": list(caveats) if isinstance(caveats, list) else [],
            "known_error": {
                a.name: other + a.known_error if a.known_error else f"Not known for {model} with these wordings."
                for a in self._asked
            },
            "error_rates": {name: value for name, value in rates.items() if same and name in asked}
            if isinstance(rates, dict)
            else {},
        }

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Label n images: one `Labels` per question, in the order of `questions`."""
        return self.label_embeddings(self.embed(images))

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float16]:
        """Embeddings of unit length of n images, n × d, fp16.

        Raises:
            ClassifierError: if the weights cannot be loaded, or an embedding is not finite.
        """
        import torch

        tower = self._images()
        parts = []
        for first in range(0, len(images), self._batch_size):
            chunk = images[first : first + self._batch_size]
            with torch.inference_mode():
                features = tower(self._pixels(chunk))
                # Image towers of CoCa give the tokens of the image besides.
                features = features[0] if isinstance(features, tuple) else features
                features = torch.nn.functional.normalize(features.float(), dim=-1)
                parts.append(features[: len(chunk)].half().cpu().numpy())
        width = int(self._checkpoint.config["embed_dim"])
        embeddings = np.concatenate(parts) if parts else np.zeros((0, width), np.float16)
        return self._checked(embeddings)

    def label_embeddings(self, embeddings: npt.NDArray[np.float16]) -> list[Labels]:
        """The labels of n stored embeddings; loads the text tower only.

        Raises:
            ClassifierError: if the embeddings are not this model's, or the weights cannot be loaded.
        """
        self._checked(embeddings)
        texts = self._texts()
        answers: list[list[str]] = [[] for _ in self._asked]
        scores: list[list[Floats]] = [[np.zeros((0, len(a.classes)))] for a in self._asked]
        for first in range(0, len(embeddings), _ROWS):
            exact = embeddings[first : first + _ROWS].astype(np.float64) @ texts.features.T
            logits = texts.scale * exact
            known = self._persons(logits[:, texts.persons])
            joint = self._joint(logits[:, texts.joint])
            for i, spec in enumerate(self._asked):
                chances = joint[spec.name] if spec.name in joint else _softmax(logits[:, texts.alone[spec.name]])
                answers[i] += _answers(spec, chances, known)
                scores[i].append(np.where((known == "")[:, None], chances, np.nan))
        return [
            Labels(spec.name, tuple(spec.classes), tuple(given), np.concatenate(parts).astype(np.float32))
            for spec, given, parts in zip(self._asked, answers, scores, strict=True)
        ]

    def _tower(self) -> dict[str, object]:
        """What an embedding depends on, whatever the folder of the weights is called and wherever it was computed."""
        config = json.dumps(self._checkpoint.config, sort_keys=True).encode()
        return {
            "config_sha256": hashlib.sha256(config).hexdigest(),
            "weights_sha256": self._checkpoint.sha256,
            "preprocess": json.loads(json.dumps(self._checkpoint.preprocess)),
            "dtype": self._dtype,
            "batch_size": self._batch_size,
        }

    def _images(self) -> torch.nn.Module:
        if self._image_tower is None:
            import torch

            model = load_model(self._checkpoint)
            if self._text_features is None:
                self._text_features = self._encode_texts(model)
            tower = cast("torch.nn.Module", model.visual)
            dtype = torch.bfloat16 if self._dtype == "bf16" else torch.float32
            self._image_tower = tower.to(device=self._device, dtype=dtype)
            self._steps = preprocess_steps(self._checkpoint)
        return self._image_tower

    def _texts(self) -> _Texts:
        if self._text_features is None:
            self._text_features = self._encode_texts(load_text_tower(self._checkpoint))
        return self._text_features

    def _pixels(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """batch_size × 3 × height × width, as open_clip's own transform gives them bit for bit, padded with zeros.

        Resizing is Pillow's; the arithmetic of ToTensor and Normalize is done once a batch, five times as fast.
        """
        import torch

        arrays = []
        for image in images:
            image = image if image.mode == "RGB" else image.convert("RGB")
            for step in self._steps:
                image = step(image)
            arrays.append(np.asarray(image))
        batch = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous().float().div_(255)
        mean, std = (torch.tensor(self._checkpoint.preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
        batch.sub_(mean).div_(std)
        missing = self._batch_size - len(batch)
        if missing:
            batch = torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])])
        return batch.to(device=self._device, dtype=torch.bfloat16 if self._dtype == "bf16" else torch.float32)

    def _encode_texts(self, model: torch.nn.Module) -> _Texts:
        groups: list[Sequence[str]] = []

        def rows(wordings: Iterable[Sequence[str]]) -> slice:
            first = len(groups)
            groups.extend(wordings)
            return slice(first, len(groups))

        persons, joint = self._wordings.persons, self._wordings.joint
        together = joint.attributes if joint else ()
        asked = rows([persons.one, persons.none, persons.several] if persons else [])
        combined = rows(_combinations(self._wordings, joint) if joint else [])
        alone = {a.name: rows(a.classes.values()) for a in self._asked if a.name not in together}
        features = _encode(model, load_tokenizer(self._checkpoint), [text for group in groups for text in group])
        ends = np.cumsum([len(group) for group in groups])
        means = np.stack([part.mean(axis=0) for part in np.split(features, ends[:-1])])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        if not np.isfinite(means).all():
            raise ClassifierError(f"{self._checkpoint.name}: text features are not finite. The weights are damaged.")
        scale = float(cast("torch.Tensor", model.logit_scale).detach().double().exp())
        return _Texts(scale, np.round(means * 2.0**26) / 2.0**26, asked, alone, combined)

    def _persons(self, logits: Floats) -> npt.NDArray[np.str_]:
        """n answers that hold for every attribute: `no_person`, `several_people`, `unclear`, or "" for one person."""
        persons = self._wordings.persons
        if persons is None:
            return np.full(len(logits), "", dtype="U14")
        chances = _softmax(logits)
        found = np.array(["", NO_PERSON, SEVERAL_PEOPLE])[chances.argmax(axis=1)]
        return np.where(_lead(chances) < persons.margin, UNCLEAR, found)

    def _joint(self, logits: Floats) -> dict[str, Floats]:
        joint = self._wordings.joint
        if joint is None:
            return {}
        sizes = [len(a.classes) for name in joint.attributes for a in self._wordings.attributes if a.name == name]
        chances = _softmax(logits).reshape(-1, *sizes)
        axes = range(1, len(sizes) + 1)
        return {
            name: chances.sum(axis=tuple(other for other in axes if other != axis))
            for axis, name in zip(axes, joint.attributes, strict=True)
        }

    def _checked(self, embeddings: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
        width = int(self._checkpoint.config["embed_dim"])
        if embeddings.ndim != 2 or embeddings.shape[1] != width or embeddings.dtype != np.float16:
            raise ClassifierError(
                f"embeddings of {self._checkpoint.name} must be n × {width} of float16 "
                f"(got {' × '.join(map(str, embeddings.shape))} of {embeddings.dtype})."
            )
        if not np.isfinite(embeddings).all():
            raise ClassifierError(f"{self._checkpoint.name}: embeddings are not finite. The weights are damaged.")
        return embeddings


def _combinations(wordings: Wordings, joint: Joint) -> list[list[str]]:
    """Wordings of every combination of classes: each template with each combination of terms."""
    specs = {a.name: a for a in wordings.attributes}
    return [
        [
            template.format(**dict(zip(joint.attributes, terms, strict=True)))
            for template in joint.templates
            for terms in product(*parts)
        ]
        for parts in product(*(specs[name].classes.values() for name in joint.attributes))
    ]


def _encode(model: torch.nn.Module, tokenizer: Any, texts: Sequence[str]) -> Floats:
    """Features of unit length of n texts, n × d."""
    import torch

    parts = []
    for first in range(0, len(texts), _TEXTS):
        chunk = list(texts[first : first + _TEXTS])
        tokens = tokenizer(chunk + chunk[-1:] * (_TEXTS - len(chunk)))
        with torch.inference_mode():
            features = cast("Any", model).encode_text(tokens, normalize=True)
        parts.append(features[: len(chunk)].double().numpy())
    return np.concatenate(parts)


def _softmax(logits: Floats) -> Floats:
    if not logits.shape[1]:
        return logits
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Floats = powers / powers.sum(axis=1, keepdims=True)
    return chances


def _lead(chances: Floats) -> Floats:
    """By how much the highest of each row leads the second."""
    top = np.partition(chances, -2, axis=1)[:, -2:]
    lead: Floats = top[:, 1] - top[:, 0]
    return lead


def _answers(spec: AttributeSpec, chances: Floats, known: npt.NDArray[np.str_]) -> list[str]:
    labels = np.array(list(spec.classes), dtype=object)[chances.argmax(axis=1)]
    labels = np.where(_lead(chances) < spec.margin, UNCLEAR, labels)
    return [str(answer) for answer in np.where(known == "", labels, known.astype(object))]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
