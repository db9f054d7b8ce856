"""The store's schema, as numbered changes. Each is applied once, in its own transaction, and recorded.

A change that was released is never edited: add another one.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from ..errors import StoreError


def _first_tables(db: sqlite3.Connection) -> None:
    db.execute(
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'stopping', 'finished', 'stopped', 'failed')),
            place REAL NOT NULL,           -- order in the queue: the smallest is next
            created REAL NOT NULL,         -- times in seconds since 1970
            started REAL,
            ended REAL,
            stop_asked REAL,
            message TEXT NOT NULL DEFAULT '',
            advice TEXT NOT NULL DEFAULT '',
            result TEXT NOT NULL DEFAULT ''  -- path of the file in the LoRA folder
        )"""
    )
    db.execute("CREATE INDEX runs_by_state ON runs (state, place)")
    db.execute(
        """CREATE TABLE owner (           -- the one host that writes; one row at most
            one INTEGER PRIMARY KEY CHECK (one = 1),
            token TEXT NOT NULL,
            pid INTEGER NOT NULL,
            mark TEXT NOT NULL,
            machine TEXT NOT NULL,
            program TEXT NOT NULL,
            heartbeat REAL NOT NULL
        )"""
    )


MIGRATIONS: list[tuple[int, str, Callable[[sqlite3.Connection], None]]] = [(1, "runs and the owner", _first_tables)]


def migrate(db: sqlite3.Connection) -> None:
    """Bring the schema up to date. Raises StoreError when a newer version of the program wrote the file."""
    db.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied REAL NOT NULL)")
    newest = max(number for number, _, _ in MIGRATIONS)
    for number, name, change in MIGRATIONS:
        db.execute("BEGIN IMMEDIATE")
        try:
            (found,) = db.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
            if found > newest:
                raise StoreError(
                    f"The run store was written by a newer version (schema {found}; this version knows {newest}).",
                    advice="Update LoRA Trainer.",
                )
            if found < number:
                change(db)
                db.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number, name, time.time()))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk has ended it already, and is what is to be told
                db.execute("ROLLBACK")
            raise
