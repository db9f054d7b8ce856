"""Steps that were done to data sets, each with what every file held before and after. SQLite; see store_schema.py.

A step is written down as a whole before the first file is touched. Its `state`:

    doing, undoing, redoing   files are being changed. Found so when a data set is opened, its program was ended in the middle:
                              every file is put back to what it was before the step
    done, undone              as it says
    dropped                   undone, and then something else was done: there is no way back to it, but the texts stay
    kept                      texts that somebody else had written and that were overwritten on demand
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from .store import Store, stored

DOING, UNDOING, REDOING, DONE, UNDONE, DROPPED, KEPT = "doing", "undoing", "redoing", "done", "undone", "dropped", "kept"
TEXT, FILE, STARS, LEFT_OUT = "text", "file", "stars", "left_out"  # kinds of changes
_MINE = f"{os.getpid()}"


class Change(NamedTuple):
    """One file of a step, or one mark. `before` and `after`: of a text the bytes of the file, None for no file; of a file where
    it lies while it is not in its place (Kept of trash.py); of a mark its value."""

    image: int
    folder: int
    file: str
    kind: str
    before: bytes | None
    after: bytes | None


class Step(NamedTuple):
    id: int
    time: float
    edit: dict[str, Any]
    state: str
    changed: int
    owner: str


class History:
    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, edit: Mapping[str, Any], changes: list[Change], state: str) -> int:
        """Write a step down; returns its number. All of it is on the disk then."""
        with self._store.transaction() as db:
            values = (time.time(), json.dumps(edit), state, len({change.image for change in changes}), _MINE)
            step = db.execute("INSERT INTO steps (time, edit, state, changed, owner) VALUES (?, ?, ?, ?, ?)", values).lastrowid
            assert step is not None
            folders = {change.folder for change in changes}
            db.executemany("INSERT INTO step_folders VALUES (?, ?)", ((step, folder) for folder in folders))
            db.executemany(
                "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (step, place, one.image, one.folder, stored(one.file), one.kind, one.before, one.after)
                    for place, one in enumerate(changes)
                ),
            )
            if state == DONE:
                self._drop_undone(db, step)
            return step

    def is_known(self, edit: Mapping[str, Any]) -> bool:
        """Whether there is a step of just this edit."""
        return bool(self._store.read("SELECT 1 FROM steps WHERE edit = ? LIMIT 1", json.dumps(edit)))

    def enter(self, step: int, state: str) -> None:
        """Say what is being done to a step."""
        with self._store.transaction() as db:
            db.execute("UPDATE steps SET state = ?, owner = ? WHERE id = ?", (state, _MINE, step))

    def finish(self, step: int, state: str, marks: Iterable[tuple[str, int, bytes | None]] = ()) -> None:
        """Say that it is done; `marks` are (kind, image, value) that come with it. A new step ends what could be redone."""
        with self._store.transaction() as db:
            for kind, image, value in marks:
                assert kind in (STARS, LEFT_OUT)
                db.execute(f"UPDATE images SET {kind} = ? WHERE id = ?", (int(value or b"0"), image))  # noqa: S608
            if state == DONE:
                (was,) = db.execute("SELECT state FROM steps WHERE id = ?", (step,)).fetchone()
                if was == DOING:
                    self._drop_undone(db, step)
            db.execute("UPDATE steps SET state = ? WHERE id = ?", (state, step))

    def _drop_undone(self, db: sqlite3.Connection, step: int) -> None:
        """End what could be redone in the folders of a new step."""
        db.execute(
            """UPDATE steps SET state = 'dropped' WHERE state = 'undone' AND id IN (
                SELECT step FROM step_folders WHERE folder IN (SELECT folder FROM step_folders WHERE step = ?))""",
            (step,),
        )

    def forget(self, step: int) -> None:
        """Take out a step of which nothing was done."""
        with self._store.transaction() as db:
            for table, column in (("steps", "id"), ("step_folders", "step"), ("changes", "step")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (step,))  # noqa: S608

    def changes(self, step: int) -> list[Change]:
        rows = self._store.read("SELECT * FROM changes WHERE step = ? ORDER BY place", step)
        return [
            Change(row["image"], row["folder"], os.fsdecode(row["file"]), row["kind"], row["before"], row["after"])
            for row in rows
        ]

    # -- which steps are a data set's: those that touched none but its folders ------------------------------------------

    def steps(self, folders: Collection[int], states: Collection[str], limit: int = 200) -> list[Step]:
        """The newest steps within `folders` (ids) that are in one of `states`."""
        inside, wanted = json.dumps(sorted(folders)), json.dumps(sorted(states))
        rows = self._store.read(
            """SELECT * FROM steps WHERE state IN (SELECT value FROM json_each(?2))
                AND id IN (SELECT step FROM step_folders WHERE folder IN (SELECT value FROM json_each(?1)))
                AND id NOT IN (SELECT step FROM step_folders WHERE folder NOT IN (SELECT value FROM json_each(?1)))
            ORDER BY id DESC LIMIT ?3""",
            inside,
            wanted,
            limit,
        )
        return [_step(row) for row in rows]

    def step(self, number: int) -> Step | None:
        rows = self._store.read("SELECT * FROM steps WHERE id = ?", number)
        return _step(rows[0]) if rows else None

    def to_undo(self, folders: Collection[int]) -> Step | None:
        return next(iter(self.steps(folders, [DONE], 1)), None)

    def to_redo(self, folders: Collection[int]) -> Step | None:
        """The step that was undone last."""
        undone = self.steps(folders, [UNDONE], 10_000)
        return undone[-1] if undone else None

    def unfinished(self, folders: Collection[int]) -> list[Step]:
        """Steps that an ended program left in the middle, the newest first."""
        return [step for step in self.steps(folders, [DOING, UNDOING, REDOING]) if not _is_at_work(step)]

    def of_image(self, image: int, limit: int = 200) -> list[tuple[Step, Change]]:
        """What was done to one picture, the newest first."""
        rows = self._store.read(
            """SELECT steps.*, file, kind, before, after, folder FROM changes JOIN steps ON steps.id = changes.step
                WHERE image = ? AND state NOT IN ('doing', 'undoing', 'redoing') ORDER BY steps.id DESC LIMIT ?""",
            image,
            limit,
        )
        return [
            (_step(row), Change(image, row["folder"], os.fsdecode(row["file"]), row["kind"], row["before"], row["after"]))
            for row in rows
        ]


def _step(row: Any) -> Step:
    return Step(row["id"], row["time"], json.loads(row["edit"]), row["state"], row["changed"], row["owner"])


def _is_at_work(step: Step) -> bool:
    """Whether another program of this machine is at it; what this program does it holds a lock for."""
    if os.name != "posix" or step.owner == _MINE or time.time() - step.time > 3600:  # a number is used again after a while
        return False
    try:
        os.kill(int(step.owner), 0)
    except (OSError, ValueError):
        return False
    return True
