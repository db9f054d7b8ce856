"""Where in its data a training is, and how far it has to go from there. Pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..data.plan import StepCounts
from ..errors import InputError
from ..options.saving import SavingOptions
from ..options.training import TrainingOptions


class Position(NamedTuple):
    """The batch that comes next: `batch` of `epoch`, both from 0. All batches of an epoch: its end is still to do."""

    epoch: int = 0
    batch: int = 0


def given(saving: SavingOptions, counts: StepCounts, accumulation: int) -> tuple[int, Position] | None:
    """(steps that count as made, position) of initial_step or initial_epoch; None when neither is given.

    initial_step goes before initial_epoch, as in sd-scripts. Raises InputError when nothing would be left to train.
    """
    name, step = "initial_step", saving.initial_step
    if step is None:
        if saving.initial_epoch is None:
            return None
        name, step = "initial_epoch", (saving.initial_epoch - 1) * counts.steps_per_epoch
    if step >= counts.total_steps:
        raise InputError(
            f"{name} leaves nothing to train: {step} of {counts.total_steps} steps would be over.",
            field=name,
            advice=f"Give a smaller {name}, or more max_train_steps.",
        )
    epoch, into = divmod(step, counts.steps_per_epoch)
    return step, Position(epoch, into * accumulation if saving.skip_until_initial_step else 0)


def counts_from(
    counts: StepCounts, options: TrainingOptions, step: int, position: Position, accumulation: int
) -> tuple[StepCounts, Position]:
    """The epochs and steps of a training that has made `step` steps and goes on at `position`; and the position in this data.

    Where data, batches and accumulation are as they were, these are `counts` and `position` themselves.
    """
    epoch, batch = position
    if batch > counts.batches_per_epoch:  # of other data: that epoch is over
        epoch, batch = epoch + 1, 0
    made = -(-batch // accumulation)  # steps of this epoch that are over
    if options.max_train_epochs is not None:
        left = (options.max_train_epochs - epoch) * counts.steps_per_epoch - made
        return replace(counts, total_steps=step + max(0, left)), Position(epoch, batch)
    left = max(0, counts.total_steps - step)
    return replace(counts, epochs=epoch + -(-(made + left) // counts.steps_per_epoch)), Position(epoch, batch)
