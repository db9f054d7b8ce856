"""The one logger. Everything that is printed goes through it, to stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .paths import user_path

logger = logging.getLogger("lora_trainer")


def setup(level: str = "INFO", file: str | None = None, *, simple: bool = False) -> None:
    """Send the log to stderr, or to `file` (appended; its folder is made) when given. Called again it replaces the handlers.

    `simple` leaves time and level away.
    """
    handler: logging.Handler
    handler = _appending(user_path(file)) if file else logging.StreamHandler(sys.stderr)
    line = "%(message)s" if simple else "%(asctime)s %(levelname)-7s %(message)s"
    handler.setFormatter(logging.Formatter(line, "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _appending(file: Path) -> logging.Handler:
    file.parent.mkdir(parents=True, exist_ok=True)
    return logging.FileHandler(file, encoding="utf-8")


def progress_lines(every: float = 1.0) -> Callable[[int, int], None]:
    """A function for (done, total) that logs `12 / 264`, at most once in `every` seconds and not before that."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            logger.info("%d / %d", done, total)

    return tell
