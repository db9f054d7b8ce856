"""Loading a diffusers folder. Its tensors go the same way as a single file's: mapped, checked, one copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .family import Parts
from .folders import find_weights, read_config
from .text_encoders import clip_from_folder, tokenizer
from .unets import unet_from_folder
from .vae_files import build_vae
from .weights import Target, open_weights


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A text encoder of a family: its folder, its tokenizer's folder, and what distinguishes them."""

    folder: str
    tokenizer: str
    part: str = "the text encoder"
    projected: bool = False
    pad_with_zero: bool = False


def load_folder(folder: Path, target: Target, with_vae: bool, texts: Sequence[TextPart]) -> Parts:
    """Load the UNet, the text encoders `texts` and, unless another one is wanted, the VAE."""
    unet = unet_from_folder(folder / "unet", target)
    encoders = [clip_from_folder(folder / one.folder, target, part=one.part, projected=one.projected) for one in texts]
    vae = None
    if with_vae:
        with open_weights(find_weights(folder / "vae"), target.holding.mapped) as weights:
            vae = build_vae(weights, target, config=read_config(folder / "vae" / "config.json"))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    said = read_config(scheduler) if scheduler.is_file() else {}
    return Parts(
        unet=unet,
        vae=vae,
        text_encoders=encoders,
        tokenizers=[tokenizer(folder / one.tokenizer, pad_with_zero=one.pad_with_zero) for one in texts],
        prediction_type=said.get("prediction_type", "epsilon") if scheduler.is_file() else None,
        said_by=str(scheduler),
        zero_terminal_snr=said.get("rescale_betas_zero_snr") is True,
    )
