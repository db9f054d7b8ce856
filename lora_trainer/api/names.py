"""Names of results between being chosen and standing in the store, so that two runs that are sent at once do not share one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Names:
    """Held without letter case, for file systems that know none. Nothing waits here: looking at a data set takes long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[str] = set()

    def held(self) -> set[str]:
        with self._lock:
            return set(self._held)

    @contextmanager
    def holder(self) -> Iterator[Holder]:
        """What the holder holds is free again at the end."""
        holder = Holder(self)
        try:
            yield holder
        finally:
            with self._lock:
                self._held -= holder.names

    def take(self, name: str) -> bool:
        """Whether nobody had the name: then it is held now."""
        with self._lock:
            if name.casefold() in self._held:
                return False
            self._held.add(name.casefold())
            return True


class Holder:
    """One submission, and the names that it holds."""

    def __init__(self, names: Names) -> None:
        self._all = names
        self.names: set[str] = set()

    def take(self, name: str) -> bool:
        """See Names.take."""
        if not self._all.take(name):
            return False
        self.names.add(name.casefold())
        return True
