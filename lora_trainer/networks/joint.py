"""A frozen linear layer and the LoRA on it as one function: fewer launches than the two apart, and fewer roundings.

The change is added within the matrix product that makes it, forward and in the gradient of the input (BLAS' C += A B), where
apart each would be a product, and an addition of two large tensors. It keeps what the two keep: the input, once, and the inner
values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class JointLinear(torch.autograd.Function):
    """x @ weight.T + bias + strength * (x @ down.T) @ up.T; `weight` and `bias` are frozen, all of one type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, strength: float) -> Tensor:
        """[..., in] to [..., out]."""
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        y = rows @ weight.t() if bias is None else torch.addmm(bias, rows, weight.t())
        y.addmm_(inner, up.t(), alpha=strength)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.shape, ctx.strength = x.shape, strength
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, where it asks for one, and of down and up."""
        rows, inner, weight, down, up = ctx.saved_tensors
        of_y = gradient.reshape(-1, gradient.shape[-1])
        of_inner, of_up, of_x = of_y @ up, of_y.t() @ inner, None
        if ctx.strength != 1.0:
            of_inner, of_up = of_inner * ctx.strength, of_up * ctx.strength
        if ctx.needs_input_grad[0]:
            of_x = (of_y @ weight).addmm_(of_inner, down).view(ctx.shape)
        return of_x, None, None, of_inner.t() @ rows, of_up, None
