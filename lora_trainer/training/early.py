"""What a training will need in a moment, begun beside what it does first: importing takes seconds, and so does a slow disk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from ..log import logger

_PIECE = 8 << 20
_SHARE = 0.5  # of the free main memory that the file may take there


def read_file(path: str | None) -> threading.Thread | None:
    """Let the system read the base model's file into its cache by the time it is loaded, as far as there is memory for it.

    Nobody waits for it, and nothing depends on it; None where there is no such file.
    """
    try:
        file = Path(path or "").expanduser()
        if not path or not file.is_file() or file.stat().st_size > _SHARE * psutil.virtual_memory().available:
            return None
    except OSError:
        return None
    return _beside(lambda: _read(file), "read-ahead")


def import_models() -> threading.Thread:
    """Import what the base model is made of, while the pictures are looked at. A failure is told by who needs it.

    To be joined before anything is imported of these packages: they put another module in their place at the end, and who
    asked meanwhile gets the first one, which is empty.
    """
    from ..models import packages  # itself brings torch: not when this file is imported

    return _beside(packages.bring, "import-ahead")


def _read(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        while opened.read(_PIECE):
            pass


def _beside(work: Callable[[], object], name: str) -> threading.Thread:
    def carefully() -> None:
        try:
            work()
        except Exception as error:  # whoever needs it meets the same error, and says it
            logger.debug("%s: %s", name, error)

    thread = threading.Thread(target=carefully, name=name, daemon=True)
    thread.start()
    return thread
