"""`python -m lora_trainer standby`: a process that has imported everything, and waits to be the worker of a run (runs.standby)
or to measure a draft.

It is in every other respect the process that it becomes: the same command line but for its name, the same environment, its
output in the log of that. It asks nothing of the card before.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from ..importing import undisturbed
from ..runs.standby import READY, SHORT, TAKEN
from . import worker

_LEFT_FREE = 2 << 30  # bytes of main memory that others shall find, with one that waits
_NEEDS = 1 << 30  # more than importing takes, where nothing is imported yet
_LOOK_SECONDS = 10.0


def main(argv: Sequence[str]) -> int:
    """Wait for a command and do it; return its exit code, 0 when the host wanted none. `argv` is empty. Raises what it does."""
    answer = _Answers()
    if not _is_room(_LEFT_FREE + _NEEDS):
        answer(SHORT)
        return 0
    _bring()
    answer(f"{READY} {psutil.Process().memory_full_info().uss}")
    has_run = threading.Event()
    threading.Thread(target=_watch, args=(has_run, answer), name="memory", daemon=True).start()
    line = sys.stdin.readline()
    has_run.set()
    if not line.strip():
        return 0
    answer(TAKEN)
    answer.close()
    order = json.loads(line)
    become(order)
    name, *words = order["words"]
    if name == "rehearse":
        from .rehearsal import command as rehearsal  # brings torch, which is there by now

        return rehearsal.main(words)
    return worker.main(words)


def become(order: Mapping[str, Any]) -> None:
    """Be the process of that command: its log, its environment, its command line, nothing to read."""
    os.environ.update(order["environment"])
    sys.argv[1:] = order["words"]
    sys.stdout.flush()
    sys.stderr.flush()
    as_it_is = getattr(os, "O_BINARY", 0)  # Windows': line ends are written as they are
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | as_it_is, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.close(log)
    os.close(nothing)


class _Answers:
    """What is said to the host, a line each. What packages print goes to the log from here on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: int | None = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def __call__(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):  # a host that has gone: so will we
            if self._own is not None:
                os.write(self._own, f"{line}\n".encode())

    def close(self) -> None:
        with self._lock:
            if self._own is not None:
                os.close(self._own)
                self._own = None


def _bring() -> None:
    with undisturbed():
        from ..models import packages
        from . import train as _train  # noqa: F401
        from .rehearsal import command as _command  # noqa: F401

        packages.bring()


def _is_room(needed: int) -> bool:
    return psutil.virtual_memory().available >= needed


def _watch(has_run: threading.Event, answer: _Answers) -> None:
    """Say once when main memory is short. The host decides: it may have handed over a run a moment ago."""
    while not has_run.wait(_LOOK_SECONDS):
        if not _is_room(_LEFT_FREE):
            answer(SHORT)
            return
