"""Sending small tensors to the device without waiting for it."""

from __future__ import annotations

import torch


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on `device`. From main memory to a card it goes by way of page-locked memory, so that nobody waits for the copy:
    it takes its turn behind what was launched before."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)  # what is page-locked already is not copied again
    return tensor.to(device)
