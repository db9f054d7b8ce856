"""The moving average of the trained weights (EMA): calmer than the last step's, it is what is saved, drawn and measured.

("Acceleration of Stochastic Approximation by Averaging", Polyak and Juditsky 1992; for diffusion models Ho et al. 2020.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ..checkpoints.sharding import as_held, is_shard
from ..options.training import TrainingOptions
from .parts import NUMBERS
from .trained import Trained


class WeightAverage:
    """average <- decay * average + (1 - decay) * weights after each step, in float32, for everything that `trained` trains.

    The decay of step n is (1 + n) / (10 + n) while that is less, so that the average soon forgets where it began (as in
    diffusers and TensorFlow). `weights` holds the average by the parameters' numbers. It begins with
    `begin`; before, `trained` has its own weights in every respect.
    """

    def __init__(self, trained: Trained, decay: float) -> None:
        assert 0 <= decay < 1, decay
        self._trained, self.decay = trained, decay
        self.steps = 0
        self.weights: dict[int, torch.Tensor] = {}
        self._is_in_place = False

    @classmethod
    def of(cls, options: TrainingOptions, trained: Trained) -> WeightAverage | None:
        """What the option ema_decay asks for; None without it."""
        return cls(trained, options.ema_decay) if options.ema_decay else None

    @torch.no_grad()
    def begin(self) -> None:
        """Begin with the weights as they are, where nothing has begun: before the first step."""
        if not self.weights:
            for number, parameter in enumerate(self._trained.parameters()):
                self.weights[number] = parameter.detach().float().clone()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as a step has left them."""
        assert not self._is_in_place and self.weights
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        for some in _portions(self._trained.parameters()):
            averages = [self.weights[number] for number, _ in some]
            torch._foreach_lerp_(averages, [parameter.detach().float() for _, parameter in some], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let `trained` have the average as its weights; afterwards it has its own again, bit for bit. May be nested."""
        if self._is_in_place or not self.weights:
            yield
            return
        parameters = list(self._trained.parameters())
        own = [parameter.detach().clone() if is_shard(parameter) else parameter.data for parameter in parameters]
        try:
            self._is_in_place = True
            for number, parameter in enumerate(parameters):
                _put(parameter, self.weights[number])
            yield
        finally:
            for parameter, data in zip(parameters, own, strict=True):
                _put(parameter, data)
            self._is_in_place = False

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to go on with the average: `steps`, and the tensors by number."""
        return {"steps": self.steps, **{str(number): tensor for number, tensor in self.weights.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as `state_dict` told. Raises KeyError for a state of other weights."""
        self.steps = int(state["steps"])
        for number, parameter in enumerate(self._trained.parameters()):
            self.weights[number] = as_held(state[str(number)].reshape(parameter.shape), parameter).clone()


def _portions(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[tuple[int, torch.nn.Parameter]]]:
    """The parameters with their numbers, so many at a time that copies of them in float32 take little memory."""
    some: list[tuple[int, torch.nn.Parameter]] = []
    size = 0
    for number, parameter in enumerate(parameters):
        some.append((number, parameter))
        size += parameter.numel()
        if size >= NUMBERS:
            yield some
            some, size = [], 0
    if some:
        yield some


@torch.no_grad()
def _put(parameter: torch.nn.Parameter, values: torch.Tensor) -> None:
    """Let `parameter` have these values: of a shard, whose place others know, they are copied."""
    if is_shard(parameter):
        parameter.copy_(values)
    else:
        parameter.data = values
