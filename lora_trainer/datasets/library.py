"""The data sets that are open, and those that were."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from .dataset import DataSet
from .model import Folder
from .scan import list_files
from .store import Store, stored

ENDINGS = (".txt", ".caption")  # which are looked for where none is named
_MOST_OPEN = 4
_MOST_FOLDERS = 64
_WAIT = 1.0  # seconds that opening waits for the pictures to be read


def set_id(folders: Iterable[Path]) -> str:
    """The id of the data set of these folders, in whatever order and however they are named: links are followed."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(stored(os.path.realpath(path)) for path in folders):
        digest.update(path + b"\0")
    return digest.hexdigest()


class Library:
    """Opens data sets and remembers which; `store` is made in `folder` at the first need. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._open: OrderedDict[str, DataSet] = OrderedDict()

    @property
    def store(self) -> Store:
        """Raises StoreError when it cannot be used."""
        with self._lock:
            if self._store is None:
                self._store = Store(self._folder / "datasets.db")
            return self._store

    def open(self, paths: Iterable[Path], ending: str | None = None) -> DataSet:
        """The data set of these folders. Its pictures are listed at once, and read in the background.

        `ending` is that of the captions; left out, it is what it was, else what the folders have. Raises InputError for no
        folders, or too many, and StoreError.
        """
        folders = list({os.path.realpath(path): path.absolute() for path in paths}.values())
        if not folders:
            raise InputError("A data set needs a folder.", field="folders", advice="Name the folder with the pictures.")
        if len(folders) > _MOST_FOLDERS:
            raise InputError(f"There are {len(folders)} folders; a data set has at most {_MOST_FOLDERS}.", field="folders")
        name = set_id(folders)
        if ending is None:
            was = self.store.sets(name)
            ending = was[0][2] if was else _usual_ending(folders)
        ending = ending if ending.startswith(".") else f".{ending}"
        self.store.remember_set(name, folders, ending)
        dataset = self._opened(name, folders, ending)
        dataset.refresh()
        dataset.wait(_WAIT)
        return dataset

    def get(self, name: str) -> DataSet:
        """The data set with this id, opened again where it is not. Raises InputError when there is none."""
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
        found = self.store.sets(name)
        if not found:
            raise InputError(f"There is no data set {name!r}.", field="id", advice="Open its folders again.")
        dataset = self._opened(*found[0][:3])
        dataset.refresh()
        dataset.wait(_WAIT)
        return dataset

    def close(self) -> None:
        with self._lock:
            for dataset in self._open.values():
                dataset.close()
            self._open.clear()
            if self._store is not None:
                self._store.close()
                self._store = None

    def _opened(self, name: str, folders: list[Path], ending: str) -> DataSet:
        with self._lock:
            dataset = self._open.get(name)
            if dataset is None or dataset.ending != ending:
                made = [Folder(self.store.folder_id(Path(os.path.realpath(path))), path) for path in folders]
                dataset = self._open[name] = DataSet(name, made, ending, self.store)
            self._open.move_to_end(name)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            return dataset


def _usual_ending(folders: list[Path]) -> str:
    """The first of ENDINGS that most captions of the folders have."""
    counts = dict.fromkeys(ENDINGS, 0)
    for folder in folders:
        try:
            names = list_files(folder, ENDINGS[0]).stamps
        except OSError:
            continue
        for ending in ENDINGS:
            counts[ending] += sum(name.endswith(ending) for name in names)
    return max(ENDINGS, key=lambda ending: counts[ending])
