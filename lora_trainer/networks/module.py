"""LoRA on one layer: the module that every network of this package is made of. All else of a network stands above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from . import functional
from .joint import JointLinear

_is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._utils.is_compiling  # the latter is PyTorch 2.1's


@dataclass(frozen=True)
class Dropouts:
    """Shares (0 <= p < 1, 0 = off) of what is left out while training: inner values, whole ranks, whole modules."""

    neuron: float = 0.0
    rank: float = 0.0
    module: float = 0.0


class LoRAModule(nn.Module):
    """The trained pair of one Linear or Conv2d layer: adds strength * up(down(x)) to the layer's output.

    `lora_down.weight` [rank, in(, kh, kw)], `lora_up.weight` [out, rank(, 1, 1)] and the scalar `alpha` are float32 and
    named as in kohya's files. `alpha` 0 means alpha = rank. strength = multiplier * alpha / rank.

    It computes in the type of its input. `copies` are its parameters in that type, during an optimizer step of a network that
    made them (`copies.copies`); without them each pass casts. `together` is, in such a step, the output of the layer where it
    computes with others (`siblings`).
    """

    def __init__(
        self, name: str, layer: nn.Module, *, rank: int, alpha: float, seed: int = 0, dropouts: Dropouts | None = None
    ) -> None:
        super().__init__()
        assert rank > 0, rank
        self.lora_name = name
        self.rank = rank
        self.dropouts = dropouts or Dropouts()
        self._drops = any((self.dropouts.neuron, self.dropouts.rank, self.dropouts.module))
        self.is_conv = isinstance(layer, nn.Conv2d)
        down, up = functional.layer_shapes(tuple(layer.weight.shape), rank)
        if self.is_conv:
            geometry = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "bias": False}
            self.lora_down = nn.utils.skip_init(nn.Conv2d, layer.in_channels, rank, layer.kernel_size, **geometry)
            self.lora_up = nn.utils.skip_init(nn.Conv2d, rank, layer.out_channels, 1, bias=False)
        else:
            self.lora_down = nn.utils.skip_init(nn.Linear, layer.in_features, rank, bias=False)
            self.lora_up = nn.utils.skip_init(nn.Linear, rank, layer.out_features, bias=False)
        assert tuple(self.lora_down.weight.shape) == down and tuple(self.lora_up.weight.shape) == up, (down, up)
        with torch.no_grad():
            self.lora_down.weight.copy_(functional.initial_down(down, seed, name))
            self.lora_up.weight.zero_()
        self.register_buffer("alpha", torch.tensor(float(alpha) or float(rank)))
        if not self.alpha:
            raise InputError(
                f"an alpha of {alpha:g} is 0 in float32, so that nothing would be learned.",
                field="network_alpha",
                advice="Give a larger one; 0 itself means the rank.",
            )
        self._geometry = (layer.stride, layer.padding, layer.dilation) if self.is_conv else ()
        self.multiplier = 1.0
        self.copies: Sequence[Tensor] | None = None
        self.together: Callable[[Tensor], Tensor] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Work out `scale` and `strength` again, after alpha or the multiplier has changed."""
        self.scale = float(self.alpha) / self.rank
        self.strength = self.multiplier * self.scale

    def _apply(self, *args: Any, **kwargs: Any) -> LoRAModule:
        """`to`, `half` and the like. alpha stays float32: half precision would round the strength."""
        alpha = self.alpha
        super()._apply(*args, **kwargs)
        self.alpha = alpha.to(self.alpha.device)
        return self

    def factors(self) -> tuple[Tensor, Tensor]:
        """(down, up), detached copies in float32."""
        down, up = self.pair()
        return down.float().clone(), up.float().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        """(down, up) as they are, detached: to look at, not to keep."""
        return self.lora_down.weight.detach(), self.lora_up.weight.detach()

    def second_factor(self) -> list[nn.Parameter]:
        """The parameters that make the second factor, `up`."""
        return list(self.lora_up.parameters())

    @property
    def to_copy(self) -> list[list[nn.Parameter]]:
        """The parameters that are copied for a step, each by itself."""
        return [[self.lora_down.weight], [self.lora_up.weight]]

    def take(self, copies: Sequence[Tensor]) -> None:
        """Compute with these copies of `to_copy`, until `let_go`."""
        self.set(copies=copies)

    def let_go(self) -> None:
        """Compute with the weights themselves again."""
        self.set(copies=None)

    def set(self, **attributes: object) -> None:
        """Set `copies` or `together`. Hundreds of modules are told at each step, and nn.Module looks long at it."""
        self.__dict__.update(attributes)

    @torch.no_grad()
    def set_factors(self, down: Tensor, up: Tensor) -> None:
        """Take over weights of the module's shapes."""
        self.lora_down.weight.copy_(down)
        self.lora_up.weight.copy_(up)

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(down, up) to compute with in `dtype`, differentiable."""
        down, up = self.copies or (self.lora_down.weight, self.lora_up.weight)
        return (down, up) if down.dtype == dtype else (down.to(dtype), up.to(dtype))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y + strength * up(down(x)), in the dtype of `y`; `x` and `y` are input and output of the frozen layer."""
        if self._drops and self.training:
            return self._forward_with_dropout(x, y)
        down, up = self.weights(x.dtype)
        change = self._up(self._down(x, down), up)
        return torch.add(y, change.to(y.dtype), alpha=self.strength)

    @property
    def can_join(self) -> bool:
        """Whether there is a change that a product can add: without dropouts, and with an effect."""
        return not self._drops and self.strength != 0.0

    def joins(self, layer: nn.Linear, x: Tensor) -> bool:
        """Whether `joined` computes what layer and module do apart: in a training step in half precision, without dropouts.

        In float32 the two stay apart, with the bytes that they always had.
        """
        return (self.together or self.copies) is not None and self.can_join and x.dtype == layer.weight.dtype

    def joined(self, layer: nn.Linear, x: Tensor) -> Tensor:
        """The output of the frozen layer with the module's change; like `forward` but for rounding."""
        if self.together is not None:
            return self.together(x)
        down, up = self.weights(x.dtype)
        return JointLinear.apply(x, down, (self.strength,), layer.weight, layer.bias, up)[0]

    def _down(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, None, *self._geometry) if self.is_conv else F.linear(x, weight)

    def _up(self, inner: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(inner, weight) if self.is_conv else F.linear(inner, weight)

    def _forward_with_dropout(self, x: Tensor, y: Tensor) -> Tensor:
        drop = self.dropouts
        strength: Tensor | float = self.strength
        if drop.module and _is_compiling():  # there is no looking at numbers within a graph
            strength = strength * (torch.rand((), device=x.device) >= drop.module)
        elif drop.module and torch.rand(()).item() < drop.module:
            return y
        down, up = self.weights(x.dtype)
        inner = self._down(x, down)
        if drop.neuron:
            inner = F.dropout(inner, drop.neuron)
        if drop.rank:
            rank = inner.shape[1 if self.is_conv else -1]
            mask = torch.rand(inner.shape[0], rank, device=inner.device) > drop.rank
            spread = (-1, rank, 1, 1) if self.is_conv else (-1, *(1,) * (inner.ndim - 2), rank)
            inner = inner * mask.view(spread)
            strength = strength / (1.0 - drop.rank)
        return y + (self._up(inner, up) * strength).to(y.dtype)
