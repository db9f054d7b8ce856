"""Large packages are imported without a search for garbage among what they make. Standard library only.

torch, transformers and diffusers make about a million objects that stay, and Python's collector walks through all of them
again and again meanwhile: a fifth of the time that it takes to import them (`benchmarks/start.py`).
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGES = 50  # modules: who brought fewer has made little
_lock = threading.Lock()
_importing = 0  # how many do, in all threads
_before = (0, False)  # modules that were there when the first of them began, and whether the collector was at work


@contextmanager
def undisturbed() -> Iterator[None]:
    """Import within: the collector rests, in all threads, and does not look at what was brought ever after.

    For processes of ours alone: what is garbage at its end, in circles that only the collector finds, stays for good. Where
    next to nothing was imported, nothing does.
    """
    _begin()
    try:
        yield
    finally:
        _end()


def _begin() -> None:
    global _importing, _before
    with _lock:
        if not _importing:
            _before = len(sys.modules), gc.isenabled()
            gc.disable()
        _importing += 1


def _end() -> None:
    global _importing
    with _lock:
        _importing -= 1
        modules, was_enabled = _before
        if not _importing and was_enabled:
            if len(sys.modules) > modules + _PACKAGES:
                gc.freeze()
            gc.enable()
