"""The one logger. Everything that is printed goes through it, to stderr."""

from __future__ import annotations

import logging
import sys

logger = logging.getLogger("lora_trainer")


def setup(level: str = "INFO", file: str | None = None, *, simple: bool = False) -> None:
    """Send the log to stderr, or to `file` (appended) when it is given. Calling it again replaces the handlers.

    `simple` leaves time and level away.
    """
    handler: logging.Handler
    handler = logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    line = "%(message)s" if simple else "%(asctime)s %(levelname)-7s %(message)s"
    handler.setFormatter(logging.Formatter(line, "%H:%M:%S"))
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
