"""Optimizers that find their rate by themselves take one rate for everything; the parts of a network have their own.

D-Adaptation and Prodigy estimate one distance for all groups, and refuse, or overlook, that a group's rate is half of
another's, which their users are told to give (`--text_encoder_lr=0.5 --unet_lr=1.0`). Here the step is made with the largest
rate for all; then the groups with a smaller one go only their share of the way.
"""

from __future__ import annotations

from typing import Any

import torch

_RATE = "lr"


def share(optimizer: torch.optim.Optimizer) -> None:
    """From now on each group of `optimizer` moves in proportion to its own rate. With equal rates nothing is different."""
    kept: list[tuple[dict[str, Any], float, list[torch.Tensor]]] = []

    def before(_: object, *__: object) -> None:
        largest = max(group[_RATE] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            rate = group[_RATE]
            if 0 < rate < largest:
                kept.append((group, rate, [parameter.detach().clone() for parameter in group["params"]]))
                group[_RATE] = largest

    @torch.no_grad()
    def after(_: object, *__: object) -> None:
        for group, rate, starts in kept:
            part = rate / group[_RATE]
            for parameter, start in zip(group["params"], starts, strict=True):
                parameter.copy_(start + part * (parameter - start))
            group[_RATE] = rate
        kept.clear()

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
