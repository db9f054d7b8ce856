"""The samplers' arithmetic: one function each, one signature.

    sampler(denoise, x, sigmas, *, noise, on_step) -> x

`denoise(x, sigma)` returns the model's estimate of the clean latents; `x` is float32 [B, C, h, w] at noise level `sigmas[0]`,
not scaled down (x = x0 + sigma * noise); `sigmas` fall and end with 0.0; `noise()` returns a fresh draw shaped like x (only
ancestral samplers call it); `on_step(i)` is called after step i = 1..n. A sampler is stopped by an exception from either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from .schedules import sigma_of, timestep_of

if TYPE_CHECKING:  # the page's process, which has no torch, asks for the samplers' names
    from torch import Tensor

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


def lms(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """Linear multistep (Adams-Bashforth on uneven steps) of order 4: the slopes of the last four levels, extrapolated as a
    polynomial in sigma and integrated over the step. The order grows from 1 with the first steps."""
    slopes: list[Tensor] = []
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        slopes = [*slopes[-3:], (x - denoise(x, sigma)) / sigma]
        shares = multistep_shares(sigmas[i - len(slopes) : i], following)
        x = x + sum(share * slope for share, slope in zip(shares, slopes, strict=True))
        on_step(i)
    return x


def multistep_shares(levels: Sequence[float], following: float) -> list[float]:
    """Return the integral of each Lagrange polynomial over `levels` (at most 4) from the last level to `following`.

    Gauss' rule with two points is exact for polynomials of degree 3.
    """
    middle, half = (following + levels[-1]) / 2, (following - levels[-1]) / 2
    points = [middle - half / math.sqrt(3), middle + half / math.sqrt(3)]

    def basis(at: float, j: int) -> float:
        return math.prod((at - other) / (levels[j] - other) for k, other in enumerate(levels) if k != j)

    return [half * sum(basis(point, j) for point in points) for j in range(len(levels))]


_ADAMS_BASHFORTH = ((1.0,), (-1 / 2, 3 / 2), (5 / 12, -16 / 12, 23 / 12), (-9 / 24, 37 / 24, -59 / 24, 55 / 24))


def pndm(
    denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep, zero_terminal_snr: bool = False
) -> Tensor:
    """PNDM (Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds", F-PNDM, algorithm 2).

    DDIM's step along a combination of noises: in the first three steps that of Runge and Kutta (equation 13), of four
    evaluations, two of them at the timestep half way (on the schedule `zero_terminal_snr`); then of the last four
    (equation 12), weighted as for even steps.
    """
    noises: list[Tensor] = []
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        noises = [*noises[-3:], (x - denoise(x, sigma)) / sigma]
        begins = i <= 3 and following > 0
        if begins:
            middle = _half_way(sigma, following, zero_terminal_snr)
            slope = _runge_kutta(denoise, x, (sigma, middle, following), noises[-1])
        else:
            slope = _adams_bashforth(noises)
        x = x + (following - sigma) * slope
        on_step(i)
    return x


def _adams_bashforth(noises: Sequence[Tensor]) -> Tensor:
    weights = _ADAMS_BASHFORTH[len(noises) - 1]
    return sum(weight * eps for weight, eps in zip(weights, noises, strict=True))


def _half_way(sigma: float, following: float, zero_terminal_snr: bool) -> float:
    """The level at the timestep between those of two levels."""
    timesteps = [timestep_of(level, zero_terminal_snr) for level in (sigma, following)]
    return sigma_of(sum(timesteps) / 2, zero_terminal_snr)


def _runge_kutta(denoise: Denoise, x: Tensor, levels: tuple[float, float, float], first: Tensor) -> Tensor:
    """The combined slope for the step from the first of `levels` to the last; `first` is the slope there."""
    sigma, middle, following = levels
    slopes = [first]
    for level in (middle, middle, following):
        ahead = x + (level - sigma) * slopes[-1]
        slopes.append((ahead - denoise(ahead, level)) / level)
    return (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3]) / 6


def plms(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """PNDM without its Runge-Kutta start, as the Web UI has it: the first step is Heun's, with two evaluations, and the next
    ones take as many noises as there are."""
    noises: list[Tensor] = []
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        noises = [*noises[-3:], (x - denoise(x, sigma)) / sigma]
        if i == 1 and following > 0:
            ahead = x + (following - sigma) * noises[0]
            slope = (noises[0] + (ahead - denoise(ahead, following)) / following) / 2
        else:
            slope = _adams_bashforth(noises)
        x = x + (following - sigma) * slope
        on_step(i)
    return x


def dpm_2(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver-2 (Lu et al. 2022, "DPM-Solver", algorithm 1): the slope at the step's middle in log sigma; two evaluations
    a step but the last."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        x = _middle_step(denoise, x, sigma, following)
        on_step(i)
    return x


def dpm_2_ancestral(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver-2 below the next level, and fresh noise up to it."""
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        down, up = ancestral_levels(sigma, following)
        x = _middle_step(denoise, x, sigma, down)
        if following > 0:
            x = x + noise() * up
        on_step(i)
    return x


def _middle_step(denoise: Denoise, x: Tensor, sigma: float, following: float) -> Tensor:
    slope = (x - denoise(x, sigma)) / sigma
    if following > 0:
        middle = math.sqrt(sigma * following)
        halfway = x + slope * (middle - sigma)
        slope = (halfway - denoise(halfway, middle)) / middle
    return x + slope * (following - sigma)


def dpm_solver_2m(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver of order 2 as a multistep method: as `dpmpp_2m`, but with the noise in place of the clean picture."""
    before: Tensor | None = None
    h_before = 0.0
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        slope = estimate = (x - denoise(x, sigma)) / sigma
        if following > 0:
            h = math.log(sigma) - math.log(following)
            if before is not None:
                estimate = slope + h / (2 * h_before) * (slope - before)
            before, h_before = slope, h
        x = x + (following - sigma) * estimate
        on_step(i)
    return x


def dpmpp_2s(denoise: Denoise, x: Tensor, sigmas: Sequence[float], *, noise: Noise, on_step: OnStep) -> Tensor:
    """DPM-Solver++(2S) (Lu et al. 2022, "DPM-Solver++", algorithm 1), each step on two levels: one evaluation a level.

    Odd levels are a first-order step ahead; from there the step is done again with both evaluations. The last step, to 0, is
    of first order.
    """
    begin, clean_begin, sigma_begin = x, x, sigmas[0]
    for i, (sigma, following) in enumerate(pairwise(sigmas), 1):
        clean = denoise(x, sigma)
        if following == 0:
            x = clean
        elif i % 2:
            begin, clean_begin, sigma_begin = x, clean, sigma
            x = (following / sigma) * x - math.expm1(math.log(following / sigma)) * clean
        else:
            share = math.log(sigma_begin / following) / (2 * math.log(sigma_begin / sigma))
            estimate = clean_begin + share * (clean - clean_begin)
            x = (following / sigma_begin) * begin - math.expm1(math.log(following / sigma_begin)) * estimate
        on_step(i)
    return x


def ancestral_levels(sigma: float, following: float) -> tuple[float, float]:
    """Return (down, up) with down**2 + up**2 == following**2: the level to step to, and the noise to add there.

    `up` is the standard deviation of DDPM's posterior q(x_following | x_sigma, x0) (Ho et al. 2020, equation 7).
    """
    up = min(following, math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2))
    return math.sqrt(following**2 - up**2), up
