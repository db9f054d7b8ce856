"""The tools that write captions, as the page runs them: in which folder, on which device, what came of it, and undoing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.plan import caption_backup
from ..errors import InputError, InputErrors
from ..options.schema import options_of
from ..options.tool_page import named_paths
from ..options.tools import PageTool
from ..paths import typed_path, user_path
from ..runs.tool_jobs import captioned_folder
from . import folders
from .service import Service

WRITES = "captions"
_FOLDER = "train_data_dir"


def check_paths(service: Service, tool: PageTool, values: Mapping[str, Any]) -> None:
    """Raise InputErrors where the page names a place that it may not look into. Nothing is opened before."""
    access = service.host.access()
    refused = [folders.problem(path, access, field) for field, path in named_paths(tool, values)]
    if any(refused):
        raise InputErrors(one for one in refused if one is not None)


def prepared(service: Service, tool: PageTool, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the folder that may be changed: of an upload that a run trains from, a copy."""
    given = values.get(_FOLDER)
    if tool.writes != WRITES or not isinstance(given, str) or not typed_path(given):
        return dict(values)
    return {**values, _FOLDER: str(service.uploads.changeable(user_path(given)))}


def words(service: Service, tool: PageTool, job: Path) -> list[str]:
    """What the command line of a job has besides the page's values. While a training is at work the processor computes."""
    device = "cpu" if service.is_training() else "auto"
    more = ["--device", device, "--backup_name", job.name]
    if "model_dir" in {option.name for option in options_of(tool.declared)}:
        more += ["--model_dir", str(service.paths.user_dir / "taggers")]
    return more


def view(service: Service, status: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a job that writes captions besides: where, whether it can be undone, and what came of it."""
    if status["writes"] != WRITES:
        return {}
    folder, name = _folder_of(status), status["id"]
    return {
        "folder": str(folder),
        "upload": service.uploads.id_of(folder) or "",
        "can_undo": status["state"] != "running" and name in caption_backup.backups(folder),
    }


def undo(service: Service, job_id: str) -> dict[str, Any]:
    """Bring the captions back that a job has changed. Raises InputError when there is nothing to undo."""
    status = service.tools.status(job_id)
    if status["writes"] != WRITES or status["state"] == "running":
        raise InputError("This job has no captions to bring back.", field="id", advice="Wait until it has ended, or cancel it.")
    folder = _folder_of(status)
    refused = folders.problem(folder, service.host.access(), "id")
    if refused is not None:
        raise refused
    with service.uploads.changing:
        service.uploads.check_changeable(folder)
        undone = caption_backup.undo(folder, job_id)
    return {"restored": len(undone.restored), "removed": len(undone.removed), "kept": undone.kept}


def undoable(service: Service, text: str) -> str | None:
    """The id of the newest job that captioned the folder `text` and can be undone. Nothing else is looked at."""
    folder = user_path(text) if typed_path(text) else None
    if folder is None or folders.problem(folder, service.host.access(), _FOLDER) is not None:
        return None
    jobs = [job_id for job_id, path in service.tools.captioned() if path == str(folder)]
    known = caption_backup.backups(folder) if jobs else []
    return next((job_id for job_id in jobs if job_id in known), None)


def _folder_of(status: Mapping[str, Any]) -> Path:
    return Path(captioned_folder(status["words"]))
