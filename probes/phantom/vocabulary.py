"""One small vocabulary for both text towers of the phantom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.phantom.captions import TEMPLATES, phrase
from probes.phantom.wordings import wordings
from probes.phantom.world import ATTRIBUTES, World

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CONTEXT = 24
"""Tokens of a prompt, start and end included."""
TOKENS = 1_000
START, END = "<|startoftext|>", "<|endoftext|>"


def texts(world: World) -> Iterator[str]:
    """Every caption that names nothing or everything, and every wording."""
    for language, templates in TEMPLATES.items():
        for template, subject in product(templates, world.subjects.values()):
            yield template.format(subject=phrase(world, subject.id, language, {}))
        for classes in product(*ATTRIBUTES.values()):
            yield phrase(world, "person", language, dict(zip(ATTRIBUTES, classes, strict=True)))
    for classes_of in wordings(world).values():
        for wording in classes_of.values():
            yield from wording


def train_vocabulary(world: World, folder: Path) -> None:
    """Train byte-pair merges on the world's texts and save the files of a CLIP tokenizer in `folder`.

    Every byte is a token of its own, so that any prompt can be encoded; the end token has the highest number, which
    both text towers rely on.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Punctuation("isolated"), tokenizer.pre_tokenizer]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(sorted(texts(world)), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    pieces = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    pieces += [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece not in set(pieces)]
    vocab = {piece: number for number, piece in enumerate([*pieces, START, END])}
    merges = [tuple(merge) for merge in model["merges"]]
    folder.mkdir(parents=True, exist_ok=True)
    clip = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)
    clip.save_pretrained(str(folder))
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_vocabulary(folder: Path) -> CLIPTokenizer:
    """The tokenizer saved in `folder`."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder))
