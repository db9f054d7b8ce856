"""Noise schedules: which noise levels exist (training), and which of them a sampler visits.

Two notations are used throughout:
- `alphas_cumprod[t]`, t = 0..999: the share of the signal's variance that is left at timestep t (DDPM, Ho et al. 2020);
- `sigma = sqrt((1 - a) / a)`: the same noise level for a picture that is not scaled down, x = x0 + sigma * noise
  (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"). Samplers work in sigmas.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012
# What a sampler leaves of the picture's variance at the last timestep of a zero-terminal schedule, where a sigma has to be a
# number: that of the Web UI and ComfyUI, so that pictures come out alike.
LEAST_SIGNAL = 4.8973451890853435e-08


def alphas_cumprod(timesteps: int = TRAIN_TIMESTEPS, beta_start: float = BETA_START, beta_end: float = BETA_END) -> Tensor:
    """Return Stable Diffusion's "scaled linear" schedule: float32 [timesteps], falling from 0.99915 to 0.0047.

    The square roots of the betas are evenly spaced. It is computed in float32, as the models' own training code did: at small
    timesteps 1 - a is small, so that another rounding would show in the SNR.
    """
    import torch

    betas = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float32) ** 2
    return torch.cumprod(1.0 - betas, dim=0)


def zero_terminal(alphas: Tensor) -> Tensor:
    """Return the schedule `alphas` [T] rescaled so that nothing of the picture is left at the last timestep: exactly 0 there.

    ("Common Diffusion Noise Schedules and Sample Steps are Flawed", Lin et al. 2023, algorithm 1.) Its first value stays.
    """
    root = alphas.float().sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return root**2


@functools.lru_cache(maxsize=2)
def train_sigmas(zero_terminal_snr: bool = False) -> Tensor:
    """Return sqrt((1 - a) / a) for every timestep: float64 [1000], rising from 0.029 to 14.6. Do not change it in place.

    With `zero_terminal_snr` of the rescaled schedule, whose last level would be infinite: `LEAST_SIGNAL` of the picture is
    left there, so that it is 4518.
    """
    a = alphas_cumprod()
    if zero_terminal_snr:
        a = zero_terminal(a).clamp(min=LEAST_SIGNAL)
    a = a.double()
    return ((1.0 - a) / a).sqrt()


def timestep_of(sigma: float, zero_terminal_snr: bool = False) -> float:
    """Return the timestep (0..999, with a fraction) whose noise level is `sigma`; log sigma is linear in between."""
    import torch

    logs = train_sigmas(zero_terminal_snr).log()
    wanted = math.log(max(sigma, 1e-10))
    low = int(torch.searchsorted(logs, wanted, right=True).clamp(1, TRAIN_TIMESTEPS - 1)) - 1
    share = (wanted - float(logs[low])) / float(logs[low + 1] - logs[low])
    return low + min(max(share, 0.0), 1.0)


def sigma_of(timestep: float, zero_terminal_snr: bool = False) -> float:
    """Return the noise level at `timestep` (0..999, fractions allowed): the inverse of `timestep_of`."""
    logs = train_sigmas(zero_terminal_snr).log()
    low = min(max(int(timestep), 0), TRAIN_TIMESTEPS - 2)
    share = timestep - low
    return math.exp((1.0 - share) * float(logs[low]) + share * float(logs[low + 1]))


def uniform(steps: int, zero_terminal_snr: bool = False) -> list[float]:
    """Return `steps` sigmas at timesteps spread evenly from 999 to 0, then 0.0; the Web UI's "Automatic" schedule."""
    last = TRAIN_TIMESTEPS - 1
    timesteps = [last * (1.0 - i / (steps - 1)) if steps > 1 else last for i in range(steps)]
    return [sigma_of(timestep, zero_terminal_snr) for timestep in timesteps] + [0.0]


def karras(steps: int, zero_terminal_snr: bool = False, rho: float = 7.0) -> list[float]:
    """Return `steps` sigmas from the largest to the smallest, then 0.0, spaced as Karras et al. (2022), equation 5."""
    sigmas = train_sigmas(zero_terminal_snr)
    high, low = float(sigmas[-1]) ** (1 / rho), float(sigmas[0]) ** (1 / rho)
    return [(high + (i / (steps - 1) if steps > 1 else 0.0) * (low - high)) ** rho for i in range(steps)] + [0.0]


def leading(steps: int, zero_terminal_snr: bool = False) -> list[float]:
    """Return `steps` sigmas at the timesteps 1 + k * 1000 / steps, falling, then 0.0: DDIM's "leading" spacing.

    Where `steps` does not divide 1000 the timesteps are rounded, so that all of the range is visited. With
    `zero_terminal_snr` the spacing is "trailing" (999, 999 - 1000 / steps, ...): a picture that begins as pure noise has to
    begin at the only timestep that has seen pure noise (Lin et al. 2023, section 3.3).
    """
    spacing = TRAIN_TIMESTEPS / steps
    sigmas = train_sigmas(zero_terminal_snr)
    if zero_terminal_snr:
        timesteps = [max(round(TRAIN_TIMESTEPS - k * spacing) - 1, 0) for k in reversed(range(steps))]
    else:
        timesteps = [min(round(k * spacing) + 1, TRAIN_TIMESTEPS - 1) for k in range(steps)]
    return [float(sigmas[t]) for t in reversed(timesteps)] + [0.0]
