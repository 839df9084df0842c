"""Which image is made with which seed, in which fixed batch.

The plan is arithmetic, never a list: sample number `s` belongs to probe `s // images` at index `s % images`, and to
batch `s // batch_size`. So a plan of a million images costs no memory, every worker computes the same plan, and any
batch can be made alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from probes.probe import Probe


def seed_of(base: int, probe_id: str, index: int) -> int:
    """Seed of one image, 0 ≤ seed < 2**63.

    A function of the run's seed, the probe and the index only: equal across models (which pairs them), never shared
    by two prompts.
    """
    digest = hashlib.sha256(f"{base}|{probe_id}|{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def digest_of(value: object) -> str:
    """SHA-256 (hexadecimal) of a JSON-able value in canonical form: keys sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Sample:
    """One image asked for."""

    number: int
    sample_id: str
    """SHA-256 of the canonical request: model fingerprint, prompt and seed."""
    probe_id: str
    index: int
    seed: int
    prompt: str


@dataclass(frozen=True)
class Batch:
    """Samples made in one call. The last batch of a plan may hold fewer than the batch size: callers pad it."""

    number: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Plan:
    """All images of a run.

    `images` is the number of images per probe, `seed` the run's seed, `batch_size` the number of samples made at
    once, `fingerprint` the generator's (JSON-able). A plan that continues a run asks for the images from index `first`
    on.
    """

    probes: Sequence[Probe]
    images: int
    seed: int
    batch_size: int
    fingerprint: Mapping[str, object]
    first: int = 0

    @property
    def samples(self) -> int:
        """Number of samples in the plan."""
        return len(self.probes) * (self.images - self.first)

    def __len__(self) -> int:
        """Number of batches."""
        return -(-self.samples // self.batch_size)

    def batch(self, number: int) -> Batch:
        """Batch `number`, counted from 0.

        Raises:
            IndexError: if the plan has no such batch.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"batch must be at least 0 and below {len(self)} (got {number}).")
        model = digest_of(dict(self.fingerprint))
        first = number * self.batch_size
        last = min(first + self.batch_size, self.samples)
        return Batch(number, tuple(self._sample(s, model) for s in range(first, last)))

    def part(self, number: int, probe: int, first: int) -> Batch:
        """Batch `number` of a run in rounds: images of one probe, by its position, from index `first` on.

        Raises:
            IndexError: if the plan has no such probe or image.
        """
        if not (0 <= probe < len(self.probes) and self.first <= first < self.images):
            raise IndexError(f"the plan has no image {first} of probe {probe}.")
        model = digest_of(dict(self.fingerprint))
        last = min(first + self.batch_size, self.images)
        start = probe * (self.images - self.first) - self.first
        return Batch(number, tuple(self._sample(s, model) for s in range(start + first, start + last)))

    def numbers(self, shard: tuple[int, int] = (1, 1)) -> Iterator[int]:
        """Numbers of the batches of shard `i` of `n`, counted from 1: every n-th batch, from the i-th."""
        part, parts = shard
        return iter(range(part - 1, len(self), parts))

    def _sample(self, number: int, model: str) -> Sample:
        place, further = divmod(number, self.images - self.first)
        probe, index = self.probes[place], self.first + further
        seed = seed_of(self.seed, probe.probe_id, index)
        sample_id = digest_of({"model": model, "prompt": probe.text, "seed": seed})
        return Sample(number, sample_id, probe.probe_id, index, seed, probe.text)
