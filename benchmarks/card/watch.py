"""A reporter that measures the training it is handed to: speed, memory, launches, waits, floating-point operations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.utils.flop_counter import FlopCounterMode

from lora_trainer.models.card import peak_memory
from lora_trainer.runs.control import Control

COUNTED, WARM, PROFILED = 2, 6, 3  # the step whose operations are counted; steps before the timing; steps profiled after it
_LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")


@dataclass(frozen=True)
class Plan:
    """How long is measured: `seconds` after the warm-up, and at least `steps` steps. `begun` is the start's time.time()."""

    begun: float
    seconds: float
    steps: int


class Watch:
    """Takes the place of a training's reporter. Everything is measured between two `step` events; `found` holds the results."""

    def __init__(self, plan: Plan, device: torch.device, batch: int) -> None:
        self.plan, self.device, self.batch = plan, device, batch
        self.found: dict[str, Any] = {"notes": []}
        self._stop = False
        self._times: list[float] = []  # of the steps that are timed, and of the end of the last warm one
        self._flops: FlopCounterMode | None = None
        self._profile: Any = None
        self._profiled = 0
        self._stack = ExitStack()

    def control(self) -> Control:
        """Stop once everything is measured."""
        return Control(stop=self._stop)

    def emit(self, event: Mapping[str, Any]) -> None:
        """Take an event of the training."""
        if event["type"] == "warning":
            self.found["notes"].append(str(event["message"]))
        elif event["type"] == "phase" and event["name"] == "training" and "peak_before_steps" not in self.found:
            self.found["peak_before_steps"] = peak_memory(self.device)
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self.device)
        elif event["type"] == "step":
            self._after(int(event["step"]), float(event["loss"]))

    def close(self) -> None:
        """End what is still open (after a training that broke off)."""
        self._stack.close()

    def _after(self, step: int, loss: float) -> None:
        now = time.perf_counter()
        if step == 1:
            self.found["seconds_to_first_step"] = time.time() - self.plan.begun
        elif step == COUNTED and self._flops is not None:
            self._stack.close()
            self.found["flops"] = self._flops.get_total_flops()
        if step == COUNTED - 1:
            self._flops = self._stack.enter_context(FlopCounterMode(display=False))
        elif self._profile is not None:
            self._profiled += 1
            if self._profiled == PROFILED:
                self._stack.close()
                self._read_profile()
                self._stop = True
        elif step >= WARM and not self._stop:
            self._times.append(now)
            if len(self._times) > self.plan.steps and now - self._times[0] >= self.plan.seconds:
                self._end_of_timing(loss)

    def _end_of_timing(self, loss: float) -> None:
        seconds = [after - before for before, after in zip(self._times, self._times[1:], strict=False)]
        mean = (self._times[-1] - self._times[0]) / len(seconds)
        self.found.update(
            steps=len(seconds),
            seconds_per_step=mean,
            seconds_per_step_median=statistics.median(seconds),
            samples_per_second=self.batch / mean,
            loss=loss,
            peak_reserved=peak_memory(self.device),
        )
        if self.device.type != "cuda":
            self._stop = True
            return
        free, total = torch.cuda.mem_get_info(self.device)
        self.found["peak_allocated"] = torch.cuda.max_memory_allocated(self.device)
        self.found["context"] = total - free - torch.cuda.memory_reserved(self.device)
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        self._profile = self._stack.enter_context(torch.profiler.profile(activities=activities))

    def _read_profile(self) -> None:
        """Launches, waits of the host and busy time of the card, per step. The profiler slows the host: shares are rough."""
        events = self._profile.events()
        host = [event for event in events if event.device_type == DeviceType.CPU]
        kernels = [event.time_range for event in events if event.device_type == DeviceType.CUDA]
        self.found.update(
            launches=sum(event.name in _LAUNCHES for event in host) / PROFILED,
            copies=sum(event.name == "cudaMemcpyAsync" for event in host) / PROFILED,
            casts=sum(event.name == "aten::_to_copy" for event in host) / PROFILED,
            waits=sum(event.name in _WAITS for event in host) / PROFILED,
            seconds_waiting=sum(event.time_range.elapsed_us() for event in host if event.name in _WAITS) / 1e6 / PROFILED,
            seconds_busy=_union([(kernel.start, kernel.end) for kernel in kernels]) / 1e6 / PROFILED,
        )


def _union(ranges: list[tuple[float, float]]) -> float:
    """The length that `ranges` cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(ranges):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
