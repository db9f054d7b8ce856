"""What is told of each step of a training."""

from __future__ import annotations

from typing import Any

from ..data.plan import StepCounts
from .made import MadeStep
from .metrics import Speed
from .previews import Previews
from .validation import Validation


def step_event(made: MadeStep, loss: float, average: float, speed: Speed) -> dict[str, Any]:
    """The event `step` of a step that was made, without time left and memory; `average` is the mean of the losses."""
    rates = made.rates
    return {
        "type": "step",
        "step": made.number,
        "epoch": made.epoch,
        "loss": loss,
        "loss_average": average,
        "lr": next((rate for name, rate in rates.items() if name.startswith("unet")), next(iter(rates.values()))),
        "rates": rates,
        "seconds_per_step": speed.seconds_per_step,
        "samples_per_second": speed.samples_per_second,
    }


def seconds_left(
    first: int,
    done: tuple[int, int] | None,
    counts: StepCounts,
    speed: Speed,
    validation: Validation | None,
    previews: Previews | None,
) -> float | None:
    """What a training will take yet that has `done` so many steps and epochs: its steps, the measuring, and the pictures that
    are drawn after step `first` and later ones. None before a step was made."""
    if done is None:
        return None
    steps, epochs = done
    left = speed.seconds_per_step * (counts.total_steps - steps)
    if validation is not None:
        left += validation.seconds_to_come(first, epochs, counts.epochs)
    if previews is None:
        return left
    times = previews.schedule.times_to_come((first, counts.total_steps), (epochs + 1, counts.epochs))
    return left + previews.seconds_to_come(times, speed.samples_per_second)
