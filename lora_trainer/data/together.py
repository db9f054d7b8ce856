"""What the making of the latents needs to know of the other processes that train, so that each encodes its part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Together(Protocol):
    """The processes of a training (`training.distributed.Processes`). All call these at the same places."""

    rank: int
    world_size: int

    def add_up(self, values: Sequence[float]) -> list[float]:
        """Return the sums of `values` over all processes."""

    def add_up_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor on the CPU over all processes."""

    def wait(self) -> None:
        """Wait until every process has come here."""


class _Alone:
    rank, world_size = 0, 1

    def add_up(self, values: Sequence[float]) -> list[float]:
        return list(values)

    def add_up_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def wait(self) -> None:
        pass


ALONE: Together = _Alone()
