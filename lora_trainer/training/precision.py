"""In which precision is computed, on which device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch.amp import GradScaler

_DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Precision:
    """`dtype` is what frozen weights are kept and products are computed in; for the trained weights see narrow.py.

    `warning` is not empty when another precision than the asked one was taken. `mixed` says that what is trained computes with
    weights of other types, and leaves the casts to torch."""

    device: torch.device
    dtype: torch.dtype
    warning: str = ""
    mixed: bool = False

    def training(self) -> AbstractContextManager[Any]:
        """The context of a training step's forward pass: everything in it has `dtype` already, unless types are mixed.

        Torch's autocast would compute the norms in float32 and cast before and after each: a third of a step's launches, for a
        model whose numbers have `dtype` either way. (Sums within norms are float32 in the kernels themselves.)
        """
        return self.autocast() if self.mixed else nullcontext()

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of whatever else the model computes."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, dtype=self.dtype)

    def scaler(self) -> GradScaler:
        """Return a gradient scaler; only fp16 needs one, for the others it does nothing."""
        enabled = self.dtype == torch.float16
        if hasattr(torch, "amp") and hasattr(torch.amp, "GradScaler"):
            return torch.amp.GradScaler(self.device.type, enabled=enabled)
        return torch.cuda.amp.GradScaler(enabled=enabled)  # torch before 2.3


def choose(mixed_precision: str, device: torch.device) -> Precision:
    """Return the precision for `mixed_precision` ("no", "fp16", "bf16") that `device` can compute in.

    fp16 outside CUDA has no gradient scaler and next to no kernels: there bf16 or fp32 is taken, with a warning. A card without
    bf16 gets fp16.
    """
    dtype = _DTYPES[mixed_precision]
    if device.type != "cuda":
        if dtype == torch.float16 or (dtype == torch.bfloat16 and device.type == "mps"):
            return Precision(
                device,
                torch.float32,
                f"mixed_precision {mixed_precision} needs an NVIDIA or AMD card; training in fp32 instead.",
            )
        return Precision(device, dtype)
    if dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported():
        return Precision(
            device, torch.float16, f"{torch.cuda.get_device_name(device)} cannot compute in bf16; training in fp16 instead."
        )
    return Precision(device, dtype)


def device_name(device: torch.device) -> str:
    """The name of the card, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
