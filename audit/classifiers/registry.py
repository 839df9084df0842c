"""From a name to a classifier."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from audit.attribute import load_wordings
from audit.classifiers.base import Classifier, ClassifierError
from audit.classifiers.installed import installed_names, load_installed


def classifier_names() -> list[str]:
    """Names besides open_clip's `MODEL/CHECKPOINT`, `local-dir:FOLDER` and `hf-hub:OWNER/NAME`."""
    return ["phantom", "faces", "skin_tone", *installed_names()]


def load_classifier(
    name: str,
    *,
    wordings: str | None = None,
    attributes: Sequence[str] | None = None,
    margin: float | None = None,
    device: str = "cpu",
    dtype: str = "fp32",
    batch_size: int | None = None,
) -> Classifier:
    """Load a classifier by name.

    `phantom` is the phantom's own CLIP, `faces` and `skin_tone` need the extra `[faces]`; `MODEL/TAG`,
    `MODEL/PATH-OF-WEIGHTS`, `local-dir:FOLDER` and `hf-hub:OWNER/NAME` are open_clip models; other names are those
    that installed packages offer (`audit.classifiers.installed`).
    `wordings` is an attribute set by name or path (`phantom` has its own, others take `default`), `attributes` narrows
    it, `margin` replaces each attribute's own. `faces` and `skin_tone` always run on the CPU in their own precision;
    `skin_tone` uses neither wordings nor a margin.

    Raises:
        ClassifierError: for anything that the caller can mend, in one line.
    """
    options: dict[str, Any] = {"attributes": attributes, "margin": margin}
    tower: dict[str, Any] = {"device": device, "dtype": dtype, "batch_size": batch_size}
    if name == "human":
        raise ClassifierError(
            "human labels belong to images that are imported: rolecall import FOLDER --human-labels CSV --codes YAML."
        )
    if name == "faces":
        from audit.classifiers.faces import FacesClassifier

        return FacesClassifier(load_wordings(wordings or "default"), **options)
    if name == "skin_tone":
        from audit.classifiers.skin_tone import SkinToneClassifier

        return SkinToneClassifier(attributes=attributes)
    if name != "phantom":
        installed = load_installed(name, {"wordings": wordings, **options, **tower})
        if installed is not None:
            return installed
    if name != "phantom" and "/" not in name and not name.startswith(("local-dir:", "hf-hub:")):
        import open_clip

        if name not in open_clip.list_models():
            known = [*classifier_names(), *(f"{model}/{tag}" for model, tag in open_clip.list_pretrained())]
            near = difflib.get_close_matches(name, known, 1, 0.5)
            raise ClassifierError(
                f"unknown classifier {name!r}. {f'Did you mean {near[0]!r}? ' if near else ''}Known: "
                f"{', '.join(classifier_names())}, and open_clip models such as ViT-L-14/openai or local-dir:FOLDER."
            )
    from audit.classifiers.clip import ClipClassifier

    if name == "phantom":
        import probes.phantom as phantom

        folder = f"local-dir:{phantom.CLASSIFIER}"
        return ClipClassifier(folder, load_wordings(wordings or "phantom"), name="phantom", **options, **tower)
    return ClipClassifier(name, load_wordings(wordings or "default"), **options, **tower)
