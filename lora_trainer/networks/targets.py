"""Which layers of a diffusers UNet and a CLIP text encoder get a LoRA, and what kohya's files call them.

Layers are found by the class names of the blocks around them, so any model of the same building blocks will do, whatever its
size. Names are the layer's path with `_` for `.`, behind `lora_unet_` or `lora_te_` (`lora_te1_`, `lora_te2_` with two text
encoders). SDXL's UNet is named in the words of its original code (`input_blocks_4_1_...`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from .key_names import original_words

Part = Literal["text_encoder", "unet"]

UNET_BLOCKS = frozenset({"Transformer2DModel"})
UNET_CONV_BLOCKS = frozenset({"ResnetBlock2D", "Downsample2D", "Upsample2D"})
TEXT_BLOCKS = frozenset({"CLIPAttention", "CLIPSdpaAttention", "CLIPFlashAttention2", "CLIPMLP"})


@dataclass(frozen=True)
class Target:
    """One layer that can get a LoRA. `index` is the number of its text encoder, from 0; 0 for the UNet."""

    name: str
    layer: nn.Module
    part: Part
    index: int = 0

    @property
    def is_conv3x3(self) -> bool:
        """Whether the layer is a convolution over more than one pixel (C3Lier's own; LierLa leaves it out)."""
        return isinstance(self.layer, nn.Conv2d) and tuple(self.layer.kernel_size) != (1, 1)


def find_targets(text_encoders: nn.Module | Sequence[nn.Module] | None, unet: nn.Module | None) -> list[Target]:
    """Return every layer that some LoRA file can address, 3x3 convolutions and resnets included, in the model's order.

    Networks that are already applied change nothing: they never replace a layer. `None` leaves a part out.
    """
    encoders = as_list(text_encoders)
    found = []
    for index, encoder in enumerate(encoders):
        prefix = f"lora_te{index + 1}_" if len(encoders) > 1 else "lora_te_"
        found += [
            Target(prefix + _text_path(path).replace(".", "_"), layer, "text_encoder", index)
            for path, layer, _ in _layers(encoder, TEXT_BLOCKS)
        ]
    if unet is not None:
        sdxl = is_sdxl(unet)
        found += [
            Target("lora_unet_" + _unet_path(path, sdxl), layer, "unet")
            for path, layer, _ in _layers(unet, UNET_BLOCKS | UNET_CONV_BLOCKS)
        ]
    return found


def find_lierla_names(text_encoders: nn.Module | Sequence[nn.Module] | None, unet: nn.Module | None) -> set[str]:
    """Return the names of the layers that plain LoRA trains: Linear and 1x1 convolutions in attention and MLP blocks."""
    wanted = set() if unet is None else {id(layer) for _, layer, _ in _layers(unet, UNET_BLOCKS)}
    return {
        target.name
        for target in find_targets(text_encoders, unet)
        if not target.is_conv3x3 and (target.part == "text_encoder" or id(target.layer) in wanted)
    }


def find_siblings(text_encoders: nn.Module | Sequence[nn.Module] | None, unet: nn.Module | None) -> list[tuple[nn.Module, ...]]:
    """Return the layers of each attention that read one tensor: q, k and v, or k and v where they read the text."""
    found = []
    for root in [*as_list(text_encoders), *([] if unet is None else [unet])]:
        for block in root.modules():
            if hasattr(block, "q_proj"):
                found.append((block.q_proj, block.k_proj, block.v_proj))
            elif hasattr(block, "to_q"):
                found.append((*(() if block.is_cross_attention else (block.to_q,)), block.to_k, block.to_v))
    return found


def as_list(text_encoders: nn.Module | Sequence[nn.Module] | None) -> list[nn.Module]:
    """One text encoder, several or none, as a list."""
    if text_encoders is None:
        return []
    return [text_encoders] if isinstance(text_encoders, nn.Module) else list(text_encoders)


def is_sdxl(unet: nn.Module) -> bool:
    """Whether the UNet takes SDXL's size embedding."""
    return getattr(getattr(unet, "config", None), "addition_embed_type", None) == "text_time"


def _layers(root: nn.Module, blocks: frozenset[str]) -> list[tuple[str, nn.Module, str]]:
    """(path, layer, class of the block) of every Linear and Conv2d below a block of one of these classes, each once."""
    seen: set[int] = set()
    found = []
    for block_path, block in root.named_modules():
        if type(block).__name__ not in blocks:
            continue
        for path, layer in block.named_modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)) and id(layer) not in seen:
                seen.add(id(layer))
                found.append((f"{block_path}.{path}" if block_path else path, layer, type(block).__name__))
    return found


def _text_path(path: str) -> str:
    """Newer transformers drop the outer `text_model`; the files always have it."""
    return path if path.startswith("text_model.") else f"text_model.{path}"


def _unet_path(path: str, sdxl: bool) -> str:
    flat = path.replace(".", "_")
    return original_words(flat, sdxl=True) if sdxl else flat
