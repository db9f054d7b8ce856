"""Which tensor of a single-file checkpoint a LoRA module changes: kohya's module names -> the checkpoint's own names.

Read from the checkpoint's names alone, so that it holds for every size of SD1, SD2 and SDXL. The text encoders of SD2 and
SDXL's second one are OpenCLIP's, which keeps query, key and value in one matrix: such a module has only some of its rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_UNET = "model.diffusion_model."
_RESNET = {
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_TRANSFORMER = ("proj_in", "proj_out", "transformer_blocks_")
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

    `lierla`: plain LoRA trains it; otherwise only C3Lier does (resnets, up- and downsamplers).
    """

    key: str
    share: tuple[int, int] = (0, 1)
    lierla: bool = True

    def rows(self, shape: tuple[int, ...]) -> slice:
        """The module's rows of a tensor of this shape."""
        height = shape[0] // self.share[1]
        return slice(self.share[0] * height, (self.share[0] + 1) * height)

    def fits(self, shape: tuple[int, ...], layer: tuple[int, ...]) -> bool:
        """Whether a module for a `layer` of this shape belongs here, the tensor's being `shape` (1x1 kernels count as none)."""
        rows = shape[0] // self.share[1]
        return layer[:2] == (rows, shape[1]) and math.prod(layer) == rows * math.prod(shape[1:])


def places(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Place]:
    """{module name: its place} of every layer that a LoRA can address, for a checkpoint with these tensors.

    An SDXL UNet's layers are found under the words of its own code (`input_blocks_4_1_...`) and under diffusers'
    (`down_blocks_1_attentions_0_...`), in which some programs write them; the former come first.
    """
    found: dict[str, Place] = {}
    aliases: dict[str, Place] = {}
    sdxl = any(key.startswith(("conditioner.embedders.", f"{_UNET}label_emb.")) for key in shapes)
    unet = [key for key in shapes if key.startswith(_UNET) and key.endswith(".weight")]
    levels = _blocks_per_level(unet)
    for key in unet:
        if len(shapes[key]) not in (2, 4) or (block := _unet_block(key)) is None:
            continue
        side, number, part, rest = block
        place = Place(key, lierla=rest.startswith(_TRANSFORMER))
        theirs = "lora_unet_" + _diffusers_name(side, number, part, rest, levels)
        if sdxl:
            found["lora_unet_" + key[len(_UNET) : -len(".weight")].replace(".", "_")] = place
            aliases[theirs] = place
        else:
            found[theirs] = place
    for key in shapes:
        found |= _text_places(key)
    return {**found, **{name: place for name, place in aliases.items() if name not in found}}


def own_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Place]:
    """`places` without the second names: every layer once, under the name that kohya's files use."""
    seen: set[tuple[str, tuple[int, int]]] = set()
    result = {}
    for name, place in places(shapes).items():
        if (place.key, place.share) not in seen:
            seen.add((place.key, place.share))
            result[name] = place
    return result


def _blocks_per_level(keys: Iterable[str]) -> int:
    """Input blocks from one downsampler to the next: 3 in all released models (two layers and the downsampler)."""
    numbers = [int(match[1]) for key in keys if (match := re.match(r".*\binput_blocks\.(\d+)\.0\.op\.", key))]
    return min(numbers, default=3)


def _unet_block(key: str) -> tuple[str, int, int, str] | None:
    """(side, number of the block, number of the part, the rest with _) of a layer inside a block; None for others.

    The first input block is the first convolution, which no LoRA addresses.
    """
    match = re.fullmatch(re.escape(_UNET) + r"(input|output)_blocks\.(\d+)\.(\d+)\.(.+)\.weight", key)
    if match and (match[1], match[2]) != ("input", "0"):
        return match[1], int(match[2]), int(match[3]), match[4].replace(".", "_")
    match = re.fullmatch(re.escape(_UNET) + r"middle_block\.(\d+)\.(.+)\.weight", key)
    return ("middle", 0, int(match[1]), match[2].replace(".", "_")) if match else None


def _diffusers_name(side: str, number: int, part: int, rest: str, period: int) -> str:
    """diffusers' path of a layer, with _ for dots."""
    level, index = divmod(number - 1 if side == "input" else number, period)
    where = {"input": f"down_blocks_{level}", "output": f"up_blocks_{level}", "middle": "mid_block"}[side]
    if rest == "op":
        return f"{where}_downsamplers_0_conv"
    if rest == "conv":
        return f"{where}_upsamplers_0_conv"
    if rest in _RESNET:
        return f"{where}_resnets_{part // 2 if side == 'middle' else index}_{_RESNET[rest]}"
    return f"{where}_attentions_{0 if side == 'middle' else index}_{rest}"


def diffusers_path(name: str) -> str:
    """The part of a module's name behind lora_unet_, in diffusers' words (`down_blocks_1_...`) where it is in SDXL's own."""
    match = re.fullmatch(r"(input|output)_blocks_(\d+)_(\d+)_(.+)", name) or re.fullmatch(r"(middle)_block_(\d+)_(.+)", name)
    if match is None:
        return name
    if match[1] == "middle":
        return _diffusers_name("middle", 0, int(match[2]), match[3], 3)
    return _diffusers_name(match[1], int(match[2]), int(match[3]), match[4], 3)


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
