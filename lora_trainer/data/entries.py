"""Files of numbers that can be computed again: each says of what it was made, and whether it is whole.

A .safetensors file whose metadata hold `key` (JSON: everything that the numbers depend on), `checksum` of the numbers, and
what else its writer wants to remember.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors.torch import save

from ..errors import SaveError
from ..foreign.reading import UnreadableError, is_there
from ..foreign.tensors import open_weights
from ..paths import write_atomic
from .plan.cache_folders import ENDING, places, sweep, writable

Key = Mapping[str, Any]
_FORMAT = "1"
_LONGEST = 80  # bytes of a picture's name in the name of its entry


@dataclass(frozen=True)
class Entry:
    """What a file held: the key, what was remembered, shapes, and the tensors (none where the header alone was read)."""

    key: dict[str, Any]
    remembered: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    tensors: dict[str, torch.Tensor]


def digest_of(key: Key) -> str:
    """A short digest of a key, for names: 20 digits."""
    return hashlib.sha256(_text(key).encode()).hexdigest()[:20]


def file_name(name: str, key: Key) -> str:
    """The name of the entry of what is called `name`; names of any length and with any character."""
    shown = os.fsencode(name)[:_LONGEST].decode("utf-8", "ignore")
    return f"{shown}-{digest_of({'name': os.fsencode(name).hex(), **key})}{ENDING}"


def read(path: Path, *, numbers: bool = True) -> Entry:
    """Read an entry, or with `numbers=False` its header. Raises UnreadableError for a damaged one."""
    with open_weights(path, mapped=False) as weights:
        metadata, shapes = dict(weights.metadata), dict(weights.shapes)
        tensors = {name: weights.tensor(name) for name in weights.shapes} if numbers else {}
    try:
        key = json.loads(metadata.pop("key"))
    except (KeyError, ValueError, RecursionError) as error:
        raise UnreadableError("is damaged: it does not say of what it was made.") from error
    if metadata.pop("format", "") != _FORMAT or not isinstance(key, dict):
        raise UnreadableError("is damaged: it does not say of what it was made.")
    if numbers and metadata.get("checksum") != _checksum(tensors):
        raise UnreadableError("is damaged: its numbers are not those that were written.")
    return Entry(key, metadata, shapes, tensors)


def write(path: Path, key: Key, tensors: Mapping[str, torch.Tensor], remembered: Mapping[str, str]) -> None:
    """Write an entry, atomically. Raises SaveError."""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    metadata = {**remembered, "format": _FORMAT, "key": _text(key), "checksum": _checksum(whole)}
    data = save(whole, metadata)
    write_atomic(path, lambda file: file.write(data), lasting=False)


class Shelves:
    """The cache folders of a training: where an entry is looked for, and where it is written. Thread-safe.

    `full` is the error that ended the writing (no room on the disk), once there was one; `moved` are the folders whose
    caches lie in the user's own folder.
    """

    def __init__(self) -> None:
        self.full: SaveError | None = None
        self.told = False  # somebody was told of it
        self.moved: dict[Path, Path] = {}
        self._targets: dict[Path, Path | None] = {}
        self._lock = Lock()

    def find(self, folder: Path, name: str) -> Path | None:
        """The entry called `name` of the pictures in `folder`."""
        return next((place / name for place in places(folder) if is_there(place / name)), None)

    def put(
        self, folder: Path, name: str, key: Key, tensors: Mapping[str, torch.Tensor], remembered: Mapping[str, str]
    ) -> Path | None:
        """Write an entry; None when there is no place for it."""
        place = self._target(folder)
        if place is None or self.full:
            return None
        try:
            write(place / name, key, tensors, remembered)
        except SaveError as error:
            self.full = error
            return None
        return place / name

    def _target(self, folder: Path) -> Path | None:
        with self._lock:
            if folder not in self._targets:
                place = self._targets[folder] = writable(folder)
                if place is not None:
                    sweep(place)
                if place != places(folder)[0]:
                    self.moved[folder] = place or folder
            return self._targets[folder]


def _text(key: Key) -> str:
    return json.dumps(key, sort_keys=True, separators=(",", ":"))


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        flat = tensors[name].contiguous().reshape(-1)
        total = zlib.crc32(memoryview(flat.view(torch.uint8).numpy()), zlib.crc32(name.encode(), total))
    return f"{total:08x}"
