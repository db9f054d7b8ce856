"""What is known of the files of a folder, in a file beside them (cache_info): the next look opens none that is unchanged."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import SaveError
from ...foreign.json_text import read_table
from ...paths import write_text_atomic
from .cache_folders import INFO, places, writable
from .caption_files import read_lines
from .files import FactsCache, ImageFacts, Note
from .remembered import Stamp, is_settled, stamp

_LIMIT = 1 << 30  # bytes of the file
_VERSION = 1


@dataclass
class FolderInfo:
    """Sizes of images and lines of captions by name, each with the stamp of its file. With `trusting` the stamps do not count.

    Problems are not kept: a file that has one is looked at anew each time.
    """

    folder: Path
    trusting: bool = False
    images: dict[str, str] = field(default_factory=dict)  # JSON: [stamp, [width, height], [[kind, detail], ...]]
    captions: dict[str, str] = field(default_factory=dict)  # JSON: [stamp, lines]
    _changed: bool = False
    _seen: dict[str, Stamp | None] = field(default_factory=dict)  # from before the files were read

    @classmethod
    def load(cls, folder: Path, *, trusting: bool = False) -> FolderInfo:
        """What was written; nothing where there is no file, or a damaged one."""
        for place in places(folder):
            table = read_table(place / INFO, limit=_LIMIT)
            if table.get("version") == _VERSION:
                images, captions = table.get("images"), table.get("captions")
                if isinstance(images, dict) and isinstance(captions, dict):
                    return cls(folder, trusting, images, captions)
        return cls(folder, trusting)

    def teach(self, facts: FactsCache, names: Sequence[str]) -> None:
        """Let `facts` know the images that have not changed. What they are now is what `learn` takes for their state."""
        self._seen = {name: _settled(self.folder / name) for name in names}
        for name in names:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                old, size, notes = json.loads(self.images[name])
                path = str(self.folder / name)
                now = stamp(path)
                width, height = (int(side) for side in size)
                if self.trusting or tuple(old) == now:
                    known = ImageFacts((width, height), notes=tuple(Note(str(kind), str(detail)) for kind, detail in notes))
                    for verify in (False, True):
                        facts.learn(path, now, known, verify)

    def learn(self, facts: Sequence[ImageFacts], names: Sequence[str]) -> None:
        """Remember what was found out about images that were read to their end."""
        found = {}
        for name, fact in zip(names, facts, strict=True):
            seen = None if fact.problem or fact.is_unread else self._seen.get(name)
            if self.trusting and name in self.images:
                found[name] = self.images[name]  # it may be of what the file was before
            elif seen is not None:
                found[name] = json.dumps([seen, fact.size, [[note.kind, note.detail] for note in fact.notes]])
        self._changed |= found != self.images
        self.images = found

    def lines(self, path: Path) -> list[str]:
        """The lines of a caption file, as `read_lines` gives them. Raises what that raises."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            old, lines = json.loads(self.captions[path.name])
            if (self.trusting or tuple(old) == stamp(str(path))) and all(isinstance(line, str) for line in lines):
                return list(lines)
        seen = _settled(path)
        lines = read_lines(path)
        if seen is not None:
            self.captions[path.name] = json.dumps([seen, lines])
            self._changed = True
        return lines

    def save(self) -> None:
        """Write what changed; where that cannot be done, the next look is as slow as this one."""
        place = writable(self.folder) if self._changed else None
        if place is None:
            return
        table: dict[str, Any] = {"version": _VERSION, "images": self.images, "captions": self.captions}
        with contextlib.suppress(SaveError):
            write_text_atomic(place / INFO, json.dumps(table))


def _settled(path: Path) -> Stamp | None:
    """The stamp of a file that will tell when it changes again; None where it changed just now."""
    with contextlib.suppress(OSError):
        found = stamp(str(path))
        return found if is_settled(found) else None
    return None
