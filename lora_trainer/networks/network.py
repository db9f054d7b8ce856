"""A network: LoRA modules on many layers of a UNet and of text encoders, put on and taken off together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, LoraFileError
from ..log import logger
from ..options.block_arguments import Shape
from . import applied, functional
from .blocks import block_of
from .files import group_keys, load
from .module import LoRAModule
from .targets import Part, Target, find_targets

_LISTED = 3  # so many examples of a problem are named


@dataclass(frozen=True)
class LoadReport:
    """What `Network.load_weights` did, by module names: loaded, not in the file (fresh), in the file but not trained."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    left_out: tuple[str, ...]


class Network(nn.Module):
    """The modules of one LoRA. Its state dict has kohya's names.

        network = create_network(1.0, 4, 1.0, None, text_encoder, unet)
        network.apply_to(text_encoder, unet)        # from now on the model's outputs are changed by it
        network.set_multiplier(0.8)                 # 0 gives the bits of the model alone
        network.restore()                           # the model is what it was

    Several networks can be on one model, each with its own multiplier, taken off in any order. The model's layers are not
    replaced and not in the network's parameters. `seed` is for kinds whose steps draw.
    """

    seed: int = 0

    def __init__(
        self,
        pairs: Iterable[tuple[Target, LoRAModule]],
        multiplier: float = 1.0,
        *,
        block_weights: Sequence[float] | None = None,
        left_out: Iterable[str] = (),
    ) -> None:
        """`block_weights` are the factors on the UNet's learning rate per block (None: the same everywhere); `left_out` names
        layers that could have a module and deliberately have none."""
        super().__init__()
        self._targets: dict[str, Target] = {}
        self._left_out: set[str] = set(left_out)
        self._block_weights = block_weights
        self._trained: set[LoRAModule] | None = None
        self._layers: dict[str, nn.Module] = {}  # the layers it is applied to or merged into
        for target, module in pairs:
            assert target.name not in self._targets, target.name
            self._targets[target.name] = target
            self.add_module(target.name, module)
        if not self._targets:
            raise self._nothing()
        self.set_multiplier(multiplier)

    def _nothing(self) -> InputError:
        if self._left_out:
            advice = "Give one block at least a rank and a weight above 0, or train the text encoder too."
            return InputError("every block has rank or weight 0, so no module is left.", field="network_args", advice=advice)
        return InputError(
            "the model has no layer that a LoRA could be put on.",
            advice="Use a Stable Diffusion UNet or CLIP text encoder.",
        )

    # ---- parts -------------------------------------------------------------------------------------------------------
    def adapters(self, part: Part | None = None, index: int | None = None) -> list[LoRAModule]:
        """Modules of one part (all when None), of one text encoder when `index` is given, in the model's order."""
        return [
            self._modules[name]
            for name, target in self._targets.items()
            if (part is None or target.part == part) and (index is None or target.index == index)
        ]

    @property
    def shape(self) -> Shape:
        """Rank and alpha of the first module, for the metadata."""
        first = self.adapters()[0]
        return Shape(first.rank, float(first.alpha))

    def drop_part(self, part: Part) -> None:
        """Take the modules of `part` out of the network for good: they are not trained and not saved."""
        for name, target in list(self._targets.items()):
            if target.part == part:
                applied.remove(target.layer, self._modules[name])
                self._left_out.add(name)
                del self._targets[name], self._modules[name]
                self._layers.pop(name, None)

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the factors on the effect of the two parts; one number sets both. 0 gives the bits of the model alone."""
        unet = text_encoder if unet is None else unet
        self.multiplier = (float(text_encoder), float(unet))
        for name, target in self._targets.items():
            module = self._modules[name]
            module.multiplier = self.multiplier[0] if target.part == "text_encoder" else self.multiplier[1]
            module.refresh()

    def set_enabled(self, enabled: bool) -> None:
        """Switch the whole effect off or on, keeping the multipliers."""
        for module in self.adapters():
            module.enabled = enabled
            module.refresh()

    # ---- on and off the model ----------------------------------------------------------------------------------------
    def apply_to(
        self,
        text_encoders: nn.Module | Sequence[nn.Module] | None,
        unet: nn.Module | None,
        apply_text_encoder: bool = True,
        apply_unet: bool = True,
    ) -> None:
        """Put the network on the model. A part that is not applied leaves the network (see `drop_part`).

        Raises InputError when the model lacks one of the layers, or nothing is left to train.
        """
        assert not self._layers, "the network is already on a model: restore() it first"
        for part, wanted in (("text_encoder", apply_text_encoder), ("unet", apply_unet)):
            if not wanted:
                self.drop_part(part)
        if not self._targets:
            raise InputError("no part of the network is left.", advice="Train the UNet, the text encoder, or both.")
        self._layers = self._find_layers(text_encoders, unet)
        for name, layer in self._layers.items():
            applied.add(layer, self._modules[name])

    def restore(self) -> None:
        """Take the network off the model; other networks stay on it."""
        for name, layer in self._layers.items():
            applied.remove(layer, self._modules[name])
        self._layers = {}

    def merge_to(
        self,
        text_encoders: nn.Module | Sequence[nn.Module] | None,
        unet: nn.Module | None,
        weights_sd: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        """Add the network's change to the model's weights (computed in float32), as an alternative to `apply_to`.

        `weights_sd` is loaded first; `dtype` and `device` move the network. The multipliers count as they are now. Keeps a
        copy of the changed weights, with which `unmerge` gives the original bits back.
        """
        assert not self._layers, "the network is already on a model: restore() or unmerge() it first"
        if weights_sd is not None:
            self.load_state_dict(weights_sd)
        if dtype is not None or device is not None:
            self.to(device=device, dtype=dtype)
        self._layers = self._find_layers(text_encoders, unet)
        for name, layer in self._layers.items():
            applied.merge(layer, self._modules[name])

    def unmerge(self) -> None:
        """Undo `merge_to`; with several merged networks in any order."""
        for name, layer in self._layers.items():
            applied.unmerge(layer, self._modules[name])
        self._layers = {}

    def _find_layers(self, text_encoders: Any, unet: nn.Module | None) -> dict[str, nn.Module]:
        there = {target.name: target.layer for target in find_targets(text_encoders, unet)}
        missing = [name for name in self._targets if name not in there]
        if missing:
            raise InputError(
                f"the model lacks {len(missing)} of the network's {len(self._targets)} layers, for example {missing[0]}.",
                advice="Use the base model (and the parts of it) that the network was made for.",
            )
        return {name: there[name] for name in self._targets}

    # ---- training ----------------------------------------------------------------------------------------------------
    def parameter_groups(
        self,
        text_encoder_lr: float | Sequence[float] | None,
        unet_lr: float | None,
        default_lr: float | None,
    ) -> list[dict[str, Any]]:
        """Return the optimiser's groups: `{"params": [...], "lr": ..., "name": "text_encoder" | "unet"}`.

        A rate of None means `default_lr`; several text encoders take one rate each (the last one given counts for the rest),
        and are named text_encoder1, text_encoder2. With weights per block the UNet has a group for each block, its rate
        multiplied by the block's weight, named unet_block0, ... A group with rate 0 is left out and its weights ask for no
        gradients. Raises InputError when nothing is left to train.
        """
        encoders = sorted({target.index for target in self._targets.values() if target.part == "text_encoder"})
        texts = [self.adapters("text_encoder", index) for index in encoders]
        groups = rate_groups(texts, self._blocks(), text_encoder_lr, unet_lr, default_lr)
        self._trained = {adapter for adapter in self.adapters() if any(p.requires_grad for p in adapter.parameters())}
        return groups

    def trained_adapters(self, part: Part | None = None) -> list[LoRAModule]:
        """The modules that are trained: all of them until `parameter_groups` has left out those with a rate of 0."""
        return [adapter for adapter in self.adapters(part) if self._trained is None or adapter in self._trained]

    def trained_parameters(self, part: Part | None = None) -> list[nn.Parameter]:
        """What a training changes, in the model's order, of one part (all when None); not every step changes all of it."""
        return [parameter for adapter in self.trained_adapters(part) for parameter in adapter.parameters()]

    def _blocks(self) -> list[tuple[str, list[LoRAModule], float]]:
        """(name, modules, weight) of the UNet's blocks; of the UNet as a whole when no block has a weight of its own."""
        if self._block_weights is None:
            return [("unet", self.adapters("unet"), 1.0)]
        members: dict[int, list[LoRAModule]] = {}
        for name, target in self._targets.items():
            block = block_of(name)
            if target.part == "unet" and block is not None:
                members.setdefault(block, []).append(self._modules[name])
        return [(f"unet_block{block}", members[block], self._block_weights[block]) for block in sorted(members)]

    def start_step(self, step: int) -> None:
        """Called before each optimizer step, from 1; for networks whose steps differ."""

    @torch.no_grad()
    def apply_max_norm(self, max_norm: float) -> tuple[int, float, float]:
        """Shrink every module whose change is longer than `max_norm` to that length (option scale_weight_norms).

        The length is the Frobenius norm of alpha/rank * (up @ down); both factors are multiplied by the root of the ratio.
        Returns (modules shrunk, mean length, greatest length) after it. The multiplier plays no part.
        """
        adapters = self.adapters()
        norms = torch.stack([functional.delta_norm(*adapter.factors(), adapter.scale) for adapter in adapters])
        ratios = (max_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
        for adapter, root in zip(adapters, ratios.sqrt(), strict=True):
            adapter.shrink(root)
        after = norms * ratios
        shrunk, mean, greatest = torch.stack([(ratios < 1).sum(), after.mean(), after.max()]).tolist()  # one wait for the GPU
        return int(shrunk), mean, greatest

    # ---- weights -----------------------------------------------------------------------------------------------------
    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> LoadReport:
        """Load tensors in kohya's names. A missing alpha means alpha = rank; the alpha in the file counts.

        Raises LoraFileError for keys that fit no module, half pairs, and shapes that do not fit; when `strict`, for modules
        that the file lacks, too.
        """
        assert not assign, "assign is not supported"
        report = self._load(state_dict, "the LoRA")
        if strict and report.fresh:
            raise LoraFileError(f"the LoRA lacks {len(report.fresh)} of the network's modules, for example {report.fresh[0]}.")
        return report

    def load_weights(self, file: str | Path) -> LoadReport:
        """Load a LoRA file to go on from (option network_weights); modules that it lacks stay fresh.

        What the file has for a part that is not trained is left out, with a warning. Raises as `load_state_dict` does.
        """
        tensors, _ = load(Path(file))
        report = self._load(tensors, str(file))
        if report.left_out:
            logger.warning(
                "%s: %d modules of parts or blocks that are not trained are left out, and will not be in the result.",
                file, len(report.left_out),
            )  # fmt: skip
        silent = [name for name in self._targets if not self._modules[name].scale]
        if len(silent) == len(self._targets):
            raise LoraFileError(
                f"{file}: alpha is 0 in every module, so that it has no effect and nothing could be learned.",
                advice="Go on from another file.",
            )
        if silent:
            logger.warning(
                "%s: alpha is 0 in %d of %d modules, for example %s: they have no effect and learn nothing.",
                file, len(silent), len(self._targets), silent[0],
            )  # fmt: skip
        if report.fresh:
            logger.info("%s has nothing for %d of the network's modules; they start fresh.", file, len(report.fresh))
        return report

    @torch.no_grad()
    def _load(self, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
        grouped = group_keys(state_dict, where)
        problems = [f"{name} fits no module" for name in grouped if name not in self._targets and name not in self._left_out]
        fitting = {}
        for name, tensors in grouped.items():
            if name not in self._targets:
                continue
            module = self._modules[name]
            rank = tensors["lora_down.weight"].shape[0]
            if rank != module.rank:
                problems.append(f"{name} has rank {rank}, the network has rank {module.rank}")
                continue
            halves = zip(("lora_down", "lora_up"), module.factors(), strict=True)
            pairs = [(half, tensors[f"{half}.weight"], wanted) for half, wanted in halves]
            fitting[name] = [_fit(found, wanted) for _, found, wanted in pairs]
            problems += [
                f"{name}.{half}.weight has shape {tuple(found.shape)}, the model needs {tuple(wanted.shape)}"
                for (half, found, wanted), fit in zip(pairs, fitting[name], strict=True)
                if fit is None
            ]
        if problems:
            raise _unfit(where, problems, made_for(grouped, self._targets))
        for name, (down, up) in fitting.items():
            module = self._modules[name]
            module.set_factors(down, up)
            module.alpha.fill_(float(grouped[name].get("alpha", module.rank)))
            module.refresh()
        return LoadReport(
            loaded=tuple(fitting),
            fresh=tuple(name for name in self._targets if name not in fitting),
            left_out=tuple(name for name in grouped if name in self._left_out),
        )


def rate_groups(
    texts: Sequence[Sequence[nn.Module]],
    unet: Sequence[tuple[str, Sequence[nn.Module], float]],
    text_encoder_lr: float | Sequence[float] | None,
    unet_lr: float | None,
    default_lr: float | None,
) -> list[dict[str, Any]]:
    """The optimiser's groups from the modules of each text encoder, and (name, modules, weight) of the UNet's blocks.

    See `Network.parameter_groups`.
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


def _fit(tensor: Tensor, wanted: Tensor) -> Tensor | None:
    """The tensor in the wanted shape, or None when it does not fit; [a, b] and [a, b, 1, 1] are the same (SD2 has both)."""
    core = [tuple(t.shape[:2]) if tuple(t.shape[2:]) in ((), (1, 1)) else tuple(t.shape) for t in (tensor, wanted)]
    return tensor.reshape(wanted.shape) if core[0] == core[1] else None


def made_for(names: Iterable[str], model: Iterable[str]) -> str:
    """The sentence which family modules of these names were made for, where it is not the model's; else an empty text."""
    is_xl, model_is_xl = (
        any("_input_blocks_" in name or name.startswith(("lora_te1_", "lora_te2_")) for name in some) for some in (names, model)
    )
    if is_xl == model_is_xl:
        return ""
    return " It was made for SDXL." if is_xl else " It was made for Stable Diffusion 1 or 2."


def _unfit(where: str, problems: list[str], family: str) -> LoraFileError:
    more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    if all(" has rank " in problem for problem in problems):
        advice = "Set network_dim (and conv_dim) to the file's rank, or use dim_from_weights."
    else:
        advice = "Use a LoRA of the same kind that was made for this base model."
    return LoraFileError(f"{where} does not fit: {'; '.join(problems[:_LISTED])}{more}.{family}", advice=advice)
