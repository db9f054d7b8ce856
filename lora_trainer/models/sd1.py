"""Stable Diffusion 1: one CLIP text encoder, a UNet of 12/1/12 blocks with 1x1 convolutions round its transformers, and a VAE.

The sizes are read from the tensors, so that smaller models of the same topology load too. What tensors cannot tell:
the UNet has 8 heads at every level (`num_heads: 8` in LDM's configuration), CLIP's heads are 64 wide; a `NAME.yaml` beside
the file, as the Web UI reads it, overrides both (ldm_yaml.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from . import convert, text
from .conditioning import Conditioning
from .diffusers_folder import TextPart, load_folder
from .family import Family, Parts
from .ldm_yaml import read_overrides
from .prediction import told_by_file
from .text_encoders import build_clip, tokenizer
from .unets import build_unet, unet_config
from .vae import SD_SCALE
from .vae_files import build_vae
from .weights import Target, Weights

UNET_HEADS = 8
TITLE = "Stable Diffusion 1"


def _load_file(weights: Weights, target: Target, with_vae: bool) -> Parts:
    """Load the parts of an LDM-named single file. EMA copies (`model_ema.`) and the discriminator (`loss.`) are not read."""
    overrides = read_overrides(weights.path)
    config = unet_config(weights, overrides, title=TITLE, levels=4, heads=lambda _: UNET_HEADS, linear=False)
    said, by = told_by_file(weights, overrides)
    return Parts(
        unet=build_unet(weights, config, target),
        vae=build_vae(weights, target, prefix=convert.VAE) if with_vae else None,
        text_encoders=[build_clip(weights, convert.TEXT, target, heads=overrides.clip_heads)],
        tokenizers=[tokenizer()],
        prediction_type=said,
        said_by=by,
    )


def _load_folder(folder: Path, target: Target, with_vae: bool) -> Parts:
    return load_folder(folder, target, with_vae, [TextPart(folder="text_encoder", tokenizer="tokenizer")])


def _read(encoders: Sequence[torch.nn.Module], ids: Sequence[torch.Tensor], clip_skip: int) -> tuple[list[torch.Tensor], None]:
    return [text.layer(encoders[0], ids[0], clip_skip)], None


def predict(unet: torch.nn.Module, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
    """The output of a UNet that reads the text states alone; SD2's too."""
    return unet(latents, timesteps, encoder_hidden_states=conditioning.states, return_dict=False)[0]


SD1 = Family(
    name="sd1",
    title=TITLE,
    load_file=_load_file,
    load_folder=_load_folder,
    read=_read,
    predict=predict,
    latent_scale=SD_SCALE,
)
