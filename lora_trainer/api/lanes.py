"""Threads for what waits on a disk, in lanes: what hangs in one lane holds up none of the others, and its own not for long.

Not the event loop's threads, nor the Web UI's (its 40 are taken when many generations wait), nor those of concurrent.futures,
which a program waits for when it ends: a drive that never answers would keep it from ending.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ..log import logger
from .answers import Refusal

Result = TypeVar("Result")
_BETWEEN_LOOKS = 0.5  # seconds


class _Job:
    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.done: Future[Any] = Future()
        self.began: float | None = None
        self.is_slow = False

    def work(self) -> None:
        if not self.done.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        try:
            self.done.set_result(self.call())
        except BaseException as error:
            self.done.set_exception(error)


class Lane:
    """Calls in threads, `size` at a time.

    A call that takes longer than `place_seconds` loses its place to the next one, though it goes on; `most` bounds how many
    such calls there may be, further ones are refused then. Thread-safe; usable from any event loop.
    """

    def __init__(self, name: str, *, size: int, place_seconds: float = 20.0, most: int = 48) -> None:
        self.name = name
        self._size = size
        self._place_seconds = place_seconds
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._at_work: list[_Job] = []
        self._slow = 0

    async def run(self, function: Callable[..., Result], *arguments: Any, limit: float | None) -> Result:
        """The result of the call. Raises what it raises, and Refusal (503) when it takes longer than `limit` seconds (it goes
        on then, so this is for what changes nothing), or when too many calls hang."""
        job = self.start(partial(function, *arguments))
        answer: asyncio.Future[Result] = asyncio.wrap_future(job.done)
        began = time.monotonic()
        while True:
            done, _ = await asyncio.wait({answer}, timeout=min(_BETWEEN_LOOKS, limit or _BETWEEN_LOOKS))
            if done:
                return answer.result()
            self._make_room()
            if limit is not None and time.monotonic() - began > limit:
                answer.cancel()  # a call that has not begun never does
                raise _hangs(f"It took longer than {limit:.0f} seconds to look at the files.")

    def start(self, call: Callable[[], Any]) -> _Job:
        """Begin a call that nobody waits for, or whose `done` is waited for. Raises Refusal when too many calls hang."""
        job = _Job(call)
        self._make_room()
        with self._lock:
            if self._slow >= self._most:
                raise _hangs("Too many files that were asked for do not answer.")
            self._waiting.append(job)
            self._fill()
        return job

    def close(self) -> None:
        """Begin nothing more. What is at work goes on, and keeps no program from ending."""
        with self._lock:
            self._waiting.clear()

    def _fill(self) -> None:
        """Give free places to those that wait. The lock is held."""
        while self._waiting and len(self._at_work) < self._size:
            job = self._waiting.popleft()
            job.began = time.monotonic()
            self._at_work.append(job)
            threading.Thread(target=self._work, args=(job,), name=f"lora-trainer {self.name}", daemon=True).start()

    def _work(self, job: _Job) -> None:
        job.work()
        with self._lock:
            if job.is_slow:
                self._slow -= 1
            else:
                self._at_work.remove(job)
            self._fill()

    def _make_room(self) -> None:
        """Take the places of calls that take too long."""
        now = time.monotonic()
        with self._lock:
            for job in [job for job in self._at_work if now - (job.began or now) > self._place_seconds]:
                if self._slow >= self._most:
                    return
                logger.warning("looking at files takes long (%s): a drive may hang; others are answered meanwhile", self.name)
                job.is_slow = True
                self._slow += 1
                self._at_work.remove(job)
            self._fill()


def _hangs(what: str) -> Refusal:
    advice = "See whether a drive hangs (a network folder, a disk that sleeps) and try again; a training is not touched by it."
    return Refusal(503, what, advice=advice)
