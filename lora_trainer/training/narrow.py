"""The trained weights in half precision (full_fp16, full_bf16), and how little of a small change is lost by it.

bf16 keeps 8 bits of a number: an update below 1/512 of a weight is rounded away, step after step, and nothing is learned. With
stochastic rounding the weight goes up or down with the probability that makes the mean right, so that small updates add up
(Gupta et al. 2015, arXiv 1502.02551; for LoRA-sized updates Zamirai et al. 2020, arXiv 2010.06192).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from ..options.training import TrainingOptions
from ..randomness import seed_of

_SMALLEST_NORMAL_FP16, _SMALLEST_FP16 = 2.0**-14, 2.0**-24
# Bits of float32's mantissa that the other type lacks.
_DROPPED = {torch.bfloat16: 16, torch.float16: 13}


@dataclass
class WeightPrecision:
    """In which type the trained weights and gradients are kept between steps; float32 means that nothing happens here.

    While a step is made they are float32 (`widen`, `narrow`), so that every optimizer computes as it always does, and its own
    numbers are float32. `stochastic` is how the new weights are rounded; the random bits depend on (seed, step, parameter).
    """

    dtype: torch.dtype = torch.float32
    stochastic: bool = True
    seed: int = 0
    _numbers: dict[int, int] = field(default_factory=dict)  # of the parameters, by their ids

    @classmethod
    def of(
        cls, options: TrainingOptions, computed: torch.dtype, parameters: Iterable[torch.nn.Parameter], seed: int
    ) -> WeightPrecision:
        """What the options say, begun; `computed` is the type that the device really computes in."""
        full = options.full_fp16 or options.full_bf16
        made = cls(computed if full else torch.float32, options.stochastic_rounding, seed)
        made.start(parameters)
        return made

    @torch.no_grad()
    def start(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Put the weights, which are float32, into the type that they will have between steps."""
        kept = self._of(parameters)
        self._numbers = {id(parameter): number for number, parameter in enumerate(kept)}
        for parameter in kept:
            parameter.data = parameter.data.to(self.dtype)

    @torch.no_grad()
    def widen(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Weights and gradients become float32, with the same values."""
        for parameter in self._of(parameters):
            gradient, parameter.grad = parameter.grad, None
            parameter.data = parameter.data.float()
            parameter.grad = None if gradient is None else gradient.float()

    @torch.no_grad()
    def narrow(self, parameters: Iterable[torch.nn.Parameter], step: int) -> None:
        """The weights after optimizer step `step`, rounded, without gradients. What did not change keeps its bits."""
        for parameter in self._of(parameters):
            parameter.grad = None
            parameter.data = self._rounded(parameter.data, step, self._numbers[id(parameter)])

    @contextmanager
    def wide(self, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
        """For what looks at the weights between steps as an optimizer does, and changes none of them."""
        kept = [(parameter, parameter.data) for parameter in self._of(parameters)]
        self.widen(parameters)
        try:
            yield
        finally:
            for parameter, narrow in kept:
                parameter.data = narrow

    def _of(self, parameters: Iterable[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
        return [] if self.dtype == torch.float32 else list(parameters)

    def _rounded(self, values: torch.Tensor, step: int, number: int) -> torch.Tensor:
        if not self.stochastic:
            return values.to(self.dtype)
        generator = torch.Generator(values.device).manual_seed(seed_of(self.seed, "rounding", step, number))
        bits = torch.randint(
            1 << _DROPPED[self.dtype], values.shape, dtype=torch.int32, device=values.device, generator=generator
        )
        return round_by(values, bits, self.dtype)


def round_by(values: torch.Tensor, bits: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Round float32 `values` to bf16 or fp16: away from 0 when the bits that are dropped and the random `bits` make a carry.

    `bits`, int32 of the values' shape, are uniform in 0 ... 2**n - 1, where n is how many bits are dropped (16 and 13), so that
    the mean of the results is the value. A value that `dtype` has stays as it is; NaN and infinity stay what they are.
    """
    dropped = _DROPPED[dtype]
    rounded = ((values.view(torch.int32) + bits) & -(1 << dropped)).view(torch.float32)
    if dtype == torch.float16:  # below its normal numbers the step is the same everywhere
        share = bits.float() / (1 << dropped)
        small = torch.floor(values.abs() / _SMALLEST_FP16 + share) * _SMALLEST_FP16
        rounded = torch.where(values.abs() < _SMALLEST_NORMAL_FP16, small.copysign(values), rounded)
    return torch.where(torch.isfinite(values), rounded, values).to(dtype)
