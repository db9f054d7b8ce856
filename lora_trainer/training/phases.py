"""Telling what a training is doing before its first step, and how far it is with that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Emit = Callable[[Mapping[str, Any]], object]
_SECONDS_BETWEEN_PHASES = 0.5


def phase(emit: Emit, name: str) -> Callable[..., None]:
    """Say that `name` begins; the result, called with (..., done, total), says now and then how far it is."""
    emit({"type": "phase", "name": name, "done": 0, "total": 0})
    said = time.monotonic()

    def progress(*place: Any) -> None:
        nonlocal said
        done, total = place[-2:]
        if time.monotonic() - said >= _SECONDS_BETWEEN_PHASES:
            said = time.monotonic()
            emit({"type": "phase", "name": name, "done": done, "total": total})

    return progress


@contextmanager
def aside(emit: Emit, name: str) -> Iterator[None]:
    """Say that `name` is done for a moment, and then that what went on before goes on. The log tells what comes of it alone."""
    emit({"type": "phase", "name": name, "done": 0, "total": 0, "aside": True})
    try:
        yield
    finally:
        emit({"type": "phase", "name": "", "done": 0, "total": 0, "aside": True})
