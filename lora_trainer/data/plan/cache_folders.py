"""Where what was computed of the pictures of a folder lies on the disk, how much it is, and its removal.

Beside the pictures, in a folder of ours; for a folder that nobody may write to, in the user's own cache folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .files import list_tree

FOLDER = ".lora_trainer_cache"
ENDING = ".safetensors"
INFO = "images.json"
VARIABLE = "LORA_TRAINER_CACHE"
_ABOUT = "about.txt"
_ABOUT_TEXT = "Made by LoRA Trainer of the pictures beside it, so that the next training starts sooner. It may be deleted.\n"
_LEFT_OVER = 3600  # seconds after which a file that was being written belongs to a program that was killed


@dataclass(frozen=True)
class CacheSize:
    """What lies in the caches of a folder of pictures."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: CacheSize) -> CacheSize:
        return CacheSize(self.files + other.files, self.bytes + other.bytes)


def user_folder() -> Path:
    """Where programs of this user keep what they can compute again; LORA_TRAINER_CACHE names another place."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "lora_trainer" / "data"


def places(folder: Path) -> tuple[Path, Path]:
    """Where the caches of the pictures in `folder` may lie: beside them, and in the user's folder."""
    name = hashlib.sha256(os.fsencode(os.path.normcase(folder.absolute()))).hexdigest()[:24]
    return folder / FOLDER, user_folder() / name


def writable(folder: Path) -> Path | None:
    """The first of the places that can be written to, made where it is not there; None where none can."""
    for place in places(folder):
        try:
            place.mkdir(parents=True, exist_ok=True)
            about = place / _ABOUT
            about.write_text(_ABOUT_TEXT, encoding="utf-8")  # whether that goes, only writing tells
        except OSError:
            continue
        return place
    return None


def sweep(place: Path) -> None:
    """Remove what a program left that was killed while it wrote."""
    for path in _files(place):
        if path.suffix == ".tmp":
            try:
                if time.time() - path.stat().st_mtime > _LEFT_OVER:
                    path.unlink()
            except OSError:
                continue


def image_folders(folder: Path) -> Iterator[Path]:
    """`folder` and the folders in it, at any depth, whose pictures have caches."""
    try:
        yield from (one for one, _ in list_tree(folder, lambda *_: None))
    except OSError:
        yield folder


def size(folders: Iterable[Path]) -> CacheSize:
    """How much lies in the caches of the pictures in `folders`."""
    total = CacheSize()
    for folder in folders:
        for place in places(folder):
            for path in _files(place):
                try:
                    total += CacheSize(1, path.stat().st_size)
                except OSError:
                    continue
    return total


def clear(folders: Iterable[Path]) -> CacheSize:
    """Remove the caches of the pictures in `folders`; nothing else is touched. Returns what was removed. Raises OSError."""
    removed = CacheSize()
    for folder in folders:
        for place in places(folder):
            for path in _files(place):
                found = CacheSize(1, path.stat().st_size)
                path.unlink()
                removed += found
            if place.is_dir() and not place.is_symlink():
                (place / _ABOUT).unlink(missing_ok=True)
                if not any(place.iterdir()):  # what a person put there stays
                    place.rmdir()
    return removed


def _files(place: Path) -> list[Path]:
    """Our files in a cache folder, which is no link to somewhere else."""
    if place.is_symlink():
        return []
    try:
        with os.scandir(place) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.is_file(follow_symlinks=False) and (entry.name.endswith((ENDING, ".tmp")) or entry.name == INFO)
            ]
    except OSError:
        return []
