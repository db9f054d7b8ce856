"""Which family a LoRA was made for, from its names, shapes and metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

FAMILY_TITLES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
_BY_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}  # of the text states, which the UNet's cross attention reads
_BY_TEXT_WIDTH = {768: "sd1", 1024: "sd2", 1280: "sdxl"}  # of the text encoders whose modules are called lora_te_
_TEXT_LAYER = re.compile(r"lora_te_text_model_encoder_layers_(\d+)_(self_attn_\w+|mlp_fc[12])")
_SD1_TEXT_LAYERS = 12
_VERSIONS = (("sdxl", "sdxl"), ("sd_v2", "sd2"), ("sd_v1", "sd1"))  # words of ss_base_model_version


def possible_families(layers: Mapping[str, Sequence[int]], metadata: Mapping[str, str]) -> set[str]:
    """The families that a LoRA with {module name: shape of its layer} may be for; all that there are when nothing tells.

    By the names, else by the widths that the families differ in, and by the metadata where those leave it open.
    """
    if any(name.startswith(("lora_te1_", "lora_te2_")) or _is_original(name) for name in layers):
        return {"sdxl"}
    possible = set(FAMILY_TITLES)
    if any(name.startswith("lora_unet_") and not _is_original(name) for name in layers):
        possible -= {"sdxl"}  # whose files have the words of the original code
    told = {family for name, shape in layers.items() if (family := _told_by(name, shape))}
    possible = told or possible
    if len(possible) > 1:
        said = said_family(metadata.get("ss_base_model_version", ""))
        possible = possible & {said} or possible
    return possible


def said_family(version: str) -> str | None:
    """The family that `ss_base_model_version` names; None when it names none."""
    return next((family for mark, family in _VERSIONS if mark in version), None)


def _is_original(name: str) -> bool:
    return re.match(r"lora_unet_(input_blocks|middle_block|output_blocks|time_embed|label_emb|out)_", name) is not None


def _told_by(name: str, shape: Sequence[int]) -> str | None:
    if name.startswith("lora_unet_"):
        return _BY_WIDTH.get(shape[1]) if name.endswith(("attn2_to_k", "attn2_to_v")) else None
    match = _TEXT_LAYER.match(name)
    if match is None:
        return None
    width = shape[0] if match[2] == "mlp_fc2" else shape[1]
    return _BY_TEXT_WIDTH.get(width) or ("sd2" if int(match[1]) >= _SD1_TEXT_LAYERS else None)


def family_of(layers: Mapping[str, Sequence[int]], metadata: Mapping[str, str]) -> str | None:
    """The only family that a LoRA may be for; None when several are possible."""
    possible = possible_families(layers, metadata)
    return possible.pop() if len(possible) == 1 else None


def titles(families: Iterable[str]) -> str:
    """The families' names, for messages."""
    return " or ".join(FAMILY_TITLES[family] for family in sorted(families))
