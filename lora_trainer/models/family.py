"""What a family of base models is: data and callables, so that another family is one more file (as sd1.py) and one line.

FAMILIES in loading.py lists them; the kind that `modelfile.probe` names chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from .weights import Target, Weights


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of base models.

    `name` is the kind that `modelfile.probe` returns. `load_file(weights, target, with_vae)` and
    `load_folder(folder, target, with_vae)` return Parts.
    `encode(model, captions, max_token_length=, clip_skip=, weighted=)` returns the conditioning that `predict(unet, noisy
    latents, timesteps, conditioning)` takes; what is inside is the family's own affair.
    """

    name: str
    title: str
    load_file: Callable[[Weights, Target, bool], Parts]
    load_folder: Callable[[Path, Target, bool], Parts]
    encode: Callable[..., Any]
    predict: Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, Any], torch.Tensor]


@dataclass(kw_only=True)
class Parts:
    """What a family's loaders return. `vae` is None when it was not asked for."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL | None
    text_encoders: list[CLIPTextModel]
    tokenizers: list[CLIPTokenizer]
    prediction_type: str = "epsilon"


@dataclass(kw_only=True)
class Model:
    """A loaded base model: frozen, in eval mode, in the compute precision.

    `prediction_type` is "epsilon" or "v_prediction". `source` is what was given as path, for messages and metadata.
    """

    family: Family
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: list[CLIPTextModel]
    tokenizers: list[CLIPTokenizer]
    prediction_type: str
    source: str

    @property
    def device(self) -> torch.device:
        """The UNet's device."""
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's precision; the VAE's may be another."""
        return self.unet.dtype

    def encode(self, captions: list[str], *, max_token_length: int = 75, clip_skip: int = 1, weighted: bool = False) -> Any:
        """Return the conditioning for `captions`; for SD1 the text states [B, positions, C]."""
        return self.family.encode(self, captions, max_token_length=max_token_length, clip_skip=clip_skip, weighted=weighted)

    def predict(self, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Any) -> torch.Tensor:
        """Return the UNet's output [B,4,h,w] for noisy `latents` [B,4,h,w] at `timesteps` [B] (0..999)."""
        return self.family.predict(self.unet, latents, timesteps, conditioning)
