"""Leaving the card to somebody else between two steps, and taking it back: everything of the training goes to main memory.

What the training does not change (the base model) is copied from the card once; from then on leaving drops it there and coming
back copies it to it. What it changes is copied both ways. The numbers are the same bytes afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..checkpoints.sharding import is_shard
from ..errors import is_out_of_memory
from ..log import logger
from ..models import Model, card
from ..models.main_memory import Parked, Place, copied_once, free_card, is_on_card, places
from ..runs.control import Control
from ..runs.events import Reporter
from .distributed import Processes
from .interrupt import StopOnSignal
from .phases import Emit

_LOOK_SECONDS = 0.1
_SECONDS_BETWEEN_TRIES = 5.0
_SECONDS_BETWEEN_MEASURES = 2.0


@dataclass
class Parking:
    """Waits off the card while `control()` says so. Each process has one; what is asked is asked of the main one.

    `modules` are moved with their parameters and buffers, the `optimizer`'s state, and the tensors in the mappings `others`.
    """

    control: Callable[[], Control]
    emit: Emit
    processes: Processes
    modules: list[torch.nn.Module] = field(default_factory=list)
    optimizer: torch.optim.Optimizer | None = None
    others: list[MutableMapping[Any, Any]] = field(default_factory=list)
    should_stop: Callable[[], bool] = lambda: False
    before_leaving: Callable[[], object] = lambda: None  # lets go of what lies on the card and is made anew when it is needed
    _frozen: Parked | None = None  # what is not trained, for the next time
    _refused: int = -1  # the request that could not be obeyed
    _told: int = 0  # the request to share the card that was answered
    _measured: float = float("-inf")  # when the memory was looked at last

    @classmethod
    def of(cls, model: Model, reporter: Reporter, processes: Processes, signals: StopOnSignal) -> Parking:
        """For a training on `model`, before there is anything to train."""
        modules = [model.unet, model.vae, *model.text_encoders]
        return cls(
            reporter.control,
            reporter.emit,
            processes,
            modules,
            should_stop=lambda: signals.asked,
            before_leaving=model.let_go_of_graphs,
        )

    def with_trained(
        self,
        trained: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        others: Sequence[MutableMapping[Any, Any]] = (),
    ) -> Parking:
        """The same with what is trained, what its optimizer remembers, and what `others` hold."""
        return replace(self, modules=[*self.modules, trained], optimizer=optimizer, others=[*self.others, *others])

    def while_preparing(self) -> bool:
        """Asked by all processes between the parts of what comes before the first step: whether to stop. They leave the card
        together when that is asked."""
        waits, stops = self._agreed()
        return (waits and self.together(0)) or stops

    def _agreed(self) -> tuple[bool, bool]:
        """Whether one of the processes is to leave the card, and whether one is to stop."""
        waits, stops = self.processes.add_up([float(self.is_asked()), float(self._is_to_stop())])
        return bool(waits), bool(stops)

    @property
    def is_shared(self) -> bool:
        """Whether somebody uses the card beside this training, who was told what room there is."""
        control = self.control()
        return control.is_shared and control.share == self._told

    def tell_room(self, step: int) -> None:
        """Answer who wants to use the card beside this training: with what is measured of its memory. Asked between two steps.

        Several processes share with nobody: one whose memory is full would leave the others waiting.
        """
        control = self.control()
        if control.is_shared and control.share != self._told:
            self._told = control.share
            self.emit({"type": "shared", "step": step, "share": control.share, "memory": self._memory()})

    def measured(self) -> dict[str, Any]:
        """The memory as it is, for the event of a step; nothing where that was told a moment ago."""
        if time.monotonic() < self._measured + _SECONDS_BETWEEN_MEASURES:
            return {}
        self._measured = time.monotonic()
        return {"memory": self._memory()}

    def _memory(self) -> dict[str, int] | None:
        return card.memory(self.processes.device) if self.processes.world_size == 1 else None

    def make_room(self, step: int, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """The card is too full for this training and who uses it beside it: keep off until they are done with it. Returns
        whether it was told to stop meanwhile."""
        message = "The card is too full for the training and the pictures: from now on they take turns. Nothing is lost."
        self.emit({"type": "crowded", "step": step, "share": self._told, "message": message})

        def look() -> tuple[bool, bool]:
            control = self.control()
            return control.is_off_the_card or control.is_shared, self._is_to_stop()

        return self._wait(step, look, meanwhile, must=True)

    def is_asked(self) -> bool:
        """Whether this process is to leave the card."""
        control = self.control()
        return control.is_off_the_card and control.park != self._refused

    def obey(self, step: int, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Leave the card and wait, where that is asked of this process. Returns whether it was told to stop meanwhile.

        For moments in which the other processes wait for this one; `together` is for steps. `meanwhile` is called again and
        again while it waits: what needs no card can be done then.
        """
        return self._wait(step, lambda: (self.is_asked(), self._is_to_stop()), meanwhile) if self.is_asked() else False

    def together(self, step: int, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """The same in all processes at once, which have agreed on it."""
        return self._wait(step, self._agreed, meanwhile)

    def _is_to_stop(self) -> bool:
        return self.should_stop() or self.control().stop

    def _wait(
        self, step: int, look: Callable[[], tuple[bool, bool]], meanwhile: Callable[[], None], *, must: bool = False
    ) -> bool:
        """Wait while `look` gives (True, False). Who is to stop does not come back: all is saved from main memory.

        Where main memory has no room the training goes on; who `must` wait does that with the weights on the card.
        """
        if any(is_shard(parameter) for group in self._groups() for parameter in group["params"]):
            return self._stay(step, "The training keeps the card: its model is spread over several.")
        try:
            parked = self.leave()
        except MemoryError as error:
            if must:
                free_card()
                return self._wait_for(step, look, meanwhile, [])
            return self._stay(step, f"The training keeps the card: its weights find no room in main memory. {error}")
        return self._wait_for(step, look, meanwhile, parked)

    def _stay(self, step: int, message: str) -> bool:
        """Say why the card is kept."""
        self._refused = self.control().park
        self.emit({"type": "not_parked", "step": step, "park": self._refused, "message": message})
        return False

    def _wait_for(
        self, step: int, look: Callable[[], tuple[bool, bool]], meanwhile: Callable[[], None], parked: list[Parked]
    ) -> bool:
        answered: tuple[int, int] | None = None
        waits, stops = look()
        while waits and not stops:
            control = self.control()
            if control.is_off_the_card and (control.park, control.pauses) != answered:
                answered = (control.park, control.pauses)
                told = {"park": control.park, "paused": control.paused, "pauses": control.pauses}
                self.emit({"type": "parked", "step": step, **told})
            meanwhile()
            time.sleep(_LOOK_SECONDS)
            waits, stops = look()
        if not stops:
            self._come_back(parked)
        self.emit({"type": "unparked", "step": step})
        return stops

    def leave(self) -> list[Parked]:
        """Move everything to main memory; returns what to give to `come_back`. Raises MemoryError when it does not fit there:
        then everything is where it was."""
        began = time.perf_counter()
        self.before_leaving()
        trained = {id(parameter) for group in self._groups() for parameter in group["params"]}
        weights = [place for place in places(self.modules) if is_on_card(place.tensor)]
        frozen = [place for place in weights if trained and place.entry is None and id(place.owner) not in trained]
        kept = {id(place) for place in frozen}
        changing = Parked([*(place for place in weights if id(place) not in kept), *self._states()])
        changing.copy()
        before, self._frozen = self._frozen, None
        try:
            self._frozen = copied_once(before, frozen)
        except MemoryError:
            changing.memory.free()
            raise
        parked = [self._frozen, changing]
        for one in parked:
            one.leave()
        free_card()
        if weights:  # without a card there is nothing to leave
            logger.info("the card is left after %.2f s", time.perf_counter() - began)
        return parked

    def come_back(self, parked: list[Parked]) -> None:
        """Undo `leave`. Raises what torch raises when the card is too full; everything is in main memory then."""
        try:
            for one in parked:
                one.come_back()
        except RuntimeError:
            for one in parked:
                one.leave()
            raise
        for one in parked:
            if one is not self._frozen:
                one.memory.free()

    def _come_back(self, parked: list[Parked]) -> None:
        """Come back, however long somebody else fills the card."""
        said = False
        while True:
            try:
                return self.come_back(parked)
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.control().stop:
                    raise
            free_card()
            if not said:
                self.emit({"type": "warning", "message": "The card is still full of somebody else's: waiting to go on."})
            said = True
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups if self.optimizer is not None else []

    def _states(self) -> list[Place]:
        """What else changes: the optimizer's state, and the others."""
        states = list(self.optimizer.state.values()) if self.optimizer is not None else []
        found = [Place(mapping, key) for mapping in [*states, *self.others] for key in mapping]
        return [place for place in found if isinstance(place.tensor, torch.Tensor) and is_on_card(place.tensor)]
