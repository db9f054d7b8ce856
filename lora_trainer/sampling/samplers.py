"""Samplers: one function each, one signature, pure arithmetic.

    sampler(denoise, x, sigmas, *, noise, on_step) -> x

`denoise(x, sigma)` returns the model's estimate of the clean latents; `x` is float32 [B, C, h, w] at noise level `sigmas[0]`,
not scaled down (x = x0 + sigma * noise); `sigmas` fall and end with 0.0; `noise()` returns a fresh draw shaped like x (only
ancestral samplers call it); `on_step(i)` is called after step i = 1..n. A sampler is stopped by an exception from either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor

from ..errors import InputError
from . import schedules

Denoise = Callable[[Tensor, float], Tensor]
Noise = Callable[[], Tensor]
OnStep = Callable[[int], None]
SamplerFunction = Callable[..., Tensor]


def ddim(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DDIM with eta = 0 (Song et al. 2020, "Denoising Diffusion Implicit Models", equation 12, divided by sqrt(a))."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        clean = denoise(x, sigma)
        epsilon = (x - clean) / sigma
        x = clean + following * epsilon
        on_step(i)
    return x


def euler(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """Euler's method on the probability-flow ODE dx/dsigma = (x - D(x)) / sigma (Karras et al. 2022, algorithm 2, no churn)."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        x = x + (x - denoise(x, sigma)) / sigma * (following - sigma)
        on_step(i)
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """Heun's second-order method (Karras et al. 2022, algorithm 1 without churn); two evaluations a step but the last."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + slope * (following - sigma)
        if following > 0:
            slope_ahead = (ahead - denoise(ahead, following)) / following
            ahead = x + (slope + slope_ahead) / 2 * (following - sigma)
        x = ahead
        on_step(i)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """Euler steps below the next level, and fresh noise up to it: ancestral sampling (DDPM, Ho et al. 2020) in sigmas."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        slope = (x - denoise(x, sigma)) / sigma
        down, up = ancestral_levels(sigma, following)
        x = x + slope * (down - sigma)
        if following > 0:
            x = x + noise() * up
        on_step(i)
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++", algorithm 2): second order with one evaluation a step.

    In this notation lambda = -log sigma. The first and the last step are of first order (the last because lambda is infinite).
    """
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        clean = denoise(x, sigma)
        if following == 0:
            x = clean
        else:
            h = math.log(sigma) - math.log(following)
            estimate = clean
            if before is not None:
                share = h / (2 * h_before)
                estimate = (1 + share) * clean - share * before
            x = (following / sigma) * x - math.expm1(-h) * estimate
            before, h_before = clean, h
        on_step(i)
    return x


def ancestral_levels(sigma: float, following: float) -> tuple[float, float]:
    """Return (down, up) with down**2 + up**2 == following**2: the level to step to, and the noise to add there.

    `up` is the standard deviation of DDPM's posterior q(x_following | x_sigma, x0) (Ho et al. 2020, equation 7).
    """
    up = min(following, math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2))
    return math.sqrt(following**2 - up**2), up


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler as the user chooses it.

    `label` and `schedule_label` are what the Web UI calls it; `spacing(steps)` gives the sigmas; `scaled_start`: the first x is
    noise * sqrt(1 + sigma**2), the exact level of the training's last timestep, instead of noise * sigma.
    """

    name: str
    label: str
    function: SamplerFunction
    spacing: Callable[[int], list[float]] = schedules.uniform
    schedule_label: str = "Automatic"
    scaled_start: bool = False

    def start_scale(self, sigma: float) -> float:
        """Return what unit noise is multiplied by to become the first x."""
        return math.sqrt(1.0 + sigma**2) if self.scaled_start else sigma


_PLAIN = [
    Sampler(name="ddim", label="DDIM", function=ddim, spacing=schedules.leading, scaled_start=True),
    Sampler(name="euler", label="Euler", function=euler),
    Sampler(name="euler_a", label="Euler a", function=euler_ancestral),
    Sampler(name="heun", label="Heun", function=heun),
    Sampler(name="dpm++_2m", label="DPM++ 2M", function=dpmpp_2m, schedule_label="Uniform"),
]
_KARRAS = [
    replace(sampler, name=sampler.name + "_karras", spacing=schedules.karras, schedule_label="Karras")
    for sampler in _PLAIN
    if sampler.name != "ddim"
]
SAMPLERS = {sampler.name: sampler for sampler in [*_PLAIN, *_KARRAS]}

# Names of the reference's --sample_sampler beside ours. "dpmsolver++" is its multistep solver of order 2.
_OTHER_NAMES = {"k_euler": "euler", "k_euler_a": "euler_a", "dpmsolver++": "dpm++_2m", "k_heun": "heun"}
_NOT_YET = {"pndm", "lms", "k_lms", "dpm_2", "dpm_2_a", "k_dpm_2", "k_dpm_2_a", "dpmsolver", "dpmsingle"}


def find(name: str, *, field: str = "sample_sampler", where: str = "") -> Sampler:
    """Return the sampler called `name`: ours ("euler_a"), the Web UI's label ("Euler a") or the reference's ("k_euler_a").

    Raises InputError that lists the samplers there are, for a name that is unknown or not implemented yet.
    """
    key = "_".join(name.strip().lower().split())
    key = _OTHER_NAMES.get(key, key)
    if key in SAMPLERS:
        return SAMPLERS[key]
    what = "is not available yet" if key in _NOT_YET else "is not known"
    raise InputError(f"the sampler {name!r} {what}.", field=field, where=where, advice=f"Choose one of: {', '.join(SAMPLERS)}.")
