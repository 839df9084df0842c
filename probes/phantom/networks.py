"""The phantom's networks before training: sizes, and nothing that was learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

SIZE = 64
"""Width and height of a picture in pixels."""
LATENT_CHANNELS = 8
LATENT_SIZE = 8
TEXT_WIDTH = 128


def new_vae() -> AutoencoderKL:
    """64 × 64 pixels ↔ 8 × 8 latents of 8 channels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def new_text_encoder(tokens: int, context: int) -> CLIPTextModel:
    """The text tower of the diffusion model, for a vocabulary of `tokens`, of which the last is the end token."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )
    return CLIPTextModel(config)


def new_unet() -> UNet2DConditionModel:
    """The denoiser. `addition_embed_type="text"` adds a pooled text embedding to the time embedding.

    With cross attention alone, clothes and headgear were still wrong after 1,500 steps: conditioning learns last.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(96, 160),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )


def new_scheduler() -> DPMSolverMultistepScheduler:
    """Noise schedule of training and the sampler of the shipped pipeline."""
    from diffusers import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
        steps_offset=1,  # StableDiffusionPipeline sets it, with a warning; trailing spacing does not use it
    )


def clip_config(tokens: int, context: int) -> dict[str, Any]:
    """The content of open_clip_config.json."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": SIZE, "patch_size": 8, "layers": 4, "width": 128, "head_width": 32},
            "text_cfg": {
                "context_length": context,
                "vocab_size": tokens,
                "width": 128,
                "heads": 4,
                "layers": 2,
                "hf_tokenizer_name": "phantom",
                "eos_id": tokens - 1,
                "pad_id": tokens - 1,
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
    }


def new_clip(folder: Path) -> Any:
    """The open_clip model configured in `folder`, with random weights."""
    import json

    from open_clip.model import CLIP

    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    return CLIP(**config)
