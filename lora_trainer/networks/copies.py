"""The trained weights in the type that is computed in: made of all of them at once, at the beginning of each optimizer step.

The weights themselves (float32) stay the leaves of autograd. Their copies are one differentiable cast, so gradients,
accumulation and whatever is hooked to a parameter are what they would be, were each weight cast where it is used, for a few
launches in place of two a weight and pass. They are never a state: who changes the weights forgets the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# So many weights share a cast: its gradients wait for each other in the backward pass, and all of them are not kept at once.
TOGETHER = 64


def copies(parameters: Sequence[nn.Parameter], dtype: torch.dtype) -> list[Tensor]:
    """Return `parameters` as they are now, in `dtype`; gradients reach those that ask for them, in their own type."""
    made: dict[int, Tensor] = {}
    for asks in (True, False):
        some = [parameter for parameter in parameters if parameter.requires_grad == asks]
        for first in range(0, len(some), TOGETHER):
            group = some[first : first + TOGETHER]
            cast = _Cast.apply(dtype, *group) if asks else _cast(group, dtype)
            made.update(zip(map(id, group), cast, strict=True))
    return [made[id(parameter)] for parameter in parameters]


@torch.no_grad()
def _cast(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    cast = [torch.empty_like(tensor, dtype=dtype, requires_grad=False) for tensor in tensors]
    torch._foreach_copy_(cast, list(tensors))
    return cast


class _Cast(torch.autograd.Function):
    """Tensors of one type in another one, and their gradients back. It may be gone through backwards again and again."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # what took no part has no gradient
        ctx.own = tensors[0].dtype
        return tuple(_cast(tensors, dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        wide = iter(_cast([gradient for gradient in gradients if gradient is not None], ctx.own))
        return None, *(None if gradient is None else next(wide) for gradient in gradients)
