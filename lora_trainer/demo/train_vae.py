"""Training the demo model's VAE: absolute and squared error, and a little KL divergence (Kingma and Welling, 2014)."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from ..randomness import rng, seed_of
from . import parts, world
from .state import Schedule, Training, say


@dataclass(frozen=True)
class VaeSettings:
    """How the VAE is trained. `light_until` is the share of the steps in which parts.IDENTITIES are left out."""

    steps: int = 3600
    seed: int = 1
    rate: float = 1e-3
    batch: int = 8
    free: float = 0.4
    kl: float = 3e-4
    light_until: float = 1.0


def batch(settings: VaeSettings, step: int) -> torch.Tensor:
    """Return the pictures of a step, float32 [B,3,64,64] in -1..1; a share `free` of them are world.free_picture."""
    pictures = []
    for index in range(settings.batch):
        draw = rng(settings.seed, "vae", step, index)
        free = draw.random() < settings.free
        pictures.append(world.free_picture(draw) if free else world.draw(world.random_scene(draw)))
    return to_tensor(np.stack(pictures))


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Return uint8 pictures [B,H,W,3] as float32 [B,3,H,W] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def loss_of(vae: torch.nn.Module, pictures: torch.Tensor, noise: torch.Tensor, kl: float) -> torch.Tensor:
    """Return the loss for `pictures` [B,3,H,W]; `noise` [B,4,H/8,W/8] draws from the posterior."""
    mean, logvar = vae.quant_conv(vae.encoder(pictures)).chunk(2, dim=1)
    logvar = logvar.clamp(-12, 4)
    again = vae.decoder(vae.post_quant_conv(mean + (0.5 * logvar).exp() * noise))
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return F.l1_loss(again, pictures) + F.mse_loss(again, pictures) + kl * divergence


def train(settings: VaeSettings, out: Path, *, minutes: float, resume: bool, freeze_encoder: bool = False) -> Training:
    """Train into `out`/vae.pt; return the training as it stands.

    With `freeze_encoder` the encoder stays what its average is: the UNet can be trained on its latents while the decoder still
    gets better.
    """
    training = Training(
        parts.make_vae(settings.seed).to(memory_format=torch.channels_last),  # five times as fast on a CPU with AVX2
        Schedule(settings.rate, settings.steps),
        out / "vae.pt",
    )
    if resume:
        training.resume()
    vae = training.module
    if freeze_encoder:
        for name in ("encoder", "quant_conv"):
            getattr(vae, name).load_state_dict(getattr(training.average, name).state_dict())
            getattr(vae, name).requires_grad_(False)

    def gradients(step: int) -> float:
        light = step < settings.light_until * settings.steps
        generator = torch.Generator().manual_seed(seed_of(settings.seed, "vae noise", step) % 2**63)
        noise = torch.randn(settings.batch, 4, 8, 8, generator=generator)
        pictures = batch(settings, step).contiguous(memory_format=torch.channels_last)
        with parts.skipped(vae) if light else nullcontext():
            loss = loss_of(vae, pictures, noise, settings.kl)
            loss.backward()
        return loss.item()

    training.run(gradients, minutes=minutes)
    say(f"the average's error on new pictures: {psnr(training.average):.2f} dB")
    return training


def psnr(vae: torch.nn.Module, count: int = 64) -> float:
    """Return the peak signal-to-noise ratio in dB of new base-world pictures through the VAE (without noise)."""
    draws = [rng(0, "vae check", index) for index in range(count)]
    pictures = to_tensor(
        np.stack([world.draw(world.random_scene(draw, held_out=index % 2 == 0)) for index, draw in enumerate(draws)])
    )
    with torch.no_grad():
        mean = vae.quant_conv(vae.encoder(pictures)).chunk(2, dim=1)[0]
        again = vae.decoder(vae.post_quant_conv(mean)).clamp(-1, 1)
    return float(10 * torch.log10(4 / F.mse_loss(again, pictures)))
