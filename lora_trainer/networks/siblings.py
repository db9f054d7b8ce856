"""Layers that read the same input, one after the other: q, k and v of a self-attention, k and v of a cross-attention.

During an optimizer step in which layers and modules are one function (`joint`), siblings are one, too. Nobody calls them
together: who is called first computes for all, and the others find what was made of the very tensor that they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from . import applied
from .joint import JointLinear
from .module import LoRAModule


class Siblings:
    """Plain linear layers of one attention with a module each."""

    def __init__(self, layers: Sequence[nn.Linear], modules: Sequence[LoRAModule]) -> None:
        self.layers = layers
        self.modules = modules
        self._outputs = [partial(self._output, place) for place in range(len(modules))]
        self.let_go()

    def can_join(self) -> bool:
        """Whether the layers have these modules and nothing else on them, and each has an effect."""
        pairs = zip(self.layers, self.modules, strict=True)
        return all(module.can_join and applied.is_alone(layer, module) for layer, module in pairs)

    @property
    def to_copy(self) -> list[list[nn.Parameter]]:
        """The parameters that are copied for a step: all `down`s side by side, and each `up` by itself."""
        return [[module.lora_down.weight for module in self.modules], *([module.lora_up.weight] for module in self.modules)]

    def take(self, copies: Sequence[Tensor]) -> None:
        """Compute with these copies of `to_copy`, until `let_go`."""
        self._forget()
        self._down, *self._ups = copies
        for module, output in zip(self.modules, self._outputs, strict=True):
            module.set(together=output)

    def let_go(self) -> None:
        """Forget the copies."""
        self._forget()
        self._down: Tensor | None = None
        self._ups: list[Tensor] = []
        for module in self.modules:
            module.set(together=None)

    def _output(self, place: int, x: Tensor) -> Tensor:
        """The output of the layer at `place` for `x`, with its module's change."""
        if x is not self._x or self._made[place] is None:
            self._x, self._made = x, self._compute(x)
        y = self._made[place]
        self._made[place] = None
        if not any(made is not None for made in self._made):
            self._forget()
        assert y is not None
        return y

    def _compute(self, x: Tensor) -> list[Tensor | None]:
        each = [part for layer, up in zip(self.layers, self._ups, strict=True) for part in (layer.weight, layer.bias, up)]
        return list(JointLinear.apply(x, self._down, [module.strength for module in self.modules], *each))

    def _forget(self) -> None:
        self._x: Tensor | None = None
        self._made: list[Tensor | None] = []


def of(attentions: Sequence[Sequence[nn.Module]], modules: Mapping[nn.Module, LoRAModule]) -> list[Siblings]:
    """The siblings among the layers that have one of the `modules`, by their attentions (`targets.find_siblings`).

    Modules whose factors are no single parameters (networks.dylora) compute each by itself.
    """
    made = []
    for layers in attentions:
        ours = [layer for layer in layers if type(modules.get(layer)) is LoRAModule]
        if len(ours) > 1:
            made.append(Siblings(ours, [modules[layer] for layer in ours]))
    return made
