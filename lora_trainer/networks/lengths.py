"""The lengths of what many LoRA modules change, worked out and limited together (option scale_weight_norms).

Modules of one shape are stacked, so that a step costs a card as many launches as there are shapes, however many layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from .functional import delta_norms
from .module import LoRAModule

_TOGETHER = 1 << 22  # numbers of the factors that are stacked at once: 32 MiB in float64


@torch.no_grad()
def limit(modules: Sequence[LoRAModule], max_norm: float) -> Tensor:
    """Shrink every module whose change is longer than `max_norm` to that length; all its parameters by the same root.

    The length is the Frobenius norm of alpha/rank * (up @ down). Returns [3] float32: how many were shrunk, mean and greatest
    length afterwards. They stay on the modules' device: who reads them waits for it.
    """
    norms, ratios = [], []
    for group in _of_one_shape(modules):
        downs, ups = zip(*(module.pair() for module in group), strict=True)
        norms.append(delta_norms(_stacked(downs), _stacked(ups), group[0].scale))
        ratios.append((max_norm / norms[-1].clamp(min=1e-30)).clamp(max=1.0))
        for alike in zip(*(module.parameters() for module in group), strict=True):
            _multiply(alike, ratios[-1].sqrt())
    ratio = torch.cat(ratios)
    after = torch.cat(norms) * ratio
    return torch.stack([(ratio < 1).sum().float(), after.mean(), after.max()])


def _stacked(factors: Sequence[Tensor]) -> Tensor:
    return torch.stack([factor.flatten(1) for factor in factors])


def _of_one_shape(modules: Sequence[LoRAModule]) -> Iterator[list[LoRAModule]]:
    """The modules in groups of the same shapes and scale, not too many numbers in each."""
    groups: dict[tuple[object, ...], list[LoRAModule]] = {}
    for module in modules:
        shapes = tuple(parameter.shape for parameter in module.parameters())
        groups.setdefault((module.scale, *shapes), []).append(module)
    for (_, *shapes), group in groups.items():
        size = sum(shape.numel() for shape in shapes if isinstance(shape, torch.Size))
        count = max(1, _TOGETHER // max(1, size))
        for first in range(0, len(group), count):
            yield group[first : first + count]


def _multiply(parameters: Sequence[nn.Parameter], factors: Tensor) -> None:
    """Multiply each of `parameters`, of one shape, by its factor of `factors` [n]."""
    product = torch.stack(list(parameters)) * factors.view(-1, *[1] * parameters[0].ndim)
    torch._foreach_copy_(list(parameters), list(product.unbind()))
