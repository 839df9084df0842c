"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["pipelines", "clips", "images_server"]  # models with random weights, as published; an images API

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile(
    "rolecall",
    deadline=None,  # a busy machine is no failure
    derandomize=os.environ.get("CI") == "true",  # CI judges the change at hand; new examples are looked for elsewhere
)
settings.load_profile("rolecall")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder `shared/data` beside the checkout: published tables, counts and images that are not ours to ship."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"no folder shared/data beside the checkout ({ROOT.name}): this test compares with data not shipped"
        )
    return folder
