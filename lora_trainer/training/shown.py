"""The weights to save, to draw and to measure with, where these are not those that the training changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from .average import WeightAverage
from .narrow import WeightPrecision


@dataclass
class ShownWeights:
    """`with shown():` the trained weights are those to be used; afterwards they are, bit by bit, what they were.

    Schedule-free optimizers ("The Road Less Scheduled", Defazio et al. 2024) train one point and show an average, which they
    turn into each other by `eval()` and `train()`. Back and forth rounds: so what is trained is kept, and nothing changes.
    Where an `average` of the trained weights is kept (ema_decay), that is what is shown.
    """

    optimizer: torch.optim.Optimizer
    weights: WeightPrecision = field(default_factory=WeightPrecision)
    average: WeightAverage | None = None
    _inside: bool = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """May be called within itself: who saves while pictures are drawn."""
        if self.average:
            with self.average.in_place():
                yield
            return
        if self._inside or not hasattr(self.optimizer, "eval"):
            yield
            return
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        with self.weights.wide(parameters):
            trained = [parameter.detach().clone() for parameter in parameters]
            self._inside = True
            self.optimizer.eval()
            try:
                yield
            finally:
                self._inside = False
                self.optimizer.train()  # type: ignore[attr-defined]
                with torch.no_grad():
                    for parameter, kept in zip(parameters, trained, strict=True):
                        parameter.copy_(kept)
