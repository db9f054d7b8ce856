"""Changing each tensor as soon as its gradient is known, so that never more than one gradient is kept (fused_backward_pass).

It is the ordinary step of the ordinary optimizer, made for one tensor at a time: the same numbers come out, for every
optimizer that treats its tensors apart. Two things differ: max_grad_norm limits each tensor's gradient by itself (as in
sd-scripts), and a gradient that is no number is found when other tensors have been changed already (its own is left out).
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from ..options import TrainOptions
from .distributed import Processes
from .optimizers import BuiltOptimizer
from .precision import Precision


def of(options: TrainOptions, built: BuiltOptimizer, processes: Processes, precision: Precision) -> FusedSteps | None:
    """What fused_backward_pass asks for; None without it. Raises InputError for what it does not go with."""
    if not options.optimizer.fused_backward_pass:
        return None
    training = options.training
    refused = {
        f"{built.kind.name}, whose step needs all gradients at once": built.kind.whole,
        "several processes, whose gradients are added up first": processes.world_size > 1,
        "fp16, whose gradients are scaled back first": precision.dtype == torch.float16,
        "full_bf16 and full_fp16": training.full_bf16 or training.full_fp16,
        "gradient_accumulation_steps above 1": training.gradient_accumulation_steps > 1,
    }
    for what, is_so in refused.items():
        if is_so:
            raise InputError(
                f"fused_backward_pass does not go with {what}.", field="fused_backward_pass", advice="Leave it out."
            )
    return FusedSteps(built.optimizer, options.optimizer.max_grad_norm)


class FusedSteps:
    """Steps the optimizer from within the backward pass. `max_grad_norm` 0 means no limit."""

    def __init__(self, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
        self._optimizer = optimizer
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
    def _step(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        norm = torch.linalg.vector_norm(gradient, dtype=torch.float32)
        self._norms.append(norm)
        if self._limit > 0:
            gradient.mul_((self._limit / (norm + 1e-6)).clamp(max=1.0))  # as torch's clip_grad_norm_
        gradient.copy_(torch.where(torch.isfinite(norm), gradient, 0.0))
        self._step_alone(parameter, group)
        parameter.grad = None

    def _step_alone(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        """The optimizer's step with `parameter` as all that there is of it."""
        groups = self._optimizer.param_groups
        kept = [one["params"] for one in groups]
        try:
            for one in groups:
                one["params"] = [parameter] if one is group else []
            self._optimizer.step()
        finally:
            for one, parameters in zip(groups, kept, strict=True):
                one["params"] = parameters
