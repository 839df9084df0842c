"""What tests of classifiers look at."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Seven different images of several sizes, with structure in them."""
    random = np.random.default_rng(7)
    sizes = [(512, 512), (640, 480), (300, 500), (64, 64), (224, 224), (97, 31), (512, 512)]
    return [Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize(size) for size in sizes]
