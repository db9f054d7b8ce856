"""Changing data sets: an edit as one step, undo, redo, and what is put back when a program was ended in the middle.

Each is done as a whole or not at all. First the step is written down with everything that the files held (history), then the
files are put in place (writing, trash), then the step is called done. Whoever calls holds `DataSet.disk`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, SaveError
from ..foreign.reading import UnreadableError, is_there, read_bytes
from ..log import logger
from . import trash, writing
from .dataset import DataSet
from .edits import Edit
from .file_edits import plan_files
from .history import DOING, DONE, DROPPED, FILE, KEPT, LEFT_OUT, REDOING, STARS, TEXT, UNDOING, UNDONE, Change, History, Step
from .model import NO_CAPTION, Picture, Stamp, caption_of
from .planning import CHANGED, Conflict, only, plan_texts
from .text import MAX_BYTES, text_or_none
from .trash import Kept
from .writing import Target


@dataclass
class Outcome:
    """What came of a change: the step (None where nothing was done), how many pictures it changed, what stood in the way."""

    step: int | None = None
    changed: int = 0
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass(frozen=True)
class Force:
    """What is done about conflicts: nothing at all is changed, or `skip`: all else is, or `overwrite`."""

    skip: bool = False
    overwrite: bool = False

    def stops(self, conflicts: list[Conflict]) -> bool:
        return bool(conflicts) and not self.skip and not self.overwrite


class Changer:
    def __init__(self, history: History) -> None:
        self.history = history

    def edit(self, dataset: DataSet, edit: Edit, pictures: list[Picture], versions: Mapping[int, str], force: Force) -> Outcome:
        """Do `edit` to `pictures`. Raises InputError, and SaveError (then nothing is changed)."""
        if edit.of in (STARS, LEFT_OUT):
            return self._mark(dataset, edit, pictures)
        if edit.of == "files":
            changes = plan_files(dataset, edit, pictures)
            return self._do(dataset, edit.to_json(), changes, [])
        if edit.kind == "caption":
            only(pictures)
        plan = plan_texts(dataset, edit, pictures, versions, force=force.overwrite)
        if force.stops(plan.conflicts):
            return Outcome(conflicts=plan.conflicts)
        changes = [
            Change(picture.id, dataset.folders[picture.folder].id, one.source.path.name, TEXT, one.source.data, one.after)
            for one in plan.changes
            for picture in one.source.pictures
        ]
        return self._do(dataset, edit.to_json(), changes, plan.conflicts)

    def _do(self, dataset: DataSet, told: Mapping[str, Any], changes: list[Change], conflicts: list[Conflict]) -> Outcome:
        if not changes:
            return Outcome(conflicts=conflicts)
        step = self.history.begin(told, changes, DOING)
        try:
            self._put(dataset, step, changes, forward=True)
        except SaveError:
            self._give_up(dataset, step, changes)
            raise
        self.history.finish(step, DONE)
        return Outcome(step, len({change.image for change in changes}), conflicts)

    def _mark(self, dataset: DataSet, edit: Edit, pictures: list[Picture]) -> Outcome:
        value = int(edit.values["count"] if edit.of == STARS else edit.values["on"])
        changes = []
        for one in pictures:
            old = int(one.stars if edit.of == STARS else one.left_out)
            if old != value:
                folder = dataset.folders[one.folder].id
                changes.append(Change(one.id, folder, one.name, edit.of, b"%d" % old, b"%d" % value))
        if not changes:
            return Outcome()
        step = self.history.begin(edit.to_json(), changes, DOING)
        self._set_marks(dataset, step, changes, DONE, forward=True)
        return Outcome(step, len(changes))

    # -- there and back -------------------------------------------------------------------------------------------------

    def undo(self, dataset: DataSet, force: Force) -> Outcome:
        """Put the files of the newest step back. Raises InputError when there is none, SaveError."""
        step = self.history.to_undo(_ids(dataset))
        if step is None:
            raise InputError("There is nothing to undo.")
        return self._go(dataset, step, force, forward=False)

    def redo(self, dataset: DataSet, force: Force) -> Outcome:
        """Do again what was undone last."""
        step = self.history.to_redo(_ids(dataset))
        if step is None:
            raise InputError("There is nothing to redo.")
        return self._go(dataset, step, force, forward=True)

    def _go(self, dataset: DataSet, step: Step, force: Force, *, forward: bool) -> Outcome:
        changes = self.history.changes(step.id)
        end = DONE if forward else UNDONE
        if changes and changes[0].kind in (STARS, LEFT_OUT):
            self._set_marks(dataset, step.id, changes, end, forward=forward)
            return Outcome(step.id, len(changes))
        todo, odd = self._compare(dataset, changes, forward=forward)
        conflicts = [conflict for conflict, _, _ in odd]
        if force.stops(conflicts):
            return Outcome(conflicts=conflicts)
        if force.overwrite:
            kept = [Change(*change[:4], found, _side(change, forward)) for _, change, found in odd if change.kind == TEXT]
            if kept:
                self.history.begin({"kind": "kept"}, kept, KEPT)
            todo += [change for _, change, _ in odd if change.kind == TEXT]
        self.history.enter(step.id, REDOING if forward else UNDOING)
        try:
            self._put(dataset, step.id, todo, forward=forward)
        except SaveError:
            self.history.finish(step.id, UNDONE if forward else DONE)
            raise
        self.history.finish(step.id, end)
        return Outcome(step.id, len({change.image for change in todo}), conflicts)

    def _compare(
        self, dataset: DataSet, changes: Iterable[Change], *, forward: bool
    ) -> tuple[list[Change], list[tuple[Conflict, Change, bytes | None]]]:
        """(changes whose files are as the step left them, the others with what their files hold)."""
        todo, odd = [], []
        for change in changes:
            path = _path(dataset, change)
            here, there = _side(change, not forward), _side(change, forward)
            if change.kind == FILE:
                found: Any = trash.stamp_of(path)
                at_here, at_there = ((kept.stamp if (kept := Kept.of(one)) else None) for one in (here, there))
                is_here, is_there_already = found == at_here, found == at_there
                message = f"The file {change.file} was changed or replaced by somebody else."
            else:
                found = _bytes(path)
                is_here, is_there_already, message = found == here, found == there, CHANGED
            if is_here and not is_there_already:
                todo.append(change)
            elif not is_there_already:
                text = text_or_none(found) if change.kind == TEXT else None
                odd.append((Conflict(change.image, change.file, message, text), change, found))
        return todo, odd

    # -- an ended program -----------------------------------------------------------------------------------------------

    def recover(self, dataset: DataSet) -> None:
        """Put back the files of steps in whose middle a program was ended. What somebody changed since is left alone."""
        for step in self.history.unfinished(_ids(dataset)):
            if any(not is_there(folder.path) for folder in dataset.folders):
                continue  # a drive that is away: another time
            changes = self.history.changes(step.id)
            for folder in dataset.folders:
                writing.clean(folder.path, step.id)
            todo, odd = self._compare(dataset, changes, forward=False)
            lost = [change for _, change, found in odd if change.kind == TEXT and not found]  # cut off with the power
            try:
                self._put(dataset, step.id, [*todo, *lost], forward=False)
            except SaveError as error:
                logger.warning("what was being changed when the program was ended could not be put back: %s", error)
                continue
            self.history.finish(step.id, DROPPED if step.state == DOING else UNDONE)
            logger.info("%d pictures were put back: the program had been ended in the middle of a change", len(changes))

    def _give_up(self, dataset: DataSet, step: int, changes: list[Change]) -> None:
        """Forget a step that could not be done, unless some of its files could not be put back."""
        todo, odd = self._compare(dataset, changes, forward=False)
        if not todo and not odd:
            self.history.forget(step)

    # -- files ----------------------------------------------------------------------------------------------------------

    def _put(self, dataset: DataSet, step: int, changes: list[Change], *, forward: bool) -> None:
        """Give the files of `changes` what they have after the step (`forward`) or before it. Raises SaveError."""
        texts = [change for change in changes if change.kind == TEXT]
        targets: dict[Path, Target] = {}
        for change in texts:
            path = _path(dataset, change)
            targets[path] = Target(path, _side(change, not forward), _side(change, forward))
        stamps = dict(zip(targets, writing.write_all(list(targets.values()), step), strict=True))
        self._take_over(dataset, texts, stamps, forward=forward)
        files = [change for change in changes if change.kind == FILE]
        self._swap(dataset, files, forward=forward)
        if files:
            dataset.reread({change.folder for change in files})

    def _swap(self, dataset: DataSet, files: list[Change], *, forward: bool) -> None:
        done: list[Change] = []
        for change in files:
            path = _path(dataset, change)
            wanted, present = Kept.of(_side(change, forward)), Kept.of(_side(change, not forward))
            try:
                trash.swap(path.parent, change.file, wanted, present)
                done.append(change)
            except OSError as error:
                for one in reversed(done):
                    back, there = Kept.of(_side(one, not forward)), Kept.of(_side(one, forward))
                    with contextlib.suppress(OSError):  # the step stays in the middle then, and is put back another time
                        trash.swap(_path(dataset, one).parent, one.file, back, there)
                raise trash.refused(path, error) from error

    def _take_over(
        self, dataset: DataSet, changes: list[Change], stamps: Mapping[Path, Stamp | None], *, forward: bool
    ) -> None:
        """Tell the data set what its caption files hold now."""
        captions = {}
        for change in changes:
            data = _side(change, forward)
            stamp = stamps.get(_path(dataset, change))
            captions[change.image] = caption_of(change.file, stamp, data) if data is not None else NO_CAPTION
        dataset.take_captions(captions)

    def _set_marks(self, dataset: DataSet, step: int, changes: list[Change], state: str, *, forward: bool) -> None:
        marks = [(change.kind, change.image, _side(change, forward)) for change in changes]
        self.history.finish(step, state, marks)
        for kind, image, value in marks:
            dataset.mark([image], **{kind: bool(int(value or 0)) if kind == LEFT_OUT else int(value or 0)})


def _ids(dataset: DataSet) -> list[int]:
    return [folder.id for folder in dataset.folders]


def _path(dataset: DataSet, change: Change) -> Path:
    return next(folder.path for folder in dataset.folders if folder.id == change.folder) / change.file


def _side(change: Change, after: bool) -> bytes | None:
    return change.after if after else change.before


def _bytes(path: Path) -> bytes | None:
    try:
        return read_bytes(path, limit=4 * MAX_BYTES)
    except UnreadableError:
        return b"\0unreadable" if is_there(path) else None
