"""What every network is: modules on layers of a UNet and of text encoders, put on, trained, loaded and taken off together.

A class of networks says only what differs: how a module gets onto its layer and what a file's tensors mean to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..errors import InputError, LoraFileError
from ..log import logger
from ..options.block_arguments import Shape
from . import bundled
from .files import load
from .targets import Part, Target

PARTS: tuple[Part, Part] = ("text_encoder", "unet")
Adapter = TypeVar("Adapter", bound=nn.Module)
Encoders = nn.Module | Sequence[nn.Module] | None


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did, by module names: loaded, not in the file (fresh), in the file but not trained."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    left_out: tuple[str, ...]


class AdapterNetwork(nn.Module, Generic[Adapter]):
    """Modules of one kind by the names of their layers. `seed` is for kinds whose steps draw.

    A subclass has `_put`, `_remove` and `_set_effect` for one module, `_load` for tensors, and may have more than one group of
    the UNet's modules (`_blocks`). The model's layers are not in the network's parameters.
    """

    seed: int = 0
    plus: Mapping[str, float] = {}  # LoRA+: how many times faster the second factors of a part learn
    file_is = "the file"  # what messages call one of whose path nothing is known
    needs_autocast = False  # whether its modules compute with weights of another type than their input's
    computed: torch.dtype | None = None  # the type that the model computes in, where that is known

    def __init__(
        self, pairs: Iterable[tuple[Target, Adapter]], multiplier: float = 1.0, *, left_out: Iterable[str] = ()
    ) -> None:
        """`left_out` names layers that could have a module and deliberately have none."""
        super().__init__()
        self._targets: dict[str, Target] = {}
        self._left_out: set[str] = set(left_out)
        self._trained: set[Adapter] | None = None
        self._layers: dict[str, nn.Module] = {}  # the layers it is on
        self._enabled = True
        for target, module in pairs:
            assert target.name not in self._targets, target.name
            self._targets[target.name] = target
            self.add_module(target.name, module)
        if not self._targets:
            raise self._nothing()
        self.set_multiplier(multiplier)

    # ---- what differs ------------------------------------------------------------------------------------------------
    def _nothing(self) -> InputError:
        """What is said when there is no module."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """Rank and alpha, for the metadata."""
        raise NotImplementedError

    def _set_effect(self, module: Adapter, factor: float) -> None:
        """Let the module's effect be `factor` times what it has learned."""
        raise NotImplementedError

    def _put(self, layer: nn.Module, module: Adapter) -> None:
        raise NotImplementedError

    def _remove(self, layer: nn.Module, module: Adapter) -> None:
        raise NotImplementedError

    def _load(self, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
        """Load tensors of the file `where`, and return `_report`. Raises LoraFileError for what does not fit."""
        raise NotImplementedError

    def _find_layers(self, text_encoders: Encoders, unet: nn.Module | None) -> dict[str, nn.Module]:
        """{module's name: its layer in this model}: those that the network was made for."""
        return {name: target.layer for name, target in self._targets.items()}

    def _blocks(self) -> list[tuple[str, list[Adapter], float]]:
        """(name, modules, weight of the rate) of the UNet's groups."""
        return [("unet", self.adapters("unet"), 1.0)]

    def _second_factors(self) -> list[nn.Parameter]:
        """What learns faster with LoRA+; none in networks that have no such factors."""
        return []

    def _look_at_loaded(self, file: str | Path) -> None:
        """Say or raise what is wrong with what was loaded to go on from."""

    # ---- parts -------------------------------------------------------------------------------------------------------
    def adapters(self, part: Part | None = None, index: int | None = None) -> list[Adapter]:
        """Modules of one part (all when None), of one text encoder when `index` is given, in the model's order."""
        return [
            self._modules[name]
            for name, target in self._targets.items()
            if (part is None or target.part == part) and (index is None or target.index == index)
        ]

    def drop_part(self, part: Part) -> None:
        """Take the modules of `part` out of the network for good: they are not trained and not saved."""
        for name, target in list(self._targets.items()):
            if target.part == part:
                layer = self._layers.pop(name, None)
                if layer is not None:
                    self._remove(layer, self._modules[name])
                self._left_out.add(name)
                del self._targets[name], self._modules[name]

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the factors on the effect of the two parts; one number sets both. 0 gives the bits of the model alone."""
        self.multiplier = (float(text_encoder), float(text_encoder if unet is None else unet))
        self._set_effects()

    def set_enabled(self, enabled: bool) -> None:
        """Switch the whole effect off or on, keeping the multipliers."""
        self._enabled = enabled
        self._set_effects()

    def _set_effects(self) -> None:
        for part, factor in zip(PARTS, self.multiplier, strict=True):
            for module in self.adapters(part):
                self._set_effect(module, factor if self._enabled else 0.0)

    # ---- on and off the model ----------------------------------------------------------------------------------------
    def apply_to(
        self, text_encoders: Encoders, unet: nn.Module | None, apply_text_encoder: bool = True, apply_unet: bool = True
    ) -> None:
        """Put the network on the model. A part that is not applied leaves the network (see `drop_part`).

        Raises InputError when the model lacks one of the layers, or nothing is left to train.
        """
        assert not self._layers, "the network is already on a model: restore() it first"
        for part, wanted in zip(PARTS, (apply_text_encoder, apply_unet), strict=True):
            if not wanted:
                self.drop_part(part)
        if not self._targets:
            raise InputError("no part of the network is left.", advice="Train the UNet, the text encoder, or both.")
        self._layers = self._find_layers(text_encoders, unet)
        for name, layer in self._layers.items():
            self._put(layer, self._modules[name])

    def restore(self) -> None:
        """Take the network off the model; other networks stay on it."""
        for name, layer in reversed(self._layers.items()):
            self._remove(layer, self._modules[name])
        self._layers = {}

    # ---- training ----------------------------------------------------------------------------------------------------
    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """Return the optimiser's groups: `{"params": [...], "lr": ..., "name": "text_encoder" | "unet"}`.

        A rate of None means `default_lr`; several text encoders take one rate each (the last one given counts for the rest),
        and are named text_encoder1, text_encoder2. With weights per block the UNet has a group for each block, its rate
        multiplied by the block's weight, named unet_block0, ... A group with rate 0 is left out and its weights ask for no
        gradients. With LoRA+ (`plus`) the second factors of a group are one of their own, named `unet_plus`, behind it. Raises
        InputError when nothing is left to train.
        """
        encoders = sorted({target.index for target in self._targets.values() if target.part == "text_encoder"})
        texts = [self.adapters("text_encoder", index) for index in encoders]
        groups = _rate_groups(texts, self._blocks(), text_encoder_lr, unet_lr, default_lr)
        groups = [part for group in groups for part in self._with_plus(group)]
        self._trained = {adapter for adapter in self.adapters() if any(p.requires_grad for p in adapter.parameters())}
        return groups

    def _with_plus(self, group: dict[str, Any]) -> list[dict[str, Any]]:
        """The group, or where LoRA+ has a ratio for its part: its first factors, and its second ones with their rate."""
        ratio = next((ratio for part, ratio in self.plus.items() if group["name"].startswith(part)), None)
        if ratio is None:
            return [group]
        second = {id(parameter) for parameter in self._second_factors()}
        slow = [parameter for parameter in group["params"] if id(parameter) not in second]
        fast = [parameter for parameter in group["params"] if id(parameter) in second]
        plus = {**group, "params": fast, "lr": group["lr"] * ratio, "name": f"{group['name']}_plus"}
        return [{**group, "params": slow}, plus] if fast else [group]

    def trained_adapters(self, part: Part | None = None) -> list[Adapter]:
        """The modules that are trained: all of them until `parameter_groups` has left out those with a rate of 0."""
        return [adapter for adapter in self.adapters(part) if self._trained is None or adapter in self._trained]

    def trained_parameters(self, part: Part | None = None) -> list[nn.Parameter]:
        """What a training changes, in the model's order, of one part (all when None); not every step changes all of it."""
        return [parameter for adapter in self.trained_adapters(part) for parameter in adapter.parameters()]

    def start_step(self, step: int) -> None:
        """Called before each optimizer step, from 1; for networks whose steps differ, or that prepare something for it."""

    def end_step(self) -> None:
        """Called when the optimizer has changed the weights: what was prepared of them no longer holds."""

    def training_state(self) -> dict[str, Tensor]:
        """Every number that the network holds, by names of its own and as it is: what a training state keeps. Not copies."""
        return {name: tensor.detach() for name, tensor in (*self.named_parameters(), *self.named_buffers())}

    def files_beside(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Nothing is saved beside a network."""
        return {}

    # ---- weights -----------------------------------------------------------------------------------------------------
    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> LoadReport:
        """Load tensors by the names of the network's file format; where a file says its alpha, that counts.

        Raises LoraFileError for tensors that fit no module; when `strict`, for modules that the file lacks, too.
        """
        assert not assign, "assign is not supported"
        report = self._load(state_dict, self.file_is)
        if strict and report.fresh:
            first = report.fresh[0]
            raise LoraFileError(f"{self.file_is} lacks {len(report.fresh)} of the network's modules, for example {first}.")
        return report

    def load_weights(self, file: str | Path) -> LoadReport:
        """Load a file to go on from (option network_weights); modules that it lacks stay fresh.

        What the file has for a part that is not trained is left out, with a warning; words in it (`bundled`) are the caller's.
        Raises as `load_state_dict` does.
        """
        tensors, _ = bundled.split(load(Path(file))[0])
        report = self._load(tensors, str(file))
        if report.left_out:
            logger.warning(
                "%s: %d modules of parts or blocks that are not trained are left out, and will not be in the result.",
                file, len(report.left_out),
            )  # fmt: skip
        self._look_at_loaded(file)
        if report.fresh:
            logger.info("%s has nothing for %d of the network's modules; they start fresh.", file, len(report.fresh))
        return report

    def _strange(self, names: Iterable[str]) -> list[str]:
        """Those of a file's modules that there is no place for."""
        return [name for name in names if name not in self._targets and name not in self._left_out]

    def _report(self, names: Sequence[str]) -> LoadReport:
        """What was done with a file that has modules of these names."""
        return LoadReport(
            loaded=tuple(name for name in names if name in self._targets),
            fresh=tuple(name for name in self._targets if name not in names),
            left_out=tuple(name for name in names if name in self._left_out),
        )


def _rate_groups(
    texts: Sequence[Sequence[nn.Module]],
    unet: Sequence[tuple[str, Sequence[nn.Module], float]],
    text_encoder_lr: float | Sequence[float] | None,
    unet_lr: float | None,
    default_lr: float | None,
) -> list[dict[str, Any]]:
    """The optimiser's groups from the modules of each text encoder, and (name, modules, weight) of the UNet's blocks.

    See `AdapterNetwork.parameter_groups`.
    """
    rates = [text_encoder_lr] if not isinstance(text_encoder_lr, Sequence) else list(text_encoder_lr) or [None]
    names = ["text_encoder"] if len(texts) == 1 else [f"text_encoder{number}" for number in range(1, len(texts) + 1)]
    parts = [
        (name, modules, rates[min(index, len(rates) - 1)], 1.0)
        for index, (name, modules) in enumerate(zip(names, texts, strict=True))
    ]
    groups = []
    for name, modules, rate, weight in [*parts, *((name, modules, unet_lr, weight) for name, modules, weight in unet)]:
        rate = (default_lr if rate is None else rate) * weight
        params = [parameter for module in modules for parameter in module.parameters()]
        for parameter in params:
            parameter.requires_grad_(rate != 0)
        if params and rate != 0:
            groups.append({"params": params, "lr": rate, "name": name})
    if not groups:
        raise InputError(
            "there is nothing to train: every learning rate is 0.",
            field="learning_rate",
            advice="Give a learning rate above 0, for example 1e-4.",
        )
    return groups
