"""The optimizer's step made for some of the weights at a time, where they are in half precision (full_bf16).

While a step is made its weights and gradients are float32. Of a whole model that would be 8 bytes of each of its numbers at
once, twice of what it has between steps, and as much again for what an optimizer works with. For every optimizer that treats
its tensors apart the same numbers come out when the step is made for one part of them after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from .distributed import Processes
from .narrow import WeightPrecision
from .optimizers import BuiltOptimizer

NUMBERS = 1 << 26  # in a part, about: 512 MB of weights and gradients in float32


def of(built: BuiltOptimizer, weights: WeightPrecision, processes: Processes, limit: float, *, is_alone: bool) -> Parts | None:
    """What makes the steps in parts; None where all are to be made at once: weights in float32 or few, several processes, an
    optimizer that needs all gradients, or of which that is not known. `limit` is max_grad_norm; `is_alone` says that nothing
    else looks at the weights in float32."""
    groups = [list(group["params"]) for group in built.optimizer.param_groups]
    count = sum(parameter.numel() for parameters in groups for parameter in parameters)
    if weights.dtype == torch.float32 or count <= NUMBERS or processes.world_size > 1:
        return None
    if not is_alone or built.kind.whole or not built.kind.is_known:
        return None
    return Parts(built.optimizer, weights, limit)


class Parts:
    """Makes the steps of `optimizer`. `limit` 0 means none."""

    def __init__(self, optimizer: torch.optim.Optimizer, weights: WeightPrecision, limit: float) -> None:
        self._optimizer, self._weights, self._limit = optimizer, weights, limit
        self._factor: torch.Tensor | None = None  # on the gradients of the step

    @torch.no_grad()
    def gather(self, parameters: Sequence[nn.Parameter]) -> torch.Tensor:
        """The length of all gradients, in float32 as they would be limited by it; nothing is changed yet."""
        lengths = [torch.linalg.vector_norm(one.grad.float()) for one in parameters if one.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(lengths)) if lengths else torch.tensor(0.0)
        # as torch's clip_grad_norm_, which multiplies by a factor of 1, too
        self._factor = (self._limit / (norm + 1e-6)).clamp(max=1.0) if self._limit > 0 else None
        return norm

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Change the weights by their gradients, part after part, and round them for step number `step`."""
        for part in self._parts():
            parameters = [parameter for group in part for parameter in group]
            self._weights.widen(parameters)
            for parameter in parameters:
                if parameter.grad is not None and self._factor is not None:
                    parameter.grad.mul_(self._factor)
            step_with(self._optimizer, part)
            self._weights.narrow(parameters, step)

    def _parts(self) -> Iterator[list[list[nn.Parameter]]]:
        """The parameters of each group that make up a part."""
        groups = self._optimizer.param_groups
        part: list[list[nn.Parameter]] = [[] for _ in groups]
        count = 0
        for number, group in enumerate(groups):
            for parameter in group["params"]:
                if count and count + parameter.numel() > NUMBERS:
                    yield part
                    part, count = [[] for _ in groups], 0
                part[number].append(parameter)
                count += parameter.numel()
        if count:
            yield part


def step_with(optimizer: torch.optim.Optimizer, parameters: Sequence[Sequence[nn.Parameter]]) -> None:
    """The step of `optimizer` with these parameters of each of its groups as all that there are."""
    groups = optimizer.param_groups
    kept = [group["params"] for group in groups]
    try:
        for group, own in zip(groups, parameters, strict=True):
            group["params"] = list(own)
        optimizer.step()
    finally:
        for group, all_of_it in zip(groups, kept, strict=True):
            group["params"] = all_of_it
