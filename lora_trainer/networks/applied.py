"""Networks on a frozen layer: any number at once, put on and taken off in any order, without touching its weights' storage.

`add` puts an adapter between a layer and its callers, `remove` takes it off; when the last one goes, the layer is exactly
what it was. `merge` adds an adapter's change to the weight itself, `unmerge` gives the original bits back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import functional
from .module import LoRAModule

_APPLIED = "_lora_applied"
_MERGED = "_lora_merged"


class _Applied:
    """The forward of a layer while adapters are on it. It is a plain object: the layer's state dict stays as it is."""

    def __init__(self, layer: nn.Module) -> None:
        self.instance_forward = layer.__dict__.get("forward")  # another program's hook, put back afterwards
        self.original = layer.forward
        self.adapters: list[LoRAModule] = []
        self.plain = layer if type(layer) is nn.Linear and self.instance_forward is None else None

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        if self.plain is not None and len(self.adapters) == 1 and self.adapters[0].joins(self.plain, x):
            return self.adapters[0].joined(self.plain, x)
        y = self.original(x, *args, **kwargs)
        for adapter in self.adapters:
            if adapter.strength != 0.0:
                y = adapter.forward(x, y)  # without torch's machinery for hooks, of which there are none
        return y


def add(layer: nn.Module, adapter: LoRAModule) -> None:
    """From now on the layer's output is changed by `adapter`, after those that are already there."""
    applied = layer.__dict__.get(_APPLIED)
    if applied is None:
        applied = _Applied(layer)
        layer.__dict__[_APPLIED] = applied
        layer.__dict__["forward"] = applied.forward
    applied.adapters.append(adapter)


def remove(layer: nn.Module, adapter: LoRAModule) -> None:
    """Take `adapter` off the layer; nothing happens when it is not there."""
    applied = layer.__dict__.get(_APPLIED)
    if applied is None:
        return
    applied.adapters = [other for other in applied.adapters if other is not adapter]
    if applied.adapters:
        return
    del layer.__dict__[_APPLIED]
    if applied.instance_forward is None:
        layer.__dict__.pop("forward", None)
    else:
        layer.__dict__["forward"] = applied.instance_forward


def is_alone(layer: nn.Module, adapter: LoRAModule) -> bool:
    """Whether the layer is a plain linear one, and `adapter` all that is on it."""
    applied = layer.__dict__.get(_APPLIED)
    return applied is not None and applied.plain is layer and applied.adapters == [adapter]


class _Merged:
    """A layer's original weight, and what has been added to it: (adapter, down, up, strength) in order."""

    def __init__(self, weight: Tensor) -> None:
        self.original = weight.detach().clone()
        self.parts: list[tuple[LoRAModule, Tensor, Tensor, float]] = []

    def write(self, weight: Tensor) -> None:
        total = self.original.float()
        for _, down, up, strength in self.parts:
            total = total + functional.delta(down, up, strength).to(total.device).view_as(total)
        weight.copy_(total.to(weight.dtype))


@torch.no_grad()
def merge(layer: nn.Module, adapter: LoRAModule) -> None:
    """Add the adapter's change to the layer's weight, in place. Keeps a copy of the weight for `unmerge`."""
    merged = layer.__dict__.setdefault(_MERGED, None) or _Merged(layer.weight)
    layer.__dict__[_MERGED] = merged
    merged.parts.append((adapter, *adapter.factors(), adapter.strength))
    merged.write(layer.weight)


@torch.no_grad()
def unmerge(layer: nn.Module, adapter: LoRAModule) -> None:
    """Take the adapter's change out of the layer's weight; when it was the last, the weight's bits are the original ones."""
    merged = layer.__dict__.get(_MERGED)
    if merged is None:
        return
    merged.parts = [part for part in merged.parts if part[0] is not adapter]
    merged.write(layer.weight)
    if not merged.parts:
        del layer.__dict__[_MERGED]
