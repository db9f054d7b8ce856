"""What is kept of data sets beyond the files themselves, in one SQLite file: ids, sizes, stars, and the history of changes.

Names of files are stored as bytes: they need not be Unicode. The connection is shared by threads under one lock.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StoreError
from .model import Folder, Picture, Stamp
from .store_schema import SCHEMA, TABLES


class Known(NamedTuple):
    """What the store knows of one picture."""

    id: int
    stamp: Stamp | None  # of the file when it was looked at
    size: tuple[int, int] | None
    problem: str
    stars: int
    left_out: bool


def stored(name: str | Path) -> bytes:
    return os.fsencode(name)


class Store:
    """Raises StoreError when the file is damaged, newer than this program, or cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")  # the history is what a file is put back from
                self._make()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        with self.lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing of it."""
        with self.lock, self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already, and is what is to be told
                    self._db.execute("ROLLBACK")
                raise

    def read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self.lock, self._explained():
            return self._db.execute(query, values).fetchall()

    # -- sets and folders -----------------------------------------------------------------------------------------------

    def folder_id(self, path: Path) -> int:
        found = self.read("SELECT id FROM folders WHERE path = ?", stored(path))
        if found:
            return int(found[0][0])
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (stored(path),))
            return int(db.execute("SELECT id FROM folders WHERE path = ?", (stored(path),)).fetchone()[0])

    def remember_set(self, set_id: str, folders: list[Path], ending: str) -> None:
        paths = json.dumps([str(path) for path in folders])  # in ASCII, half characters too
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO sets VALUES (?, ?, ?, ?)", (set_id, paths, ending, time.time()))

    def sets(self, set_id: str | None = None) -> list[tuple[str, list[Path], str, float]]:
        """(id, folders, ending, opened) of the sets that were opened, the newest first; of one alone."""
        rows = self.read("SELECT * FROM sets WHERE ?1 IS NULL OR id = ?1 ORDER BY opened DESC LIMIT 200", set_id)
        return [(row["id"], [Path(text) for text in json.loads(row["folders"])], row["ending"], row["opened"]) for row in rows]

    def move_folder(self, old: int, new: int) -> None:
        """Let the pictures of one folder, with their marks and history, be those of another that holds the same files."""
        with self.transaction() as db:
            db.execute("DELETE FROM images WHERE folder = ?", (new,))
            db.execute("UPDATE OR IGNORE step_folders SET folder = ? WHERE folder = ?", (new, old))
            for table in ("images", "changes"):
                db.execute(f"UPDATE {table} SET folder = ? WHERE folder = ?", (new, old))  # noqa: S608

    # -- pictures -------------------------------------------------------------------------------------------------------

    def known(self, folder: Folder) -> dict[str, Known]:
        """What is known of the pictures of a folder, by name."""
        found = {}
        for row in self.read("SELECT * FROM images WHERE folder = ?", folder.id):
            stamp = Stamp(row["bytes"], row["mtime_ns"]) if row["bytes"] is not None else None
            size = (row["width"], row["height"]) if row["width"] else None
            found[os.fsdecode(row["name"])] = Known(row["id"], stamp, size, row["problem"], row["stars"], bool(row["left_out"]))
        return found

    def left_out(self, path: Path) -> list[str]:
        """The names of the pictures of the folder at the real `path` that are left out, in order."""
        query = "SELECT name FROM images WHERE left_out AND folder = (SELECT id FROM folders WHERE path = ?) ORDER BY name"
        return [os.fsdecode(row["name"]) for row in self.read(query, stored(path))]

    def add(self, folder: Folder, names: Iterable[str]) -> None:
        """Give ids to new pictures."""
        with self.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO images (folder, name) VALUES (?, ?)", ((folder.id, stored(name)) for name in names)
            )

    def remember_looks(self, pictures: Iterable[Picture]) -> None:
        """Keep the sizes of pictures that were looked at."""
        rows = ((*picture.stamp, *(picture.size or (None, None)), picture.problem, picture.id) for picture in pictures)
        with self.transaction() as db:
            db.executemany("UPDATE images SET bytes = ?, mtime_ns = ?, width = ?, height = ?, problem = ? WHERE id = ?", rows)

    def _make(self) -> None:
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict).replace("\n", " "))
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA:
            raise StoreError(
                f"The store of data sets was written by a newer version (schema {found}; this version knows {SCHEMA}).",
                advice="Update LoRA Trainer.",
            )
        if found < SCHEMA:
            self._db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"The store of data sets {self.path} cannot be used: {error}.",
                advice="Free some disk space, or see whether another program has the file. Captions were not changed.",
            ) from error
