"""From arguments, or from a file, to a network: which layers get which module. One builder for all kinds of LoRA modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import LoraFileError
from ..log import logger
from ..options.block_arguments import Shape
from . import bundled
from .arguments import LoRAArguments, number_of, share_of
from .base import Encoders
from .blocks import block_of, layout_of
from .files import group_keys, load
from .module import Dropouts, LoRAModule
from .network import Network, made_for
from .targets import Target, find_lierla_names, find_targets


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Makes networks of one kind: what distinguishes it is here, all else is the same for every kind.

    `read(network_args, network_dim)` checks the arguments (network_dim is None where ranks come from a file) and raises
    InputErrors; `shared` gives those of them that every kind has. `make(target, shape, arguments, seed, dropouts)` makes the
    module of one layer; `misfit(arguments, rank)` says what is wrong with a module of that rank in a file, (words, advice).
    """

    read: Callable[[Mapping[str, object], int | None], Any]
    make: Callable[[Target, Shape, Any, int, Dropouts], LoRAModule]
    shared: Callable[[Any], LoRAArguments] = lambda arguments: arguments
    misfit: Callable[[Any, int], tuple[str, str]] = lambda arguments, rank: ("", "")
    network: type[Network] = Network

    def create_network(
        self,
        multiplier: float,
        network_dim: int | None,
        network_alpha: float | None,
        vae: object,
        text_encoders: Encoders,
        unet: nn.Module | None,
        *,
        neuron_dropout: float | None = None,
        seed: int = 0,
        **network_args: str,
    ) -> Network:
        """Return a new network: rank `network_dim` (4 when None), alpha 1 when None, rank when 0.

        `network_args` are the kind's. The weights depend on `seed` and the modules' names alone. `vae` is not used. A layer
        whose rank is 0 (because of its block's weight or rank, or a conv_dim of 0) gets no module. Raises InputError(s) for
        arguments that are unknown or out of their range.
        """
        linear = linear_shape(network_dim, network_alpha)
        arguments = self.read(network_args, linear.rank)
        shared = self.shared(arguments)
        dropouts = dropouts_of(neuron_dropout, shared)
        chosen, skipped, weights = _shapes(text_encoders, unet, linear, shared)
        pairs = [(target, self.make(target, shape, arguments, seed, dropouts)) for target, shape in chosen]
        network = self.network(pairs, multiplier, block_weights=weights, left_out=skipped)
        network.seed, network.plus = seed, shared.plus
        return network

    def create_network_from_weights(
        self,
        multiplier: float,
        file: str | Path | None,
        vae: object,
        text_encoder: Encoders,
        unet: nn.Module | None,
        weights_sd: Mapping[str, Tensor] | None = None,
        for_inference: bool = False,
        *,
        neuron_dropout: float | None = None,
        seed: int = 0,
        **network_args: str,
    ) -> tuple[Network, dict[str, Tensor]]:
        """Return (network, weights): a network of just the modules, ranks and alphas that a file has, not yet loaded.

            network, weights = create_network_from_weights(0.8, "frog.safetensors", None, text_encoder, unet)
            network.apply_to(text_encoder, unet)
            network.load_state_dict(weights)

        `weights_sd` are tensors that were read already (then `file` may be None). A missing alpha means alpha = rank.
        `for_inference` makes a network that asks for no gradients. Of the network_args, dropouts and the blocks' learning-rate
        weights count; ranks and alphas are the file's. Raises LoraFileError when the file is no LoRA, or does not fit the model
        or the arguments, and InputError for network_args that are wrong. `seed` is for networks that draw (networks.dylora).
        """
        arguments = self.read(network_args, None)
        shared = self.shared(arguments)
        dropouts = dropouts_of(neuron_dropout, shared)
        if weights_sd is None:
            assert file is not None, "either file or weights_sd"
            weights_sd, _ = bundled.split(load(Path(file))[0])
        where = str(file) if file is not None else "the LoRA"
        pairs: list[tuple[Target, LoRAModule]] = []
        for target, shape in _shapes_in(weights_sd, where, find_targets(text_encoder, unet)):
            wrong, advice = self.misfit(arguments, shape.rank)
            if wrong:
                raise LoraFileError(f"{where}: {target.name} has rank {shape.rank}, {wrong}.", advice=advice)
            pairs.append((target, self.make(target, shape, arguments, 0, dropouts)))
        weights, notes = (None, ()) if unet is None else shared.blocks.weights(layout_of(unet))
        for note in notes:
            logger.warning("%s", note)
        network = self.network(pairs, multiplier, block_weights=weights)
        network.seed, network.plus = seed, shared.plus
        if for_inference:
            network.requires_grad_(False).eval()
        return network, dict(weights_sd)


def linear_shape(network_dim: int | None, network_alpha: float | None) -> Shape:
    """Rank and alpha of linear layers from the options; raises InputError when they are out of their range."""
    rank = number_of("network_dim", 4 if network_dim is None else network_dim, int, field="network_dim", minimum=1)
    alpha = number_of("network_alpha", 1.0 if network_alpha is None else network_alpha, float, field="network_alpha")
    return Shape(int(rank), float(alpha))


def _shapes(
    text_encoders: Encoders, unet: nn.Module | None, linear: Shape, arguments: LoRAArguments
) -> tuple[list[tuple[Target, Shape]], list[str], Sequence[float] | None]:
    """([(layer, rank and alpha)], names of the layers of rank 0, weights per block) that the arguments ask for."""
    if arguments.blocks.without_effect:
        logger.warning("%s", arguments.blocks.without_effect)
    conv = None if arguments.conv_dim is None else Shape(arguments.conv_dim, arguments.conv_alpha)
    if conv is None and arguments.blocks.conv_dims is not None:
        conv = Shape(0, arguments.conv_alpha)  # the ranks are given per block
    plan = None if unet is None else arguments.blocks.plan(layout_of(unet), linear, conv)
    for note in plan.notes if plan else ():
        logger.warning("%s", note)
    lierla = find_lierla_names(text_encoders, unet)
    chosen, skipped = [], []
    for target in find_targets(text_encoders, unet):
        if conv is None and target.name not in lierla:
            continue
        block = block_of(target.name)
        if plan is not None and block is not None:
            shape = plan.shape(block, target.is_conv3x3)
        else:
            shape = conv if conv is not None and target.is_conv3x3 else linear
        if shape.rank:
            chosen.append((target, shape))
        else:
            skipped.append(target.name)
    return chosen, skipped, plan.weights if plan else None


def _shapes_in(tensors: Mapping[str, Tensor], where: str, found: Sequence[Target]) -> list[tuple[Target, Shape]]:
    """[(layer, rank and alpha)] of a file. Raises LoraFileError for modules that fit no layer."""
    targets = {target.name: target for target in found}
    grouped = group_keys(tensors, where)
    strange = [name for name in grouped if name not in targets]
    if strange:
        raise _unfit(where, strange, targets)
    shapes = []
    for name, target in targets.items():
        if name in grouped:
            rank = grouped[name]["lora_down.weight"].shape[0]
            alpha = float(grouped[name]["alpha"]) if "alpha" in grouped[name] else float(rank)
            shapes.append((target, Shape(rank, alpha)))
    return shapes


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
