"""The model as a sampler sees it: noisy latents and a noise level in, clean latents out, with classifier-free guidance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..models.conditioning import Conditioning
from . import schedules

if TYPE_CHECKING:
    from ..models import Model


class Denoiser:
    """`denoiser(x, sigma)`: the estimate of the clean latents, guided by `scale` (Ho and Salimans 2022, "Classifier-Free
    Diffusion Guidance"): without + scale * (with - without).

    `positive` and `negative` are of one sample or of as many as are drawn; where the lengths of their text states differ,
    the UNet is called twice. A scale of 1 needs no `negative`, and half of the time.
    """

    def __init__(self, model: Model, positive: Conditioning, negative: Conditioning, scale: float) -> None:
        self._model = model
        self._positive, self._negative, self._scale = positive, negative, scale

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the clean latents [B, 4, h, w], float32, for `x` of that shape at noise level `sigma`."""
        scaled = x / math.sqrt(sigma**2 + 1)
        timestep = schedules.timestep_of(sigma)
        if self._scale == 1:
            output = self._predict(scaled, timestep, self._positive)
        elif self._positive.states.shape[1] == self._negative.states.shape[1]:
            both = Conditioning.join([self._negative.expand(len(x)), self._positive.expand(len(x))])
            without, with_ = self._predict(torch.cat([scaled, scaled]), timestep, both).chunk(2)
            output = without + self._scale * (with_ - without)
        else:
            without = self._predict(scaled, timestep, self._negative)
            output = without + self._scale * (self._predict(scaled, timestep, self._positive) - without)
        if self._model.prediction_type == "v_prediction":  # Salimans and Ho 2022, "Progressive Distillation", appendix D
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return x - sigma * output

    def _predict(self, scaled: Tensor, timestep: float, conditioning: Conditioning) -> Tensor:
        dtype = self._model.dtype
        timesteps = torch.full((len(scaled),), timestep, dtype=torch.float32, device=scaled.device)
        conditioning = conditioning.expand(len(scaled)).to(scaled.device, dtype)
        return self._model.predict(scaled.to(dtype), timesteps, conditioning).float()
