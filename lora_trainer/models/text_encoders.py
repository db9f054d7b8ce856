"""CLIP text encoders and tokenizers, from single files in transformers' or in OpenCLIP's names and from diffusers folders.

OpenCLIP (Ilharco et al. 2021) is the code of the text encoders of SD2 and of SDXL's second one. It keeps query, key and value
in one matrix and the projection transposed; the numbers are the same. What tensors cannot tell: heads are 64 wide, and these
encoders have the plain GELU where the first CLIP has its quick approximation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import BaseModelError, NotInstalledError
from ..modelfile import FULL_MODEL
from ..paths import ASSETS_DIR
from . import convert
from .folders import find_weights, read_config
from .weights import TEXT, Target, Weights, build, count_of, open_weights

CLIP_HEAD_WIDTH = 64


def build_clip(
    weights: Weights, prefix: str, target: Target, *, part: str = "the text encoder", heads: int = 0
) -> torch.nn.Module:
    """Return the CLIPTextModel whose names in `weights` begin with `prefix`; `heads` 0 means 64 wide ones."""
    # Some files leave out "text_model." (transformers changed its own names once).
    full = any(name.startswith(prefix + "text_model.") for name in weights.shapes)
    stem = prefix + ("text_model." if full else "")
    shapes = _below(weights, stem)
    try:
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        positions, _ = shapes["embeddings.position_embedding.weight"]
        inner, _ = shapes["encoder.layers.0.mlp.fc1.weight"]
    except KeyError as error:
        raise _absent(weights, error) from error
    config = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": _count_layers(weights, shapes, r"encoder\.layers\.(\d+)\."),
        "num_attention_heads": heads or max(1, width // CLIP_HEAD_WIDTH),
        "max_position_embeddings": positions,
        "projection_dim": width,
    }

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: prefix + (name if full else name.removeprefix("text_model.")) for name in state}

    whole = rf"{re.escape(stem)}(encoder\.layers|final_layer_norm)\."
    return _clip(config, weights, find, target, part=part, whole=whole)


def build_open_clip(
    weights: Weights,
    prefix: str,
    target: Target,
    *,
    part: str = "the text encoder",
    leave_out: int = 0,
    projected: bool = False,
) -> torch.nn.Module:
    """Return OpenCLIP's text encoder whose names begin with `prefix`, as transformers' module.

    Its last `leave_out` layers are not loaded. `projected` makes a CLIPTextModelWithProjection.
    """
    shapes = _below(weights, prefix)
    try:
        vocabulary, width = shapes["token_embedding.weight"]
        positions, _ = shapes["positional_embedding"]
        inner, _ = shapes["transformer.resblocks.0.mlp.c_fc.weight"]
        projection = shapes["text_projection"][1] if projected else width
    except KeyError as error:
        raise _absent(weights, error) from error
    config = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": _count_layers(weights, shapes, r"transformer\.resblocks\.(\d+)\.") - leave_out,
        "num_attention_heads": max(1, width // CLIP_HEAD_WIDTH),
        "max_position_embeddings": positions,
        "projection_dim": projection,
        "hidden_act": "gelu",
    }

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: prefix + stored for name, stored in convert.open_clip_names(state).items()}

    whole = "" if leave_out else rf"{re.escape(prefix)}(transformer\.resblocks|ln_final)\."
    return _clip(config, weights, find, target, part=part, projected=projected, change=convert.from_open_clip, whole=whole)


def clip_from_folder(
    folder: Path, target: Target, *, part: str = "the text encoder", projected: bool = False
) -> torch.nn.Module:
    """Return the text encoder in the folder `text_encoder` (or another one) of a diffusers model."""
    config = read_config(folder / "config.json")
    with open_weights(find_weights(folder), target.holding.mapped) as weights:
        known = set(weights.shapes)

        def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
            return {name: name if name in known else name.removeprefix("text_model.") for name in state}

        whole = r"(text_model\.)?(encoder\.layers|final_layer_norm)\."
        return _clip(config, weights, find, target, part=part, projected=projected, whole=whole)


def tokenizer(folder: Path = ASSETS_DIR / "clip", *, pad_with_zero: bool = False) -> Any:
    """Return the CLIPTokenizer of `folder` (vocab.json, merges.txt; where they are missing and by default those that ship).

    It pads with the end token, or with token 0 ("!"), as OpenCLIP's text encoders have learned it. Raises NotInstalledError
    without ftfy: transformers would go on without, and give some captions other tokens.
    """
    from transformers import CLIPTokenizer

    if not (folder / "vocab.json").is_file():
        folder = ASSETS_DIR / "clip"
    words, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    made = CLIPTokenizer(words, merges, pad_token="<|endoftext|>", model_max_length=77)
    if made.fix_text is None:
        advice = "Install it (pip install ftfy), or let the installation of LoRA Trainer run again."
        raise NotInstalledError("The package ftfy, which cleans captions, is missing.", advice=advice)
    if pad_with_zero:
        made.pad_token_id = 0  # set afterwards: as an argument it would make every "!" of a caption padding
    return made


def _below(weights: Weights, prefix: str) -> dict[str, tuple[int, ...]]:
    return {name[len(prefix) :]: shape for name, shape in weights.shapes.items() if name.startswith(prefix)}


def _count_layers(weights: Weights, shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    numbers = (int(match[1]) for name in shapes if (match := re.match(pattern, name)))
    return count_of(numbers, weights.path, "layers of the text encoder")


def _absent(weights: Weights, error: KeyError) -> BaseModelError:
    return BaseModelError(f"{weights.path} has no CLIP text encoder: {error} is missing.", advice=FULL_MODEL)


def _clip(
    config: dict[str, Any], weights: Weights, find: Any, target: Target, *, part: str, projected: bool = False, **rest: Any
) -> torch.nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def make() -> torch.nn.Module:
        return (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig(**config))

    eight_bit = TEXT in target.holding.eight_bit
    return build(make, weights, find, part=part, dtype=target.dtype, target=target, eight_bit=eight_bit, **rest)
