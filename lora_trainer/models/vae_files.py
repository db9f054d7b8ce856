"""Building an AutoencoderKL from a checkpoint's tensors or from a VAE file of its own, in LDM's or in diffusers' names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import modelfile
from ..errors import BaseModelError
from ..foreign.reading import is_file, is_folder, is_there
from . import convert
from .folders import fetch_vae_from_hub, find_weights, is_hub_id, read_config
from .weights import Target, Weights, build, count_of, open_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

LATENT_CHANNELS = 4
# LDM's name of a part of the attention -> what other programs wrote there.
_ALSO = {
    "q": ("to_q", "query"),
    "k": ("to_k", "key"),
    "v": ("to_v", "value"),
    "proj_out": ("to_out.0", "proj_attn"),
    "norm": ("group_norm",),
}


def load_vae_file(path: Path, target: Target) -> AutoencoderKL:
    """Load a VAE from a file (its own, or a whole checkpoint), a diffusers folder (its own, or a whole model) or the hub."""
    if not is_there(path) and is_hub_id(path.as_posix()):
        path = fetch_vae_from_hub(path.as_posix())
    problem, advice = modelfile.problem_as("vae", path)
    if problem:
        raise BaseModelError(problem, advice=advice)
    if is_folder(path):
        folder = path / "vae" if is_file(path / "vae" / "config.json") else path
        with open_weights(find_weights(folder), target.holding.mapped) as weights:
            return build_vae(weights, target, config=read_config(folder / "config.json"))
    with open_weights(path, target.holding.mapped) as weights:
        inside = any(name.startswith(convert.VAE) for name in weights.shapes)
        return build_vae(weights, target, prefix=convert.VAE if inside else "")


def build_vae(weights: Weights, target: Target, *, prefix: str = "", config: dict[str, Any] | None = None) -> AutoencoderKL:
    """Return the VAE whose names in `weights` begin with `prefix`; sizes from `config` (diffusers') or from the tensors."""
    from diffusers import AutoencoderKL

    shapes = {name[len(prefix) :]: shape for name, shape in weights.shapes.items() if name.startswith(prefix)}
    ldm = "encoder.down.0.block.0.conv1.weight" in shapes
    arguments = vae_config(shapes, weights.path) if config is None else config
    if arguments.get("latent_channels", LATENT_CHANNELS) != LATENT_CHANNELS:
        raise BaseModelError(
            f"{weights.path}: the VAE has {arguments['latent_channels']} latent channels, expected {LATENT_CHANNELS}.",
            advice=modelfile.VAE_ADVICE,
        )

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        names = convert.vae_names(state) if ldm else {name: name for name in state}
        return {name: prefix + _as_written(stored, shapes) for name, stored in names.items()}

    def make() -> torch.nn.Module:
        return AutoencoderKL.from_config(arguments)

    whole = rf"{re.escape(prefix)}(encoder|decoder|quant_conv|post_quant_conv)\."
    return build(make, weights, find, part="the VAE", dtype=target.vae_dtype, target=target, whole=whole)


def _as_written(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Return the name in the file for `name`: itself, or one of the other spellings of the attention's parts."""
    if name in shapes:
        return name
    if match := re.fullmatch(r"(.+\.attn_1\.)(q|k|v|proj_out|norm)(\.\w+)", name):
        spellings: tuple[str, ...] = _ALSO[match[2]]
    elif match := re.fullmatch(r"(.+\.attentions\.0\.)(to_q|to_k|to_v|to_out\.0)(\.\w+)", name):
        spellings = (convert.OLD_VAE_ATTENTION[match[2]],)
    else:
        return name
    return next((found for other in spellings if (found := match[1] + other + match[3]) in shapes), name)


def vae_config(shapes: Mapping[str, tuple[int, ...]], path: Path) -> dict[str, Any]:
    """Return AutoencoderKL's arguments, read from the tensors' shapes (LDM's or diffusers' names, without prefix)."""
    patterns = (
        r"encoder\.down\.(\d+)\.block\.(\d+)\.conv1\.weight",
        r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.weight",
    )
    blocks: dict[tuple[int, int], int] = {}
    for name, shape in shapes.items():
        for pattern in patterns:
            if match := re.fullmatch(pattern, name):
                blocks[int(match[1]), int(match[2])] = shape[0]
    if (0, 0) not in blocks:
        raise BaseModelError(f"{path} has no VAE in it.", advice=f"Give a VAE file as well. {modelfile.VAE_ADVICE}")
    levels = count_of((level for level, _ in blocks), path, "levels of the VAE")
    latent = shapes.get("decoder.conv_in.weight", (0, LATENT_CHANNELS))[1]
    return {
        "block_out_channels": [blocks.get((level, 0), 0) for level in range(levels)],
        "layers_per_block": count_of((block for _, block in blocks), path, "blocks of the VAE's levels"),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "latent_channels": latent,
    }
