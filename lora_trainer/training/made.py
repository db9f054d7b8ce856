"""A step that was made, and its numbers: on their way from the device to Python, which need not wait for them.

Reading a number of a card waits until all that was launched before is done, and the card has nothing to do until more is
launched. So loss and gradients' length are copied to main memory in the card's own order, and read a step later, while the next
step's work is queued already (`loop`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import NotFiniteError
from .position import Position

_NAMES = ("loss", "gradients")


class Numbers:
    """The loss of a step, and the length of its gradients where that is looked at; scalars of one device."""

    def __init__(self, loss: torch.Tensor, norm: torch.Tensor | None) -> None:
        self._values = torch.stack([one.detach().float() for one in (loss, norm) if one is not None])
        self._there: torch.cuda.Event | None = None

    def send(self) -> torch.Tensor:
        """Let them come to main memory; nothing waits. Returns 1.0 when one is NaN or infinite, else 0.0, on the device."""
        wrong = self._values.isfinite().all().logical_not().float()
        if self._values.device.type == "cuda":
            here = torch.empty(self._values.shape, dtype=self._values.dtype, pin_memory=True)
            here.copy_(self._values, non_blocking=True)
            self._there, self._values = torch.cuda.current_stream(self._values.device).record_event(), here
        return wrong

    def read(self) -> list[float]:
        """Wait until they have come; returns the loss first."""
        if self._there is not None:
            self._there.synchronize()
        return self._values.tolist()


@dataclass(frozen=True, kw_only=True)
class MadeStep:
    """Optimizer step `number`, of `samples` samples, made with `rates` in `epoch` (from 1).

    `position` and `epochs_done` are those of before it. `loss` is None while nobody has read its `numbers`: then the device
    itself has left the step out where they are none.
    """

    number: int
    epoch: int
    samples: int
    rates: Mapping[str, float]
    position: Position
    epochs_done: int
    numbers: Numbers
    loss: float | None = None

    def known_loss(self) -> float:
        """The loss. Raises NotFiniteError when the step has changed nothing, because its numbers are none."""
        if self.loss is not None:
            return self.loss
        values = self.numbers.read()
        check_finite(values, self.number)
        return values[0]


def check_finite(values: list[float], step: int) -> None:
    """Raise NotFiniteError when the loss or the gradients' length of `step` are NaN or infinite."""
    for what, value in zip(_NAMES, values, strict=False):
        if not math.isfinite(value):
            raise NotFiniteError(f"The {what} became NaN or infinite at step {step}.")
