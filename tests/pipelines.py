"""Published pipeline classes of diffusers, reduced in width, with random weights, in their published folder layout."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
          "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def seed(number: int) -> None:
    """Seed the random weights."""
    import torch

    torch.manual_seed(number)


def clip_tokenizer() -> Any:
    """CLIP's tokenizer with the bytes and their word-final forms as its only tokens."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=77)


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    vocab += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=512)


def clip_text(tokenizer: Any, *, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        projection_dim=32, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_text() -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=32, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return T5EncoderModel(config).eval()


def autoencoder(channels: int = 4, blocks: int = 4, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, block_out_channels=(32,) * blocks, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * blocks, up_block_types=("UpDecoderBlock2D",) * blocks,
        sample_size=64, **options,
    ).eval()  # fmt: skip


def sd_scheduler(kind: str = "PNDMScheduler") -> Any:
    import diffusers

    return getattr(diffusers, kind)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        **({"skip_prk_steps": True} if kind == "PNDMScheduler" else {}),
    )  # fmt: skip


def safety_checker(*, fires: bool) -> dict[str, Any]:
    """The real safety checker, reduced in width; all images lie above thresholds of -2 and below thresholds of 2."""
    import torch
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4,
              "image_size": 32, "patch_size": 16}  # fmt: skip
    config = CLIPConfig(text_config={"hidden_size": 32}, vision_config=vision, projection_dim=16)
    checker = StableDiffusionSafetyChecker(config).eval()
    torch.nn.init.normal_(checker.concept_embeds)
    torch.nn.init.constant_(checker.concept_embeds_weights, -2.0 if fires else 2.0)
    torch.nn.init.constant_(checker.special_care_embeds_weights, 2.0)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return {"safety_checker": checker, "feature_extractor": processor}


def save(folder: Path, kind: str, **parts: Any) -> Path:
    import diffusers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(diffusers, kind)(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


def sd15_parts() -> dict[str, Any]:
    from diffusers import UNet2DConditionModel

    seed(15)
    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 32, 64, 64), layers_per_block=2, cross_attention_dim=32,
        attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    ).eval()  # fmt: skip
    return {"vae": autoencoder(), "text_encoder": clip_text(tokenizer), "tokenizer": tokenizer, "unet": unet,
            "scheduler": sd_scheduler()}  # fmt: skip


@pytest.fixture(scope="session")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.5, reduced: 64 px, with a safety checker that lets everything pass."""
    folder = tmp_path_factory.mktemp("models") / "sd15-reduced"
    return save(folder, "StableDiffusionPipeline", **sd15_parts(), **safety_checker(fires=False))


@pytest.fixture(scope="session")
def sd15_strict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a safety checker that fires."""
    folder = tmp_path_factory.mktemp("models") / "sd15-strict"
    return save(folder, "StableDiffusionPipeline", **sd15_parts(), **safety_checker(fires=True))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion XL, reduced: two text encoders, pooled embeddings, 64 px."""
    from diffusers import UNet2DConditionModel

    seed(10)
    tokenizer = clip_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(32, 64), layers_per_block=2, attention_head_dim=(2, 4),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=80, cross_attention_dim=64,
    ).eval()  # fmt: skip
    return save(
        tmp_path_factory.mktemp("models") / "sdxl-reduced", "StableDiffusionXLPipeline", vae=autoencoder(), unet=unet,
        text_encoder=clip_text(tokenizer), text_encoder_2=clip_text(tokenizer, projection=True), tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(), scheduler=sd_scheduler("EulerDiscreteScheduler"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 3, reduced: a transformer, two CLIP text encoders and T5."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

    seed(3)
    tokenizer = clip_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=32, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=32, pooled_projection_dim=64, out_channels=4,
    ).eval()  # fmt: skip
    return save(
        tmp_path_factory.mktemp("models") / "sd3-reduced", "StableDiffusion3Pipeline", transformer=transformer,
        vae=autoencoder(shift_factor=0.0609, scaling_factor=1.5), scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder=clip_text(tokenizer, projection=True), text_encoder_2=clip_text(tokenizer, projection=True),
        text_encoder_3=t5_text(), tokenizer=tokenizer, tokenizer_2=clip_tokenizer(), tokenizer_3=t5_tokenizer(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FLUX, reduced: a transformer whose text ids have no batch dimension."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel

    seed(1)
    tokenizer = clip_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
    ).eval()  # fmt: skip
    return save(
        tmp_path_factory.mktemp("models") / "flux-reduced", "FluxPipeline", transformer=transformer,
        vae=autoencoder(1, shift_factor=0.0609, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=FlowMatchEulerDiscreteScheduler(), text_encoder=clip_text(tokenizer), tokenizer=tokenizer,
        text_encoder_2=t5_text(), tokenizer_2=t5_tokenizer(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen-Image, reduced: a language model encodes the text, and a prompt's embedding is as long as the prompt."""
    import diffusers
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

    seed(2)
    tokens = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    tokenizer = Qwen2Tokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default", "rope_theta": 1e6}
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "rope_scaling": rope, "vocab_size": len(tokenizer), "bos_token_id": 256,
            "eos_token_id": 256}  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=3,
        joint_attention_dim=16, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
    ).eval()  # fmt: skip
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=24, z_dim=4, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ).eval()  # fmt: skip
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, bos_token_id=256, eos_token_id=256)
    return save(
        tmp_path_factory.mktemp("models") / "qwen-reduced", "QwenImagePipeline", transformer=transformer, vae=vae,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), tokenizer=tokenizer,
        text_encoder=Qwen2_5_VLForConditionalGeneration(config).eval(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def lora(sd15: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRA weights for `sd15`, made by peft and saved as diffusers publishes them."""
    import diffusers
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    folder = tmp_path_factory.mktemp("lora")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unet = diffusers.UNet2DConditionModel.from_pretrained(sd15, subfolder="unet")
        seed(4)
        unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
        diffusers.StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder / "pytorch_lora_weights.safetensors"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache of the hub, and no internet allowed."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def original_unet_key(key: str) -> str:
    """The original name of a weight of a UNet with two layers a block."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING

    fixed = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    if key in fixed:
        return str(fixed[key])
    if match := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", key):
        return f"input_blocks.{3 * int(match[1]) + 3}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", key):
        return f"output_blocks.{3 * int(match[1]) + 2}.{1 if match[1] == '0' else 2}.conv.{match[2]}"
    match = re.match(r"(down_blocks\.\d|up_blocks\.\d|mid_block)\.(resnets|attentions)\.(\d)\.(.*)", key)
    assert match is not None, key
    block, part, layer, rest = match[1], int(match[2] == "attentions"), int(match[3]), match[4]
    if not part:
        name, _, end = rest.rpartition(".")
        rest = f"{RESNET[name]}.{end}"
    if block == "mid_block":
        return f"middle_block.{1 if part else 2 * layer}.{rest}"
    number = 3 * int(block[-1]) + layer
    return f"input_blocks.{number + 1}.{part}.{rest}" if block[0] == "d" else f"output_blocks.{number}.{part}.{rest}"


def original_vae_key(key: str) -> str:
    """The original name of a weight of a VAE with four blocks."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING

    fixed = DIFFUSERS_TO_LDM_MAPPING["vae"]
    if key in fixed:
        return str(fixed[key])
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda match: f"up.{3 - int(match[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{3 - int(match[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", key)
    for new, old in ATTENTION.items():
        key = re.sub(rf"mid_block\.attentions\.0\.{re.escape(new)}\.", f"mid.attn_1.{old}.", key)
    return key.replace("conv_shortcut", "nin_shortcut")


def to_single_file(folder: Path, path: Path) -> None:
    """Write the weights of a folder in diffusers' layout as one file with the names of the original repository."""
    from safetensors.torch import load_file, save_file

    weights: dict[str, torch.Tensor] = {}
    for key, value in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        weights["model.diffusion_model." + original_unet_key(key)] = value
    for key, value in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        name = original_vae_key(key)
        if "mid.attn_1" in name and value.ndim == 2:  # the original attention is made of 1×1 convolutions
            value = value[:, :, None, None]
        weights["first_stage_model." + name] = value
    for key, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        weights["cond_stage_model.transformer.text_model." + key.removeprefix("text_model.")] = value
    save_file({key: value.contiguous() for key, value in weights.items()}, path)


@pytest.fixture(scope="session")
def single(sd15: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """`sd15` as a single file, and the folder of its configuration, without any weights."""
    folder = tmp_path_factory.mktemp("single")
    config = folder / "config"
    shutil.copytree(sd15, config, ignore=shutil.ignore_patterns("*.safetensors"))
    to_single_file(sd15, folder / "sd15-single.safetensors")
    return folder / "sd15-single.safetensors", config
