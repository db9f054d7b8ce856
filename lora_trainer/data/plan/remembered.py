"""What was found out about a file, kept until it changes: looking at the same data set again costs one stat a file."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
Stamp = tuple[int, int, int]  # size, time of change in ns, inode: while they stay, a file is taken to be the same
_SETTLED = 2.0  # seconds; FAT counts time in these


def stamp(path: str) -> Stamp:
    """What tells of a file whether it was changed. Raises OSError where there is none."""
    stat = os.stat(path)  # noqa: PTH116 - the hot loop of large data sets
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def is_settled(found: Stamp) -> bool:
    """Whether another change of a file with this stamp would surely give another: it was changed a while ago, so that the two
    cannot fall into one tick of the file system's clock."""
    return time.time() - found[1] / 1e9 > _SETTLED


class Remembered(Generic[T]):
    """Remembers what `read` said of a file by its path and stamp. Thread-safe; the oldest are forgotten.

    What two ask at the same time is read once.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self._known: OrderedDict[tuple[str, Stamp, Hashable], T] = OrderedDict()
        self._being_read: dict[tuple[str, Stamp, Hashable], Future[T]] = {}
        self._capacity = capacity
        self._lock = Lock()

    def of(self, path: str, read: Callable[[int], T], about: Hashable = None) -> T:
        """What `read(size in bytes)` says of the file; from memory where it is as it was. Raises OSError where it is gone.

        What `read` raises is raised, and not remembered. `about` tells apart what is asked of the same file.
        """
        seen = stamp(path)
        key = (path, seen, about)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            other = self._being_read.get(key)
            mine: Future[T] = self._being_read.setdefault(key, Future())
        if other is not None:
            return other.result()
        try:
            found = read(seen[0])
            self.learn(path, seen, found, about)
            mine.set_result(found)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._being_read[key]
        return found

    def learn(self, path: str, seen: Stamp, found: T, about: Hashable = None) -> None:
        """Take it from a record that the file was known to be `found` when its stamp was `seen`."""
        with self._lock:
            self._known[path, seen, about] = found
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)

    def known(self, path: str, about: Hashable = None) -> T | None:
        """What `of` would answer from memory; None where it would have to read. Raises OSError where the file is gone."""
        return self.get(path, stamp(path), about)

    def get(self, path: str, seen: Stamp, about: Hashable = None) -> T | None:
        """What is remembered of the file `path` as it was when its stamp was `seen`; None where nothing is."""
        with self._lock:
            return self._known.get((path, seen, about))

    def knows(self, path: str, about: Hashable = None) -> bool:
        """Whether `of` would answer from memory. Raises OSError where the file is gone."""
        key = (path, stamp(path), about)
        with self._lock:
            return key in self._known
