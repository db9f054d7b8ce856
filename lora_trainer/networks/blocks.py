"""Which block of the UNet a module belongs to, by its name. The arguments are read in `options.block_arguments`."""

from __future__ import annotations

import re

from torch import nn

from ..options.block_arguments import SD, SDXL, Layout
from .targets import is_sdxl

_LEVELS = re.compile(r"lora_unet_(down|up)_blocks_(\d+)_(resnets_(\d+)|attentions_(\d+)|downsamplers_0|upsamplers_0)_")
_ORIGINAL = re.compile(r"lora_unet_(input_blocks|middle_block|output_blocks)_(\d+)_")


def layout_of(unet: nn.Module) -> Layout:
    """How many blocks this UNet counts as: 12/1/12, or SDXL's 1/9/3/9/1. The count is the family's, whatever the size."""
    return SDXL if is_sdxl(unet) else SD


def block_of(name: str) -> int | None:
    """Return the number of the module's block: 0..24 for SD1 and SD2, 0..22 for SDXL; None for a text encoder's module.

    A level of SD's UNet is three blocks: two or three resnets (each with its attention), the layer that changes the size being
    the third on the way down and part of the third on the way up. SDXL's numbers are those of its original code, from 1.
    """
    if match := _LEVELS.match(name):
        side, level, _, resnet, attention = match.groups()
        place = 3 * int(level) + int(resnet or attention or 2)
        return place + (1 if side == "down" else SD.down + SD.mid)
    if name.startswith("lora_unet_mid_block_"):
        return SD.down
    if match := _ORIGINAL.match(name):
        first = {
            "input_blocks": SDXL.base,
            "middle_block": SDXL.base + SDXL.down,
            "output_blocks": SDXL.base + SDXL.down + SDXL.mid,
        }
        return first[match[1]] + int(match[2])
    return None
