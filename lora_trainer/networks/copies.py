"""The trained weights in the type that is computed in: made of all of them at once, at the beginning of each optimizer step.

The weights themselves (float32) stay the leaves of autograd. Their copies are one differentiable cast, so gradients,
accumulation and whatever is hooked to a parameter are what they would be, were each weight cast where it is used, for a few
launches in place of two a weight and pass. They are never a state: who changes the weights forgets the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

# So many weights share a cast: its gradients wait for each other in the backward pass, and all of them are not kept at once.
TOGETHER = 64


def copies(groups: Sequence[Sequence[nn.Parameter]], dtype: torch.dtype) -> list[Tensor]:
    """Return a copy in `dtype` of each group: its parameters one below the other, as they are now.

    Gradients reach those that ask for them, in their own type. Within a group all sizes but the first are equal.
    """
    made: dict[int, Tensor] = {}
    for asks in (True, False):
        some = [number for number, group in enumerate(groups) if _asks(group) == asks]
        for first in range(0, len(some), TOGETHER):
            numbers = some[first : first + TOGETHER]
            chosen = [groups[number] for number in numbers]
            cast = _Cast.apply(dtype, chosen, *chain(*chosen)) if asks else _cast(chosen, dtype)
            made.update(zip(numbers, cast, strict=True))
    return [made[number] for number in range(len(groups))]


def _asks(group: Sequence[nn.Parameter]) -> bool:
    return group[0].requires_grad or any(parameter.requires_grad for parameter in group[1:])


@torch.no_grad()
def _cast(groups: Sequence[Sequence[Tensor]], dtype: torch.dtype) -> list[Tensor]:
    whole, places = [], []
    for group in groups:
        if len(group) == 1:
            whole.append(torch.empty_like(group[0], dtype=dtype, requires_grad=False))
            places.append(whole[-1])
        else:
            rows = _rows(group)
            whole.append(group[0].new_empty((sum(rows), *group[0].shape[1:]), dtype=dtype))
            places += whole[-1].split_with_sizes(rows)
    torch._foreach_copy_(places, list(chain(*groups)))
    return whole


def _rows(group: Sequence[Tensor]) -> list[int]:
    return [tensor.shape[0] for tensor in group]


class _Cast(torch.autograd.Function):
    """Copies of groups of tensors, and their gradients back. It may be gone through backwards again and again."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, groups: Sequence[Sequence[Tensor]], *tensors: Tensor) -> tuple[Tensor, ...]:
        """`tensors` are those of `groups`, one after the other: where the gradients go."""
        ctx.set_materialize_grads(False)  # what took no part has no gradient
        ctx.own, ctx.rows = tensors[0].dtype, [_rows(group) for group in groups]
        return tuple(_cast(groups, dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        each: list[Tensor | None] = []
        for gradient, rows in zip(gradients, ctx.rows, strict=True):
            if gradient is None or len(rows) == 1:
                each += [gradient] * len(rows)
            else:
                each += gradient.split_with_sizes(rows)
        wide = iter(_cast([[gradient] for gradient in each if gradient is not None], ctx.own))
        return None, None, *(None if gradient is None else next(wide) for gradient in each)
