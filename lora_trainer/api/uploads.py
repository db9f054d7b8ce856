"""The folders of dropped images and captions: what came is put in its place, described, edited and deleted.

A folder that a run names is never changed any more, so that the run trains what was there when it was queued, can go on and
be done again. What is changed is a copy (hard links where the disk can) with an id of its own; the files go with the last run.
"""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.plan.caption_files import ENDINGS, CaptionFiles
from ..data.plan.files import FACTS, list_folder, masks_of
from ..foreign.reading import is_file, read_text
from ..paths import safe_name, write_text_atomic
from .answers import Refusal
from .images import unused_captions
from .receiving import PART, Arrivals
from .upload_names import CAPTIONS, Sent, arrange

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_NAMING = ("dataset.toml", "config.toml", "request.json")  # files of a run that name the folders of its images
_NEXT = ".next"  # in a folder that is edited in a copy by now: the copy's id
_FROM = ".from"  # in a copy: the ids of the uploads that it was made from, the latest first
_LEFT = ".left"  # in a folder that the page has left, and that is kept for runs alone


@dataclass
class Received:
    """What a request brought into an upload: names saved, and what was refused or kept otherwise than sent, with the reason."""

    upload_id: str
    saved: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    noted: list[dict[str, str]] = field(default_factory=list)


class Uploads:
    """The folders below `root`, one for each set of files; an id is the folder's name. `runs` holds the folders of the runs.

    `changing` is held while files are changed, and has to be while a run is queued.
    """

    def __init__(self, root: Path, runs: Path) -> None:
        self.root, self.runs = root, runs
        self._titles: dict[str, tuple[int, dict[str, Any]]] = {}  # each with its folder's time of change
        self.changing = threading.RLock()  # two requests must not choose the same free name

    def new(self) -> str:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self.root / name).mkdir(parents=True)
        return name

    def titles(self) -> dict[str, dict[str, Any]]:
        """What the uploads are known by, newest first: {id: {"first": name of the first image, "images": their number}}."""
        known, now = self._titles, {}
        with suppress(OSError), os.scandir(self.root) as entries:
            for entry in sorted(entries, key=lambda one: one.name, reverse=True):
                if _ID.fullmatch(entry.name):
                    stamp = entry.stat().st_mtime_ns
                    was, title = known.get(entry.name, (0, {}))
                    now[entry.name] = (stamp, title if was == stamp else _title(Path(entry.path)))
        self._titles = now
        return {name: title for name, (_, title) in now.items() if title}

    def is_id(self, text: str) -> bool:
        """Whether `text` has the form of an upload's id."""
        return _ID.fullmatch(text) is not None

    def folder(self, upload_id: str) -> Path:
        """Raises Refusal (404) when there is no such folder."""
        folder = self.root / upload_id
        if not _ID.fullmatch(upload_id) or not folder.is_dir():
            raise Refusal(404, f"There is no upload {upload_id!r}.", advice="Drop the files again.")
        return folder

    def place(self, upload_id: str, arrivals: Arrivals) -> Received:
        """Give what came whole its names in the folder; what was sent as a picture but is none is refused."""
        received = Received(upload_id, refused=list(arrivals.refused))
        readable = self._readable(arrivals.whole, received)
        try:
            with self.changing:
                folder = self._changeable(upload_id) if readable else self.folder(upload_id)

                def is_same(one: Sent, name: str) -> bool:
                    return filecmp.cmp(one.file, folder / name, shallow=False)

                there = [path.name for path in folder.iterdir() if not path.name.endswith(PART)]
                arranged = arrange(readable, there, is_same)
                for one, name in arranged.kept:
                    os.replace(one.file, folder / name)
                    FACTS.moved(str(one.file), str(folder / name))
        finally:
            for sent in arrivals.whole:
                sent.file.unlink(missing_ok=True)  # of what was refused
        received.upload_id = folder.name
        names = {one.file: name for one, name in arranged.kept}
        received.saved += dict.fromkeys(names[one.file] for one in readable if one.file in names)
        received.refused += arranged.refused
        received.noted += arranged.noted
        return received

    def _readable(self, whole: list[Sent], received: Received) -> list[Sent]:
        pictures = [one for one in whole if one.ending not in CAPTIONS]
        facts = FACTS.look_at(str(one.file) for one in pictures)
        bad = {one.file: fact for one, fact in zip(pictures, facts, strict=True) if fact.problem}
        for one in pictures:
            if one.file in bad:
                said = f"{bad[one.file].problem} {bad[one.file].advice}".strip()
                received.refused.append({"name": one.sent, "message": said})
        return [one for one in whole if one.file not in bad]

    def for_changing(self, folders: list[Path]) -> list[Path]:
        """`folders`, with each upload that a run names replaced by a copy of it, which is what is edited from then on
        (`newest`). `changing` is held.

        Raises Refusal: 507 when a copy cannot be written, 409 when there is one already: two would go different ways.
        """
        if any(self.newest(path) != path for path in folders):
            raise Refusal(
                409,
                "These pictures are edited in a copy by now: a run trains from them as they are here.",
                advice="Open the data set again; what was changed there is in it.",
            )
        made = [self._changeable(path.name) if self._is_ours(path) else path for path in folders]
        for path, copy in zip(folders, made, strict=True):
            if path != copy:
                write_text_atomic(path / _NEXT, copy.name)
        return made

    def newest(self, folder: Path) -> Path:
        """The copy in which an upload is edited by now; `folder` itself when there is none."""
        seen = set()
        while self._is_ours(folder) and folder not in seen and is_file(folder / _NEXT):
            seen.add(folder)
            name = read_text(folder / _NEXT).strip()
            if not _ID.fullmatch(name) or not (folder.parent / name).is_dir():
                break
            folder = folder.parent / name
        return folder

    def earlier(self, folder: Path) -> list[Path]:
        """The uploads that an upload is a copy of, the latest first; they may be gone by now."""
        if not self._is_ours(folder) or not is_file(folder / _FROM):
            return []
        return [folder.parent / name for name in read_text(folder / _FROM).split() if self.is_id(name)]

    def _is_ours(self, folder: Path) -> bool:
        return self.is_id(folder.name) and folder.resolve().parent == self.root.resolve()

    def _changeable(self, upload_id: str) -> Path:
        """The folder when no run names it, else a new one with the same pictures and captions. `changing` is held.

        Raises Refusal (507) when the copy cannot be written.
        """
        folder = self.folder(upload_id)
        if not self._is_used(upload_id):
            return folder
        listing = list_folder(folder)
        copy = self.root / self.new()
        try:
            for name in sorted(listing.names):
                if name in (*listing.images, *listing.masks) or name.lower().endswith(ENDINGS):
                    _link(folder / name, copy / name)
            write_text_atomic(copy / _FROM, "\n".join([upload_id, *(one.name for one in self.earlier(folder))]))
            (folder / _LEFT).touch()
        except OSError as error:
            shutil.rmtree(copy, ignore_errors=True)
            raise Refusal(507, f"The upload could not be written: {error.strerror}.", advice="Free some disk space.") from error
        return copy

    def id_of(self, folder: Path) -> str | None:
        """The id of the upload that `folder` is, or None."""
        return folder.name if folder.parent == self.root and _ID.fullmatch(folder.name) and folder.is_dir() else None

    def changeable(self, folder: Path) -> Path:
        """`folder`, or where it is an upload that a run names, a copy. Raises Refusal (507) when that cannot be written."""
        with self.changing:
            upload_id = self.id_of(folder)
            return self._changeable(upload_id) if upload_id else folder

    def check_changeable(self, folder: Path) -> None:
        """Raises Refusal (409) for an upload that a run names. `changing` is held."""
        upload_id = self.id_of(folder)
        if upload_id and self._is_used(upload_id):
            raise Refusal(409, "A run trains from these captions.", advice="Change them on the page: that makes a copy.")

    def _is_used(self, upload_id: str) -> bool:
        """Whether a run, in whatever state, names the folder; also where that cannot be read."""
        wanted = upload_id.encode()
        for path in (path for name in _NAMING for path in self.runs.glob(f"*/{name}")):
            try:
                if wanted in path.read_bytes():
                    return True
            except FileNotFoundError:  # deleted meanwhile
                continue
            except OSError:
                return True
        return False

    def summary(self, received: Received) -> dict[str, Any]:
        folder = self.folder(received.upload_id)
        listing = list_folder(folder)
        files = [CaptionFiles(listing, end) for end in CAPTIONS]
        lonely = [name for name in listing.images if not any(one.name_for(name) for one in files)]
        return {
            "id": received.upload_id,
            "folder": str(folder),
            "saved": received.saved,
            "refused": received.refused,
            "noted": received.noted,
            "images": len(listing.images),
            "captions": len(listing.images) - len(lonely),
            "without_caption": lonely,
            "unused": unused_captions(listing, CAPTIONS),
        }

    def set_caption(self, upload_id: str, name: str, caption: str, end: str, *, keep_lines: bool = False) -> str:
        """Write an image's caption: one line, or with `keep_lines` each line for itself. Blank, it is taken away.

        Returns the id of the upload that was changed.

        It goes into the file that is the image's caption already, whatever its exact name, unless others share it.
        Raises Refusal for an unknown image or ending.
        """
        if end not in ENDINGS:
            raise Refusal(400, f"A caption ends in {' or '.join(ENDINGS)}, not in {end!r}.")
        with self.changing:
            listing = list_folder(self.folder(upload_id))
            if name not in listing.images:
                raise Refusal(404, f"There is no image {name!r} in this upload.")
            folder = self._changeable(upload_id)
            path = folder / (CaptionFiles(listing, end).own_name_for(name) or f"{Path(name).stem}{end}")
            lines = [" ".join(line.split()) for line in (caption.splitlines() if keep_lines else [caption])]
            if caption.strip():
                write_text_atomic(path, "\n".join(line for line in lines if line) + "\n")
            else:
                path.unlink(missing_ok=True)
        return folder.name

    def delete_image(self, upload_id: str, name: str) -> str:
        """Delete one image with its captions and its mask; returns the id of the upload that was changed."""
        with self.changing:
            folder = self.folder(upload_id)
            if not (folder / safe_name(name, field="name")).is_file():
                raise Refusal(404, f"There is no {name!r} in this upload.")
            listing = list_folder(folder)
            captions = [CaptionFiles(listing, end).own_name_for(name) for end in ENDINGS]
            folder = self._changeable(upload_id)
            for one in (name, *filter(None, captions), *masks_of(name, listing)):
                (folder / one).unlink(missing_ok=True)
        return folder.name

    def delete(self, upload_id: str) -> None:
        """Delete the folder, or let it go with the last run that names it."""
        with self.changing:
            folder = self.folder(upload_id)
            if self._is_used(upload_id):
                (folder / _LEFT).touch()
            else:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_left(self) -> None:
        """Delete the folders that were kept for runs alone and that no run names any more."""
        with self.changing:
            for mark in self.root.glob(f"*/{_LEFT}"):
                if _ID.fullmatch(mark.parent.name) and not self._is_used(mark.parent.name):
                    shutil.rmtree(mark.parent, ignore_errors=True)

    def remove_leavings(self) -> None:
        """Half-received files of an earlier program, and folders that hold nothing or what nobody needs."""
        self.remove_left()
        for part in self.root.glob(f"*/*{PART}"):
            part.unlink(missing_ok=True)
        for folder in self.root.glob("*/"):
            if _ID.fullmatch(folder.name) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _title(folder: Path) -> dict[str, Any]:
    images = list_folder(folder).images
    return {"first": images[0], "images": len(images)} if images else {}


def _link(source: Path, target: Path) -> None:
    """The same file under a second name. Ours are only ever replaced, not written into, so neither changes with the other."""
    try:
        os.link(source, target)
    except OSError:  # not every file system can
        shutil.copy2(source, target)
