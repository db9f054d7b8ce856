"""The learning rate that a step was really made with, by the group's name."""

from __future__ import annotations

import torch

from . import adafactor


def before_step(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rates of the step that is about to be made: of optimizers that find their rate, their estimate times the option's."""
    groups = enumerate(optimizer.param_groups)
    return {group.get("name", str(i)): float((group["lr"] or 0.0) * group.get("d", 1.0)) for i, group in groups}


def after_step(optimizer: torch.optim.Optimizer, before: dict[str, float]) -> dict[str, float]:
    """The same once it was made, for optimizers that decide while they make it (Adafactor, schedule-free)."""
    rates = dict(before)
    for name, group in zip(before, optimizer.param_groups, strict=True):
        if adafactor.RELATIVE in group:
            rates[name] = adafactor.used_rate(group, optimizer.state)
        elif "scheduled_lr" in group:
            rates[name] = float(group["scheduled_lr"])
    return rates
