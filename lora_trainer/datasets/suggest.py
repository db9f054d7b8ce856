"""Tags that begin as somebody types them: those of the data set, then those of lists with aliases.

The lists are CSV files as tag programs for danbooru's tags use them: `tag,category,count,"alias,alias"`, one tag a line.
"""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..log import logger
from .model import Picture
from .tags import same_as

MOST = 50  # suggestions
_MOST_LINES = 1_000_000
_MOST_BYTES = 200 << 20


class Suggestion(NamedTuple):
    tag: str
    count: int  # pictures of the data set that have it
    known: int  # pictures that the list knows of
    category: int | None
    alias: str  # by which it was found, or ""


class Entry(NamedTuple):
    tag: str
    known: int
    category: int | None
    names: tuple[str, ...]  # folded: the tag, then its aliases


class TagLists:
    """The lists `*.csv` in a folder, read at the first question and again when a file changes. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._stamp: object = None
        self._entries: list[Entry] = []

    def entries(self) -> list[Entry]:
        """All tags of the lists, the best known first."""
        stamp = [(path, stat.st_size, stat.st_mtime_ns) for path in self._files() for stat in [path.stat()]]
        with self._lock:
            if stamp != self._stamp:
                found = [entry for path, size, _ in stamp if size <= _MOST_BYTES for entry in read_list(path)]
                self._entries = sorted(found, key=lambda entry: -entry.known)
                self._stamp = stamp
            return self._entries

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file())
        except OSError:
            return []


def read_list(path: Path) -> list[Entry]:
    """The tags of a list; lines that are none are passed over."""
    entries = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            for number, line in enumerate(csv.reader(file)):
                if number >= _MOST_LINES:
                    break
                if entry := _entry(line):
                    entries.append(entry)
    except (OSError, csv.Error) as error:
        logger.warning("the list of tags %s could not be read to its end: %s", path.name, error)
    return entries


def _entry(line: list[str]) -> Entry | None:
    tag = line[0].strip() if line else ""
    category = _number(line[1]) if len(line) > 1 else None
    if not tag or (len(line) > 1 and category is None):  # a heading
        return None
    known = _number(line[2]) if len(line) > 2 else None
    aliases = line[3].split(",") if len(line) > 3 else []
    return Entry(tag, known or 0, category, tuple(filter(None, map(same_as, [tag, *aliases]))))


def _number(text: str) -> int | None:
    return int(text) if text.strip().isascii() and text.strip().isdigit() and len(text) < 16 else None


def suggest(text: str, pictures: Iterable[Picture], lists: TagLists, limit: int = MOST) -> list[Suggestion]:
    """Tags that hold `text`: of the data set (those that begin with it first, then by count), then of the lists."""
    wanted = same_as(text)
    counts = Counter(tag for one in pictures for tag in one.caption.tags)
    own = [(tag, count) for tag, count in counts.items() if wanted in same_as(tag)]
    own.sort(key=lambda item: (not same_as(item[0]).startswith(wanted), -item[1], item[0]))
    found = [Suggestion(tag, count, 0, None, "") for tag, count in own[:limit]]
    have = {same_as(tag) for tag in counts}
    if not wanted:
        return found
    first, later = [], []
    for entry in lists.entries():
        if len(first) >= limit:
            break
        name = next((name for name in entry.names if wanted in name), None)
        if name is None or entry.names[0] in have:
            continue
        suggestion = Suggestion(entry.tag, 0, entry.known, entry.category, "" if name == entry.names[0] else name)
        if name.startswith(wanted):
            first.append(suggestion)
        elif len(later) < limit:
            later.append(suggestion)
    return (found + first + later)[:limit]
