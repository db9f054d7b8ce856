"""Saving training states: when, under which name, and which older ones go. A state that cannot be written costs a warning."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import SaveError
from ..foreign.reading import UnreadableError
from ..models.convert import Whole, all_here
from ..options.saving import SavingOptions
from ..paths import free_path
from ..runs import states
from .checkpoint import SavePlan
from .phases import Emit, aside
from .position import Position
from .saver import REPLACED
from .state import Pieces, writers

SHARE = 0.01  # of the time, that rolling states may take at most
_KEPT = 2  # rolling states


@dataclass
class StateSaver:
    """Writes the states of one training. Only the main process has one.

    `plan` names the LoRA files; a state beside one has its name and -state. `facts` are what every state tells, with the
    `session` that its files have. `minutes` is save_state_every_n_minutes; `whole` gives all of a tensor (state.writers).
    """

    plan: SavePlan
    pieces: Pieces
    facts: Mapping[str, Any]
    emit: Emit
    beside_files: bool = False
    beside_last: bool = False
    minutes: float | None = None
    whole: Whole = all_here
    clock: Callable[[], float] = time.monotonic
    _cost: float = 0.0  # seconds that the last state took
    _since: float = 0.0
    _rolling: list[Path] = field(default_factory=list)
    _tidy: bool = False

    @classmethod
    def of(
        cls,
        options: SavingOptions,
        plan: SavePlan,
        pieces: Pieces,
        facts: Mapping[str, Any],
        emit: Emit,
        whole: Whole,
    ) -> StateSaver | None:
        """What the options say; None when no state is ever saved."""
        last = options.save_state or options.save_state_on_train_end
        if not last and options.save_state_every_n_minutes is None:
            return None
        plan = replace(
            plan,
            last_steps=options.save_last_n_steps_state or plan.last_steps,
            last_epochs=options.save_last_n_epochs_state or plan.last_epochs,
        )
        return cls(plan, pieces, facts, emit, options.save_state, last, options.save_state_every_n_minutes, whole)

    @property
    def folder(self) -> Path:
        """Where the rolling states are."""
        return states.rolling_folder(self.plan.folder, self.plan.stem_of(self.plan.last))

    def begin(self, step: int) -> None:
        """The training begins after `step` steps: note which rolling states are its own, and say of another's."""
        self._since = self.clock()
        for folder in (self.folder, self.plan.folder):
            states.remove_halves(folder, self.plan.stem_of(self.plan.last))
        found = [info for info in map(self._look, states.states_in(self.folder)) if info]
        mine = [info for info in found if self._is_mine(info)]
        self._rolling = [info.path for info in reversed(mine) if info.step <= step][-_KEPT:]
        others = [info for info in found if not self._is_mine(info)]
        if others and self.minutes is not None:
            message = (
                f"{self.folder} holds states of an earlier training of this name, the newest after step {others[0].step}. "
                f"resume=latest goes on from it; when a state of this training is saved, they are moved to {self._replaced}."
            )
            self.emit({"type": "warning", "message": message})

    def after(self, step: int, position: Position, saved: Sequence[Path]) -> None:
        """Everything of `step` is done and `saved` was written at it: save the states that are due."""
        beside = [self._write(self._beside(path), step, position) for path in saved] if self.beside_files else []
        for path, is_written in zip(saved, beside, strict=False):
            if is_written:
                self._remove_outdated(path, step, position.epoch)
        if not any(beside) and self.is_due(at_save=bool(saved)):
            self._write_rolling(step, position)

    def at_end(self, step: int, position: Position, *, done: bool) -> None:
        """The training has ended, after its last step when `done`: save what it can go on from."""
        if self.beside_last:
            self._write(self._beside(self.plan.last), step, position)
        elif self.minutes is not None and not done:
            self._write_rolling(step, position)

    def rescue(self, step: int, position: Position) -> None:
        """Something went wrong after `step` was whole: save what it can go on from."""
        if step and self.minutes is not None:
            self._write_rolling(step, position)

    def remove_rolling(self) -> None:
        """The training is finished: nobody needs its rolling states any more."""
        for info in filter(None, map(self._look, states.states_in(self.folder))):
            if self._is_mine(info):
                self._remove(info.path)
        for folder in (self.folder, self.folder.parent):
            with contextlib.suppress(OSError):  # another training's states are in it
                folder.rmdir()

    # ---- which ones --------------------------------------------------------------------------------------------------
    def is_due(self, *, at_save: bool = False) -> bool:
        """Whether it is time for a rolling state, sooner at a step at which a file was saved, too."""
        if self.minutes is None:
            return False
        wait = self._cost / SHARE
        return self.clock() - self._since >= (wait if at_save else max(wait, self.minutes * 60))

    def _beside(self, file: Path) -> Path:
        return self.plan.folder / f"{self.plan.stem_of(file)}{states.SUFFIX}"

    def _remove_outdated(self, file: Path, step: int, epoch: int) -> None:
        outdated = None
        if file == self.plan.at_step(step) and self.plan.saves_step(step):
            outdated = self.plan.outdated_by_step(step)
        elif file == self.plan.at_epoch(epoch):
            outdated = self.plan.outdated_by_epoch(epoch)
        info = self._look(self._beside(outdated)) if outdated else None
        if info and self._is_mine(info):
            self._remove(info.path)

    @property
    def _replaced(self) -> Path:
        return self.plan.folder / REPLACED

    def _is_mine(self, info: states.StateInfo) -> bool:
        return info.table("session").get("id") == self.facts["session"]["id"]

    @staticmethod
    def _look(folder: Path) -> states.StateInfo | None:
        try:
            return states.read_manifest(folder)
        except UnreadableError:
            return None

    # ---- writing -----------------------------------------------------------------------------------------------------
    def _write_rolling(self, step: int, position: Position) -> None:
        if not self._tidy:
            self._move_others()
        if self._write(self.folder / f"step{step:08d}{states.SUFFIX}", step, position, rolling=True):
            path = self.folder / f"step{step:08d}{states.SUFFIX}"
            self._rolling = [*(one for one in self._rolling if one != path), path][-_KEPT:]
            for other in states.states_in(self.folder):
                if other not in self._rolling:
                    self._remove(other)

    def _move_others(self) -> None:
        """Put an earlier training's rolling states away, where `begin` said."""
        self._tidy = True
        for info in filter(None, map(self._look, states.states_in(self.folder))):
            if not self._is_mine(info):
                self._put_away(info.path)

    def _write(self, target: Path, step: int, position: Position, *, rolling: bool = False) -> bool:
        """Write one state; whether it is there. One that is there already, whole and of this very step, stays."""
        began = self.clock()
        try:
            if target.exists() and not self._is_written(target, step, position):
                self._make_room(target)
            if not target.exists():
                about = {**self.facts, "step": step, "epoch": position.epoch, "batch": position.batch, "rolling": rolling}
                with aside(self.emit, "saving the training state"):
                    states.write_state(target, writers(self.pieces, self.whole), about)
        except SaveError as error:
            self.emit({"type": "warning", "message": f"{error} Training goes on.", "step": step})
            return False
        finally:
            self._since = self.clock()
        self._cost = self._since - began
        self.emit({"type": "state", "path": str(target), "step": step, "epoch": position.epoch, "rolling": rolling})
        return True

    def _is_written(self, target: Path, step: int, position: Position) -> bool:
        try:
            info = states.read_state(target)
        except UnreadableError:
            return False
        return self._is_mine(info) and (info.step, info.epoch, info.batch) == (step, *position)

    def _make_room(self, target: Path) -> None:
        info = self._look(target)
        if info is None or self._is_mine(info):
            self._remove(target)
        else:
            self._put_away(target)

    def _put_away(self, folder: Path) -> None:
        """Move an earlier training's state to where its files go, too."""
        try:
            self._replaced.mkdir(parents=True, exist_ok=True)
            name = folder.name if folder.parent == self.plan.folder else f"{self.plan.stem_of(self.plan.last)}-{folder.name}"
            shutil.move(folder, free_path(self._replaced / name))
        except OSError as error:
            raise SaveError(
                f"{folder} is there from an earlier training and could not be moved away: {error.strerror or error}.",
                advice="Move it yourself, or give another output_name.",
            ) from error

    def _remove(self, folder: Path) -> None:
        try:
            states.remove_state(folder)
        except OSError as error:
            self.emit({"type": "warning", "message": f"{folder} could not be removed: {error.strerror or error}."})
