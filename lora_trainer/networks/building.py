"""From arguments, or from a file, to a network: which layers get a module of which shape. The module is the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..errors import LoraFileError
from ..log import logger
from ..options.block_arguments import Shape
from .arguments import LoRAArguments, number_of, share_of
from .blocks import block_of, layout_of
from .files import group_keys, load
from .network import Network, made_for
from .targets import Target, find_lierla_names, find_targets

if TYPE_CHECKING:
    from .lora import LoRAModule


@dataclass(frozen=True)
class Dropouts:
    """Shares (0 <= p < 1, 0 = off) of what is left out while training: inner values, whole ranks, whole modules."""

    neuron: float = 0.0
    rank: float = 0.0
    module: float = 0.0


def linear_shape(network_dim: int | None, network_alpha: float | None) -> Shape:
    """Rank and alpha of linear layers from the options; raises InputError when they are out of their range."""
    rank = number_of("network_dim", 4 if network_dim is None else network_dim, int, field="network_dim", minimum=1)
    alpha = number_of("network_alpha", 1.0 if network_alpha is None else network_alpha, float, field="network_alpha")
    return Shape(int(rank), float(alpha))


def build(
    multiplier: float,
    text_encoders: nn.Module | Sequence[nn.Module] | None,
    unet: nn.Module | None,
    linear: Shape,
    arguments: LoRAArguments,
    make: Callable[[Target, Shape], LoRAModule],
    kind: type[Network] = Network,
) -> Network:
    """Return a network with a module, made by `make`, on every layer that the arguments ask for.

    A layer whose rank is 0 (because of its block's weight or rank, or a conv_dim of 0) gets none.
    """
    if arguments.blocks.without_effect:
        logger.warning("%s", arguments.blocks.without_effect)
    conv = None if arguments.conv_dim is None else Shape(arguments.conv_dim, arguments.conv_alpha)
    if conv is None and arguments.blocks.conv_dims is not None:
        conv = Shape(0, arguments.conv_alpha)  # the ranks are given per block
    plan = None if unet is None else arguments.blocks.plan(layout_of(unet), linear, conv)
    for note in plan.notes if plan else ():
        logger.warning("%s", note)
    lierla = find_lierla_names(text_encoders, unet)
    pairs, skipped = [], []
    for target in find_targets(text_encoders, unet):
        if conv is None and target.name not in lierla:
            continue
        block = block_of(target.name)
        if plan is not None and block is not None:
            shape = plan.shape(block, target.is_conv3x3)
        else:
            shape = conv if conv is not None and target.is_conv3x3 else linear
        if shape.rank:
            pairs.append((target, make(target, shape)))
        else:
            skipped.append(target.name)
    return kind(pairs, multiplier, block_weights=plan.weights if plan else None, left_out=skipped)


def build_from_weights(
    multiplier: float,
    file: str | Path | None,
    text_encoder: nn.Module | Sequence[nn.Module] | None,
    unet: nn.Module | None,
    weights_sd: Mapping[str, Tensor] | None,
    arguments: LoRAArguments,
    make: Callable[[Target, Shape], LoRAModule],
    kind: type[Network] = Network,
    for_inference: bool = False,
) -> tuple[Network, dict[str, Tensor]]:
    """Return (network, weights): a module, made by `make`, for each one in the file; see `create_network_from_weights`."""
    if weights_sd is None:
        assert file is not None, "either file or weights_sd"
        weights_sd, _ = load(Path(file))
    where = str(file) if file is not None else "the LoRA"
    targets = {target.name: target for target in find_targets(text_encoder, unet)}
    grouped = group_keys(weights_sd, where)
    strange = [name for name in grouped if name not in targets]
    if strange:
        raise _unfit(where, strange, targets)
    pairs: list[tuple[Target, LoRAModule]] = []
    for name, target in targets.items():
        if name in grouped:
            rank = grouped[name]["lora_down.weight"].shape[0]
            alpha = float(grouped[name]["alpha"]) if "alpha" in grouped[name] else float(rank)
            pairs.append((target, make(target, Shape(rank, alpha))))
    weights, notes = (None, ()) if unet is None else arguments.blocks.weights(layout_of(unet))
    for note in notes:
        logger.warning("%s", note)
    network = kind(pairs, multiplier, block_weights=weights)
    if for_inference:
        network.requires_grad_(False).eval()
    return network, dict(weights_sd)


def _unfit(where: str, strange: list[str], targets: Mapping[str, Target]) -> LoraFileError:
    family = made_for(strange, targets)
    return LoraFileError(
        f"{where}: {len(strange)} of its modules fit no layer of this model, for example {strange[0]}.{family}",
        advice="Use a base model of the family that the LoRA was made for.",
    )


def dropouts_of(neuron: float | None, arguments: LoRAArguments) -> Dropouts:
    """The shares from the option network_dropout and the network_args."""
    share = share_of("network_dropout", neuron, field="network_dropout")
    return Dropouts(neuron=share, rank=arguments.rank_dropout, module=arguments.module_dropout)
