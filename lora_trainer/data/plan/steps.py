"""How many steps a training takes."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from .model import DataPlan


@dataclass(frozen=True)
class StepCounts:
    """A step is one optimiser update; gradients that are left at an epoch's end make an update of their own."""

    batches_per_epoch: int  # global batches
    steps_per_epoch: int
    epochs: int  # the last one may be cut short
    total_steps: int


def count_steps(
    plan: DataPlan | int,
    *,
    max_train_steps: int = 1600,
    max_train_epochs: int | None = None,
    gradient_accumulation_steps: int = 1,
) -> StepCounts:
    """Count the steps of a training. `max_train_epochs` wins over `max_train_steps`. `plan` may be its batches per epoch.

    Raises InputError when there is nothing to train or a number makes no sense.
    """
    batches = plan if isinstance(plan, int) else plan.batches_per_epoch
    if batches < 1:
        raise InputError("there are no images to train.", field="train_data_dir", advice="Check the folders of the data set.")
    if gradient_accumulation_steps < 1:
        raise InputError(
            f"gradient_accumulation_steps is {gradient_accumulation_steps}, expected 1 or more.",
            field="gradient_accumulation_steps",
        )
    steps_per_epoch = -(-batches // gradient_accumulation_steps)
    if max_train_epochs is not None:
        return StepCounts(batches, steps_per_epoch, max_train_epochs, max_train_epochs * steps_per_epoch)
    return StepCounts(batches, steps_per_epoch, -(-max_train_steps // steps_per_epoch), max_train_steps)
