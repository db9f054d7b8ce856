"""The data sets that are open, and those that were."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, NotYetError
from . import trash
from .adopting import adopt
from .changing import Changer, Force, Outcome
from .dataset import DataSet
from .edits import Edit
from .history import History
from .model import Folder
from .planning import concerned
from .store import Store, stored
from .suggest import TagLists

DONT = Force()
ENDINGS = (".txt", ".caption")  # which are looked for where none is named
_STORE = "datasets.db"
_MOST_OPEN = 4
_MOST_FOLDERS = 64
_PATIENCE = 5.0  # seconds that a change waits for what else is at the files
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
        self._writing = threading.Lock()  # one change at a time
        self._store: Store | None = None
        self.tag_lists = TagLists(folder / "tags")
        self._open: OrderedDict[str, DataSet] = OrderedDict()

    @property
    def store(self) -> Store:
        """Raises StoreError when it cannot be used."""
        with self._lock:
            if self._store is None:
                self._store = Store(self._folder / _STORE)
            return self._store

    @property
    def history(self) -> History:
        return History(self.store)

    def left_out(self, folder: str) -> list[str]:
        """The names of the pictures of a folder that are left out of the training."""
        if self._store is None and not (self._folder / _STORE).exists():
            return []  # nobody has opened a data set
        return self.store.left_out(Path(os.path.realpath(folder)))

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
        self._recover(dataset)
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
        self._recover(dataset)
        dataset.refresh()
        dataset.wait(_WAIT)
        return dataset

    # -- changing -------------------------------------------------------------------------------------------------------

    def edit(
        self,
        dataset: DataSet,
        edit: Edit,
        ids: Iterable[int],
        *,
        versions: Mapping[int, str] | None = None,
        force: Force = DONT,
    ) -> Outcome:
        """Do `edit` to the pictures `ids` as one step. See changing.Changer."""
        with self._changing(dataset) as changer:
            pictures = [dataset.pictures[one] for one in dict.fromkeys(ids) if one in dataset.pictures]
            pictures = concerned(edit, pictures)
            return changer.edit(dataset, edit, pictures, versions or {}, force)

    def undo(self, dataset: DataSet, force: Force = DONT) -> Outcome:
        """Put the newest step back."""
        with self._changing(dataset) as changer:
            return changer.undo(dataset, force)

    def redo(self, dataset: DataSet, force: Force = DONT) -> Outcome:
        """Do again what was undone last."""
        with self._changing(dataset) as changer:
            return changer.redo(dataset, force)

    def moved(self, dataset: DataSet, places: list[Path]) -> DataSet:
        """The data set when its folders' files lie at `places` now (copies): ids, marks and history go with them.

        With the places that it has it is the same one.
        """
        pairs = [(folder, path) for folder, path in zip(dataset.folders, places, strict=True) if folder.path != path]
        if not pairs:
            return dataset
        with self._lock:
            for folder, path in pairs:
                trash.carry(folder.path, path)
                self.store.move_folder(folder.id, self.store.folder_id(Path(os.path.realpath(path))))
            name = set_id(places)
            self.store.remember_set(name, places, dataset.ending)
            now = self._opened(name, places, dataset.ending)
            now.take_from(dataset)
            self._open.pop(dataset.id, None)
            return now

    def adopt(self, dataset: DataSet, has_ended: Callable[[str], bool] = lambda _: False) -> None:
        """Take what tools wrote into the captions meanwhile into the history. `has_ended` knows runs of tools by name."""
        if dataset.progress is None and self._writing.acquire(blocking=False):  # else another time
            try:
                adopt(dataset, self.history, has_ended)
            finally:
                self._writing.release()

    @contextmanager
    def _changing(self, dataset: DataSet) -> Iterator[Changer]:
        """One change at a time, of this data set and of others that share a folder with it."""
        if not dataset.disk.acquire(timeout=_PATIENCE):
            raise NotYetError("The pictures are still being read.", advice="Wait until that is done, and try again.")
        try:
            with self._writing:
                changer = Changer(self.history)
                changer.recover(dataset)
                yield changer
        finally:
            dataset.disk.release()

    def close(self) -> None:
        with self._lock:
            for dataset in self._open.values():
                dataset.close()
            self._open.clear()
            if self._store is not None:
                self._store.close()
                self._store = None

    def _recover(self, dataset: DataSet) -> None:
        """Put back what a program that was ended left half changed, before the files are read."""
        if dataset.disk.acquire(timeout=_PATIENCE):
            try:
                with self._writing:
                    Changer(self.history).recover(dataset)
            finally:
                dataset.disk.release()

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
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries]
        except OSError:
            continue
        for ending in ENDINGS:
            counts[ending] += sum(name.endswith(ending) for name in names)
    return max(ENDINGS, key=lambda ending: counts[ending])
