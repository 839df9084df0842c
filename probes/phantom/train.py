"""Train the phantom: `python -m probes.phantom.train --out FOLDER`.

Stages, each resumable: `vae`; `clip`, the classifier; `unet`, with its text tower. Then the decoder of the VAE is
sharpened for the same latents, and the weights are written in half precision. The shipped weights come from the
defaults. Run nothing else beside it, with as many threads as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from probes.phantom.data import balanced_example, examples, planted_example
from probes.phantom.networks import (
    clip_config,
    new_clip,
    new_scheduler,
    new_text_encoder,
    new_unet,
    new_vae,
)
from probes.phantom.vocabulary import CONTEXT, load_vocabulary, train_vocabulary
from probes.phantom.wordings import wordings
from probes.phantom.world import load_world

if TYPE_CHECKING:
    import torch

STEPS = {"vae": 3_000, "clip": 500, "unet": 3_200, "settle": 800, "steady": 450, "decoder": 2_500}
DRAWINGS = {"vae": 12_000, "decoder": 8_000, "clip": 16_000, "unet": 48_000}
SAVE_EVERY = 250


class Loop:
    """A training loop that saves itself and continues where it was killed; it trains what asks for a gradient."""

    def __init__(
        self,
        name: str,
        out: Path,
        modules: dict[str, Any],
        steps: int,
        rate: float,
        seed: int,
        save_every: int = SAVE_EVERY,
    ) -> None:
        import torch

        self.file, self.name, self.steps, self.modules = out / f"{name}.pt", name, steps, modules
        self.save_every = save_every
        self.parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
        self.averages = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=steps, pct_start=0.05)
        self.random = torch.Generator().manual_seed(seed)
        self.step = 0
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            for key, module in modules.items():
                module.load_state_dict(state["modules"][key])
            self.averages = state["averages"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.random.set_state(state["random"])
            self.step = state["step"]
        self.began, self.first = 0.0, self.step

    def update(self, loss: torch.Tensor) -> None:
        """One step against the gradient, and one of the moving average of the weights."""
        import torch

        self.began = self.began or time.monotonic()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        keep = min(0.999, self.step / (self.step + 20))
        torch._foreach_lerp_(self.averages, [p.detach() for p in self.parameters], 1 - keep)
        if self.step % 50 == 0:
            pace = (time.monotonic() - self.began) / (self.step - self.first)
            left = pace * (self.steps - self.step) / 60
            print(f"{self.name} {self.step}/{self.steps} loss {loss.item():.4f} {pace:.3f} s/step, {left:.0f} min left")
        if self.step % self.save_every == 0 or self.step == self.steps:
            self.save()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        import torch

        state = {
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "averages": self.averages,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": self.random.get_state(),
            "step": self.step,
        }
        draft = self.file.with_suffix(".tmp")
        torch.save(state, draft)
        draft.replace(self.file)

    def finish(self) -> None:
        """Give the modules the averaged weights."""
        import torch

        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.averages, strict=True):
                parameter.copy_(average)


def _pixels(images: np.ndarray[Any, Any]) -> torch.Tensor:
    import torch

    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(out: Path, steps: int, seed: int, workers: int) -> Any:
    """The autoencoder: absolute error of pixels and of edges, with noise on the latents."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(seed)
    vae = new_vae()
    loop = Loop("vae", out, {"vae": vae}, steps, 2e-3, seed)
    if loop.step < steps:
        drawn = examples(balanced_example, range(DRAWINGS["vae"]), workers)
        images = np.stack([example.pixels for example in drawn])
    while loop.step < steps:
        x = _pixels(images[torch.randint(len(images), (16,), generator=loop.random).numpy()])
        with torch.autocast("cpu", torch.bfloat16):
            z = vae.encode(x).latent_dist.mode()
            noisy = z + 0.1 * z.detach().std() * torch.randn(z.shape, generator=loop.random)
            y = vae.decode(noisy).sample.float()
        edges = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        loop.update(F.l1_loss(y, x) + edges + 1e-3 * z.float().square().mean())
    loop.finish()
    return vae.eval()


def sharpen_decoder(out: Path, vae: Any, steps: int, seed: int, workers: int) -> None:
    """Train the decoder further on latents that stay as they are: crisper pictures from the same latents."""
    import torch
    import torch.nn.functional as F

    modules = {"decoder": vae.decoder, "entry": vae.post_quant_conv}
    loop = Loop("decoder", out, modules, steps, 1.5e-3, seed)
    if loop.step < steps:
        drawn = examples(balanced_example, range(2_000_000, 2_000_000 + DRAWINGS["decoder"]), workers)
        images = np.stack([example.pixels for example in drawn])
        latents = encode(vae, images)
        spread = latents.std()
    while loop.step < steps:
        chosen = torch.randint(len(images), (16,), generator=loop.random)
        x, z = _pixels(images[chosen.numpy()]), latents[chosen]
        z = z + 0.06 * spread * torch.randn(z.shape, generator=loop.random)
        with torch.autocast("cpu", torch.bfloat16):
            y = vae.decode(z).sample.float()
        edges = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1)) + F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        loop.update(F.l1_loss(y, x) + 1.5 * edges)
    loop.finish()


def encode(vae: Any, images: np.ndarray[Any, Any]) -> torch.Tensor:
    """Latents of pictures, fp32, n × channels × 8 × 8, not scaled."""
    import torch

    with torch.inference_mode():
        parts = [vae.encode(_pixels(images[i : i + 256])).latent_dist.mode() for i in range(0, len(images), 256)]
    return torch.cat(parts).clone()


def train_clip(out: Path, vae: Any, steps: int, seed: int, workers: int) -> Any:
    """The classifier: every question's classes as texts, the right one for each picture.

    Pictures are drawings and their reconstructions by the autoencoder, some blurred or with noise, so that it also
    holds for what the diffusion model draws.
    """
    import torch
    import torch.nn.functional as F
    from open_clip import get_tokenizer

    torch.manual_seed(seed + 1)
    folder = out / "clip"
    folder.mkdir(exist_ok=True)
    world = load_world()
    train_vocabulary(world, folder)
    config = clip_config(len(load_vocabulary(folder)), CONTEXT)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    model = new_clip(folder)
    loop = Loop("clip", out, {"clip": model}, steps, 1e-3, seed)
    if loop.step < steps:
        drawn = examples(balanced_example, range(1_000_000, 1_000_000 + DRAWINGS["clip"]), workers)
        images = np.stack([example.pixels for example in drawn])
        with torch.inference_mode():
            latents = encode(vae, images)
            parts = [vae.decode(latents[i : i + 256]).sample for i in range(0, len(latents), 256)]
        copies = torch.cat(parts).clamp(-1, 1).clone()
        questions = wordings(world)
        answers = {
            key: torch.tensor([_answer(key, list(classes), example) for example in drawn])
            for key, classes in questions.items()
        }
        tokenizer = get_tokenizer(f"local-dir:{folder}")
        tokens = {key: [tokenizer(texts) for texts in classes.values()] for key, classes in questions.items()}
    while loop.step < steps:
        chosen = torch.randint(len(images), (96,), generator=loop.random)
        x = _pixels(images[chosen.numpy()])
        half = torch.rand(len(chosen), generator=loop.random) < 0.6
        x[half] = copies[chosen[half]]
        x = x + 0.08 * torch.rand(1, generator=loop.random) * torch.randn(x.shape, generator=loop.random)
        if torch.rand(1, generator=loop.random) < 0.3:
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        seen = F.normalize(model.encode_image(x), dim=-1)
        loss = torch.zeros(())
        for key, classes in tokens.items():
            rows = [texts[int(torch.randint(len(texts), (1,), generator=loop.random))] for texts in classes]
            asked = F.normalize(model.encode_text(torch.stack(rows)), dim=-1)
            logits = model.logit_scale.exp().clamp(max=100) * seen @ asked.T
            loss = loss + F.cross_entropy(logits, answers[key][chosen], ignore_index=-1)
        loop.update(loss)
    loop.finish()
    return model.eval()


def _answer(question: str, classes: list[str], example: Any) -> int:
    if question == "persons":
        return classes.index(load_world().subjects[example.subject].people)
    if question == "subject":
        return classes.index(example.subject)
    return classes.index(getattr(example.person, question)) if example.person is not None else -1


def train_unet(
    out: Path, vae: Any, steps: int, settle: int, steady: int, seed: int, workers: int
) -> tuple[Any, Any, float]:
    """Denoiser and text tower together, on latents of drawings with the planted shares; v-prediction.

    The last steps (`settle`, then `steady`) see mostly high noise levels. That is where the gender of a figure is
    decided; without them women were drawn .07 too seldom on average over the occupations.

    Returns the two and the scale of the latents.
    """
    import torch

    torch.manual_seed(seed + 2)
    tokenizer = load_vocabulary(out / "clip")
    text, unet = new_text_encoder(len(tokenizer), CONTEXT), new_unet().to(memory_format=torch.channels_last)
    cache = out / "latents.pt"
    if not cache.exists():
        drawn = examples(planted_example, range(DRAWINGS["unet"]), workers)
        latents = encode(vae, np.stack([example.pixels for example in drawn]))
        captions = [example.caption for example in drawn]
        ids = tokenizer(captions, padding="max_length", max_length=CONTEXT, return_tensors="pt").input_ids
        torch.save({"latents": latents.half(), "ids": ids}, cache)
    data = torch.load(cache, weights_only=True)
    latents, ids = data["latents"].float(), data["ids"]
    scale = 1 / float(latents.std())
    latents = latents * scale
    empty = tokenizer([""], padding="max_length", max_length=CONTEXT, return_tensors="pt").input_ids[0]
    modules = {"text": text, "unet": unet}
    for name, count, rate, high in (
        ("unet", steps, 1.2e-3, 0.0),
        ("settle", settle, 4e-4, 0.75),
        ("steady", steady, 3e-4, 0.85),
    ):
        loop = Loop(name, out, modules, count, rate, seed)
        while loop.step < count:
            chosen = torch.randint(len(latents), (64,), generator=loop.random)
            x, words = latents[chosen], ids[chosen].clone()
            words[torch.rand(len(words), generator=loop.random) < 0.05] = empty
            loop.update(denoising_loss(unet, x, text(words).last_hidden_state, high, loop.random))
        loop.finish()
    return text.eval(), unet.eval(), scale


def denoising_loss(
    unet: Any, x: torch.Tensor, told: torch.Tensor, high: float, random: torch.Generator
) -> torch.Tensor:
    """Mean squared error of the velocity at random noise levels, a share `high` of them among the highest 300 of 1000.

    `x` holds scaled latents, n × channels × 8 × 8; `told` their encoded captions.
    """
    import torch
    import torch.nn.functional as F

    at = torch.randint(1000, (len(x),), generator=random)
    late = torch.rand(len(x), generator=random) < high
    at[late] = torch.randint(700, 1000, (int(late.sum()),), generator=random)
    noise = torch.randn(x.shape, generator=random)
    levels = new_scheduler().alphas_cumprod[at].view(-1, 1, 1, 1)
    signal, sigma = levels.sqrt(), (1 - levels).sqrt()
    guess = unet(signal * x + sigma * noise, at, encoder_hidden_states=told).sample
    return F.mse_loss(guess, signal * noise - sigma * x)


def export(out: Path, target: Path, vae: Any, clip: Any, text: Any, unet: Any, scale: float) -> None:
    """Write `target/pipeline` and `target/clip`: half precision, safetensors."""
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import save_file

    vae.register_to_config(scaling_factor=scale)
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=text.half(),
        tokenizer=load_vocabulary(out / "clip"),
        unet=unet.half(),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(target / "pipeline", safe_serialization=True)
    shutil.copytree(out / "clip", target / "clip", dirs_exist_ok=True)
    state = {key: value.to(torch.float16).contiguous() for key, value in clip.state_dict().items()}
    save_file(state, target / "clip" / "open_clip_model.safetensors")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m probes.phantom.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("probes/phantom/_build"), help="folder of checkpoints")
    parser.add_argument("--target", type=Path, help="where the weights go; by default WEIGHTS in --out")
    parser.add_argument("--stage", choices=["vae", "clip", "unet", "all"], default="all", help="stop after this stage")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    for name, steps in STEPS.items():
        parser.add_argument(f"--{name}-steps", type=int, default=steps)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    vae = train_vae(given.out, given.vae_steps, given.seed, given.threads)
    if given.stage == "vae":
        return
    clip = train_clip(given.out, vae, given.clip_steps, given.seed, given.threads)
    if given.stage == "clip":
        return
    text, unet, scale = train_unet(
        given.out, vae, given.unet_steps, given.settle_steps, given.steady_steps, given.seed, given.threads
    )
    if given.stage == "unet":
        return
    sharpen_decoder(given.out, vae, given.decoder_steps, given.seed, given.threads)
    target = given.target or given.out / "weights"
    export(given.out, target, vae, clip, text, unet, scale)
    print(f"weights: {target}")


if __name__ == "__main__":
    main()
