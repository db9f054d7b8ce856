"""Training on a card that somebody else uses, too: where it gets too full for both, nothing is lost.

What broke off for want of memory is done again, once the others are done with the card; a step from what was before it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from ..errors import is_out_of_memory
from ..models.main_memory import free_card
from .parking import Parking
from .picture_losses import PictureLosses
from .state import Pieces
from .update import Updater

Result = TypeVar("Result")

_CHANGED = ("optimizer", "schedule", "scaler", "updater")  # by a step, of what has to be in a state, besides the network


class Sharing:
    """Does the parts of a training again that failed because the card is shared. Without `undo` no step is. `meanwhile` is
    called again and again while it waits for the card (see Parking.obey)."""

    def __init__(self, parking: Parking, meanwhile: Callable[[], None] = lambda: None, undo: Undo | None = None) -> None:
        self._parking, self._meanwhile = parking, meanwhile
        self.undo = undo
        self.was_stopped = False  # told to stop while it waited

    def step(self, make: Callable[[bool], Result], after: int) -> Result | None:
        """`make(is_shared)` makes the step that follows step `after`; None when it was told to stop before that was made."""
        is_shared = self._remember(after)
        try:
            return make(is_shared)
        except (RuntimeError, MemoryError) as error:
            if not (is_shared and is_out_of_memory(error)):
                raise
        assert self.undo is not None
        self.undo.back()  # the error is gone by here, and with it what its frames kept in memory
        return None if self._leave(after) else make(False)

    def attempt(self, work: Callable[[], Result], after: int) -> Result | None:
        """`work()`, which changes nothing of the training; None when it was told to stop before that was done."""
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not (self._parking.is_shared and is_out_of_memory(error)):
                raise
        return None if self._leave(after) else work()

    def _remember(self, after: int) -> bool:
        """Whether somebody uses the card beside the next step, which can be undone then."""
        if self.undo is None:
            return False
        if not self._parking.is_shared:
            self.undo.forget()
            return False
        try:
            self.undo.remember()
            return True
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._leave(after)  # main memory has no room for what would be undone
        return False

    def _leave(self, after: int) -> bool:
        """Keep off the card until the others are done with it; returns whether it was told to stop meanwhile."""
        if self.undo is not None:
            self.undo.forget()
        free_card()
        self.was_stopped = self._parking.make_room(after, self._meanwhile)
        return self.was_stopped


class Undo:
    """Keeps those of the `pieces` (resuming.pieces) that a step of `updater` changes, from one `remember` to the next."""

    def __init__(self, updater: Updater, pieces: Pieces, pictures: PictureLosses | None = None) -> None:
        self._updater, self._pictures = updater, pictures
        self._pieces = {name: piece for name, piece in pieces.items() if name in _CHANGED}
        self._kept: dict[str, Any] = {}
        self._weights: dict[str, torch.Tensor] = {}
        self._steps = 0

    def remember(self) -> None:
        """What is now is what `back` brings. Raises MemoryError or RuntimeError where main memory is full."""
        self._steps, self._weights = self._updater.steps, copied(self._updater.trained.training_state())
        self._kept = {name: copied(piece.state_dict()) for name, piece in self._pieces.items()}

    def forget(self) -> None:
        """Give the memory back."""
        self._kept, self._weights = {}, {}

    @torch.no_grad()
    def back(self) -> None:
        """Bring back what was remembered, without gradients."""
        updater = self._updater
        updater.clear()
        updater.trained.end_step()  # what was prepared for it lies on the card
        updater.steps = self._steps
        if self._pictures is not None:
            self._pictures.forget(self._steps + 1)
        if updater.fused:
            updater.fused.take_norm()
        for name, tensor in updater.trained.training_state().items():
            tensor.copy_(self._weights[name])
        updater.optimizer.state.clear()  # what a parameter's first step had left there
        if updater.scaler.is_enabled():
            updater.scaler._per_optimizer_states.clear()  # it would say that these gradients were unscaled before
        for name, piece in self._pieces.items():
            piece.load_state_dict(copied(self._kept[name]))


def copied(value: Any) -> Any:
    """`value` with its tensors copied to main memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(copied(item) for item in value)
    return copy.deepcopy(value)
