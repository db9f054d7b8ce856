"""LoRA's algebra as pure functions of tensors: no modules, no files.

A LoRA of rank r on a layer with weight [out, in, ...] is a pair `down` [r, in, ...], `up` [out, r(, 1, 1)]; it changes the
weight by strength * (up @ down), strength = multiplier * alpha / r (Hu et al. 2021, arXiv 2106.09685). For convolutions
`down` has the layer's kernel and `up` is 1x1, so the product over the rank is the same matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..randomness import seed_of


def delta(down: Tensor, up: Tensor, strength: float = 1.0) -> Tensor:
    """Return strength * (up @ down), float32, in the shape of the layer's weight [out, in(, kh, kw)]."""
    product = up.flatten(1).float() @ down.flatten(1).float()
    return (product * strength).view(up.shape[0], *down.shape[1:])


def merge(weight: Tensor, down: Tensor, up: Tensor, strength: float = 1.0) -> Tensor:
    """Return weight + strength * (up @ down), computed in float32, in the dtype of `weight`."""
    return (weight.float() + delta(down, up, strength).to(weight.device).view_as(weight)).to(weight.dtype)


def delta_norm(down: Tensor, up: Tensor, strength: float = 1.0) -> Tensor:
    """Return the Frobenius norm of strength * (up @ down) without forming it (float32 scalar).

    ||UD||^2 = sum((U^T U) * (D D^T)): two r x r matrices instead of an out x in one; in float64, so that nothing cancels.
    """
    return delta_norms(down.flatten(1)[None], up.flatten(1)[None], strength)[0]


def delta_norms(downs: Tensor, ups: Tensor, strength: float = 1.0) -> Tensor:
    """The same of many pairs at once: `downs` [n, r, in] and `ups` [n, out, r] to [n] float32."""
    downs, ups = downs.double(), ups.double()
    squares = ((ups.mT @ ups) * (downs @ downs.mT)).sum((1, 2)).clamp(min=0.0)
    return (squares.sqrt() * abs(strength)).float()


def initial_down(shape: tuple[int, ...], seed: int, name: str) -> Tensor:
    """Return the first `down` of the module `name`: float32 on the CPU, the same on every device.

    Uniform in +-1/sqrt(fan_in), which is He's uniform initialisation with a = sqrt(5) (the default of torch's layers);
    `up` begins with zeros, so that a new LoRA changes nothing.
    """
    generator = torch.Generator("cpu").manual_seed(seed_of(seed, f"network/{name}"))
    bound = 1.0 / math.sqrt(math.prod(shape[1:]))
    return torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)


def layer_shapes(weight_shape: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of (down, up) for a layer's weight [out, in(, kh, kw)]."""
    out, *rest = weight_shape
    return (rank, *rest), (out, rank) + (1,) * (len(weight_shape) - 2)


def first_ranks(tensors: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the first `count` ranks of every module of kohya-named `tensors` at unchanged strength (alpha / rank stays).

    With DyLoRA (Valipour et al. 2022, arXiv 2210.07558) these are themselves a trained LoRA; see `dylora`.
    """
    cut = dict(tensors)
    for key, down in tensors.items():
        name, dot, suffix = key.partition(".lora_down.")
        if not dot or down.shape[0] <= count:
            continue
        rank = down.shape[0]
        cut[key] = down[:count]
        cut[f"{name}.lora_up.{suffix}"] = tensors[f"{name}.lora_up.{suffix}"][:, :count]
        if f"{name}.alpha" in tensors:  # without it alpha is the rank, before and after
            cut[f"{name}.alpha"] = tensors[f"{name}.alpha"] * (count / rank)
    return cut
