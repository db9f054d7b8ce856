"""How large a result will be, guessed before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..foreign.reading import is_file
from ..options.trained import EMBEDDING, MODEL, PIVOTAL
from ..paths import user_path

_BYTES_PER_RANK = {"sd1": 1.2e6, "sd2": 1.7e6, "sdxl": 7.2e6}  # of a LoRA on UNet and text encoders; double in float32
_BYTES_PER_VECTOR = 4096  # of an embedding: at most 2,048 numbers a vector, for both text encoders of SDXL
_MODEL_BYTES = {"sd1": 2.1e9, "sd2": 2.6e9, "sdxl": 6.9e9}


def guess(family: str, values: Mapping[str, Any]) -> float:
    """About how many bytes a result takes: of a whole model, those of a base model's file, which most have in 16 bits."""
    if values["trains"] == MODEL:
        base = user_path(str(values["pretrained_model_name_or_path"]))
        return base.stat().st_size if is_file(base) else _MODEL_BYTES.get(family, 2e9)
    words = _BYTES_PER_VECTOR * (values["num_vectors_per_token"] or 1)
    if values["trains"] == EMBEDDING:
        return words
    network = round(_BYTES_PER_RANK.get(family, 1.2e6) * (values["network_dim"] or 4) * _narrowness(family, values))
    return network + (words if values["trains"] == PIVOTAL else 0)


def _narrowness(family: str, values: Mapping[str, Any]) -> float:
    """What a rank takes on a base model much smaller than those of its kind, as the demo model is, against what it takes there:
    it grows with a layer's width, the model with its square. Half precision and less make no model that small."""
    base = user_path(str(values["pretrained_model_name_or_path"]))
    share = base.stat().st_size / _MODEL_BYTES.get(family, 2e9) if is_file(base) else 1.0
    return share**0.5 if share < 0.1 else 1.0
