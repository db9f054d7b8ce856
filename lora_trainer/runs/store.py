"""The run store: one SQLite file for runs and their queue. Only one host writes it; any number may look.

Which one is the row in `owner`: a process (id and start mark, so that a reused id is not taken for it) on a machine,
with a heartbeat. A second host takes over when that process has ended (or, on another machine, has been silent for a minute).
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .migrations import migrate
from .process import is_alive, start_mark

QUEUED, RUNNING, STOPPING = "queued", "running", "stopping"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
ACTIVE = (RUNNING, STOPPING)
ENDED = (FINISHED, STOPPED, FAILED)
_SILENT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A row of the store. Times are seconds since 1970. What happens inside a run stands in its folder."""

    id: str
    name: str
    state: str
    place: float
    created: float
    started: float | None
    ended: float | None
    stop_asked: float | None
    message: str
    advice: str
    result: str

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


class Store:
    """Opening it makes the file, brings the schema up to date and claims it. Thread-safe; every call is short.

    Raises StoreError when the file is damaged, newer than this program, or its folder cannot be written.
    """

    def __init__(self, path: Path, *, program: str = "LoRA Trainer") -> None:
        self.path = path
        self._program = program
        self._token = uuid.uuid4().hex
        self._lock = threading.RLock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))
                migrate(self._db)
            except BaseException:
                self._db.close()
                raise
        self.claim()

    # -- who writes ---------------------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Become the writer, or renew the heartbeat when we are; False when another living host is."""
        with self._transaction():
            row = self._db.execute("SELECT * FROM owner").fetchone()
            if row is not None and row["token"] != self._token and _lives(row):
                return False
            pid = os.getpid()
            self._db.execute(
                "INSERT OR REPLACE INTO owner VALUES (1, ?, ?, ?, ?, ?, ?)",
                (self._token, pid, start_mark(pid) or "", socket.gethostname(), self._program, time.time()),
            )
            return True

    def release(self) -> None:
        """Let another host take over at once."""
        with self._transaction():
            self._db.execute("DELETE FROM owner WHERE token = ?", (self._token,))

    def other_owner(self) -> str:
        """Who else writes this store, in words, or "" when we do (or nobody does)."""
        row = self._one("SELECT * FROM owner")
        if row is None or row["token"] == self._token:
            return ""
        return f"{row['program']}, process {row['pid']} on {row['machine']}"

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- looking ------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run | None:
        row = self._one("SELECT * FROM runs WHERE id = ?", run_id)
        return None if row is None else _run(row)

    def runs(self, *states: str, limit: int = 1000) -> list[Run]:
        """Newest first; only those in `states` when any is given."""
        where = f"WHERE state IN ({','.join('?' * len(states))})" if states else ""
        return [
            _run(row)
            for row in self._all(f"SELECT * FROM runs {where} ORDER BY created DESC, rowid DESC LIMIT ?", *states, limit)
        ]

    def queue(self) -> list[Run]:
        """The waiting runs, next one first."""
        return [_run(row) for row in self._all("SELECT * FROM runs WHERE state = 'queued' ORDER BY place, rowid")]

    def active(self) -> Run | None:
        """The run that has (or is about to get) the card."""
        row = self._one("SELECT * FROM runs WHERE state IN ('running', 'stopping') ORDER BY started LIMIT 1")
        return None if row is None else _run(row)

    # -- writing ------------------------------------------------------------------------------------------------

    def add(self, run_id: str, name: str) -> Run:
        """Queue a run behind the others."""
        now = time.time()
        with self._writing():
            self._db.execute(
                "INSERT INTO runs (id, name, state, place, created) "
                "SELECT ?, ?, 'queued', coalesce(max(place), 0) + 1, ? FROM runs",
                (run_id, name, now),
            )
        run = self.get(run_id)
        assert run is not None
        return run

    def queue_again(self, run_id: str) -> bool:
        """Queue a run that has ended behind the others; what it came to stays noted. Returns whether it had ended."""
        with self._writing():
            cursor = self._db.execute(
                "UPDATE runs SET state = 'queued', place = (SELECT max(place) + 1 FROM runs), started = NULL, ended = NULL, "
                "stop_asked = NULL, message = '', advice = '' WHERE id = ? AND state IN ('finished', 'stopped', 'failed')",
                (run_id,),
            )
            return cursor.rowcount == 1

    def change(self, run_id: str, *, only_from: tuple[str, ...] = (), **columns: Any) -> bool:
        """Set columns of a run; with `only_from` only when its state is one of these. Returns whether it was changed."""
        assert columns.keys() <= set(Run.__dataclass_fields__) - {"id"}, columns
        assignments = ", ".join(f"{column} = ?" for column in columns)
        guard = f" AND state IN ({','.join('?' * len(only_from))})" if only_from else ""
        with self._writing():
            cursor = self._db.execute(
                f"UPDATE runs SET {assignments} WHERE id = ?{guard}", (*columns.values(), run_id, *only_from)
            )
            return cursor.rowcount == 1

    def move(self, run_id: str, position: int) -> bool:
        """Give a waiting run another position in the queue: 1 is next, one beyond the end is the last.

        Returns whether it was done: a run that does not wait (any more) has no position.
        """
        with self._writing():
            waiting = self._db.execute("SELECT id, place FROM runs WHERE state = 'queued' ORDER BY place, rowid").fetchall()
            order = [row["id"] for row in waiting if row["id"] != run_id]
            if len(order) == len(waiting):
                return False
            order.insert(min(max(0, position - 1), len(order)), run_id)
            first = waiting[0]["place"]
            places = [(first + index, waiting_id) for index, waiting_id in enumerate(order)]
            self._db.executemany("UPDATE runs SET place = ? WHERE id = ?", places)
            return True

    def remove(self, run_id: str) -> None:
        with self._writing():
            self._db.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def must_write(self) -> None:
        """Raises StoreError when another host writes this store."""
        with self._writing():
            pass

    # -- inside -------------------------------------------------------------------------------------------------

    def _one(self, statement: str, *values: Any) -> sqlite3.Row | None:
        rows = self._all(statement, *values)
        return rows[0] if rows else None

    def _all(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, self._explained():
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already, and is what is to be told
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._transaction():
            row = self._db.execute("SELECT * FROM owner").fetchone()
            if row is None or row["token"] != self._token:
                who = f"{row['program']}, process {row['pid']} on {row['machine']}" if row else "nobody"
                raise StoreError(
                    f"The run store {self.path} is written by another program ({who}); from here it can only be looked at.",
                    advice="Use that program's page, or end it: this one takes over by itself then.",
                )
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"The run store {self.path} cannot be used: {error}.",
                advice="See that its folder can be written, that the disk is not full and that no other program locks it.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The run store {self.path} is damaged: {error}.",
                advice="Move it, with its -wal and -shm files, and start again: the runs are found by their folders.",
            ) from error
        except OSError as error:
            raise StoreError(f"The run store {self.path} cannot be made: {error}.", advice="Choose another folder.") from error


def _lives(owner: sqlite3.Row) -> bool:
    if owner["machine"] == socket.gethostname():
        return is_alive(owner["pid"], owner["mark"])
    return bool(time.time() - owner["heartbeat"] < _SILENT_SECONDS)


def _run(row: sqlite3.Row) -> Run:
    return Run(**dict(row))
