"""What every training here shares: steps that depend on nothing but seed and number, the moving average, the saved state."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import InputError
from ..paths import write_atomic


def say(text: str) -> None:
    """Write a line of progress."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Schedule:
    """The learning rate by step: a linear rise over `warmup`, constant, from `decay_from` of `steps` a cosine to a 20th."""

    rate: float
    steps: int
    warmup: int = 50
    decay_from: float = 0.6

    def at(self, step: int) -> float:
        """Return the rate of the step with the number `step`, the first being 0."""
        start = self.decay_from * self.steps
        done = min(1.0, max(0.0, (step - start) / max(1.0, self.steps - start)))
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))
        return self.rate * min(1.0, (step + 1) / self.warmup) * fall


@dataclass
class Training:
    """A module in training with its optimizer, its moving average, and a file that it goes on from.

    The file holds everything that later steps depend on, so that a training cut in two gives the same bytes as one in a piece.
    """

    module: torch.nn.Module
    schedule: Schedule
    path: Path
    ema_decay: float = 0.995
    step: int = 0
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=self.schedule.rate, betas=(0.9, 0.99), weight_decay=1e-4)
        self.average = copy.deepcopy(self.module).requires_grad_(False).eval()

    def resume(self) -> None:
        """Read the file, if there is one; raises InputError when it is for other sizes."""
        if not self.path.is_file():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        try:
            self.module.load_state_dict(state["module"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            advice = "Choose another --out, or remove the file."
            raise InputError("the saved state is of a model of other sizes.", where=str(self.path), advice=advice) from error
        self.step, self.losses = int(state["step"]), list(state["losses"])

    def save(self) -> None:
        """Write the file; an older one stays whole until the new one is."""
        state = {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }
        write_atomic(self.path, lambda file: torch.save(state, file))

    def update(self, gradients: Callable[[int], float]) -> None:
        """One step: `gradients(step)` fills in the gradients and returns the loss; they are cut to norm 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = gradients(self.step)
        torch.nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.ema_decay, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.module.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        self.losses.append(loss)

    def run(self, gradients: Callable[[int], float], *, minutes: float, save_every: float = 150.0) -> None:
        """Train until the schedule's last step or for `minutes`, saving every `save_every` seconds and at the end.

        `gradients` is as in `update`. Every 50 steps it writes a line.
        """
        start = saved = time.monotonic()
        first = self.step
        while self.step < self.schedule.steps and time.monotonic() - start < 60 * minutes:
            self.update(gradients)
            if self.step % 50 == 0:
                pace = (time.monotonic() - start) / (self.step - first)
                recent = sum(self.losses[-50:]) / len(self.losses[-50:])
                say(f"step {self.step}/{self.schedule.steps}  loss {recent:.4f}  {pace:.2f} s a step")
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        self.save()
