"""From gradients to new weights: one optimizer step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .distributed import Processes


@dataclass
class Updater:
    """The optimizer and what goes with it. `max_grad_norm` 0 means no limit; `max_weight_norm` None likewise."""

    network: Any
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: Any
    processes: Processes
    max_grad_norm: float = 1.0
    max_weight_norm: float | None = None
    rates: dict[str, float] = field(default_factory=dict)  # of the last step, by the names of the groups

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradients of `loss` to those that are there."""
        self.scaler.scale(loss).backward()

    def step(self) -> torch.Tensor | None:
        """Change the weights by the gradients of all processes, and clear them.

        Returns the gradients' length before it was limited (a tensor on the device), or None where it is not known. With fp16
        a step whose gradients overflow changes nothing, as usual, and its length means nothing.
        """
        norm = None
        self.rates = {group.get("name", str(i)): group["lr"] for i, group in enumerate(self.optimizer.param_groups)}
        self.processes.add_up_gradients(self.parameters)
        if self.max_grad_norm > 0:
            self.scaler.unscale_(self.optimizer)
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.scheduler.step()
        if self.max_weight_norm:
            self.network.apply_max_norm(self.max_weight_norm)
        return None if self.scaler.is_enabled() else norm
