"""The noise of a training step: what is drawn, and what is made of it.

The transformations are pure functions of tensors and of given draws. The draws themselves are a pure function of (seed,
purpose, step, position in the step), made one sample at a time on the CPU: how a step is split into batches, accumulation
and processes changes none of them, and switching one option on changes no other draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..models.sending import sent
from ..options.training import TrainingOptions
from ..randomness import rng, seed_of


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """The options of the noise; None and 0 turn one off. `min_timestep` is included, `max_timestep` is not."""

    timesteps: int = 1000
    min_timestep: int | None = None
    max_timestep: int | None = None
    noise_offset: float | None = None
    noise_offset_random_strength: bool = False
    adaptive_noise_scale: float | None = None
    multires_noise_iterations: int | None = None
    multires_noise_discount: float = 0.3
    ip_noise_gamma: float | None = None
    ip_noise_gamma_random_strength: bool = False

    @classmethod
    def of(cls, options: TrainingOptions, timesteps: int = 1000) -> NoiseSettings:
        """What the options say, for a model of so many timesteps."""
        return cls(
            timesteps=timesteps,
            min_timestep=options.min_timestep,
            max_timestep=options.max_timestep,
            noise_offset=options.noise_offset,
            noise_offset_random_strength=options.noise_offset_random_strength,
            adaptive_noise_scale=options.adaptive_noise_scale,
            multires_noise_iterations=options.multires_noise_iterations,
            multires_noise_discount=options.multires_noise_discount,
            ip_noise_gamma=options.ip_noise_gamma,
            ip_noise_gamma_random_strength=options.ip_noise_gamma_random_strength,
        )


@dataclass(frozen=True)
class DrawnNoise:
    """The noise of one batch. `noise` is what the model has to find; `added` is what is put on the latents (it has the
    input perturbation as well); both [B, C, h, w] float32. `timesteps`: [B] int64."""

    noise: torch.Tensor
    added: torch.Tensor
    timesteps: torch.Tensor


# --- pure transformations ---


def offset_noise(
    noise: torch.Tensor, latents: torch.Tensor, draw: torch.Tensor, *, offset: float, adaptive_scale: float | None = None
) -> torch.Tensor:
    """Shift each channel of `noise` [B, C, h, w] by `offset` * `draw` [B, C, 1, 1].

    ("Diffusion with Offset Noise", N. Guttenberg 2023.) With `adaptive_scale` the offset grows with the absolute mean of
    the latents' channel and is at least 0.
    """
    strength: float | torch.Tensor = offset
    if adaptive_scale:
        strength = (offset + adaptive_scale * latents.mean(dim=(2, 3), keepdim=True).abs()).clamp(min=0.0)
    return noise + strength * draw


def multires_sizes(height: int, width: int, draws: Sequence[float]) -> list[tuple[int, int]]:
    """Return the sizes (height, width) of the coarser noises for uniform `draws` in 0..1, one for each iteration.

    The scale of iteration i is (2 + 2 * draw) ** i; the list ends early, after the first size with a side of 1.
    """
    sizes = []
    for i, draw in enumerate(draws):
        scale = (2.0 + 2.0 * draw) ** i
        sizes.append((max(1, int(height / scale)), max(1, int(width / scale))))
        if 1 in sizes[-1]:
            break
    return sizes


def multires_noise(noise: torch.Tensor, coarse: Sequence[torch.Tensor], discount: float) -> torch.Tensor:
    """Add to `noise` [B, C, h, w] coarser noises [B, C, h', w'], the i-th enlarged and weighted with discount ** i.

    The sum is scaled to a standard deviation of 1 over all of it. ("Multi-Resolution Noise for Diffusion Model Training",
    J. Whitaker 2023.)
    """
    for i, level in enumerate(coarse):
        noise = noise + F.interpolate(level, size=noise.shape[-2:], mode="bilinear", align_corners=False) * discount**i
    return noise / noise.std()


def add_noise(
    latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """Return the noisy latents sqrt(a) * latents + sqrt(1 - a) * noise of the forward process (DDPM, Ho et al. 2020)."""
    signal, sigma = _signal_and_sigma(alphas_cumprod, timesteps, latents)
    return signal * latents + sigma * noise


def velocity(latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Return the target of v-prediction, sqrt(a) * noise - sqrt(1 - a) * latents (Salimans and Ho 2022)."""
    signal, sigma = _signal_and_sigma(alphas_cumprod, timesteps, latents)
    return signal * noise - sigma * latents


def _signal_and_sigma(
    alphas_cumprod: torch.Tensor, timesteps: torch.Tensor, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    alpha = alphas_cumprod.to(like.device, torch.float32)[timesteps].reshape(-1, *[1] * (like.ndim - 1))
    return alpha.sqrt().to(like.dtype), (1.0 - alpha).sqrt().to(like.dtype)


# --- draws ---


def draw_batch(
    latents: torch.Tensor,
    settings: NoiseSettings,
    *,
    seed: int,
    step: int,
    positions: Sequence[int],
    device: torch.device | None = None,
) -> DrawnNoise:
    """Draw noise and timesteps for `latents` [B, C, h, w]; the result is float32 on `device`, by default theirs.

    `step` counts optimizer steps, `positions` the samples inside one step (over all its batches and processes).
    """
    on_cpu = _values_on_cpu(latents, settings)
    samples = [_draw_sample(on_cpu[i : i + 1], settings, seed, step, position) for i, position in enumerate(positions)]
    noise = torch.cat([sample[0] for sample in samples])
    perturbation = torch.cat([sample[1] for sample in samples]) if settings.ip_noise_gamma else None
    timesteps = torch.tensor([sample[2] for sample in samples], dtype=torch.int64)
    device = device or latents.device
    noise, timesteps = sent(noise, device), sent(timesteps, device)
    added = noise if perturbation is None else noise + sent(perturbation, device)
    return DrawnNoise(noise, added, timesteps)


def _values_on_cpu(latents: torch.Tensor, settings: NoiseSettings) -> torch.Tensor:
    """Return latents [B, C, h, w] on the CPU; their values are fetched only where an option reads them."""
    if settings.noise_offset and settings.adaptive_noise_scale:
        return latents.float().cpu()
    return torch.empty(latents.shape, device="cpu")


def _draw_sample(
    latents: torch.Tensor, settings: NoiseSettings, seed: int, step: int, position: int
) -> tuple[torch.Tensor, torch.Tensor | None, int]:
    """Return (noise, perturbation or None, timestep) of one sample, latents [1, C, h, w]."""

    def normal(purpose: str, shape: Sequence[int], *keys: int) -> torch.Tensor:
        generator = torch.Generator("cpu").manual_seed(seed_of(seed, purpose, step, position, *keys))
        return torch.randn(tuple(shape), generator=generator)

    def strength(full: float, purpose: str, is_random: bool) -> float:
        return full * rng(seed, purpose, step, position).random() if is_random else full

    noise = normal("noise", latents.shape)
    if settings.noise_offset:
        offset = strength(settings.noise_offset, "noise offset strength", settings.noise_offset_random_strength)
        draw = normal("noise offset", (*latents.shape[:2], 1, 1))
        noise = offset_noise(noise, latents, draw, offset=offset, adaptive_scale=settings.adaptive_noise_scale)
    if settings.multires_noise_iterations:
        uniform = rng(seed, "multires sizes", step, position)
        sizes = multires_sizes(*latents.shape[-2:], [uniform.random() for _ in range(settings.multires_noise_iterations)])
        coarse = [normal("multires noise", (*latents.shape[:2], *size), i) for i, size in enumerate(sizes)]
        noise = multires_noise(noise, coarse, settings.multires_noise_discount)
    perturbation = None
    if settings.ip_noise_gamma:
        gamma = strength(settings.ip_noise_gamma, "ip noise strength", settings.ip_noise_gamma_random_strength)
        perturbation = gamma * normal("ip noise", latents.shape)
    return noise, perturbation, draw_timestep(settings, seed, step, position)


def draw_timestep(settings: NoiseSettings, seed: int, step: int, position: int) -> int:
    """Return a timestep, uniform in min_timestep <= t < max_timestep; equal bounds give that timestep always."""
    least = settings.min_timestep or 0
    end = settings.timesteps if settings.max_timestep is None else settings.max_timestep
    return least if end <= least else rng(seed, "timestep", step, position).randrange(least, end)
