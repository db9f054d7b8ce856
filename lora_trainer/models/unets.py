"""Building a UNet2DConditionModel from a single file's tensors (LDM's names) or from a diffusers folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import BaseModelError
from ..modelfile import FULL_MODEL
from . import convert
from .folders import find_weights, read_config
from .ldm_yaml import Overrides
from .weights import UNET, Target, Weights, build, count_of, open_weights

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

HEAD_WIDTH = 64  # of SD2's and SDXL's attention
_LAYERS = 2  # of a level; all released models have as many


def heads_by_width(channels: int) -> int:
    """The number of heads of an attention over `channels`, 64 for each."""
    return max(1, channels // HEAD_WIDTH)


def unet_config(
    weights: Weights,
    overrides: Overrides,
    *,
    title: str,
    levels: int,
    heads: Callable[[int], int],
    linear: bool | None = None,
) -> dict[str, Any]:
    """Return UNet2DConditionModel's arguments for the LDM-named UNet with `levels` resolutions in `weights`, from its shapes.

    `heads(channels)` is the family's rule. `linear` says how the transformers' inputs are projected: by linear layers, by 1x1
    convolutions, or (None) as the file has them. Raises BaseModelError when the number of blocks is another one.
    """
    shapes = weights.shapes
    names = [name[len(convert.UNET) :] for name in shapes if name.startswith(convert.UNET)]
    inputs = {int(match[1]) for name in names if (match := re.match(r"input_blocks\.(\d+)\.", name))}
    expected = levels * (_LAYERS + 1)
    if inputs != set(range(expected)):
        raise BaseModelError(
            f"{weights.path}: the UNet has {len(inputs)} input blocks, expected the {expected} of {title}.", advice=FULL_MODEL
        )
    firsts = [1 + (_LAYERS + 1) * level for level in range(levels)]
    depths = [_depth(weights.path, names, f"input_blocks.{block}.1.") for block in firsts]
    channels = [shape(weights, f"input_blocks.{block}.0.in_layers.2.weight")[0] for block in firsts]
    projection = shape(weights, "middle_block.1.proj_in.weight")
    counts = [
        overrides.unet_heads or (width // overrides.unet_head_channels if overrides.unet_head_channels else heads(width))
        for width in channels
    ]
    return {
        "in_channels": shape(weights, "input_blocks.0.0.weight")[1],
        "out_channels": shape(weights, "out.2.weight")[0],
        "block_out_channels": channels,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "cross_attention_dim": shape(weights, "middle_block.1.transformer_blocks.0.attn2.to_k.weight")[1],
        # The last number is also that of the block in the middle; where a level has no attention, it counts for nothing.
        "transformer_layers_per_block": [
            *(depth or 1 for depth in depths[:-1]),
            _depth(weights.path, names, "middle_block.1."),
        ],
        "attention_head_dim": counts[0] if len(set(counts)) == 1 else counts,  # diffusers' name for the number of heads
        "use_linear_projection": len(projection) == 2 if linear is None else linear,
        "layers_per_block": _LAYERS,
    }


def shape(weights: Weights, name: str) -> tuple[int, ...]:
    """The shape of the UNet's tensor `name` (LDM's, without prefix). Raises BaseModelError when it is missing."""
    found = weights.shapes.get(convert.UNET + name)
    if found is None:
        raise BaseModelError(
            f"{weights.path}: the UNet lacks the tensor {convert.UNET}{name}.", advice=f"The file is incomplete. {FULL_MODEL}"
        )
    return found


def _depth(path: Path, names: list[str], block: str) -> int:
    """How many transformer blocks stand in a row at this place."""
    pattern = re.compile(re.escape(block) + r"transformer_blocks\.(\d+)\.")
    numbers = {int(match[1]) for name in names if (match := pattern.match(name))}
    return count_of(numbers, path, f"transformer blocks of {block[:-1]}") if numbers else 0


def build_unet(weights: Weights, config: dict[str, Any], target: Target) -> UNet2DConditionModel:
    """Return the UNet of an LDM-named file, made with the arguments `config`."""
    from diffusers import UNet2DConditionModel

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: convert.UNET + ldm for name, ldm in convert.unet_names(state).items()}

    def make() -> torch.nn.Module:
        return UNet2DConditionModel(**config)

    whole = re.escape(convert.UNET)
    return _build(make, weights, find, target, whole)


def unet_from_folder(folder: Path, target: Target) -> UNet2DConditionModel:
    """Return the UNet in the folder `unet` of a diffusers model."""
    from diffusers import UNet2DConditionModel

    config = read_config(folder / "config.json")
    with open_weights(find_weights(folder), target.holding.mapped) as weights:
        return _build(lambda: UNet2DConditionModel.from_config(config), weights, convert.text_names, target, ".")


def _build(make: Any, weights: Weights, find: Any, target: Target, whole: str) -> UNet2DConditionModel:
    held = target.holding
    if held.unet_waits:
        target = replace(target, device=torch.device("cpu"))
    how = {"eight_bit": UNET in held.eight_bit, "streamed": held.blocks_to_swap}
    return build(make, weights, find, part="the UNet", dtype=target.dtype, target=target, whole=whole, **how)
