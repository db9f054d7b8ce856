"""What a running training tells about itself: average loss, speed, time left, memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

_SPEED_WINDOW = 50  # steps


class LossAverage:
    """Mean over the last epoch's worth of steps, as the reference logs it. Before one epoch is full: over what there is."""

    def __init__(self, steps_per_epoch: int) -> None:
        self._losses: deque[float] = deque(maxlen=max(1, steps_per_epoch))

    def add(self, loss: float) -> float:
        """Add the loss of a step and return the mean."""
        self._losses.append(loss)
        return sum(self._losses) / len(self._losses)

    def state_dict(self) -> dict[str, list[float]]:
        """For the training state."""
        return {"losses": list(self._losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._losses.clear()
        self._losses.extend(state["losses"])


class Speed:
    """Seconds per step and samples per second over the last steps. Saving and sampling between steps are not counted."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque(maxlen=_SPEED_WINDOW)
        self._since = time.perf_counter()

    def resume(self) -> None:
        """Begin to count from now (after a pause)."""
        self._since = time.perf_counter()

    def add(self, samples: int) -> float:
        """Count a step of `samples` samples that ended now; returns its seconds."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        self._steps.append((seconds, samples))
        return seconds

    @property
    def seconds_per_step(self) -> float:
        """The mean without the slowest tenth: the first step and a busy disk say nothing about the rest."""
        seconds = sorted(seconds for seconds, _ in self._steps)
        kept = seconds[: max(1, len(seconds) - len(seconds) // 10 - (len(seconds) > 1))]
        return sum(kept) / len(kept)

    @property
    def samples_per_second(self) -> float:
        samples = sum(samples for _, samples in self._steps) / len(self._steps)
        return samples / max(self.seconds_per_step, 1e-9)
