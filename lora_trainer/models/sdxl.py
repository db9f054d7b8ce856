"""Stable Diffusion XL: two text encoders, a UNet of three levels that also reads a summary of the caption and the sizes.

("SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", Podell et al. 2023.) The UNet reads the
next-to-last layers of CLIP's and OpenCLIP's encoder side by side, without a final norm. The summary is OpenCLIP's projected
state of the (first chunk's) end token; with the sizes, a sine code of each, it is added to the timestep.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import BaseModelError
from ..modelfile import FULL_MODEL
from . import convert
from .conditioning import Conditioning
from .diffusers_folder import TextPart, load_folder
from .family import Family, Parts
from .ldm_yaml import Overrides, read_overrides
from .prediction import told_by_file
from .text_encoders import build_clip, build_open_clip, tokenizer
from .unets import build_unet, heads_by_width, shape, unet_config
from .vae import SDXL_SCALE
from .vae_files import build_vae
from .weights import Target, Weights

TITLE = "Stable Diffusion XL"
FIRST, SECOND = "the first text encoder", "the second text encoder"
_SIZES = 6  # numbers of micro-conditioning: heights, widths and the crop's corner
_TEXTS = (
    TextPart(folder="text_encoder", tokenizer="tokenizer", part=FIRST),
    TextPart(folder="text_encoder_2", tokenizer="tokenizer_2", part=SECOND, projected=True, pad_with_zero=True),
)


def _load_file(weights: Weights, target: Target, with_vae: bool) -> Parts:
    overrides = read_overrides(weights.path)
    said, by = told_by_file(weights, overrides)
    second = build_open_clip(weights, convert.SDXL_OPEN_CLIP_TEXT, target, part=SECOND, projected=True)
    return Parts(
        unet=build_unet(weights, _unet_config(weights, overrides, second.config.projection_dim), target),
        vae=build_vae(weights, target, prefix=convert.VAE) if with_vae else None,
        text_encoders=[build_clip(weights, convert.SDXL_TEXT, target, part=FIRST), second],
        tokenizers=[tokenizer(), tokenizer(pad_with_zero=True)],
        prediction_type=said,
        said_by=by,
    )


def _unet_config(weights: Weights, overrides: Overrides, pooled: int) -> dict[str, Any]:
    """The UNet's arguments. `pooled` is the width of the summary; the rest of the added embedding's input codes the sizes."""
    width = shape(weights, "label_emb.0.0.weight")[1]
    if width <= pooled or (width - pooled) % _SIZES:
        raise BaseModelError(
            f"{weights.path}: the UNet adds an embedding of {width} numbers, expected {pooled} of the text and {_SIZES} sizes.",
            advice=f"The model was changed in a way that is not known here. {FULL_MODEL}",
        )
    return {
        **unet_config(weights, overrides, title=TITLE, levels=3, heads=heads_by_width, linear=True),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - pooled) // _SIZES,
        "projection_class_embeddings_input_dim": width,
    }


def _load_folder(folder: Path, target: Target, with_vae: bool) -> Parts:
    return load_folder(folder, target, with_vae, _TEXTS)


def _read(encoders: Sequence[torch.nn.Module], ids: Sequence[torch.Tensor], _: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    states, pooled = [], None
    for encoder, own in zip(encoders, ids, strict=True):
        batch, chunks, _positions = own.shape
        output = encoder(own.flatten(0, 1).to(encoder.device), output_hidden_states=True)
        states.append(output.hidden_states[-2].unflatten(0, (batch, chunks)))
        pooled = getattr(output, "text_embeds", None)
    assert pooled is not None
    return states, pooled.unflatten(0, (batch, chunks))[:, 0]


def _predict(unet: torch.nn.Module, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
    assert conditioning.sizes is not None, "SDXL needs the sizes"
    added = {"text_embeds": conditioning.pooled, "time_ids": conditioning.sizes}
    return unet(latents, timesteps, encoder_hidden_states=conditioning.states, added_cond_kwargs=added, return_dict=False)[0]


SDXL = Family(
    name="sdxl",
    title=TITLE,
    load_file=_load_file,
    load_folder=_load_folder,
    read=_read,
    predict=_predict,
    latent_scale=SDXL_SCALE,
    zero_empty_negative=True,
)
