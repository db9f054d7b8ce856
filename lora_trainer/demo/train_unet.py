"""Training the demo model's UNet and text encoder together, on cached latents, to predict the noise (Ho et al., 2020).

A step's loss is weighted by 1/sqrt(SNR) of its timestep, with a mean of 1. Unweighted, the noise hides what the caption
decides: at timesteps near 999, where colours and places are chosen, all that can be known of the picture is a few percent of
what is to be predicted. (Min-SNR weighting, Hang et al., 2023, lowers the other end only.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from ..models import text, text_encoders
from ..randomness import rng, seed_of
from ..sampling.schedules import TRAIN_TIMESTEPS, alphas_cumprod
from . import parts, world
from .state import Schedule, Training, say
from .train_vae import to_tensor

SHORT = (
    16  # text positions in most steps; no caption of the world is longer. The states do not depend on it: CLIP looks back only
)


@dataclass(frozen=True)
class UnetSettings:
    """How the UNet and the text encoder are trained. `pool` is the number of cached pictures; `empty` the share of captions
    that are left out for guidance; every `long_every`-th step has all 77 text positions."""

    steps: int = 3000
    seed: int = 2
    rate: float = 1e-3
    batch: int = 32
    pool: int = 6000
    empty: float = 0.1
    long_every: int = 8
    warmup: int = 100
    channels: tuple[int, ...] = parts.UNET_CHANNELS


def scenes(settings: UnetSettings) -> list[world.Scene]:
    """Return the scenes of the cached pictures."""
    return [world.random_scene(rng(settings.seed, "scene", index)) for index in range(settings.pool)]


def cached_latents(settings: UnetSettings, vae: torch.nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """Return {"latents" [pool,4,8,8], "mean" [4], "std" [4]}, from `path` if it is there; the latents have variance 1.

    `mean` and `std` are for parts.fold_scale.
    """
    if not path.is_file():
        found = []
        pictures = scenes(settings)
        for start in range(0, len(pictures), 32):
            with torch.no_grad(), parts.skipped(vae):
                chunk = to_tensor(np.stack([world.draw(scene) for scene in pictures[start : start + 32]]))
                chunk = chunk.contiguous(memory_format=torch.channels_last)
                found.append(vae.quant_conv(vae.encoder(chunk))[:, :4].contiguous())
        latents = torch.cat(found)
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        latents = (latents - mean[:, None, None]) / std[:, None, None]
        save_file({"latents": latents.contiguous(), "mean": mean, "std": std}, path)
        say(f"cached {len(latents)} latents; channel std before scaling {[round(value, 3) for value in std.tolist()]}")
    return load_file(path)


class Words:
    """The tokens in use, and their rows in the small table that is trained; the other rows of CLIP's table come at export."""

    def __init__(self) -> None:
        self.tokenizer = text_encoders.tokenizer()
        words = [*world.SHAPES, *world.COLOURS, *world.BACKGROUNDS, *world.SIZES, "a", "on", "background"]
        ids = text.tokenize(self.tokenizer, [" ".join(words)])
        self.used: list[int] = sorted(set(ids.flatten().tolist()))
        self.rows = torch.full((len(self.tokenizer),), -1)
        self.rows[self.used] = torch.arange(len(self.used))
        self._known: dict[str, torch.Tensor] = {}

    def encode(self, encoder: torch.nn.Module, captions: list[str], positions: int) -> torch.Tensor:
        """Return the text states [B, positions, C]."""
        for caption in captions:
            if caption not in self._known:
                self._known[caption] = self.rows[text.tokenize(self.tokenizer, [caption])[0, 0]]
        different = sorted(set(captions))
        ids = torch.stack([self._known[caption] for caption in different])[:, :positions]
        assert bool((ids >= 0).all()), "a caption has a word that is not in the table"
        states = encoder(ids).last_hidden_state
        return states[[different.index(caption) for caption in captions]]


def weights_by_timestep() -> torch.Tensor:
    """Return the loss's weight at each timestep, float32 [1000], mean 1; at most 5 times that of SNR 1."""
    a = alphas_cumprod()
    weights = ((1 - a) / a).sqrt().clamp(max=5.0)
    return weights / weights.mean()


def module_of(settings: UnetSettings, words: Words) -> torch.nn.ModuleDict:
    """Return the two parts as one module; the text encoder has the rows of `words` only."""
    encoder = parts.make_text_encoder(settings.seed, vocabulary=len(words.used))
    return torch.nn.ModuleDict({"unet": parts.make_unet(settings.seed, settings.channels), "text": encoder})


class Batches:
    """Step number -> loss, without any other state."""

    def __init__(self, settings: UnetSettings, words: Words, latents: torch.Tensor) -> None:
        self.settings, self.words, self.latents = settings, words, latents
        self.scenes = scenes(settings)
        self.alphas = alphas_cumprod()
        self.weights = weights_by_timestep()

    def loss(self, module: torch.nn.ModuleDict, step: int, part: int = 0, parts: int = 1) -> torch.Tensor:
        """Return the weighted error of the predicted noise, over every `parts`-th sample of the step's batch from `part` on."""
        settings = self.settings
        draw = rng(settings.seed, "unet", step)
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "unet noise", step) % 2**63)
        rows = [draw.randrange(settings.pool) for _ in range(settings.batch)]
        captions = ["" if draw.random() < settings.empty else world.random_caption(self.scenes[row], draw) for row in rows]
        latents = self.latents[rows]
        noise = torch.randn(latents.shape, generator=generator)
        # Spread evenly over the timesteps, so that the steps' losses differ less.
        shares = (torch.arange(settings.batch) + torch.rand(1, generator=generator)) / settings.batch
        timesteps = (shares % 1 * TRAIN_TIMESTEPS).long().clamp(max=TRAIN_TIMESTEPS - 1)
        chosen = slice(part, None, parts)
        latents, noise, timesteps, captions = latents[chosen], noise[chosen], timesteps[chosen], captions[chosen]
        a = self.alphas[timesteps][:, None, None, None]
        noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
        positions = 77 if step % settings.long_every == 0 else SHORT
        states = self.words.encode(module["text"], captions, positions)
        predicted = module["unet"](noisy, timesteps, encoder_hidden_states=states, return_dict=False)[0]
        errors = F.mse_loss(predicted, noise, reduction="none").mean((1, 2, 3))
        return (errors * self.weights[timesteps]).sum() / settings.batch


class Halves:
    """Losses and gradients of a step, computed by two threads for half of the batch each.

    Where other programs use the processor too, threads that meet once a step lose less time than threads that share every
    operation. The sum of the halves is always taken in the same order, so that the result does not depend on the timing.
    """

    def __init__(self, module: torch.nn.Module, parameters: list[torch.nn.Parameter], threads: int) -> None:
        self.module, self.parameters, self.threads = module, parameters, threads
        self.pool = ThreadPoolExecutor(threads)

    def gradients(self, loss: Callable[[int], torch.Tensor]) -> float:
        """Put the gradients of the sum of loss(part) into the parameters; return the sum."""

        def work(part: int) -> tuple[float, tuple[torch.Tensor, ...]]:
            value = loss(part)
            return value.item(), torch.autograd.grad(value, self.parameters, allow_unused=True)

        done = list(self.pool.map(work, range(self.threads)))
        for parameter, *gradients in zip(self.parameters, *(gradients for _, gradients in done), strict=True):
            known = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = functools.reduce(torch.add, known) if known else None
        return sum(value for value, _ in done)


def train(
    settings: UnetSettings,
    out: Path,
    *,
    minutes: float,
    resume: bool,
) -> Training:
    """Train into `out`/unet.pt with the VAE of `out`/vae.pt; return the training as it stands."""
    vae = load_vae(out)
    words = Words()
    batches = Batches(settings, words, cached_latents(settings, vae, out / "latents.safetensors")["latents"])
    training = Training(
        module_of(settings, words),
        Schedule(settings.rate, settings.steps, settings.warmup),
        out / "unet.pt",
        ema_decay=0.995,
    )
    if resume:
        training.resume()
    threads = torch.get_num_threads()
    halves = Halves(training.module, training.parameters, threads)
    torch.set_num_threads(1)

    def gradients(step: int) -> float:
        return halves.gradients(lambda part: batches.loss(training.module, step, part, threads))

    training.run(gradients, minutes=minutes)
    return training


def load_vae(out: Path, channels: tuple[int, ...] = parts.VAE_CHANNELS) -> torch.nn.Module:
    """Return the averaged VAE of `out`/vae.pt, in eval mode, its scale not folded yet."""
    state = torch.load(out / "vae.pt", map_location="cpu", weights_only=True)
    vae = parts.make_vae(0, channels)
    vae.load_state_dict(state["average"])
    return vae.eval().requires_grad_(False)
