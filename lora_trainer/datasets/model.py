"""What is known of one picture of a data set, and of its folders."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..data.plan import tokens
from ..data.plan.model import Size
from .tags import tags_of
from .text import CaptionText, NoTextError, read, version_of


class Stamp(NamedTuple):
    """By what a change of a file is noticed: its size in bytes, and its time of change in ns."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Caption:
    """What the caption file of a picture holds. `text` is None where there is no file or no text: `problem` says which."""

    file: str | None  # its name; None where there is none
    stamp: Stamp | None
    text: str | None
    tags: tuple[str, ...] = ()
    tokens: int = 0  # of the first line, which is what is trained by default
    version: str = ""
    encoding: str = ""
    problem: str = ""


NO_CAPTION = Caption(None, None, None)


class Training(NamedTuple):
    """A run that wrote how well it learned each picture."""

    run: str
    time: float
    stamp: Stamp  # of the file


class Learned(NamedTuple):
    """How the last training of a data set went for a picture; both are None for one that it did not see."""

    loss: float | None  # compared with the other pictures' at the same noise levels: 1 is usual
    caption: str | None  # with which it was trained


def caption_of(file: str, stamp: Stamp | None, data: bytes) -> Caption:
    """The Caption that the bytes of a file make."""
    try:
        found: CaptionText = read(data)
    except NoTextError as error:
        return Caption(file, stamp, None, version=version_of(data), problem=str(error))
    tags = tuple(tags_of(found.text))
    return Caption(file, stamp, found.text, tags, tokens.count(first_line(found.text)), version_of(data), found.encoding)


def first_line(text: str) -> str:
    """The line of a caption that is trained by default."""
    return text.strip().partition("\n")[0]


def unread(caption: Caption) -> str:
    """The end of the first line that a text encoder does not read at once; "" where it reads all."""
    return tokens.cut(first_line(caption.text or ""))[1] if caption.tokens > tokens.LIMIT else ""


@dataclass
class Picture:
    """A picture of a data set. `id` stays the same while the file keeps its folder and name."""

    id: int
    folder: int  # index in the data set's folders
    name: str
    stamp: Stamp
    size: Size | None = None  # upright; None until it was looked at, and where it cannot be read
    problem: str = ""
    caption: Caption = NO_CAPTION
    looked_at: bool = False  # size and caption are known
    is_read_whole: bool = False  # to its end, so that `problem` tells what is wrong behind its header, too
    stars: int = 0
    left_out: bool = False
    findings: frozenset[str] = frozenset()
    learned: Learned | None = None  # None where no training of the data set is known
    changed: int = 0  # the version of the data set that brought its last change

    @property
    def loss(self) -> float | None:
        return self.learned.loss if self.learned else None

    @property
    def is_untrained(self) -> bool:
        """Whether the last training of the data set did not see it, or with another caption than it has now."""
        if self.learned is None or self.left_out:
            return False
        lines = [line for line in map(str.strip, (self.caption.text or "").split("\n")) if line]
        return self.learned.caption is None or bool(lines) and self.learned.caption not in (lines[0], "\n".join(lines))


@dataclass
class Folder:
    """One folder of a data set; `id` is that of its real path. `problem` says why it cannot be read, or nothing."""

    id: int
    path: Path
    problem: str = ""
    pictures: dict[str, Picture] = field(default_factory=dict)  # by name, in order of names
    adopted_ns: int = -1  # the time of change of its folder of backups when that was taken into the history
    seen_ns: int = -1  # the folder's own time of change when it was listed

    @property
    def name(self) -> str:
        return self.path.name or str(self.path)

    def is_writable(self) -> bool:
        """Whether files can be put into it, as far as its permissions say."""
        return os.access(self.path, os.W_OK | os.X_OK)
