"""Looking at the folders of a data set: cheaply whether anything changed, and reading only what did."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..data.plan.caption_files import CaptionFiles
from ..data.plan.files import FACTS, THREADS, ImageFacts, Listing, is_file_entry, listing_of, read_facts
from ..data.plan.model import Size
from ..foreign.reading import UnreadableError, read_bytes
from .model import NO_CAPTION, Caption, Picture, Stamp, caption_of
from .text import MAX_BYTES

_CHUNK = 200  # pictures that are read between two words about how far it is


@dataclass(frozen=True)
class Files:
    """The files of a folder, and the stamp of each."""

    listing: Listing
    stamps: dict[str, Stamp]
    captions: dict[str, str | None]  # picture -> its caption file


def list_files(folder: Path, ending: str) -> Files:
    """One pass over a folder. Raises OSError."""
    stamps: dict[str, Stamp] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and is_file_entry(entry):
                stamps[entry.name] = _stamp(entry)
    listing = listing_of(stamps)
    files = CaptionFiles(listing, ending)
    return Files(listing, stamps, {name: files.name_for(name) for name in listing.images})


def _stamp(entry: os.DirEntry[str]) -> Stamp:
    try:
        stat = entry.stat()
    except OSError:  # a link that leads nowhere
        return Stamp(-1, -1)
    return Stamp(stat.st_size, stat.st_mtime_ns)


def folder_time(folder: Path) -> int:
    """The folder's own time of change in ns, which moves when a file comes, goes or is replaced; -1 where it is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1


@dataclass(frozen=True)
class Look:
    """What is to be read of one picture: its size, its caption, or both."""

    picture: Picture
    path: Path
    stamp: Stamp
    needs_size: bool
    caption_path: Path | None
    caption_stamp: Stamp | None
    needs_caption: bool


@dataclass(frozen=True)
class Seen:
    """What a Look found; None where it did not look."""

    look: Look
    size: tuple[Size | None, str] | None  # and why it cannot be read
    caption: Caption | None


def look_at(looks: list[Look], stop: Callable[[], bool] = lambda: False) -> Iterator[list[Seen]]:
    """Read by several threads, some at a time."""
    Image.init()  # not by several threads at once
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(looks), _CHUNK):
            if stop():
                return
            yield list(pool.map(_seen, looks[start : start + _CHUNK]))


def _seen(look: Look) -> Seen:
    size = None
    if look.needs_size:
        facts = FACTS.known(str(look.path)) or read_facts(str(look.path), look.stamp.size, verify=False)
        size = (None, told(facts)) if facts.problem else (facts.size, "")
    caption = read_caption(look.caption_path, look.caption_stamp) if look.needs_caption else None
    return Seen(look, size, caption)


def told(facts: ImageFacts) -> str:
    """Why a picture cannot be read, and what to do; nothing for one that can."""
    return f"{facts.problem} {facts.advice}".strip()


def read_caption(path: Path | None, stamp: Stamp | None = None) -> Caption:
    """The caption in a file; where it cannot be read, its `problem` says why."""
    if path is None:
        return NO_CAPTION
    try:
        data = read_bytes(path, limit=MAX_BYTES + 1)
    except UnreadableError as error:
        return Caption(path.name, stamp, None, problem=f"{path.name} {error}")
    return caption_of(path.name, stamp, data)


def changed_names(old: Iterable[str], new: Iterable[str]) -> tuple[set[str], set[str]]:
    """(names that came, names that went)."""
    before, now = set(old), set(new)
    return now - before, before - now
