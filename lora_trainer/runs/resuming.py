"""Going on with a run that has ended: what its folder must look like before it is queued again, and what it may replace.

The worker tells of each state that it wrote (event `state`); the one told last is where a resumed run goes on. While the note
`resume.json` lies in the folder, a worker that starts there resumes.
"""

from __future__ import annotations

import json
import time
from typing import Any

from ..errors import InputError
from ..foreign.json_text import read_number, read_table
from ..paths import write_text_atomic
from . import control, placing
from .folder import RunFolder
from .progress import Progress


def last_state(folder: RunFolder, progress: Progress) -> dict[str, Any] | None:
    """{"path", "step", "epoch", "time"} of the newest state that was told of and is still there; None when there is none."""
    told = progress.state
    if told is None:
        return None
    path = folder.path / str(told.get("path", ""))  # an absolute path stays as it is
    try:
        is_there = path.is_dir()
    except OSError:
        return None
    return {"path": str(path), **{key: told.get(key) for key in ("step", "epoch", "time")}} if is_there else None


def needed_state(name: str, folder: RunFolder, progress: Progress) -> dict[str, Any]:
    """`last_state` of the run `name`. Raises InputError when there is none."""
    found = last_state(folder, progress)
    if found is None:
        raise InputError(f"{name} left nothing to go on from.", advice="Start it again from its settings.")
    return found


def is_asked(folder: RunFolder) -> bool:
    """Whether the run's worker is to go on from its last state."""
    return bool(read_table(folder.resume))


def total_steps(folder: RunFolder) -> int | None:
    """How many steps the run is to come to, where somebody has given it more than it had at first; else None."""
    found = read_number(read_table(folder.resume), "total_steps")
    return None if found is None else int(found)


def prepare(folder: RunFolder, progress: Progress, result: str, further: int | None = None) -> None:
    """Make the folder of an ended run ready for another worker. Raises SaveError when it cannot be written.

    `result` is the file in the LoRA folder that the run came to before ("" for none): the new result may take its place.
    `further` is how many steps it is to come to, None for as many as it was to: what was asked for before stays.
    """
    further = total_steps(folder) if further is None else further
    placing.keep_final(folder, progress, result)
    write_text_atomic(folder.resume, json.dumps({"asked": time.time(), "total_steps": further}) + "\n")
    every = control.read_control(folder.control).live_every
    for past in (folder.control, folder.worker_note):  # "stop" was for the worker before, which has ended
        past.unlink(missing_ok=True)
    if every is not None:  # a setting of the run, not a wish that was for one moment
        control.ask(folder.control, live_every=every)
