"""What a run came to, once its worker has ended: read out of its last words, and its final file put where it belongs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import LoraTrainerError
from . import placing, resuming, worker
from .folder import RunFolder, WorkerProcess
from .progress import Progress
from .store import FAILED, FINISHED, STOPPED, STOPPING, Run

_ADVICE_KILLED = (
    "If the system ran out of memory: lower the batch size or the resolution, turn on gradient checkpointing, "
    "or close other programs."
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`state` is one of store.ENDED; `result` the file in the host's folder of results, where there is a new one."""

    state: str
    message: str = ""
    advice: str = ""
    result: Path | None = None


def outcome(run: Run, folder: RunFolder, progress: Progress, found: WorkerProcess | None) -> Outcome:
    """Of a run whose worker `found` (None: nobody knows of one) has ended; `progress` are that worker's own words."""
    if folder.is_deleted():
        saved = folder.saved_loras()
        rest = f" What was trained until then is {saved[-1]}." if saved else ""
        return Outcome(state=FAILED, message=f"Its folder {folder.path} was deleted while it was being trained.{rest}")
    if progress.failed is not None:
        message, advice = str(progress.failed.get("message", "")), str(progress.failed.get("advice") or "")
        return Outcome(state=FAILED, message=message, advice=advice)
    if progress.finished is not None:
        return _finished(folder, progress)
    if run.state == STOPPING:
        message = "Its process was ended before it could save; files saved earlier are in its folder."
        return Outcome(state=STOPPED, message=message)
    tail = folder.log_tail(8)
    lines = f" Its last lines:\n{tail}" if tail else " It left no log."
    message = f"The worker ended unexpectedly{worker.how_it_ended(found)}.{lines}"
    return Outcome(state=FAILED, message=message, advice=f"{_ADVICE_KILLED}{_lost(folder, progress)}")


def _lost(folder: RunFolder, progress: Progress) -> str:
    """Why it cannot go on, and what is left of it, where it had made steps but no state yet."""
    if not progress.step or resuming.last_state(folder, progress) is not None:
        return ""
    told = f" It cannot go on: it had saved no state before step {progress.step}. Begin it again from its settings."
    sizes = folder.saved_sizes()
    left = [(Path(path).name, saved.get("step")) for path, saved in progress.files.items() if Path(path).name in sizes]
    return f"{told} What it had learned by step {left[-1][1]} is {left[-1][0]}, among its files." if left else told


def _finished(folder: RunFolder, progress: Progress) -> Outcome:
    assert progress.finished is not None
    state = STOPPED if progress.finished.get("reason") == "stopped" else FINISHED
    try:
        placed = placing.put_final(folder, progress)
    except LoraTrainerError as error:
        source = folder.path / str(progress.finished.get("path"))
        message = f"Trained, but not put where it is used: {error.message} The file is {source}."
        return Outcome(state=state, message=message, advice=error.advice)
    path, message = placed or (None, "")
    return Outcome(state=state, message=message, result=path)
