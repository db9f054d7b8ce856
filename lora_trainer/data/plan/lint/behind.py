"""Looking at pictures behind the questions of a page: what a question had no time for is known when it is asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ....log import logger

_AT_ONCE = 48  # files between two looks whether anybody still wants it
_PATIENCE = 15.0  # seconds after the last question; the page asks every few seconds while something is left
Step = Callable[[Sequence[str]], object]


class Behind:
    """One thread, which does each of `steps` with all files that were asked for, before the next one. It ends when all is done,
    and when nobody has asked for a while: who has left, or wants other files, is not waited for."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._wanted: dict[tuple[str, ...], float] = {}  # files -> when they were asked for last
        self._is_at_work = False

    def want(self, paths: Sequence[str]) -> None:
        """Somebody asks for these files, and will ask again."""
        with self._lock:
            self._wanted[tuple(paths)] = time.monotonic()
            if self._is_at_work:
                return
            self._is_at_work = True
        threading.Thread(target=self._work, name="lora-trainer data set", daemon=True).start()

    def _work(self) -> None:
        while paths := self._next():
            try:
                for step, some in self._portions(paths):
                    step(some)
            except Exception:
                logger.exception("pictures could not all be looked at")

    def _next(self) -> tuple[str, ...] | None:
        """What was asked for first and is still wanted; None ends the thread."""
        with self._lock:
            now = time.monotonic()
            self._wanted = {paths: asked for paths, asked in self._wanted.items() if now - asked < _PATIENCE}
            paths = next(iter(self._wanted), None)
            if paths is not None:
                del self._wanted[paths]  # asked for again meanwhile, it is gone through again, which costs next to nothing
            self._is_at_work = paths is not None
            return paths

    def _portions(self, paths: tuple[str, ...]) -> Iterator[tuple[Step, Sequence[str]]]:
        last = time.monotonic()
        for step in self._steps:
            for start in range(0, len(paths), _AT_ONCE):
                with self._lock:
                    last = max(last, self._wanted.get(paths, 0.0))
                    if time.monotonic() - last > _PATIENCE:
                        return
                yield step, paths[start : start + _AT_ONCE]
