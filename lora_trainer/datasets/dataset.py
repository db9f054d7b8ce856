"""A data set in memory: its pictures, what changed when, and the reading of its folders in the background."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.plan.files import ImageFacts
from ..log import logger
from .model import Caption, Folder, Learned, Picture, Training
from .scan import Files, Look, Seen, changed_names, folder_time, list_files, look_at, told
from .store import Known, Store
from .wholeness import Wholeness

_AT_ONCE = 200  # pictures that a request reads itself; more are read in the background
_LOOK_AGAIN = 15.0  # seconds after which files are looked at that were written in place, which their folder does not tell
_SHARE = 20  # such a look may take a twentieth of the time between two
_MOST_GONE = 10_000  # remembered for those who poll


@dataclass(frozen=True)
class Progress:
    done: int
    total: int


class DataSet:
    """Folders of pictures. Thread-safe: `lock` is held while memory is read or changed, `disk` while files are."""

    def __init__(self, set_id: str, folders: list[Folder], ending: str, store: Store) -> None:
        self.id, self.folders, self.ending = set_id, folders, ending
        self.lock, self.disk = threading.RLock(), threading.Lock()
        self.pictures: dict[int, Picture] = {}
        self.progress: Progress | None = None
        self.version = self._first = int(time.time() * 1000)  # larger than any of an earlier program
        self._store = store
        self._added: dict[int, int] = {}
        self._gone: list[tuple[int, int]] = []  # (version, id)
        self._listed, self._cost, self._checked = 0.0, 0.0, 0.0
        self.is_closed = False
        self._wholeness = Wholeness(self)
        self.training: Training | None = None  # what the pictures were learned in last, see learning.py
        self.trainings_of_others: set[Training] = set()
        self.learning_checked = float("-inf")

    # -- reading the folders --------------------------------------------------------------------------------------------

    def refresh(self, *, every: float = 0.0, thorough: bool = False) -> None:
        """See whether the files are as they are known, and read those that are not; many of them in the background.

        A folder is listed when its own time of change has moved, and now and then. `every`: not sooner after the last look.
        `thorough`: list them all, for a caption that is written in its place leaves its folder's time as it was.
        """
        now = time.monotonic()
        if (every and now - self._checked < every) or not self.disk.acquire(blocking=False):
            return
        background = False
        try:
            self._checked = now
            overdue = thorough or now - self._listed > max(_LOOK_AGAIN, self._cost * _SHARE)
            stale = [one for one in self.folders if overdue or folder_time(one.path) != one.seen_ns]
            if not stale:
                return
            looks = [look for folder in stale for look in self._list(folder)]
            self._cost = time.monotonic() - now
            self._listed = time.monotonic()
            self.progress = Progress(0, len(looks)) if looks else None
            if len(looks) > _AT_ONCE:
                background = True
                threading.Thread(target=self._read_and_free, args=(looks,), name="lora-trainer data set", daemon=True).start()
            else:
                self._read(looks)
                self._wholeness.begin()
        finally:
            if not background:
                self.progress = None
                self.disk.release()

    def wait(self, seconds: float) -> bool:
        """Whether nothing is being read any more, after `seconds` at most."""
        got = self.disk.acquire(timeout=seconds)
        if got:
            self.disk.release()
        return got

    def close(self) -> None:
        self.is_closed = True

    def _read_and_free(self, looks: list[Look]) -> None:
        try:
            self._read(looks)
        except Exception:
            logger.exception("the pictures of %s could not all be read", self.folders[0].path)
        finally:
            self.progress = None
            self.disk.release()
            self._wholeness.begin()

    def _list(self, folder: Folder) -> list[Look]:
        """List one folder, forget what is gone, take in what is new, and tell what has to be read. `disk` is held."""
        seen_ns = folder_time(folder.path)  # before: what changes meanwhile is found next time
        try:
            files = list_files(folder.path, self.ending)
            problem = ""
        except OSError as error:
            files = None
            problem = f"The folder cannot be read: {error.strerror or error}."
        folder.seen_ns = seen_ns
        if files is None:
            with self.lock:
                self._problem(folder, problem)
            return []
        came, went = changed_names(folder.pictures, files.listing.images)
        known = self._known(folder, came) if came else {}
        with self.lock:
            self._problem(folder, "")
            self._forget(folder, went)
            for name in (name for name in files.listing.images if name in came):
                self._take_in(folder, name, known[name], files)
            if came:
                folder.pictures = dict(sorted(folder.pictures.items(), key=lambda item: natural(item[0])))
            return [look for one in folder.pictures.values() if (look := _look(folder, one, files)) is not None]

    def _problem(self, folder: Folder, problem: str) -> None:
        if problem != folder.problem:
            folder.problem = problem
            self.version += 1

    def _known(self, folder: Folder, names: Iterable[str]) -> dict[str, Known]:
        known = self._store.known(folder)
        if missing := [name for name in names if name not in known]:
            self._store.add(folder, sorted(missing))
            known = self._store.known(folder)
        return known

    def _take_in(self, folder: Folder, name: str, known: Known, files: Files) -> None:
        self.version += 1
        stamp = files.stamps[name]
        picture = Picture(known.id, self.folders.index(folder), name, stamp, stars=known.stars, left_out=known.left_out)
        if known.stamp == stamp and (known.size or known.problem):
            picture.size, picture.problem = known.size, known.problem
        if self.training is not None:
            picture.learned = Learned(None, None)
        picture.changed = self._added[picture.id] = self.version
        folder.pictures[name] = self.pictures[picture.id] = picture

    def _forget(self, folder: Folder, names: Iterable[str]) -> None:
        for name in names:
            self.version += 1
            picture = folder.pictures.pop(name)
            del self.pictures[picture.id]
            self._added.pop(picture.id, None)
            self._gone.append((self.version, picture.id))
        if len(self._gone) > _MOST_GONE:  # whoever asks for longer ago is told to ask for everything
            self._first = self._gone[-_MOST_GONE // 2][0]
            self._gone = self._gone[-_MOST_GONE // 2 :]

    def _read(self, looks: list[Look]) -> None:
        done = 0
        for seen in look_at(looks, lambda: self.is_closed):
            self.publish(seen)
            done += len(seen)
            self.progress = Progress(done, len(looks))

    def publish(self, seen: list[Seen]) -> None:
        """Take over what was read. `disk` is held."""
        looked = []
        with self.lock:
            for one in seen:
                picture = self.pictures.get(one.look.picture.id)
                if picture is None:
                    continue
                picture.looked_at = True
                if one.size is not None:
                    picture.stamp, picture.is_read_whole = one.look.stamp, False
                    picture.size, picture.problem = one.size
                    looked.append(picture)
                if one.caption is not None:
                    picture.caption = one.caption
                self.version += 1
                picture.changed = self.version
        if looked:
            self._store.remember_looks(looked)

    def unread(self) -> list[Picture]:
        """The pictures of which only the header was read."""
        with self.lock:
            return [one for one in self.pictures.values() if one.size is not None and not one.is_read_whole]

    def take_wholeness(self, pictures: Sequence[Picture], facts: Sequence[ImageFacts]) -> None:
        """Take over what was found when these pictures were read to their ends. What was changed meanwhile is left."""
        broken = []
        with self.lock:
            for picture, fact in zip(pictures, facts, strict=True):
                if self.pictures.get(picture.id) is not picture:
                    continue
                picture.is_read_whole = True
                if fact.problem and not picture.problem:
                    self.version += 1
                    picture.size, picture.problem, picture.changed = None, told(fact), self.version
                    broken.append(picture)
        if broken:
            self._store.remember_looks(broken)

    def reread(self, folder_ids: Iterable[int]) -> None:
        """Look at some folders again, now. `disk` is held."""
        wanted = set(folder_ids)
        self._read([look for folder in self.folders if folder.id in wanted for look in self._list(folder)])

    def take_from(self, other: DataSet) -> None:
        """Begin with what `other` knows of the same files, which lie elsewhere now."""
        with self.lock, other.lock:
            for folder, known in zip(self.folders, other.folders, strict=True):
                folder.pictures = dict(known.pictures)
            self.pictures, self.training = dict(other.pictures), other.training
            self._added = dict.fromkeys(self.pictures, self.version)

    def take_captions(self, captions: Mapping[int, Caption]) -> None:
        """Take over what was written into the caption files of pictures."""
        with self.lock:
            for number, caption in captions.items():
                if (picture := self.pictures.get(number)) is not None:
                    self.version += 1
                    picture.caption, picture.changed = caption, self.version

    # -- what others ask ------------------------------------------------------------------------------------------------

    def in_order(self) -> list[Picture]:
        """All pictures, by folder and name."""
        with self.lock:
            return [picture for folder in self.folders for picture in folder.pictures.values()]

    def path_of(self, picture: Picture) -> Path:
        return self.folders[picture.folder].path / picture.name

    def put(
        self, *, findings: dict[int, Iterable[str]] | None = None, learned: dict[int, Learned | None] | None = None
    ) -> None:
        """What was found about pictures, and how well each was learned; of those that are not named nothing is known."""
        with self.lock:
            for picture in self.pictures.values():
                found = frozenset(findings.get(picture.id, ())) if findings is not None else picture.findings
                known = learned.get(picture.id) if learned is not None else picture.learned
                if (found, known) != (picture.findings, picture.learned):
                    self.version += 1
                    picture.findings, picture.learned, picture.changed = found, known, self.version

    def mark(self, ids: Iterable[int], **values: Any) -> None:
        """Set `stars` or `left_out` of pictures, in memory."""
        with self.lock:
            for picture in (self.pictures[one] for one in ids if one in self.pictures):
                for name, value in values.items():
                    setattr(picture, name, value)
                self.version += 1
                picture.changed = self.version

    def changes(self, since: int) -> dict[str, Any]:
        """What is new after version `since`: {"version", "all", "changed", "added", "gone"}."""
        with self.lock:
            told: dict[str, Any] = {"version": self.version, "all": not self._first <= since <= self.version}
            if told["all"]:
                return told | {"changed": [], "added": [], "gone": []}
            new = {one for one, version in self._added.items() if version > since} if since < self.version else set()
            changed = [one.id for one in self.pictures.values() if one.changed > since and one.id not in new]
            gone = [one for version, one in self._gone if version > since and one not in self.pictures]
            return told | {"changed": changed, "added": sorted(new), "gone": gone}


def _look(folder: Folder, picture: Picture, files: Files) -> Look | None:
    """What has to be read of a picture that is known; None where nothing does."""
    stamp = files.stamps[picture.name]
    file = files.captions[picture.name]
    caption_stamp = files.stamps[file] if file else None
    needs_size = picture.stamp != stamp or not (picture.size or picture.problem)
    needs_caption = not picture.looked_at or (picture.caption.file, picture.caption.stamp) != (file, caption_stamp)
    if not needs_size and not needs_caption:
        return None
    path = folder.path / file if file else None
    return Look(picture, folder.path / picture.name, stamp, needs_size, path, caption_stamp, needs_caption)


def natural(name: str) -> list[tuple[int, int | str]]:
    """The order of names in which `2.png` comes before `10.png`."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(part)) if part.isascii() and part.isdigit() and len(part) < 20 else (1, part) for part in parts] + [
        (1, name)
    ]
