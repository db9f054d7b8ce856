"""Grids are drawn one after the other, a picture at a time, into a folder each: stopped or ended, they go on where they were.

FOLDER/ID/grid.json    what is compared, for which run (grids.grid), and how it stands
FOLDER/ID/KEY.png      the picture of a cell, written whole, with the text that the host puts into pictures
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError, LoraTrainerError, SaveError
from ..foreign.json_text import read_table
from ..log import logger
from ..paths import write_atomic, write_text_atomic
from .grid import Candidate, Cell, Grid

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_KEY = re.compile(r"p[0-9]+-(without|l[0-9]+-s[0-9]+)")
WAITING, DRAWING, STOPPED, FINISHED, FAILED = "waiting", "drawing", "stopped", "finished", "failed"
_KEPT = 50  # grids; the oldest that are not at work go


class Painter(Protocol):
    """Draws one picture: `request` are the fields of an ImageRequest, `files` says which file a LoRA tag's name means.

    Returns the PNG file, or None when `should_stop()` became true. Raises LoraTrainerError.
    """

    def __call__(
        self, request: Mapping[str, Any], files: Mapping[str, Path], should_stop: Callable[[], bool]
    ) -> bytes | None: ...


Locate = Callable[[str, Candidate], "Path | None"]
"""Where a run's file, as a grid named it, lies now; None where it is gone."""


def _as_named(_run: str, one: Candidate) -> Path | None:
    return one.path


class GridBook:
    """The grids in `folder`, drawn by `paint` in a thread of its own. Thread-safe.

    `locate` is asked before each picture: between two of them a training that goes on may give a file another name, and its own
    to a newer one.
    """

    def __init__(self, folder: Path, paint: Painter, locate: Locate = _as_named) -> None:
        self.folder = folder
        self._paint, self._locate = paint, locate
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._waiting: list[str] = []
        self._stopping: set[str] = set()

    def begin(self, grid: Grid, run_id: str) -> str:
        """Queue a grid; returns its id. Raises SaveError (disk full)."""
        with self._lock:
            self._forget_old()
            grid_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            (self.folder / grid_id).mkdir(parents=True)
            self._write(grid_id, {"run": run_id, "created": time.time(), "state": WAITING, **grid.as_json()})
            self._queue(grid_id)
            return grid_id

    def go_on(self, grid_id: str) -> None:
        """Draw what is missing. Raises InputError for an unknown id."""
        with self._lock:
            self._found(grid_id)
            if grid_id not in self._waiting:
                self._tell(grid_id, WAITING)
                self._queue(grid_id)

    def stop(self, grid_id: str) -> None:
        """Break off; what is drawn stays. Raises InputError for an unknown id."""
        with self._lock:
            self._found(grid_id)
            if grid_id in self._waiting:
                self._stopping.add(grid_id)

    def delete(self, grid_id: str) -> None:
        """Delete a grid and its pictures. Raises InputError for an unknown id, or while it is drawn."""
        with self._lock:
            self._found(grid_id)
            if grid_id in self._waiting:
                raise InputError("these pictures are being drawn.", advice="Stop that first.")
            shutil.rmtree(self.folder / grid_id, ignore_errors=True)

    def of_run(self, run_id: str) -> list[str]:
        """The ids of a run's grids, the newest first."""
        ids = sorted((path.name for path in self._folders()), reverse=True)
        return [grid_id for grid_id in ids if read_table(self.folder / grid_id / "grid.json").get("run") == run_id]

    def look(self, grid_id: str) -> dict[str, Any]:
        """{"grid": Grid, "run", "state", "message", "advice", "cells": [(Cell, is drawn)]}. Raises InputError for an unknown
        id."""
        found = self._found(grid_id)
        try:
            grid = Grid.from_json(found)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.folder / grid_id / 'grid.json'} is damaged.", advice="Delete the folder.") from error
        with self._lock:
            is_at_work = grid_id in self._waiting
        state = str(found.get("state"))
        if state in (WAITING, DRAWING) and not is_at_work:
            state = STOPPED  # by the end of the program
        drawn = {path.stem for path in (self.folder / grid_id).glob("*.png")}
        return {
            "grid": grid,
            "run": str(found.get("run", "")),
            "state": state,
            "message": str(found.get("message", "")),
            "advice": str(found.get("advice", "")),
            "cells": [(cell, cell.key in drawn) for cell in grid.cells()],
        }

    def picture(self, grid_id: str, name: str) -> Path | None:
        """A picture by its plain name, or None."""
        path = self.folder / grid_id / name
        is_ours = _ID.fullmatch(grid_id) and name.endswith(".png") and _KEY.fullmatch(name.removesuffix(".png"))
        return path if is_ours and path.is_file() else None

    # -- inside -------------------------------------------------------------------------------------------------

    def _queue(self, grid_id: str) -> None:
        self._stopping.discard(grid_id)
        self._waiting.append(grid_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="lora-trainer grids", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                grid_id = self._waiting[0]
            try:
                state, message, advice = self._draw(grid_id), "", ""
            except LoraTrainerError as error:
                state, message, advice = FAILED, error.message, error.advice
            except Exception as error:  # of the host's own code, or a bug of ours: told, and the next one is drawn
                logger.exception("a grid could not be drawn")
                state, message, advice = FAILED, f"{type(error).__name__}: {error}", "See the program's log."
            with self._lock:
                self._waiting.remove(grid_id)
                self._stopping.discard(grid_id)
                try:
                    self._tell(grid_id, state, message, advice)
                except SaveError as error:
                    logger.error("%s", error)

    def _draw(self, grid_id: str) -> str:
        found = self.look(grid_id)
        grid, run = found["grid"], found["run"]
        self._tell(grid_id, DRAWING)
        for cell in grid.cells():
            path = self.folder / grid_id / f"{cell.key}.png"
            if path.is_file():
                continue
            data = (
                None
                if self._must_stop(grid_id)
                else self._paint(grid.request(cell), self._files(grid, cell, run), lambda: self._must_stop(grid_id))
            )
            if data is None:
                return STOPPED
            write_atomic(path, lambda file, data=data: file.write(data))
        return FINISHED

    def _files(self, grid: Grid, cell: Cell, run: str) -> dict[str, Path]:
        """The file that the cell's tag means, where it lies now. Raises InputError where it is gone."""
        if cell.candidate is None:
            return {}
        one = grid.candidates[cell.candidate]
        path = self._locate(run, one)
        if path is None:
            what = f"the file {one.path.name} that was compared is not there any more."
            raise InputError(what, advice="Compare the files that are there anew.")
        return {one.name: path}

    def _must_stop(self, grid_id: str) -> bool:
        with self._lock:
            return grid_id in self._stopping

    def _found(self, grid_id: str) -> dict[str, Any]:
        found = read_table(self.folder / grid_id / "grid.json") if _ID.fullmatch(grid_id) else {}
        if not found:
            raise InputError(f"there are no such pictures ({grid_id[:40]!r}).", field="id")
        return found

    def _tell(self, grid_id: str, state: str, message: str = "", advice: str = "") -> None:
        self._write(grid_id, {**self._found(grid_id), "state": state, "message": message, "advice": advice})

    def _write(self, grid_id: str, values: Mapping[str, Any]) -> None:
        write_text_atomic(self.folder / grid_id / "grid.json", json.dumps(dict(values), ensure_ascii=False) + "\n")

    def _folders(self) -> list[Path]:
        return [path for path in self.folder.glob("*") if _ID.fullmatch(path.name)]

    def _forget_old(self) -> None:
        known = sorted(path for path in self._folders() if path.name not in self._waiting)
        for path in known[: max(0, len(known) - _KEPT + 1)]:
            shutil.rmtree(path, ignore_errors=True)
