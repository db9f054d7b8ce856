"""Frozen linear layers and the LoRA on them as one function: fewer launches than apart, and fewer roundings.

The change is added within the matrix product that makes it, forward and in the gradient of the input (BLAS' C += A B), where
apart each would be a product, and an addition of two large tensors. Layers that read the same input (`siblings`) are one
function, too: their `down`s lie side by side and are one product, and the input's gradient is added up as it is made. It keeps
what layers and modules apart keep: the input, once, and the inner values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class JointLinear(torch.autograd.Function):
    """x @ weight.T + bias + strength * (x @ down.T) @ up.T of each layer; weights and biases are frozen, all of one type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, strengths: Sequence[float], *layers: Tensor | None) -> tuple[Tensor, ...]:
        """[..., in] to [..., out] of each layer.

        `down` [sum of the ranks, in] is that of all of them; `layers` is one layer's weight [out, in], bias [out] or None, and
        up [out, rank] after the other's.
        """
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        made = []
        for part, strength, weight, bias, up in _layers(inner, strengths, layers):
            y = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
            made.append(y.addmm_(part, up.t(), alpha=strength).view(*x.shape[:-1], -1))
        ctx.save_for_backward(rows, inner, down, *layers)
        ctx.shape, ctx.strengths = x.shape, strengths
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, where it asks for one, of down and of each up."""
        rows, inner, down, *layers = ctx.saved_tensors
        of_inner, of_x = torch.empty_like(inner), None
        of_layers: list[Tensor | None] = []
        parts = of_inner.split_with_sizes([up.shape[1] for up in layers[2::3]], 1)
        for gradient, of_part, (part, strength, weight, _, up) in zip(
            gradients, parts, _layers(inner, ctx.strengths, layers), strict=True
        ):
            of_y = gradient.reshape(-1, gradient.shape[-1])
            of_part.addmm_(of_y, up, beta=0, alpha=strength)  # beta 0: what is there is nothing, whatever it is
            of_layers += (None, None, torch.empty_like(up).addmm_(of_y.t(), part, beta=0, alpha=strength))
            if ctx.needs_input_grad[0]:
                of_x = of_y @ weight if of_x is None else of_x.addmm_(of_y, weight)
        if of_x is not None:
            of_x = of_x.addmm_(of_inner, down).view(ctx.shape)
        return of_x, of_inner.t() @ rows, None, *of_layers


def _layers(inner: Tensor, strengths: Sequence[float], layers: Sequence[Any]) -> zip[tuple[Any, ...]]:
    """(inner values, strength, weight, bias, up) of each layer."""
    ups = layers[2::3]
    return zip(inner.split_with_sizes([up.shape[1] for up in ups], 1), strengths, layers[::3], layers[1::3], ups, strict=True)
