"""LoRA networks (LierLa, and C3Lier with `conv_dim`): a LoRAModule on each layer.

network_args (text or numbers): `conv_dim`, `conv_alpha` (3x3 convolutions and resnets too; alpha 1 when left out),
`rank_dropout`, `module_dropout`, LoRA+'s `loraplus_lr_ratio` (and one for each part), and what is given per block
(`options.block_arguments`).
"""

from __future__ import annotations

from ..options.block_arguments import Shape
from .arguments import LoRAArguments
from .building import Builder
from .module import Dropouts, LoRAModule
from .targets import Target

__all__ = ["Dropouts", "LoRAModule", "create_network", "create_network_from_weights"]


def _make(target: Target, shape: Shape, _: LoRAArguments, seed: int, dropouts: Dropouts) -> LoRAModule:
    return LoRAModule(target.name, target.layer, rank=shape.rank, alpha=shape.alpha, seed=seed, dropouts=dropouts)


_BUILDER = Builder(read=lambda given, _: LoRAArguments.of(given), make=_make)
create_network, create_network_from_weights = _BUILDER.create_network, _BUILDER.create_network_from_weights
