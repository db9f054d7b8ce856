"""Which tensor of a single-file checkpoint a LoRA module changes: kohya's module names -> the checkpoint's own names.

Read from the checkpoint's names alone, so that it holds for every size of SD1, SD2 and SDXL. The text encoders of SD2 and
SDXL's second one are OpenCLIP's, which keeps query, key and value in one matrix: such a module has only some of its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..networks.key_names import diffusers_words

_UNET = "model.diffusion_model."
_BLOCK = re.compile(r"(?:down|up)_blocks_|mid_block_")
_TRANSFORMER = re.compile(r"_attentions_\d+_")
# (prefix in the checkpoint, prefix of the module names, whether it is OpenCLIP's)
_TEXT = (
    ("cond_stage_model.transformer.", "lora_te_", False),
    ("cond_stage_model.model.", "lora_te_", True),
    ("conditioner.embedders.0.transformer.", "lora_te1_", False),
    ("conditioner.embedders.1.model.", "lora_te2_", True),
)
_OPEN_CLIP = {"attn.out_proj": "self_attn_out_proj", "mlp.c_fc": "mlp_fc1", "mlp.c_proj": "mlp_fc2"}
_CLIP = re.compile(r"(?:text_model\.)?encoder\.layers\.(\d+)\.((?:self_attn|mlp)\.\w+)\.weight")


@dataclass(frozen=True)
class Place:
    """A tensor of the checkpoint, and the share of its rows that belongs to the module (first, of how many equal shares).

    `lierla`: plain LoRA trains it; `c3lier`: C3Lier does (resnets, up- and downsamplers). Other programs' networks alone change
    what has neither: the first and the last convolution, the embedding of the time.
    """

    key: str
    share: tuple[int, int] = (0, 1)
    lierla: bool = True
    c3lier: bool = True

    def rows(self, shape: tuple[int, ...]) -> slice:
        """The module's rows of a tensor of this shape."""
        height = shape[0] // self.share[1]
        return slice(self.share[0] * height, (self.share[0] + 1) * height)

    def fits(self, shape: tuple[int, ...], layer: tuple[int, ...]) -> bool:
        """Whether a module for a `layer` of this shape belongs here, the tensor's being `shape` (1x1 kernels count as none)."""
        rows = shape[0] // self.share[1]
        return layer[:2] == (rows, shape[1]) and math.prod(layer) == rows * math.prod(shape[1:])


def places(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Place]:
    """{module name: its place} of every layer that a LoRA can address, for a checkpoint with these tensors."""
    found: dict[str, Place] = {}
    sdxl = any(key.startswith(("conditioner.embedders.", f"{_UNET}label_emb.")) for key in shapes)
    unet = [key for key in shapes if key.startswith(_UNET) and key.endswith(".weight")]
    levels = _blocks_per_level(unet)
    for key in unet:
        original = key[len(_UNET) : -len(".weight")].replace(".", "_")
        path = diffusers_words(original, levels)
        if len(shapes[key]) in (2, 4) and path != original:
            name = f"lora_unet_{original if sdxl else path}"
            found[name] = Place(key, lierla=bool(_TRANSFORMER.search(path)), c3lier=bool(_BLOCK.match(path)))
    for key in shapes:
        found |= _text_places(key)
    return found


def _blocks_per_level(keys: Iterable[str]) -> int:
    """Input blocks from one downsampler to the next: 3 in all released models (two layers and the downsampler)."""
    numbers = [int(match[1]) for key in keys if (match := re.match(r".*\binput_blocks\.(\d+)\.0\.op\.", key))]
    return min(numbers, default=3)


def _text_places(key: str) -> dict[str, Place]:
    for prefix, name, open_clip in _TEXT:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if not open_clip:
            if match := _CLIP.fullmatch(rest):
                return {f"{name}text_model_encoder_layers_{match[1]}_{match[2].replace('.', '_')}": Place(key)}
            continue
        if match := re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)(?:\.|_)weight", rest):
            layer = f"{name}text_model_encoder_layers_{match[1]}_"
            if match[2] == "attn.in_proj":
                return {f"{layer}self_attn_{part}_proj": Place(key, (index, 3)) for index, part in enumerate("qkv")}
            if match[2] in _OPEN_CLIP:
                return {layer + _OPEN_CLIP[match[2]]: Place(key)}
    return {}
