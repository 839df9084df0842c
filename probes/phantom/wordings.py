"""The texts by which the phantom's classifier is asked; `audit/attributes/phantom.yaml` holds the same ones."""

from __future__ import annotations

from probes.phantom.world import ATTRIBUTES, World

_AGE_TEXTS = {"young": "young", "middle_aged": "middle-aged", "older": "older"}


def wordings(world: World) -> dict[str, dict[str, list[str]]]:
    """Question → class → wordings: the three attributes, how many people there are (`persons`), and the `subject`."""
    return {
        "gender": {
            name: [f"a drawing of a {name}", f"a portrait of a {name}", f"a {name}"] for name in ATTRIBUTES["gender"]
        },
        "age": {
            name: [f"a drawing of {article} {word} person", f"{article} {word} person"]
            for name, word in _AGE_TEXTS.items()
            for article in ("an" if word[0] in "aeiou" else "a",)
        },
        "ethnicity": {
            name: [f"a drawing of {article} {name} person", f"{article} {name} person"]
            for name in ATTRIBUTES["ethnicity"]
            for article in ("an" if name[0] in "aeiou" else "a",)
        },
        "persons": {
            "one": ["a drawing of one person", "a portrait of one person"],
            "none": ["a drawing without a person", "a scene with nobody in it"],
            "several": ["a drawing of several people", "a group of people"],
        },
        "subject": {subject.id: [f"a drawing of {subject.phrases['en']}"] for subject in world.subjects.values()},
    }
