"""DyLoRA: one training gives a LoRA of every rank (Valipour et al. 2022, arXiv 2210.07558).

The ranks are cut into blocks of `unit`. Each step draws one block; the forward pass uses the ranks up to its end, and only the
block's own ranks are trained (the paper's frozen variant), so that what lower ranks have learned stays. The file is a plain
LoRA of the full rank, and its first ranks, at every multiple of `unit`, are a trained LoRA.

A prefix is used with the full network's scale, alpha / network_dim, whatever its length. So a block changes the layer by the
same amount in every prefix that holds it, which freezing takes for granted; the training's forward pass is that of the file,
at the full rank and, with <lora:name:te:unet:dyn>, at every other. A prefix in a file of its own has alpha * rank / network_dim
as its alpha. (The paper writes alpha / b for the rank b: then frozen ranks would grow weaker with every block behind them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..options.block_arguments import Shape
from ..randomness import rng
from .arguments import DyLoRAArguments
from .building import Builder
from .module import Dropouts, LoRAModule
from .network import Network
from .targets import Target


class DyLoRAModule(LoRAModule):
    """A LoRA module whose ranks are parameters in blocks of `unit`, so that an optimizer leaves alone what was not drawn.

    In training only the ranks up to `active`'s end are used and only those of block `active` are trained; all are used in
    evaluation, and when `active` is None. State dict and factors are those of a LoRAModule.
    """

    def __init__(
        self,
        name: str,
        layer: nn.Module,
        *,
        rank: int,
        alpha: float,
        unit: int,
        seed: int = 0,
        dropouts: Dropouts | None = None,
    ) -> None:
        super().__init__(name, layer, rank=rank, alpha=alpha, seed=seed, dropouts=dropouts)
        assert rank % unit == 0, (rank, unit)
        down, up = self.lora_down, self.lora_up
        del self.lora_down, self.lora_up
        self.downs = nn.ParameterList(nn.Parameter(part.clone()) for part in down.weight.detach().split(unit))
        self.ups = nn.ParameterList(nn.Parameter(part.clone()) for part in up.weight.detach().split(unit, dim=1))
        self.active: int | None = None

    def pair(self) -> tuple[Tensor, Tensor]:
        """(down, up) of all ranks, detached."""
        return torch.cat([*self.downs]).detach(), torch.cat([*self.ups], dim=1).detach()

    def second_factor(self) -> list[nn.Parameter]:
        """The parameters that make the second factor, `up`."""
        return [*self.ups]

    @property
    def to_copy(self) -> list[list[nn.Parameter]]:
        """The blocks, each by itself."""
        return [[parameter] for parameter in self.parameters()]

    @torch.no_grad()
    def set_factors(self, down: Tensor, up: Tensor) -> None:
        """Take over weights of the full rank."""
        for blocks, whole, dim in ((self.downs, down, 0), (self.ups, up, 1)):
            for parameter, part in zip(blocks, whole.split(blocks[0].shape[dim], dim=dim), strict=True):
                parameter.copy_(part)

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(down, up) of the ranks in use, in `dtype`."""
        blocks = self.copies or [*self.parameters()]
        half = len(blocks) // 2
        down, up = torch.cat(self._in_use(blocks[:half])), torch.cat(self._in_use(blocks[half:]), dim=1)
        return (down, up) if down.dtype == dtype else (down.to(dtype), up.to(dtype))

    def _in_use(self, blocks: Sequence[Tensor]) -> list[Tensor]:
        if self.active is None or not self.training:
            return [*blocks]
        return [*(block.detach() for block in blocks[: self.active]), blocks[self.active]]

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """kohya's names: the blocks side by side."""
        down, up = torch.cat([*self.downs]), torch.cat([*self.ups], dim=1)
        destination[f"{prefix}alpha"] = self.alpha if keep_vars else self.alpha.detach()
        destination[f"{prefix}lora_down.weight"] = down if keep_vars else down.detach()
        destination[f"{prefix}lora_up.weight"] = up if keep_vars else up.detach()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """As of any module, but without entries for the lists of blocks."""
        destination = {} if destination is None else destination
        self._save_to_state_dict(destination, prefix, keep_vars)
        return destination


class DyLoRANetwork(Network):
    """A network of DyLoRA modules that all use the same ranks in a step: what is trained is what is cut out later."""

    def start_step(self, step: int) -> None:
        """Draw the block that optimizer step `step` trains: uniform, as in the paper, and the same in every process.

        Only that block's parameters ask for gradients, so no optimizer moves the others by momentum or weight decay. What got a
        rate of 0 (see parameter_groups) is never drawn.
        """
        adapters = self.adapters()
        drawn = rng(self.seed, "dylora", step).randrange(max(len(adapter.downs) for adapter in adapters))
        for adapter in adapters:
            adapter.active = min(drawn, len(adapter.downs) - 1)  # a file may hold modules of other ranks
        for adapter in self.trained_adapters():
            for blocks in (adapter.downs, adapter.ups):
                for number, parameter in enumerate(blocks):
                    parameter.requires_grad_(number == adapter.active)
        super().start_step(step)


def _make(target: Target, shape: Shape, arguments: DyLoRAArguments, seed: int, dropouts: Dropouts) -> DyLoRAModule:
    settings = {"rank": shape.rank, "alpha": shape.alpha, "unit": arguments.unit, "seed": seed, "dropouts": dropouts}
    return DyLoRAModule(target.name, target.layer, **settings)


def _misfit(arguments: DyLoRAArguments, rank: int) -> tuple[str, str]:
    if rank % arguments.unit == 0:
        return "", ""
    return f"which unit {arguments.unit} does not divide", "Give the unit that the file was trained with, or unit=1."


# As networks.lora, with the argument `unit` (1 when left out), which divides network_dim; conv_dim is network_dim or left out,
# and ranks per block are refused.
_BUILDER = Builder(
    read=DyLoRAArguments.of, make=_make, shared=lambda arguments: arguments.lora, misfit=_misfit, network=DyLoRANetwork
)
create_network, create_network_from_weights = _BUILDER.create_network, _BUILDER.create_network_from_weights
