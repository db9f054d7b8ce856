"""A store that was lost (damaged, deleted) is filled again from the runs' folders: nothing trained is forgotten."""

from __future__ import annotations

from pathlib import Path

from . import placing
from .folder import RunFolder
from .progress import ProgressBook
from .store import FAILED, FINISHED, RUNNING, STOPPED, Store
from .worker import is_alive


def list_unknown_runs(store: Store, runs_dir: Path) -> None:
    """Add a row for each run folder that has none. Only a run whose worker lives becomes active; nothing is published."""
    for path in sorted(runs_dir.glob("*/request.json")):
        folder = RunFolder(path.parent)
        if store.get(folder.path.name) is not None:
            continue
        request = folder.request()
        created = float(request.get("created") or path.stat().st_mtime)
        state, message, ended = _verdict(folder)
        target = placing.in_use(folder).path or Path(str(request.get("target") or ""))
        store.add(folder.path.name, str(request.get("name") or folder.path.name))
        store.change(
            folder.path.name,
            state=state,
            created=created,
            started=created,
            ended=ended,
            message=message,
            result=str(target) if state == FINISHED and target.is_file() else "",
        )


def _verdict(folder: RunFolder) -> tuple[str, str, float | None]:
    """State, message and end of a run, from its folder alone."""
    worker = folder.worker()
    if worker is not None and is_alive(worker):
        return RUNNING, "", None
    folder.remove_halves()
    progress, _ = ProgressBook().look(folder.events)
    if progress.finished is not None:
        return (STOPPED if progress.finished.get("reason") == "stopped" else FINISHED), "", progress.last_time
    if progress.failed is not None:
        return FAILED, str(progress.failed.get("message", "")), progress.last_time
    if not folder.events.exists():
        return STOPPED, "Found in the runs folder; it had not begun.", None
    return FAILED, "Found in the runs folder; its worker had ended without a word.", progress.last_time
