"""The growing LoRA in the prompt: the weights that a run's worker wrote last lie in the LoRA folder, always under one name.

The worker writes them (training.saver) and tells so; the host copies them whole. The file goes when the run ends, unless the
user keeps it. `live.json` in the run's folder says which file of the LoRA folder is ours.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import LoraTrainerError
from ..foreign.json_text import read_number, read_table
from ..log import logger
from ..paths import write_text_atomic
from . import control, result
from .folder import RunFolder
from .progress import Progress


class LiveLoras:
    """`tell(path)` makes the host see that a LoRA file has changed. It may wait long for a picture in the making, which itself
    may wait for the supervisor to lend it the card: so a thread of its own calls it."""

    def __init__(self, tell: Callable[[Path], None]) -> None:
        self._tell = tell
        self._changed: dict[Path, None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._tried: object = None  # the event whose file was copied, or could not be

    def follow(self, folder: RunFolder, progress: Progress) -> None:
        """Copy the file that the worker wrote last, when it is another one than last time."""
        told = progress.live
        if told is None or told is self._tried:
            return
        self._tried = told
        note, target = read_table(folder.live), _target(folder)
        if target is None or note.get("path") and note.get("time") == told.get("time"):
            return  # not known what was asked for, or copied by a host before this one
        source = folder.output / Path(str(told.get("path", ""))).name
        free = target.with_name(f"{result.free_name(target.stem, target.parent)}{target.suffix}")
        path = Path(str(note.get("path") or free))
        try:  # noted first: what is there after a crash is known to be ours
            self._note(folder, path=str(path), step=told.get("step"), time=told.get("time"))
            result.publish(source, path, overwrite=True, card=result.card_of(folder.request()), preview=None)
        except LoraTrainerError as error:
            logger.warning("the LoRA as it is now could not be put into the LoRA folder: %s", error)
            return
        self._say(path)

    def keep(self, folder: RunFolder, keep: bool) -> None:
        """Whether the file stays when the run ends. Raises SaveError (disk full)."""
        self._note(folder, keep=keep)

    def _note(self, folder: RunFolder, **changes: Any) -> None:
        with self._lock:  # the page and the supervisor write it
            write_text_atomic(folder.live, json.dumps({**read_table(folder.live), **changes}) + "\n")

    def end(self, folder: RunFolder) -> None:
        """The run has ended: take its file out of the LoRA folder, unless it is to stay."""
        note = read_table(folder.live)
        if not note.get("path"):
            return
        path = Path(str(note["path"]))
        try:
            if not note.get("keep"):
                for one in (path, path.with_suffix(".json")):
                    one.unlink(missing_ok=True)
            folder.live.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s could not be removed: %s", path, error.strerror or error)
            return
        self._say(path)

    def _say(self, path: Path) -> None:
        with self._lock:
            self._changed[path] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._say_all, name="lora-trainer live", daemon=True)
                self._thread.start()

    def _say_all(self) -> None:
        while True:
            with self._lock:
                path = next(iter(self._changed), None)
                if path is None:
                    self._thread = None
                    return
                del self._changed[path]
            self._tell(path)


def _target(folder: RunFolder) -> Path | None:
    """Where the file would lie by its name; None when it is not known any more what the run was asked for."""
    asked = folder.request().get("target")
    if not asked:
        return None
    target = Path(str(asked))
    return target.with_name(f"{target.stem}-live{target.suffix}")


def standing(folder: RunFolder) -> dict[str, Any]:
    """{"name", "step", "every", "keep"}: how the file stands; name and step are None when there is none yet, every when the
    run's options decide."""
    note, asked = read_table(folder.live), control.read_control(folder.control)
    step = read_number(note, "step")
    return {
        "name": Path(str(note["path"])).stem if note.get("path") else None,
        "step": None if step is None else int(step),
        "every": asked.live_every,
        "keep": bool(note.get("keep")),
    }
