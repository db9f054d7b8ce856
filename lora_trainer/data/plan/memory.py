"""What was found in a folder, remembered until one of its files changes: a check while one types reads no caption again."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from .folder import FoundImage
from .model import Finding

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

Read = Callable[[list[Finding]], list[FoundImage]]
_Stamp = frozenset[tuple[str, int, int]]


class FolderMemory:
    """Keeps the images and findings of the folders that were read last. Thread-safe."""

    def __init__(self, kept: int = 8) -> None:
        self._kept = kept
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, bool], tuple[_Stamp, list[FoundImage], list[Finding]]] = OrderedDict()

    def look(self, spec: SubsetSpec, verify: bool, read: Read, findings: list[Finding]) -> list[FoundImage]:
        """Return what `read` finds, from memory where the folder's files are as they were then."""
        # Before reading: what changes meanwhile is read again next time. A metadata file names images wherever they lie.
        stamp = None if spec.metadata_file or not spec.image_dir else _stamp(spec.image_dir)
        if stamp is None:
            return read(findings)
        key = (repr(replace(spec, num_repeats=1)), verify)  # repeats say nothing about the files
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(key)
                findings += known[2]
                return known[1]
        found: list[Finding] = []
        images = read(found)
        findings += found
        if any(image.is_unread for image in images):  # more will be known next time
            return images
        with self._lock:
            self._known[key] = (stamp, images, found)
            self._known.move_to_end(key)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        return images


def _stamp(folder: Path) -> _Stamp | None:
    """(name, size, time of change) of everything in a folder; None where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(_mark(entry) for entry in entries)
    except OSError:
        return None


def _mark(entry: os.DirEntry[str]) -> tuple[str, int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a link that leads nowhere
        return entry.name, -1, -1
    return entry.name, stat.st_size, stat.st_mtime_ns
