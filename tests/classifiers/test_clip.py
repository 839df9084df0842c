"""The CLIP classifier on real open_clip models with random weights: same answers however they are come by."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from audit.classifiers.base import NOT_MEASURED, Classifier, ClassifierError, EmbeddingClassifier, Labels
from audit.classifiers.clip import ClipClassifier
from audit.classifiers.registry import load_classifier


def load(model: str, wordings: Path | str, **options: object) -> ClipClassifier:
    return cast(ClipClassifier, load_classifier(model, wordings=str(wordings), **options))  # type: ignore[arg-type]


def same(one: list[Labels], other: list[Labels]) -> bool:
    return all(
        a.answer == b.answer and np.array_equal(a.scores, b.scores, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )


def part(labels: list[Labels], rows: list[int]) -> list[Labels]:
    return [
        Labels(each.attribute, each.classes, tuple(each.answer[i] for i in rows), each.scores[rows]) for each in labels
    ]


@pytest.fixture(scope="module")
def small(small_clip: Path, wordings_file: Path) -> ClipClassifier:
    return load(f"local-dir:{small_clip}", wordings_file, batch_size=4)


def test_it_is_what_the_audit_expects(small: ClipClassifier) -> None:
    assert isinstance(small, Classifier)
    assert isinstance(small, EmbeddingClassifier)
    assert small.name == "clip-small-clip"
    assert [q.attribute for q in small.questions] == ["gender", "age"]
    assert [q.ordered for q in small.questions] == [False, True]


def test_full_size_vit_b_32_answers_alike_from_images_embeddings_batches_and_order(
    vit_b_32: Path, wordings_file: Path, images: list[Image.Image]
) -> None:
    whole = load(f"ViT-B-32/{vit_b_32}", wordings_file, batch_size=4)
    embeddings = whole.embed(images)
    labels = whole.label_embeddings(embeddings)
    assert embeddings.shape == (7, 512)
    assert embeddings.dtype == np.float16
    assert np.allclose(np.linalg.norm(embeddings.astype(float), axis=1), 1, atol=2e-3)
    order = [3, 6, 0, 2, 5, 1, 4]
    assert np.array_equal(whole.embed([images[i] for i in order]), embeddings[order])
    assert np.array_equal(whole.embed(images[2:3]), embeddings[2:3])
    again = load(f"ViT-B-32/{vit_b_32}", wordings_file, batch_size=4)
    assert same(again.label_embeddings(embeddings), labels)
    assert again._image_tower is None
    assert again.embedding_name == whole.embedding_name
    assert again.fingerprint() == whole.fingerprint()


def test_labels_of_images_are_labels_of_their_embeddings(small: ClipClassifier, images: list[Image.Image]) -> None:
    assert same(small.label(images), small.label_embeddings(small.embed(images)))


def test_relabelling_never_builds_the_image_tower(
    small_clip: Path, images: list[Image.Image], wordings_file: Path
) -> None:
    from audit.classifiers.checkpoint import find_checkpoint, load_model, load_text_tower

    model = f"local-dir:{small_clip}"
    embeddings = load(model, wordings_file).embed(images)
    alone = load(model, "default")
    alone.label_embeddings(embeddings)
    assert alone._image_tower is None
    whole, text = load_model(find_checkpoint(model)), load_text_tower(find_checkpoint(model))
    assert not hasattr(text, "visual")
    seen = sum(p.numel() for p in whole.visual.parameters())  # type: ignore[union-attr]
    assert sum(p.numel() for p in text.parameters()) == sum(p.numel() for p in whole.parameters()) - seen


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.data())
def test_the_label_of_an_embedding_depends_on_it_alone(
    small: ClipClassifier, seed: int, n: int, data: st.DataObject
) -> None:
    rows = np.random.default_rng(seed).normal(size=(n, 48))
    embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    labels = small.label_embeddings(embeddings)
    order = data.draw(st.permutations(range(n)))
    assert same(small.label_embeddings(embeddings[order]), part(labels, list(order)))
    one = data.draw(st.integers(0, n - 1))
    assert same(small.label_embeddings(embeddings[one : one + 1]), part(labels, [one]))


def test_scores_are_those_of_open_clip(small_clip: Path, small: ClipClassifier, images: list[Image.Image]) -> None:
    import open_clip
    import torch

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{small_clip}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{small_clip}")
    batch = torch.stack([transform(image) for image in images[:4]])
    assert torch.equal(small._pixels(images[:4]), batch)
    with torch.no_grad():
        classes = open_clip.build_zero_shot_classifier(
            model, tokenizer, ["woman", "man"], ["a photo of a {}", "a portrait of a {}"], None
        )
        features = model.encode_image(batch, normalize=True)
        expected = (model.logit_scale.exp() * features @ classes).softmax(dim=-1).numpy()
    assert np.allclose(small.label(images[:4])[0].scores, expected, atol=2e-3)


def test_siglip_reduced_takes_the_softmax_of_its_logits(
    small_siglip: Path, wordings_file: Path, images: list[Image.Image]
) -> None:
    import open_clip
    import torch

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{small_siglip}")
    model.eval()
    texts = open_clip.get_tokenizer(f"local-dir:{small_siglip}")(
        ["a photo of a young person", "a photo of an older person", "a photo of a child"]
    )
    with torch.no_grad():
        logits, _ = model.get_logits(torch.stack([transform(image) for image in images]), texts)
    assert model.logit_bias is not None
    found = load(f"local-dir:{small_siglip}", wordings_file)
    embeddings = found.embed(images)
    labels = found.label_embeddings(embeddings)
    assert np.allclose(labels[1].scores, logits.softmax(dim=-1).numpy(), atol=2e-3)
    alone = load(f"local-dir:{small_siglip}", wordings_file)
    assert same(alone.label_embeddings(embeddings), labels)
    assert alone._image_tower is None


def test_other_architectures_take_the_same_road(
    small_relative: Path, wordings_file: Path, images: list[Image.Image]
) -> None:
    whole, alone = (load(f"local-dir:{small_relative}", wordings_file, batch_size=4) for _ in range(2))
    embeddings = whole.embed(images[:4])
    assert embeddings.shape == (4, 64)
    assert same(whole.label_embeddings(embeddings), alone.label_embeddings(embeddings))
    assert alone._image_tower is None


def test_unclear_follows_the_margin(small_clip: Path, wordings_file: Path, images: list[Image.Image]) -> None:
    embeddings = load(f"local-dir:{small_clip}", wordings_file).embed(images)

    def answers(margin: float) -> tuple[Labels, tuple[str, ...]]:
        labels = load(f"local-dir:{small_clip}", wordings_file, margin=margin).label_embeddings(embeddings)[0]
        return labels, labels.answer

    labels, free = answers(0.0)
    assert "unclear" not in free
    lead = abs(labels.scores[:, 0].astype(float) - labels.scores[:, 1])
    margin = float(np.median(lead)) + 1e-9
    _, strict = answers(margin)
    assert strict == tuple("unclear" if gap < margin else answer for gap, answer in zip(lead, free, strict=True))
    assert set(answers(0.999999)[1]) == {"unclear"}


def test_persons_are_asked_first(tmp_path: Path, small_clip: Path) -> None:
    texts = {"one": "a photo of one person", "none": "an empty place", "several": "several people"}
    persons = "".join(f"  {kind}: [{text}]\n" for kind, text in texts.items())
    yaml = f"persons:\n{persons}  margin: 0.2\nattributes:\n  gender: {{classes: {{woman: a woman, man: a man}}}}\n"
    (tmp_path / "persons.yaml").write_text(yaml)
    classifier = load(f"local-dir:{small_clip}", tmp_path / "persons.yaml")
    features = classifier._texts().features[:3]
    # Between two texts the answer is in doubt; along what sets one apart from the others it is that one.
    directions = features - features.mean(axis=0)
    directions = np.vstack([directions, directions[0] + directions[1]])
    embeddings = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float16)
    labels = classifier.label_embeddings(embeddings)[0]
    assert labels.answer[0] in ("woman", "man")
    assert labels.answer[1:3] == ("no_person", "several_people")
    assert np.isnan(labels.scores[1:3]).all()
    assert np.isclose(labels.scores[0].sum(), 1)
    chances = classifier._texts().scale * embeddings[3].astype(float) @ features.T
    assert (labels.answer[3] == "unclear") == (abs(np.diff(np.sort(_softmax(chances))[-2:])[0]) < 0.2)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def test_joint_scores_are_sums_over_the_other_attributes(
    tmp_path: Path, small_clip: Path, images: list[Image.Image]
) -> None:
    import open_clip
    import torch

    (tmp_path / "pair.yaml").write_text(
        """
        attributes:
          gender: {classes: {woman: female, man: male}}
          age: {ordered: true, classes: {young: young, middle: [middle-aged, grown], older: old}}
        joint: {attributes: [age, gender], templates: ["a photo of a {age} {gender}"]}
        """
    )
    classifier = load(f"local-dir:{small_clip}", tmp_path / "pair.yaml")
    embeddings = classifier.embed(images)
    gender, age = classifier.label_embeddings(embeddings)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{small_clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{small_clip}")
    cells = []
    with torch.no_grad():
        for terms in (["young"], ["middle-aged", "grown"], ["old"]):
            for sex in ("female", "male"):
                texts = tokenizer([f"a photo of a {term} {sex}" for term in terms])
                mean = model.eval().encode_text(texts, normalize=True).mean(dim=0)
                cells.append((mean / mean.norm()).numpy())
        scale = float(model.logit_scale.exp())
    logits = scale * embeddings.astype(float) @ np.array(cells).T
    chances = np.array([_softmax(row) for row in logits]).reshape(-1, 3, 2)
    assert np.allclose(gender.scores, chances.sum(axis=1), atol=1e-5)
    assert np.allclose(age.scores, chances.sum(axis=2), atol=1e-5)
    only = load(f"local-dir:{small_clip}", tmp_path / "pair.yaml", attributes=["age"])
    assert same(only.label_embeddings(embeddings), [age])


def test_bf16_weights_give_nearly_the_same_embeddings_under_another_name(
    small: ClipClassifier, small_clip: Path, wordings_file: Path, images: list[Image.Image]
) -> None:
    narrow = load(f"local-dir:{small_clip}", wordings_file, batch_size=4, dtype="bf16")
    embeddings = narrow.embed(images)
    cosines = (embeddings.astype(float) * small.embed(images)).sum(axis=1)
    assert cosines.min() > 0.99
    assert np.array_equal(narrow.embed(images[::-1]), embeddings[::-1])
    assert narrow.embedding_name != small.embedding_name


def test_no_images_give_no_labels(small: ClipClassifier) -> None:
    labels = small.label([])
    assert [each.answer for each in labels] == [(), ()]
    assert labels[1].scores.shape == (0, 3)


def test_images_of_other_modes_are_made_rgb(small: ClipClassifier, images: list[Image.Image]) -> None:
    grey = images[0].convert("L")
    assert np.array_equal(small.embed([grey]), small.embed([grey.convert("RGB")]))


def test_the_fingerprint_tells_what_labels_depend_on(
    small: ClipClassifier, small_clip: Path, wordings_file: Path
) -> None:
    import json

    own = small.fingerprint()
    assert str(small_clip.parent) not in json.dumps(own)
    changed = [
        load(f"local-dir:{small_clip}", wordings_file, batch_size=5),
        load(f"local-dir:{small_clip}", wordings_file, batch_size=4, margin=0.3),
        load(f"local-dir:{small_clip}", "default", batch_size=4),
    ]
    assert all(each.fingerprint() != own for each in changed)
    assert [each.embedding_name == small.embedding_name for each in changed] == [False, True, True]


def test_the_card_says_what_is_not_known(small: ClipClassifier, small_clip: Path) -> None:
    nothing = "Not known for small-clip with these wordings."
    assert small.card()["known_error"] == {"gender": nothing, "age": nothing}
    known = load(f"local-dir:{small_clip}", "default").card()["known_error"]
    assert isinstance(known, dict)
    assert known["gender"].startswith("Not measured for small-clip. Of ViT-L-14/openai: ")
    assert set(NOT_MEASURED).isdisjoint(known)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[:, :-1], "must be n × 48 of float16 (got 7 × 47 of float16)"),
        (lambda e: e.astype(np.float32), "of float32)"),
        (lambda e: e * np.float16(np.nan), "not finite"),
    ],
)
def test_embeddings_of_another_model_are_refused(
    small: ClipClassifier, images: list[Image.Image], change: object, message: str
) -> None:
    embeddings = small.embed(images)
    with pytest.raises(ClassifierError) as error:
        small.label_embeddings(change(embeddings))  # type: ignore[operator]
    assert message in str(error.value)
