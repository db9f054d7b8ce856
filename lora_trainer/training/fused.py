"""Changing each tensor as soon as its gradient is known, so that never more than one gradient is kept (fused_backward_pass).

It is the ordinary step of the ordinary optimizer, made for one tensor at a time: the same numbers come out, for every
optimizer that treats its tensors apart. Two things differ: max_grad_norm limits each tensor's gradient by itself (as in
sd-scripts), and a gradient that is no number is found when other tensors have been changed already (its own is left out).
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from ..options.optimizer import OptimizerOptions
from .distributed import Processes
from .narrow import WeightPrecision
from .parts import step_with


def of(
    options: OptimizerOptions, optimizer: torch.optim.Optimizer, processes: Processes, weights: WeightPrecision
) -> FusedSteps | None:
    """What fused_backward_pass asks for; None without it. Raises InputError with several processes.

    What else it does not go with is refused where the options are read (options.rules).
    """
    if not options.fused_backward_pass:
        return None
    if processes.world_size > 1:
        raise InputError(
            "fused_backward_pass does not go with several processes: their gradients are added up first.",
            field="fused_backward_pass",
            advice="Leave it out.",
        )
    return FusedSteps(optimizer, options.max_grad_norm, weights)


class FusedSteps:
    """Steps the optimizer from within the backward pass. `max_grad_norm` 0 means no limit.

    Of weights in half precision (full_bf16) one at a time is float32, while its step is made. `step` is the number of the
    step, which the rounding of its weights depends on.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, max_grad_norm: float, weights: WeightPrecision | None = None) -> None:
        self.step = 1
        self._optimizer, self._weights = optimizer, weights or WeightPrecision()
        self._limit = max_grad_norm
        self._norms: list[torch.Tensor] = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(lambda one, group=group: self._step(one, group))

    def take_norm(self) -> torch.Tensor | None:
        """The length of all gradients since the last call, before any limit; None when there were none."""
        norms, self._norms = self._norms, []
        return torch.stack(norms).norm() if norms else None

    @torch.no_grad()
    def _step(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> None:
        self._weights.widen([parameter])
        gradient = parameter.grad
        assert gradient is not None
        norm = torch.linalg.vector_norm(gradient, dtype=torch.float32)
        self._norms.append(norm)
        if self._limit > 0:
            gradient.mul_((self._limit / (norm + 1e-6)).clamp(max=1.0))  # as torch's clip_grad_norm_
        gradient.copy_(torch.where(torch.isfinite(norm), gradient, 0.0))
        self._step_alone(parameter, group)
        self._weights.narrow([parameter], self.step)
        parameter.grad = None

    def _step_alone(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> None:
        groups = self._optimizer.param_groups
        step_with(self._optimizer, [[parameter] if one is group else [] for one in groups])
