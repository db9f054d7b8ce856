"""Text states of their own for each cross-attention layer of a UNet (XTI: Voynov et al. 2023, arXiv 2303.09522).

A word may have other vectors for each layer. What the layers read then lies one behind the other in the positions of the text
states: [B, layers * positions, C]; each transformer of the UNet takes its part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from .conditioning import Conditioning


def transformers(unet: Any) -> list[nn.Module]:
    """The UNet's cross-attention transformers in the order of the computation."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return [one for block in blocks for one in (getattr(block, "attentions", None) or ())]


def give_each_its_part(unet: Any) -> list[Any]:
    """From now on each transformer reads its part of the text states; returns what takes that back (`remove()` each)."""
    found = transformers(unet)
    return [
        one.register_forward_pre_hook(partial(_own_part, place, len(found)), with_kwargs=True)
        for place, one in enumerate(found)
    ]


def _own_part(place: int, count: int, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    states = kwargs["encoder_hidden_states"]
    positions = states.shape[1] // count
    return args, {**kwargs, "encoder_hidden_states": states[:, place * positions : (place + 1) * positions]}


def joined(encode: Callable[[], Conditioning], at_layer: Callable[[int], object], layers: int) -> Conditioning:
    """What `encode` makes for each of the layers (`at_layer` says which it is), one behind the other."""
    parts = []
    try:
        for layer in range(layers):
            at_layer(layer)
            parts.append(encode())
    finally:
        at_layer(0)
    return Conditioning(torch.cat([part.states for part in parts], dim=1), parts[0].pooled)
