"""The attention of a UNet as all released models have it, in as few launches as it takes."""

from __future__ import annotations

import inspect
from typing import Any

from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.nn import functional as F


class PlainAttention(AttnProcessor2_0):
    """diffusers' processor for PyTorch's own function, with the same bytes. It does not divide all numbers by 1, which costs a
    launch in each direction. What is less plain (masks, norms of its own, pictures as input) is left to diffusers."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """[B, positions, channels] to the same; `encoder_hidden_states` [B, words, width] is what a cross-attention reads."""
        if attention_mask is not None or hidden_states.ndim != 3 or not _is_plain(attn):
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _heads(attn.to_q(hidden_states), attn.heads)
        key, value = (_heads(layer(read), attn.heads) for layer in (attn.to_k, attn.to_v))
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed))


# diffusers asks for the names of the arguments at each call, and Python takes as long to work them out as for a few launches.
PlainAttention.__call__.__signature__ = inspect.signature(PlainAttention.__call__)  # type: ignore[attr-defined]


def _is_plain(attn: Any) -> bool:
    norms = (attn.spatial_norm, attn.group_norm, attn.norm_cross, attn.norm_q, attn.norm_k)
    return attn.rescale_output_factor == 1.0 and not attn.residual_connection and all(norm is None for norm in norms)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.view(x.shape[0], -1, heads, x.shape[-1] // heads).transpose(1, 2)
