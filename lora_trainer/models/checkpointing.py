"""Gradient checkpointing: of which blocks, what that saves, and where what it keeps is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from . import streaming

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel


def blocks(unet: nn.Module) -> dict[str, nn.Module]:
    """The blocks of a UNet in the order in which they compute, by the names of the option gradient_checkpointing_blocks:
    down0, down1, ... from the full size to the smallest, mid, up0, ... back again."""
    down = {f"down{number}": block for number, block in enumerate(unet.down_blocks)}  # type: ignore[arg-type]
    up = {f"up{number}": block for number, block in enumerate(unet.up_blocks)}  # type: ignore[arg-type]
    return {**down, "mid": unet.mid_block, **up}  # type: ignore[dict-item]


def must_be_twice(unet: nn.Module) -> set[str]:
    """The blocks that hold weights which are on the card only while they compute: those are computed anew in any case."""
    return {name for name, block in blocks(unet).items() if any(streaming.is_streamed(part) for part in block.modules())}


def checkpoint_gradients(
    unet: UNet2DConditionModel,
    text_encoders: Iterable[CLIPTextModel] = (),
    *,
    offload: bool = False,
    only: Collection[str] | None = None,
) -> None:
    """Keep only the blocks' inputs for the backward pass and compute the rest again: less memory, the same gradients.

    The method is "Training Deep Nets with Sublinear Memory Cost" (Chen et al., 2016); non-reentrant, so that gradients reach
    LoRA weights although the inputs and the model's own weights have none. `only` names the `blocks` of the UNet that are
    computed again (None: all); it may be called again with others. `offload` keeps the inputs of the UNet's blocks in
    main memory. The modules are put into train mode, which transformers asks for; SD has no active dropout, so nothing else
    changes.
    """
    unet.enable_gradient_checkpointing(_offloaded if offload else _kept)
    compute_twice(unet, only)
    unet.train()
    for text_encoder in text_encoders:
        text_encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        text_encoder.train()


def compute_twice(unet: nn.Module, only: Collection[str] | None) -> None:
    """Let a UNet with gradient checkpointing compute these of its `blocks` again from now on (None: all), and those that it
    must."""
    chosen = blocks(unet).keys() if only is None else {*only, *must_be_twice(unet)}
    for name, block in blocks(unet).items():
        for part in block.modules():
            if hasattr(part, "gradient_checkpointing"):
                part.gradient_checkpointing = name in chosen  # type: ignore[assignment]


def kept_by_blocks(
    unet: nn.Module,
    forward: Callable[[], Any],
    lasting: Iterable[torch.Tensor] = (),
    between: Callable[[str], object] = lambda block: None,
) -> dict[str, int]:
    """The bytes that each of the `blocks` keeps for a backward pass after `forward`; no gradients are made.

    What is kept is noted and let go at once, so that this takes the memory of a forward pass alone, whatever a step needs.
    `lasting` is what stays anyway and does not count, beside the weights of the UNet. `between(name)` is called when a block
    begins, and with "" when it ends.
    """
    seen = {StorageWeakRef(tensor.untyped_storage()) for tensor in (*unet.parameters(), *unet.buffers(), *lasting)}
    found = dict.fromkeys(blocks(unet), 0)
    current = ""

    def note(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        if current and reference not in seen:
            seen.add(reference)  # it stays known when it is gone: another one never has its place
            found[current] += storage.nbytes()

    def begin(name: str) -> None:
        nonlocal current
        current = name
        between(name)

    with _told(blocks(unet), begin), saved_tensors_hooks(note, _is_gone):
        forward()
    return found


@contextmanager
def _told(parts: dict[str, nn.Module], begin: Callable[[str], None]) -> Iterator[None]:
    """While this holds, `begin` is called with the name of each of `parts` that computes, and with "" when it has."""
    handles = []
    for name, part in parts.items():
        handles.append(part.register_forward_pre_hook(lambda *_, name=name: begin(name)))
        handles.append(part.register_forward_hook(lambda *_: begin("")))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_gone(_: None) -> torch.Tensor:
    raise AssertionError("nothing was kept for a backward pass")


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
