"""Frozen weights in 8 bits a number (float8_e4m3fn), computed in the precision of the training.

"FP8 Formats for Deep Learning" (Micikevicius et al. 2022, arXiv 2209.05433): e4m3 has four bits of exponent and three of
mantissa, so that a weight is off by 1/16 at most while it is above 2**-6; most weights of a diffusion model are not. Each
output channel therefore has a scale, a power of two, with which its largest weight comes near 448, the largest number there
is. Multiplying by a power of two is exact: all precisions compute with the same weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 448.0
_EXPONENTS = (-24, 15)  # of the scale: what fp16 can hold
# The layers at the two ends of a UNet touch the noise itself, and are small.
_LEFT_ALONE = frozenset({"conv_in", "conv_out"})


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return (the bytes of float8_e4m3fn, uint8 in the shape of `weight`; the scale of each output channel, float32)."""
    weight = weight.float()
    largest = weight.flatten(1).abs().amax(1)
    mantissa, exponent = torch.frexp(largest / LARGEST)
    exponent = (exponent - (mantissa == 0.5).to(exponent.dtype)).clamp(*_EXPONENTS)
    scale = torch.ldexp(torch.ones_like(largest), exponent).view(-1, *(1,) * (weight.ndim - 1))
    return (weight / scale).to(torch.float8_e4m3fn).view(torch.uint8), scale


def dequantize(quantized: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight that `quantize` has made of one, in `dtype`."""
    return quantized.view(torch.float8_e4m3fn).to(dtype) * scale.to(dtype)


class _EightBit(nn.Module):
    """What both kinds of layers have: the bytes and their scale as buffers, and `weight` as it is computed with.

    Bytes are no floating-point numbers for torch, so that `to(dtype)` and `dtype` of a model pass them over. `weight` is made
    anew each time it is asked for; a tensor that is assigned to it is quantized.
    """

    quantized: Tensor
    scale: Tensor
    computed: torch.dtype

    @property  # type: ignore[override]
    def weight(self) -> Tensor:
        """The weight, in the type that is computed in."""
        return dequantize(self.quantized, self.scale, self.computed)

    @weight.setter
    def weight(self, value: Tensor) -> None:
        self.quantized, self.scale = quantize(value.detach())


class Linear(_EightBit, nn.Linear):
    """A frozen linear layer. It has the class name of nn.Linear: that is how layers to train are found."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Linear; gradients reach `x` alone."""
        return _LinearProduct.apply(x, self.quantized, self.scale, self.bias, self.computed)


class Conv2d(_EightBit, nn.Conv2d):
    """A frozen convolution; see Linear."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d with zeros around; gradients reach `x` alone."""
        geometry = (self.stride, self.padding, self.dilation, self.groups)
        return _Convolution.apply(x, self.quantized, self.scale, self.bias, self.computed, geometry)


class _LinearProduct(torch.autograd.Function):
    """x @ weight.T + bias, which keeps the bytes for the backward pass and not the weight that was made of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, quantized: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(quantized, scale)
        ctx.dtype = x.dtype
        return F.linear(x, dequantize(quantized, scale, dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight = dequantize(*ctx.saved_tensors, gradient.dtype)
        return (gradient @ weight).to(ctx.dtype), None, None, None, None


class _Convolution(torch.autograd.Function):
    """The same for a convolution."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, quantized: Tensor, scale: Tensor, bias: Tensor | None, dtype: torch.dtype, geometry: Any
    ) -> Tensor:
        ctx.save_for_backward(quantized, scale)
        ctx.dtype, ctx.shape, ctx.geometry = x.dtype, x.shape, geometry
        return F.conv2d(x, dequantize(quantized, scale, dtype), bias, *geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        weight = dequantize(*ctx.saved_tensors, gradient.dtype)
        found = torch.nn.grad.conv2d_input(ctx.shape, weight, gradient, *ctx.geometry)
        return found.to(ctx.dtype), None, None, None, None, None


def weights_of(module: nn.Module) -> dict[str, nn.Module]:
    """{name of a weight in the module's state: its layer} of all that is held in 8 bits."""
    return {
        f"{path}.weight": layer
        for path, layer in module.named_modules()
        if type(layer) in (nn.Linear, nn.Conv2d) and path not in _LEFT_ALONE
    }


def stored(name: str, weight: Tensor) -> dict[str, Tensor]:
    """The entries of a module's state that stand for the weight `name`."""
    quantized, scale = quantize(weight)
    path = name.removesuffix("weight")
    return {f"{path}quantized": quantized, f"{path}scale": scale}


def narrow(layers: dict[str, nn.Module], computed: torch.dtype) -> None:
    """Turn the layers of `weights_of`, which are still without memory, into layers of 8 bits; then their numbers are loaded."""
    for layer in layers.values():
        shape = layer.weight.shape
        del layer.weight
        layer.__class__ = Linear if isinstance(layer, nn.Linear) else Conv2d
        layer.register_buffer("quantized", torch.empty(shape, dtype=torch.uint8, device="meta"))
        layer.register_buffer("scale", torch.empty((shape[0], *(1,) * (len(shape) - 1)), device="meta"))
        layer.computed = computed
