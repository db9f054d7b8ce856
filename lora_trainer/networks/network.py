"""A network: LoRA modules on many layers of a UNet and of text encoders, put on and taken off together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError, LoraFileError
from ..log import logger
from ..options.block_arguments import Shape
from . import applied, lengths, siblings
from .base import AdapterNetwork, Encoders, LoadReport
from .blocks import block_of
from .copies import copies
from .files import group_keys
from .module import LoRAModule
from .siblings import Siblings
from .targets import Target, find_siblings, find_targets

_LISTED = 3  # so many examples of a problem are named


class Network(AdapterNetwork[LoRAModule]):
    """The modules of one LoRA. Its state dict has kohya's names.

        network = create_network(1.0, 4, 1.0, None, text_encoder, unet)
        network.apply_to(text_encoder, unet)        # from now on the model's outputs are changed by it
        network.set_multiplier(0.8)                 # 0 gives the bits of the model alone
        network.restore()                           # the model is what it was

    Several networks can be on one model, each with its own multiplier, taken off in any order. The model's layers are not
    replaced.
    """

    file_is = "the LoRA"

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
        super().__init__(pairs, multiplier, left_out=left_out)
        self._block_weights = block_weights
        self._siblings: list[Siblings] = []
        self._copied: list[LoRAModule | Siblings] = []  # what computes with copies now

    def _nothing(self) -> InputError:
        if self._left_out:
            advice = "Give one block at least a rank and a weight above 0, or train the text encoder too."
            return InputError("every block has rank or weight 0, so no module is left.", field="network_args", advice=advice)
        return InputError(
            "the model has no layer that a LoRA could be put on.",
            advice="Use a Stable Diffusion UNet or CLIP text encoder.",
        )

    @property
    def shape(self) -> Shape:
        """Rank and alpha of the first module, for the metadata."""
        first = self.adapters()[0]
        return Shape(first.rank, float(first.alpha))

    def _second_factors(self) -> list[nn.Parameter]:
        return [parameter for module in self.adapters() for parameter in module.second_factor()]

    def _set_effect(self, module: LoRAModule, factor: float) -> None:
        module.multiplier = factor
        module.refresh()

    # ---- on and off the model ----------------------------------------------------------------------------------------
    def apply_to(
        self, text_encoders: Encoders, unet: nn.Module | None, apply_text_encoder: bool = True, apply_unet: bool = True
    ) -> None:
        """As of any network; layers that read the same input find each other."""
        super().apply_to(text_encoders, unet, apply_text_encoder, apply_unet)
        modules = {layer: self._modules[name] for name, layer in self._layers.items()}
        self._siblings = siblings.of(find_siblings(text_encoders, unet), modules)

    def _put(self, layer: nn.Module, module: LoRAModule) -> None:
        applied.add(layer, module)

    def _remove(self, layer: nn.Module, module: LoRAModule) -> None:
        applied.remove(layer, module)

    def merge_to(
        self,
        text_encoders: Encoders,
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

    def _find_layers(self, text_encoders: Encoders, unet: nn.Module | None) -> dict[str, nn.Module]:
        there = {target.name: target.layer for target in find_targets(text_encoders, unet)}
        missing = [name for name in self._targets if name not in there]
        if missing:
            raise InputError(
                f"the model lacks {len(missing)} of the network's {len(self._targets)} layers, for example {missing[0]}.",
                advice="Use the base model (and the parts of it) that the network was made for.",
            )
        return {name: there[name] for name in self._targets}

    # ---- training ----------------------------------------------------------------------------------------------------
    def _blocks(self) -> list[tuple[str, list[LoRAModule], float]]:
        """The UNet's blocks; the UNet as a whole when no block has a weight of its own."""
        if self._block_weights is None:
            return super()._blocks()
        members: dict[int, list[LoRAModule]] = {}
        for name, target in self._targets.items():
            block = block_of(name)
            if target.part == "unet" and block is not None:
                members.setdefault(block, []).append(self._modules[name])
        return [(f"unet_block{block}", members[block], self._block_weights[block]) for block in sorted(members)]

    def start_step(self, step: int) -> None:
        """The modules get copies of their weights in the type of the model, until `end_step`; siblings compute together."""
        if self.computed is None or next(self.parameters()).dtype == self.computed:
            return
        self.end_step()  # of one that was broken off
        together = {module: one for one in self._siblings if one.can_join() for module in one.modules}
        self._copied = list(dict.fromkeys(together.get(module, module) for module in self.adapters()))
        groups = [unit.to_copy for unit in self._copied]
        made = iter(copies([group for own in groups for group in own], self.computed))
        for unit, own in zip(self._copied, groups, strict=True):
            unit.take([next(made) for _ in own])

    def end_step(self) -> None:
        """The modules have their own weights alone again."""
        for unit in self._copied:
            unit.let_go()
        self._copied = []

    def apply_max_norm(self, max_norm: float) -> Tensor:
        """Shrink every module whose change is longer than `max_norm` to that length; the multiplier plays no part.

        Returns [3]: modules shrunk, mean and greatest length afterwards (`lengths.limit`).
        """
        return lengths.limit(self.adapters(), max_norm)

    # ---- weights -----------------------------------------------------------------------------------------------------
    def _look_at_loaded(self, file: str | Path) -> None:
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

    @torch.no_grad()
    def _load(self, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
        """Load tensors in kohya's names. A missing alpha means alpha = rank; the alpha in the file counts.

        Raises LoraFileError for keys that fit no module, half pairs, and shapes that do not fit.
        """
        grouped = group_keys(state_dict, where)
        problems = [f"{name} fits no module" for name in self._strange(grouped)]
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
        return self._report(list(grouped))


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
