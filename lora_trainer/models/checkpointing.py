"""Gradient checkpointing, and where what it keeps is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel


def checkpoint_gradients(
    unet: UNet2DConditionModel, text_encoders: Iterable[CLIPTextModel] = (), *, offload: bool = False
) -> None:
    """Keep only the blocks' inputs for the backward pass and compute the rest again: less memory, the same gradients.

    The method is "Training Deep Nets with Sublinear Memory Cost" (Chen et al., 2016); non-reentrant, so that gradients reach
    LoRA weights although the inputs and the model's own weights have none. `offload` keeps the inputs of the UNet's blocks in
    main memory. The modules are put into train mode, which transformers asks for; SD has no active dropout, so nothing else
    changes.
    """
    unet.enable_gradient_checkpointing(_offloaded if offload else _kept)
    unet.train()
    for text_encoder in text_encoders:
        text_encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        text_encoder.train()


def _kept(block: nn.Module, *inputs: Any) -> Any:
    return checkpoint(block.__call__, *inputs, use_reentrant=False)


def _offloaded(block: nn.Module, *inputs: Any) -> Any:
    # What is saved within the block goes to checkpoint's own hooks; to these go the inputs alone.
    with saved_tensors_hooks(to_main_memory, back):
        return checkpoint(block.__call__, *inputs, use_reentrant=False)


def to_main_memory(tensor: torch.Tensor) -> tuple[torch.device, torch.Tensor]:
    """(the tensor's device, a copy in main memory), pinned where a card is to read it back quickly."""
    pinned = tensor.device.type == "cuda"
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=pinned)
    copy.copy_(tensor, non_blocking=pinned)  # in the order of the stream, as whatever takes the tensor's place later
    return tensor.device, copy


def back(kept: tuple[torch.device, torch.Tensor]) -> torch.Tensor:
    """The tensor on the device that it came from."""
    device, copy = kept
    return copy.to(device, non_blocking=copy.is_pinned())
