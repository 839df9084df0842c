"""Easy Diffusion: one text a setting, under its own name or the one people read; in JPEG and WebP a JSON of them."""

from __future__ import annotations

from probes.importers.metadata.record import Fields, Metadata, MetadataError, details, number, text, whole

_NAMES = {
    "prompt": "Prompt",
    "negative_prompt": "Negative Prompt",
    "seed": "Seed",
    "sampler_name": "Sampler",
    "num_inference_steps": "Steps",
    "guidance_scale": "Guidance Scale",
    "use_stable_diffusion_model": "Stable Diffusion model",
    "width": "Width",
    "height": "Height",
}
"""Own name → name that people read."""
_FURTHER = {
    "clip_skip": "Clip Skip",
    "use_vae_model": "VAE model",
    "use_lora_model": "LoRA model",
    "lora_alpha": "LoRA Strength",
    "use_hypernetwork_model": "Hypernetwork model",
    "hypernetwork_strength": "Hypernetwork Strength",
    "prompt_strength": "Prompt Strength",
    "use_face_correction": "Use Face Correction",
    "use_upscale": "Use Upscaling",
    "upscale_amount": "Upscale By",
    "tiling": "Seamless Tiling",
    "use_controlnet_model": "ControlNet model",
    "control_filter_to_apply": "ControlNet Filter",
    "control_alpha": "ControlNet Strength",
    "use_embeddings_model": "Embedding models",
}
_OWN = ("num_inference_steps", "use_stable_diffusion_model")
"""Names of which any other program's image has none; `prompt` alone stands in ComfyUI's images too."""


def read(fields: Fields) -> Metadata | None:
    """What Easy Diffusion wrote; None if it did not.

    Raises:
        MetadataError: if there are settings without a prompt.
    """
    lower = {key.lower(): value for key, value in fields.items()}
    if not any(name in lower or _NAMES[name].lower() in lower for name in _OWN):
        return None
    found = {name: lower.get(name, lower.get(shown.lower(), "")) for name, shown in (_NAMES | _FURTHER).items()}
    if "prompt" not in lower:
        raise MetadataError("Easy Diffusion's settings have no prompt: it is missing or damaged.")
    return Metadata(
        generator="easydiffusion",
        prompt=found["prompt"],
        negative_prompt=found["negative_prompt"],
        seed=whole(found["seed"]),
        sampler=found["sampler_name"],
        steps=whole(found["num_inference_steps"]),
        guidance=number(found["guidance_scale"]),
        model=text(found["use_stable_diffusion_model"]),
        width=whole(found["width"]),
        height=whole(found["height"]),
        details=details({key: value for key, value in found.items() if value not in {"None", "null"}}, _NAMES),
    )
