"""A file of any kind of network on a model for drawing: what it changes is added to the weights, and taken off again.

The kinds are those of `weight_changes`; LyCORIS' own package, which trains them, is not needed. The tensors are read as they
are, so that a file needs no metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import LoraFileError
from .key_names import original_words
from .targets import Part, as_list, is_sdxl
from .weight_changes import Change, Unfit, change_of

_UNET, _TEXT = ("lora_unet_", "lycoris_", "oft_unet_"), ("lora_te", "oft_te")


@dataclass(frozen=True)
class _Module:
    """One module of the file and its layer."""

    name: str
    part: Part
    layer: nn.Module
    tensors: Mapping[str, Tensor]


class MergedNetwork:
    """The modules of a file for a model. The interface is that of `Network`, as far as drawing needs it.

    A multiplier of 0 leaves the weights alone; `restore` gives the model its own bits back. Several networks come off in the
    opposite order.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], where: str, text_encoders: nn.Module | Sequence[nn.Module] | None, unet: nn.Module
    ) -> None:
        """Raises LoraFileError for modules that fit no layer."""
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            name, _, part = key.partition(".")
            grouped.setdefault(name, {})[part] = tensor
        layers = _layers(as_list(text_encoders), unet)
        strange = sorted(grouped.keys() - layers.keys())
        if strange:
            raise LoraFileError(
                f"{where}: {len(strange)} of its modules fit no layer of this model, for example {strange[0]}.",
                advice="Use a base model of the family that the file was made for.",
            )
        self._where = where
        self._modules = [_Module(name, *layers[name], parts) for name, parts in sorted(grouped.items())]
        self._own: list[tuple[nn.Module, str, Tensor | None, Tensor | None]] = []
        self._on_model = False
        self.multiplier = (1.0, 1.0)

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """The tensors are there already."""

    def to(self, **how: Any) -> MergedNetwork:
        """What is added has the device and precision of each layer."""
        return self

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the factors on the effect of the two parts; one number sets both. Not while it is on a model."""
        assert not self._on_model, "restore() the networks before a multiplier changes"
        self.multiplier = (float(text_encoder), float(text_encoder if unet is None else unet))

    def apply_to(self, *_: Any) -> None:
        """Add the changes to the model's weights. Raises LoraFileError for what does not fit; the model is then what it was."""
        assert not self._on_model, "the network is already on a model: restore() it first"
        self._on_model = True
        try:
            for module in self._modules:
                factor = self.multiplier[0 if module.part == "text_encoder" else 1]
                if factor:
                    self._change(module, factor)
        except BaseException:
            self.restore()
            raise

    @torch.no_grad()
    def _change(self, module: _Module, factor: float) -> None:
        layer = module.layer
        try:
            change = change_of(module.tensors, layer.weight)
            changed = {name: _sum(getattr(layer, name), own, factor) for name, own in _named(layer, change)}
        except Unfit as problem:
            raise LoraFileError(
                f"{self._where} cannot be used: {module.name}: {problem}.",
                advice="Use a plain LoRA, or the base model that the file was made for.",
            ) from problem
        for name, tensor in changed.items():
            parameter = getattr(layer, name)
            # The card has room for one copy of the model; the main memory keeps the other.
            self._own.append((layer, name, parameter, None if parameter is None else parameter.data.cpu()))
            if parameter is None:
                setattr(layer, name, nn.Parameter(tensor.to(layer.weight), requires_grad=False))
            elif isinstance(parameter, nn.Parameter):
                parameter.data = tensor
            else:  # a weight in 8 bits, which is made from what it is held in
                setattr(layer, name, tensor)

    def restore(self) -> None:
        """Put the model's own weights back."""
        for layer, name, parameter, own in reversed(self._own):
            if parameter is None or own is None:
                setattr(layer, name, None)
            elif isinstance(parameter, nn.Parameter):
                parameter.data = own.to(parameter.device)
            else:
                setattr(layer, name, own.to(parameter.device))
        self._own, self._on_model = [], False

    merge_to, unmerge = apply_to, restore


def _named(layer: nn.Module, change: Change) -> list[tuple[str, Tensor]]:
    found = [("weight", change.weight), ("bias", change.bias)]
    for name, own in found:
        parameter = getattr(layer, name, None)
        if own is not None and parameter is not None and parameter.numel() != own.numel():
            raise Unfit(f"its {name} has {own.numel()} numbers, the layer's {parameter.numel()}")
    return [(name, own) for name, own in found if own is not None]


def _sum(parameter: Tensor | None, change: Tensor, factor: float) -> Tensor:
    """parameter + factor * change, in the parameter's precision; of a layer without a bias the change alone."""
    if parameter is None:
        return change * factor
    return (parameter.float() + change.reshape(parameter.shape) * factor).to(parameter.dtype)


def _layers(text_encoders: list[nn.Module], unet: nn.Module) -> dict[str, tuple[Part, nn.Module]]:
    """{name of a module in a file: (part, layer)} of every layer with weights, by all the names that programs give it."""
    found: dict[str, tuple[Part, nn.Module]] = {}
    for path, layer in _weighted(unet):
        words = path.replace(".", "_")
        for name in {words, original_words(words, sdxl=is_sdxl(unet))}:
            found |= {f"{prefix}{name}": ("unet", layer) for prefix in _UNET}
    for number, encoder in enumerate(text_encoders, 1):
        count = str(number) if len(text_encoders) > 1 else ""
        for path, layer in _weighted(encoder):
            words = f"text_model_{path.removeprefix('text_model.').replace('.', '_')}"
            found |= {f"{prefix}{count}_{words}": ("text_encoder", layer) for prefix in _TEXT}
    return found


def _weighted(root: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (path, layer)
        for path, layer in root.named_modules()
        if path and isinstance(getattr(layer, "weight", None), Tensor) and not isinstance(layer, nn.Embedding)
    ]
