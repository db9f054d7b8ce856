"""A worker made before it is needed: it has imported what a training needs, and waits to be told what it does.

`python -m lora_trainer standby` is started while somebody fills in the form of a training (`wanted`), at most one, when no run
is at work. It trains the next run, or measures its draft before (runs.rehearsals). It holds main memory (it says how much) and
nothing of the card. It is ended after some minutes in which nobody wanted it, when main memory gets short (it looks, and says
so), and with its host: its input, by which it gets its run, is closed then.

It is told by one line of JSON, and answers by lines: READY and its bytes, SHORT, TAKEN. Who cannot have one starts a worker as
ever.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from ..log import logger
from . import worker
from .folder import RunFolder, WorkerProcess

READY, SHORT, TAKEN = "ready", "short", "taken"
_ANSWER_SECONDS = 5.0  # for it to take its run; one that was killed a moment ago does not
IDLE_SECONDS = 600.0  # a form that nobody has touched for so long is left alone
_LAST_SECONDS = 20.0  # for it to end
_SHORT_SECONDS = 600.0  # until main memory is tried again


class _Waiting:
    """One process that waits, and what it has said."""

    def __init__(self, host: worker.WorkerHost, log: Path) -> None:
        self.made_for = made_for(host)
        words, environment = self.made_for
        log.unlink(missing_ok=True)
        self.child = worker.popen(words, log=log, env=environment, is_spoken_to=True)
        self.process = worker.known(self.child)
        self.bytes: int | None = None  # of main memory, once it is ready
        self.is_short = False
        self._has_taken, self._has_answered = False, threading.Event()  # to its run
        self.ended = 0.0  # when it was told to
        self.listener = threading.Thread(target=self._listen, name="lora-trainer standby", daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), _output(self.child) as told:
            for line in told:
                word, _, number = line.decode("utf-8", "replace").strip().partition(" ")
                if word == READY:
                    self.bytes = int(number)
                    logger.info("a process is ready for the next training; it holds %.0f MB of main memory", self.bytes / 1e6)
                self.is_short |= word == SHORT
                if word == TAKEN:
                    self._has_taken = True
                    self._has_answered.set()
        self._has_answered.set()  # with its end, too

    def is_alive(self) -> bool:
        """Whether it runs; one that does not has been heard to its last word."""
        alive = worker.is_alive(self.process)
        if not alive:
            self.listener.join(timeout=2.0)
        return alive

    def hears(self, order: Mapping[str, object]) -> bool:
        """Say what it is to do, and hear that it does; False where it does not listen any more, and will do nothing."""
        assert self.child.stdin is not None
        try:
            with self.child.stdin as its_input:
                its_input.write((json.dumps(order) + "\n").encode())
        except OSError:
            return False
        self._has_answered.wait(_ANSWER_SECONDS)
        has_taken = self._has_taken
        if not has_taken:
            self.child.kill()
        return has_taken

    def end(self) -> None:
        """Let it end: it reads the end of its input. One that is still importing is ended."""
        with contextlib.suppress(OSError):
            assert self.child.stdin is not None
            self.child.stdin.close()
        if self.bytes is None:
            self.child.kill()
        self.ended = time.monotonic()

    def has_gone(self) -> bool:
        """Whether one that was told to end has; one that does not is killed."""
        if self.is_alive():
            if time.monotonic() - self.ended > _LAST_SECONDS:
                self.child.kill()
            return False
        return True


class Standby:
    """Keeps at most one. `is_allowed()` says whether the host wants that at all; `log` is where its output goes until it has a
    run. Thread-safe; `tick` and `start` are the supervisor's."""

    def __init__(
        self,
        host: worker.WorkerHost,
        log: Path,
        *,
        is_allowed: Callable[[], bool] = lambda: False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._host, self._log, self._is_allowed, self._idle = host, log, is_allowed, idle_seconds
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None
        self._ending: list[_Waiting] = []
        self._wanted_until = 0.0
        self._not_before = 0.0

    def wanted(self) -> None:
        """Somebody is about to train."""
        self._wanted_until = time.monotonic() + self._idle

    def tick(self, *, is_free: bool) -> None:
        """Make one where it is wanted and nothing is trained (`is_free`), and end it where it is not."""
        now = time.monotonic()
        is_wanted = is_free and now < self._wanted_until and self._is_allowed()
        with self._lock:
            self._ending = [one for one in self._ending if not one.has_gone()]
            waiting = self._waiting
            if waiting is None:
                if is_wanted and now >= self._not_before:
                    self._make()
                return
            alive = waiting.is_alive()
            if waiting.is_short:
                self._not_before = now + _SHORT_SECONDS
                logger.info("main memory is short: no process is kept ready for the next training")
                self._drop()
            elif not alive:
                self._not_before = float("inf")  # a worker meets the same trouble, and its run says it
                self._drop()
            elif not is_wanted:
                self._drop()

    def start(self, folder: RunFolder, keys: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start the worker of a run, with `keys` in its environment, and note it in the run's folder."""
        process = self.spawn("worker", str(folder.path), log=folder.log, keys=keys)
        folder.note_worker(process)
        return process

    def spawn(self, *words: str, log: Path, keys: Mapping[str, str] | None = None) -> WorkerProcess:
        """Start one of our commands: `worker` or `rehearse`, by the process that is ready where there is one.

        Its output is appended to `log`. Raises HostError when it cannot be started.
        """
        keys = dict(keys or {})
        with self._lock:
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                is_fit = waiting.bytes is not None and waiting.is_alive() and waiting.made_for == made_for(self._host)
                if is_fit and waiting.hears({"words": words, "log": str(log), "environment": keys}):
                    return waiting.process
                self._end(waiting)
        return worker.spawn(worker.command(self._host, *words), log=log, env={**worker.environment(self._host), **keys})

    def process(self) -> int | None:
        """The id of the process that is ready, or will be in a moment."""
        with self._lock:
            return self._waiting.process.pid if self._waiting else None

    def bytes(self) -> int | None:
        """The main memory that the process which is ready holds; None where none is."""
        with self._lock:
            return self._waiting.bytes if self._waiting else None

    def end(self) -> None:
        """End it: the host ends, or somebody else has the store."""
        with self._lock:
            self._drop()

    def _make(self) -> None:
        try:
            self._waiting = _Waiting(self._host, self._log)
        except Exception as error:
            self._not_before = float("inf")
            logger.debug("no process can be kept ready: %s", error)

    def _drop(self) -> None:
        if self._waiting is not None:
            self._end(self._waiting)
            self._waiting = None

    def _end(self, waiting: _Waiting) -> None:
        waiting.end()
        self._ending.append(waiting)


def made_for(host: worker.WorkerHost) -> tuple[list[str], dict[str, str]]:
    """The command line and the whole environment of one that the host would start now."""
    return worker.command(host, "standby"), worker.environment(host)


def _output(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout is not None
    return child.stdout
