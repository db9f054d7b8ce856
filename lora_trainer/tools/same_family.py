"""That LoRAs which go together are of one family."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import InputError
from .families import FAMILY_TITLES, titles
from .lorafile import Lora


def common_family(loras: Sequence[Lora]) -> str | None:
    """The family of all; None when several are possible.

    Raises InputError when they are of different ones, or when a module's layers differ in shape.
    """
    common = set(FAMILY_TITLES)
    for number, lora in enumerate(loras):
        if not common & lora.families:
            other = next((before for before in loras[:number] if not before.families & lora.families), loras[0])
            raise InputError(
                f"{other.path.name} was made for {titles(other.families)}, {lora.path.name} for {titles(lora.families)}: "
                "they cannot be merged.",
                field="models",
                advice="Merge only LoRAs of one family.",
            )
        common &= lora.families
    _refuse_other_shapes(loras)
    return common.pop() if len(common) == 1 else None


def _refuse_other_shapes(loras: Sequence[Lora]) -> None:
    shapes: dict[str, tuple[Lora, tuple[int, ...]]] = {}
    for lora in loras:
        for name, module in lora.modules.items():
            first_lora, shape = shapes.setdefault(name, (lora, module.layer_shape))
            if _flat(shape) != _flat(module.layer_shape):
                raise InputError(
                    f"{name} belongs to a layer of shape {list(shape)} in {first_lora.path.name} and "
                    f"{list(module.layer_shape)} in {lora.path.name}: they were made for different models.",
                    field="models",
                    advice="Merge only LoRAs of one family.",
                )


def _flat(shape: Sequence[int]) -> tuple[int, ...]:
    """A 1x1 convolution and a linear layer are the same."""
    return tuple(shape[:2]) if math.prod(shape[2:]) == 1 else tuple(shape)
