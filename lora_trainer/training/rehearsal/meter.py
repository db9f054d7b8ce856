"""How much memory a piece of work takes at its peak: of the card, or on the CPU of this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...models.card import peak_memory


@dataclass
class Meter:
    """Measures by phases: `peaks` are the most bytes that were in use during each, `seconds` how long it took.

    On a card these are the bytes that torch held reserved there, on the CPU the main memory of the whole process, with the
    program itself. Where a system cannot tell the peak of a phase alone (macOS, Windows) it is the most so far.
    """

    device: torch.device
    peaks: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is done within. A phase that is entered again counts with its greatest peak and the sum of its times."""
        self._begin()
        began = time.perf_counter()
        try:
            yield
        finally:
            wait(self.device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            self.peaks[name] = max(self.peaks.get(name, 0), self._peak())

    def _begin(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # what an earlier phase left there counts with that one
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with suppress(OSError):  # Linux alone: VmHWM counts from now
                Path("/proc/self/clear_refs").write_text("5")

    def _peak(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device)
        return _since_cleared() or peak_memory(self.device) or in_main_memory()


def wait(device: torch.device) -> None:
    """Wait until `device` has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _since_cleared() -> int:
    """The most main memory that this process had since it was cleared; 0 where nobody knows."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def in_main_memory() -> int:
    """The main memory of this process now."""
    import psutil  # comes with accelerate

    return int(psutil.Process().memory_info().rss)


def held(device: torch.device) -> int:
    """The bytes of what lies on a card, or those of this process."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else in_main_memory()


def working_memory(device: torch.device, work: Callable[[], Any]) -> int:
    """The most bytes that torch allocated at once while it did `work`, beyond what was there: activations, gradients and
    what passes.

    On a card by torch's own counters; on the CPU from the profiler's record of each allocation, which makes `work` slower.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it tells when it begins and ends
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    now = most = 0
    for event in record.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most
