"""The model as a sampler sees it: noisy latents and a noise level in, clean latents out, with classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Sequence
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

    `positive` and `negative` are of one sample or of as many as are drawn; those whose text states have the same length
    go through the UNet together. A scale of 1 needs no `negative`, and half of the time. `more` are further prompts that are
    added in the same way, each with a scale of its own, which may be negative (Liu et al. 2022, "Compositional Visual
    Generation with Composable Diffusion Models", equations 11 and 13).
    """

    def __init__(
        self,
        model: Model,
        positive: Conditioning,
        negative: Conditioning,
        scale: float,
        more: Sequence[tuple[Conditioning, float]] = (),
    ) -> None:
        self._model = model
        self._negative = negative
        self._terms = [(positive, scale), *more]

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the clean latents [B, 4, h, w], float32, for `x` of that shape at noise level `sigma`."""
        scaled = x / math.sqrt(sigma**2 + 1)
        timestep = schedules.timestep_of(sigma, self._model.zero_terminal_snr)
        output = self._guided(scaled, timestep)
        if self._model.prediction_type == "v_prediction":  # Salimans and Ho 2022, "Progressive Distillation", appendix D
            return x / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return x - sigma * output

    def _guided(self, scaled: Tensor, timestep: float) -> Tensor:
        prompts = [prompt for prompt, _ in self._terms]
        scales = [scale for _, scale in self._terms]
        if scales == [1]:
            return self._predict(scaled, timestep, prompts[0])
        without, *with_ = self._predict_all(scaled, timestep, [self._negative, *prompts])
        return without + sum(scale * (each - without) for each, scale in zip(with_, scales, strict=True))

    def _predict_all(self, scaled: Tensor, timestep: float, prompts: Sequence[Conditioning]) -> list[Tensor]:
        """The UNet's output for each of `prompts`; those of one length are one batch."""
        lengths = [prompt.states.shape[1] for prompt in prompts]
        outputs: dict[int, Tensor] = {}
        for length in dict.fromkeys(lengths):
            members = [i for i, own in enumerate(lengths) if own == length]
            joined = Conditioning.join([prompts[i].expand(len(scaled)) for i in members])
            together = self._predict(torch.cat([scaled] * len(members)), timestep, joined)
            outputs |= zip(members, together.chunk(len(members)), strict=True)
        return [outputs[i] for i in range(len(prompts))]

    def _predict(self, scaled: Tensor, timestep: float, conditioning: Conditioning) -> Tensor:
        dtype = self._model.dtype
        timesteps = torch.full((len(scaled),), timestep, dtype=torch.float32, device=scaled.device)
        conditioning = conditioning.expand(len(scaled)).to(scaled.device, dtype)
        return self._model.predict(scaled.to(dtype), timesteps, conditioning).float()
