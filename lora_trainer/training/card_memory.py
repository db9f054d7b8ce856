"""How much of the card's memory a training takes, and whether it has run over into main memory."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ..models.card import peak_memory

_SECONDS_BETWEEN_LOOKS = 0.5
_STEPS = 5  # that have to be slow one after the other, and so many before them to compare with at least
_BEFORE = 50  # steps that are remembered to compare with
_SLOWER = 4.0
_FULL = 0.95  # of the card


@dataclass(frozen=True)
class CardMemory:
    """In bytes: what PyTorch has taken of the card at this moment, what is in use of it by all programs, and what it has."""

    taken: int
    used: int
    total: int

    @classmethod
    def of(cls, device: torch.device) -> CardMemory | None:
        """The card's; None on other devices."""
        if device.type != "cuda":
            return None
        free, total = torch.cuda.mem_get_info(device)
        return cls(torch.cuda.memory_reserved(device), total - free, total)


@dataclass
class Peak:
    """The most bytes that were in use so far: of the card, or of this process on the CPU; None where nobody knows.

    It is looked at twice a second at most.
    """

    device: torch.device
    clock: Callable[[], float] = time.monotonic
    _value: int | None = None
    _next_look: float = 0.0

    def __call__(self) -> int | None:
        now = self.clock()
        if now >= self._next_look:
            self._next_look, self._value = now + _SECONDS_BETWEEN_LOOKS, peak_memory(self.device)
        return self._value


@dataclass
class Spill:
    """Notices, once, that a card's driver has begun to keep in main memory what the card has no room for.

    NVIDIA's drivers for Windows do that in place of refusing; nothing fails, but each step takes many times as long. It is so
    where PyTorch has taken more than the card has, or where several steps in a row take four times as long per sample as those
    before while the card is full.
    """

    look: Callable[[], CardMemory | None]
    _told: bool = False
    _steps: int = 0
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_BEFORE + _STEPS))  # per sample, of each step

    def after_step(self, seconds: float, samples: int) -> str:
        """Take the time of a step; returns what is to be said of it, nearly always nothing."""
        self._seconds.append(seconds / max(1, samples))
        self._steps += 1
        before, last = list(self._seconds)[:-_STEPS], list(self._seconds)[-_STEPS:]
        slower = min(last) / statistics.median(before) if len(before) >= _STEPS else 0.0
        if self._told or not (slower >= _SLOWER or self._steps == _STEPS):
            return ""
        memory = self.look()
        if memory is None:
            return ""
        if memory.taken > memory.total:
            return self._say("This training takes more memory than the card has", memory)
        if slower >= _SLOWER and memory.used >= _FULL * memory.total:
            return self._say(f"Steps take {slower:.0f} times as long as before, and the card's memory is full", memory)
        return ""

    def _say(self, what: str, memory: CardMemory) -> str:
        self._told = True
        in_use = max(memory.taken, memory.used) / 2**30
        return (
            f"{what} ({in_use:.1f} of {memory.total / 2**30:.1f} GiB): the driver keeps the rest in main memory, which is many "
            "times slower. Close other programs that use the card, or train with less: gradient_checkpointing, a smaller batch "
            "or resolution, fp8_base or blocks_to_swap."
        )
