"""What the card's memory holds, as it is measured: of this process, and of everybody. Without a card, of main memory."""

from __future__ import annotations

import os
import sys

import psutil
import torch


def memory(device: torch.device) -> dict[str, int]:
    """In bytes: `free` for anybody, `reserved` by this process now, and the `peak` of that so far."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        return {"free": free, "reserved": reserved, "peak": torch.cuda.max_memory_reserved(device)}
    reserved = psutil.Process(os.getpid()).memory_info().rss
    return {"free": psutil.virtual_memory().available, "reserved": reserved, "peak": max(reserved, peak_memory(device) or 0)}


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes that were in use so far: of the card, or of this process on the CPU; None where nobody knows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def spare(device: torch.device) -> int | None:
    """The bytes of a card that this process can have beside what it holds now; None where there is no card."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def begin_peak(device: torch.device) -> None:
    """Let `peak_memory` tell the most from now on; of main memory it is the process's own all the same."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
