"""What was found out about a file, kept until it changes: looking at the same data set again costs one stat a file."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Remembers what `read` said of a file by its path, size and time of change. Thread-safe; the oldest are forgotten."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._known: OrderedDict[tuple[str, int, int, Hashable], T] = OrderedDict()
        self._capacity = capacity
        self._lock = Lock()

    def of(self, path: str, read: Callable[[int], T], about: Hashable = None) -> T:
        """What `read(size in bytes)` says of the file; from memory where it is as it was. Raises OSError where it is gone.

        What `read` raises is raised, and not remembered. `about` tells apart what is asked of the same file.
        """
        key = self._key(path, about)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        found = read(key[1])
        with self._lock:
            self._known[key] = found
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        return found

    def knows(self, path: str, about: Hashable = None) -> bool:
        """Whether `of` would answer from memory. Raises OSError where the file is gone."""
        with self._lock:
            return self._key(path, about) in self._known

    @staticmethod
    def _key(path: str, about: Hashable) -> tuple[str, int, int, Hashable]:
        stat = os.stat(path)  # noqa: PTH116 - the hot loop of large data sets
        return path, stat.st_size, stat.st_mtime_ns, about
