"""Files that are taken out of their place and can come back: deleted ones, and pictures that were turned or cropped.

They lie in a hidden folder beside the pictures (`.lora-trainer-trash/TIME/NAME`): moving them takes no time and no room.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from ..errors import SaveError
from .model import Stamp

TRASH = ".lora-trainer-trash"


class Kept(NamedTuple):
    """One version of a file: where it lies (below its folder) while it is not in its place, and by what it is known."""

    at: str
    stamp: Stamp

    def to_bytes(self) -> bytes:
        return json.dumps([self.at, *self.stamp]).encode("ascii")

    @classmethod
    def of(cls, data: bytes | None) -> Kept | None:
        if data is None:
            return None
        at, size, mtime_ns = json.loads(data)
        return cls(at, Stamp(size, mtime_ns))


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of the file at `path`, None where there is none."""
    try:
        stat = path.lstat()
    except FileNotFoundError:
        return None
    return Stamp(stat.st_size, stat.st_mtime_ns)


def swap(folder: Path, file: str, wanted: Kept | None, present: Kept | None) -> None:
    """Put the version `wanted` in place of the version `present`, which goes to where it is kept. None: no file.

    Done already, it does nothing, so that it can be done again after a crash. Where both versions are a file there is
    one at every moment. Raises OSError; FileExistsError where something else lies there.
    """
    place = folder / file
    found = stamp_of(place)
    if found == (wanted.stamp if wanted else None):
        return
    if found is not None and found != (present.stamp if present else None):
        raise FileExistsError(17, "another file lies there", str(place))
    if found is not None and present is not None:
        home = folder / present.at
        home.parent.mkdir(parents=True, exist_ok=True)
        if wanted is None:
            os.replace(place, home)
            return
        _copy(place, home)
    if wanted is not None:
        os.replace(folder / wanted.at, place)


def _copy(source: Path, target: Path) -> None:
    """The same file under a second name, or where the disk has no such names, a copy with its times."""
    if target.exists():
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def carry(source: Path, target: Path) -> None:
    """Let what lies in the trash of one folder lie in that of another, too. Raises OSError."""
    if (source / TRASH).is_dir():
        shutil.copytree(source / TRASH, target / TRASH, copy_function=_copied, dirs_exist_ok=True)


def _copied(source: str, target: str) -> None:
    _copy(Path(source), Path(target))


def refused(path: Path, error: OSError) -> SaveError:
    return SaveError(
        f"{path} could not be changed: {error.strerror or error}.",
        advice="Free some disk space, or see whether the folder may be written.",
    )
