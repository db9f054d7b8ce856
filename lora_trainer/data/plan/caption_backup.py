"""What a tool changes in caption files, kept so that it can be brought back. Standard library only.

    IMAGES/.caption-backups/20261126-211500-wd14/     one folder for each run of a tool
        changes.jsonl                                 {"file", "before": name in this folder or null, "written": sha256 or null}
        000001.txt                                    a caption file as it was before, byte for byte

A change is noted before it is made, so that a tool that is killed leaves all that an undo needs. Undoing is a change like any
other, with a backup of its own: what the tool wrote is not lost either.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...errors import InputError, SaveError
from ...foreign.json_text import parse_json
from ...foreign.reading import UnreadableError
from ...paths import free_path, safe_name, write_atomic, write_text_atomic

FOLDER = ".caption-backups"
_CHANGES, _UNDONE = "changes.jsonl", "undone"


class CaptionBackup:
    """What one run changes in the caption files below `folder`; nothing is made on the disk before the first change."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._kept = folder / FOLDER
        self.path = self._kept / (name or f"{time.strftime('%Y%m%d-%H%M%S')}-captions")
        safe_name(self.path.name, field="backup_name")
        self._count = 0

    def write(self, path: Path, text: str | None) -> None:
        """Make `text` the content of the caption file `path`, or delete it (None), after what it holds was kept.

        Raises SaveError; then the file is as it was.
        """
        data = None if text is None else text.encode("utf-8")
        before = _content(path)
        if data == before:
            return
        self._note(path, before, data)
        _put(path, data)

    def restore(self, path: Path, data: bytes | None) -> None:
        """The same for bytes as they were."""
        self._note(path, _content(path), data)
        _put(path, data)

    def _note(self, path: Path, before: bytes | None, data: bytes | None) -> None:
        if not self._count:
            self.path = free_path(self.path)
        self._count += 1
        kept = None if before is None else f"{self._count:06d}{path.suffix}"
        line = {"file": path.relative_to(self.folder).as_posix(), "before": kept, "written": _digest(data)}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if kept is not None and before is not None:
                write_atomic(self.path / kept, lambda file: file.write(before))
            with (self.path / _CHANGES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(
                f"{self.path} cannot be written: {error.strerror or error}, so {path} was left as it is.",
                advice="Free some disk space, or make the folder of the pictures writable.",
            ) from error


@dataclass
class Undone:
    """What an undo did, by the files' names below the folder: `kept` were changed by somebody else since and stay."""

    backup: str
    restored: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def backups(folder: Path) -> list[str]:
    """The names of the runs below `folder` that can be undone, the oldest first."""
    found = [path.parent for path in (folder / FOLDER).glob(f"*/{_CHANGES}")]
    ready = [path for path in found if not (path / _UNDONE).exists()]
    return [path.name for path in sorted(ready, key=lambda path: ((path / _CHANGES).stat().st_mtime_ns, path.name))]


def undo(folder: Path, name: str = "") -> Undone:
    """Bring back the caption files below `folder` as they were before the run `name`, else before the last one.

    A file that was changed since the run is left alone. Raises InputError when there is nothing to undo, SaveError.
    """
    known = backups(folder)
    if not known or (name and name not in known):
        what = f" of {name}" if name else ""
        raise InputError(
            f"There are no captions to bring back{what}.",
            where=str(folder),
            advice=f"There are: {', '.join(known)}." if known else "",
        )
    backup = folder / FOLDER / (name or known[-1])
    undone, again = Undone(backup.name), CaptionBackup(folder, f"{time.strftime('%Y%m%d-%H%M%S')}-undo")
    for change in reversed(list(_changes(backup))):
        path = folder / change["file"]
        now = _content(path)
        before = None if change["before"] is None else _content(backup / change["before"])
        if now == before:
            continue  # the run was ended before it came to it
        if _digest(now) != change["written"] or (before is None and change["before"] is not None):
            undone.kept.append(change["file"])
            continue
        again.restore(path, before)
        (undone.removed if before is None else undone.restored).append(change["file"])
    write_text_atomic(backup / _UNDONE, "")
    if again.path.is_dir():
        write_text_atomic(again.path / _UNDONE, "")  # the next undo goes further back, not forth again
    return undone


@dataclass(frozen=True)
class Backup:
    """One run below a folder: when its last change was made (seconds since 1970), and the files directly in the folder that
    still are as it wrote them, as (name, before, now)."""

    name: str
    changed: float
    changes: list[tuple[str, bytes | None, bytes | None]]


def read(folder: Path) -> list[Backup]:
    """The runs below `folder` that can be undone, the oldest first; what cannot be read of them is left out."""
    found = []
    for name in backups(folder):
        backup = folder / FOLDER / name
        first: dict[str, tuple[str | None, str | None]] = {}  # what a file held before the run, and what came of it in the end
        for change in _changes(backup):
            file = str(change["file"])
            first[file] = (first.get(file, (change["before"],))[0], change["written"])
        changes = []
        for file, (kept, written) in first.items():
            now, before = _content(folder / file), None if kept is None else _content(backup / kept)
            if "/" not in file and _digest(now) == written and (before is not None or kept is None):
                changes.append((file, before, now))
        found.append(Backup(name, (backup / _CHANGES).stat().st_mtime, changes))
    return found


def _changes(backup: Path) -> Iterator[dict[str, str | None]]:
    """What a run changed. Lines that make no sense (a disk that was full) and names outside of the folder are passed over."""
    for line in (backup / _CHANGES).read_text("utf-8", "replace").splitlines():
        try:
            change = parse_json(line)
        except UnreadableError:
            continue
        if not isinstance(change, dict) or not isinstance(change.get("file"), str):
            continue
        before, file = change.get("before"), PurePosixPath(change["file"])
        is_inside = not file.is_absolute() and ".." not in file.parts and ":" not in change["file"]
        is_kept = before is None or (isinstance(before, str) and PurePosixPath(before).name == before)
        if is_inside and is_kept:
            yield {"file": change["file"], "before": before, "written": change.get("written")}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SaveError(
            f"{path} cannot be read: {error.strerror or error}.", advice="See what it is; it was not changed."
        ) from error


def _put(path: Path, data: bytes | None) -> None:
    if data is None:
        path.unlink(missing_ok=True)
    else:
        write_atomic(path, lambda file: file.write(data))


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
