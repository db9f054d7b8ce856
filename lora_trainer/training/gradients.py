"""The gradients of one optimizer step; where the memory does not hold a batch at once, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch

from ..data.dataset import Batch
from ..errors import is_out_of_memory
from ..models.main_memory import free_card
from .phases import Emit
from .recomputing import Recomputing
from .rehearsal.card import Room
from .trainee import Trainee
from .update import Updater

OF_THE_WHOLE = (
    "global_size",
    "network_multiplier",
    "epoch",
    "batch",
)  # what a batch says of itself; all else has an entry per sample


@dataclass
class Gradients:
    """Adds up the gradients of a step's batches.

    Where the memory decides which blocks are computed twice (`recomputing`), all of them are from the step on in which it is
    full. With `splits`, a batch that does not fit the memory is halved, again and again down to single samples, and the step is
    computed anew: like a smaller batch with more accumulation. All later batches are cut the same way, into `parts`.
    What is drawn for a sample depends on its place in the step, so the result stays the same to rounding (dropout of the
    network draws anew).
    """

    trainee: Trainee
    updater: Updater
    emit: Emit
    splits: bool = False
    parts: int = 1
    recomputing: Recomputing | None = None

    def add(self, batches: Iterable[tuple[Batch, int]], *, step: int, samples: int, may_split: bool = True) -> torch.Tensor:
        """Add the gradients of `batches`, each with the number of samples before it in the step.

        Returns the loss of this process's samples: a scalar without gradients, whose sum over the processes is the mean over
        the step's `samples`. Raises what torch raises when the memory is full, and cannot hold a single sample either; at once
        where it may not be split (`may_split`).
        """
        seen: list[tuple[Batch, int]] = []
        coming = iter(batches)
        while True:
            try:
                return self._add(_remembered(seen, coming), step, samples)
            except (RuntimeError, MemoryError) as error:
                if not (may_split and is_out_of_memory(error)):
                    raise
                message = self._needing_less(seen, step)
                if not message:
                    raise
            if self.trainee.pictures is not None:
                self.trainee.pictures.forget(step)
            self.updater.clear()  # the error is gone by here, and with it what its frames kept in memory
            free_card()
            self.emit({"type": "warning", "message": message})

    def decide(self, read: Callable[[], Batch | None], where: Room | None = None, *, batches: int = 0, shapes: int = 1) -> None:
        """Before the first step: let the memory (`where`: what is free) decide what is computed twice, and the time, for so
        many `batches` of so many `shapes` (0: nobody asks), whether the UNet is compiled, where they are to. `read` reads the
        largest batch.
        """
        how = self.recomputing
        if how is None:
            return
        if not how.is_decided:
            how.choose(self.trainee, self.updater, read(), self.emit, where)
        if batches and how.options.torch_compile_when_faster and how.compiles is None:
            how.try_compiling(self.trainee, self.updater, read(), self.emit, batches=batches, shapes=shapes)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to add up in the same order, and to compute in the same way."""
        return {"parts": self.parts, **(self.recomputing.state_dict() if self.recomputing else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as `state_dict` told."""
        self.parts = int(state["parts"])
        if self.recomputing:
            self.recomputing.load_state_dict(state)

    def _needing_less(self, seen: list[tuple[Batch, int]], step: int) -> str:
        """Let a step need less memory, and say how; "" where there is nothing left to do."""
        if self.recomputing is not None and self.recomputing.all_of_them():
            return (
                f"The memory was full at step {step}: from now on all of the UNet is computed twice. Steps take longer; "
                "the result stays the same."
            )
        if not (self.splits and self._can_split(seen)):
            return ""
        self.parts *= 2
        return (
            f"The memory was full at step {step}: from now on each batch is computed in {self.parts} parts, one after the "
            "other. Steps take longer; the result stays the same."
        )

    def _add(self, batches: Iterable[tuple[Batch, int]], step: int, samples: int) -> torch.Tensor:
        total: torch.Tensor | None = None
        for batch, offset in batches:
            for part in cut(batch, self.parts):
                loss = self.trainee.batch_loss(part, step=step, offset=offset, samples=samples)
                self.updater.backward(loss)
                total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a step has a batch"
        return total

    def _can_split(self, seen: list[tuple[Batch, int]]) -> bool:
        return any(len(batch["captions"]) > self.parts for batch, _ in seen)


def cut(batch: Batch, parts: int) -> list[Batch]:
    """`batch` in `parts` parts of about the same number of samples, in order; fewer where it has fewer samples."""
    count = len(batch["captions"])
    parts = max(1, min(parts, count))
    if parts == 1:
        return [batch]
    bounds = [count * number // parts for number in range(parts + 1)]
    return [
        cast(Batch, {key: value if key in OF_THE_WHOLE else value[first:end] for key, value in batch.items()})  # type: ignore[index]
        for first, end in pairwise(bounds)
    ]


def _remembered(seen: list[tuple[Batch, int]], coming: Iterable[tuple[Batch, int]]) -> Iterable[tuple[Batch, int]]:
    """What was seen already, then what is to come, which is remembered."""
    yield from list(seen)
    for one in coming:
        seen.append(one)
        yield one
