"""Stable Diffusion 2: SD1's topology with OpenCLIP's text encoder, heads of 64 channels, and linear or 1x1 projections.

The UNet reads the text encoder's next-to-last layer behind the final layer norm, so that the last one is not loaded at all
(diffusers folders of SD2 leave it out too). The 512 pixel models predict noise, those for 768 pixels velocity.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from . import convert, text
from .diffusers_folder import TextPart, load_folder
from .family import Family, Parts
from .ldm_yaml import read_overrides
from .prediction import told_by_answer, told_by_file
from .sd1 import predict
from .text_encoders import build_open_clip, tokenizer
from .unets import build_unet, heads_by_width, unet_config
from .vae import SD_SCALE
from .vae_files import build_vae
from .weights import Target, Weights

TITLE = "Stable Diffusion 2"


def _load_file(weights: Weights, target: Target, with_vae: bool) -> Parts:
    overrides = read_overrides(weights.path)
    config = unet_config(weights, overrides, title=TITLE, levels=4, heads=heads_by_width)
    unet = build_unet(weights, config, target)
    said, by = told_by_file(weights, overrides)
    return Parts(
        unet=unet,
        vae=build_vae(weights, target, prefix=convert.VAE) if with_vae else None,
        text_encoders=[build_open_clip(weights, convert.OPEN_CLIP_TEXT, target, leave_out=1)],
        tokenizers=[tokenizer(pad_with_zero=True)],
        prediction_type=said,
        said_by=by,
    )


def _load_folder(folder: Path, target: Target, with_vae: bool) -> Parts:
    return load_folder(folder, target, with_vae, [TextPart(folder="text_encoder", tokenizer="tokenizer", pad_with_zero=True)])


def _read(encoders: Sequence[torch.nn.Module], ids: Sequence[torch.Tensor], _: int) -> tuple[list[torch.Tensor], None]:
    return [text.layer(encoders[0], ids[0])], None


SD2 = Family(
    name="sd2",
    title=TITLE,
    load_file=_load_file,
    load_folder=_load_folder,
    read=_read,
    predict=predict,
    latent_scale=SD_SCALE,
    answer=told_by_answer,
)
