"""The first batches of a draft as the model will see them: a process of its own (`--debug_dataset`). Routes of routes.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputErrors
from ..foreign.json_text import read_table
from ..options.cli import TRAIN
from ..options.simple import RunFiles
from ..paths import write_text_atomic
from . import drafts, folders, jobs, keys
from .answers import missing
from .sending import file_answer
from .service import Service

_PICTURE = re.compile(r"[0-9]{4}-[0-9]+[.]png")
_NAME = "draft"  # of the result, which is not made
_MOST_TO_READ = 1 << 24


def start(service: Service, body: Mapping[str, Any]) -> str:
    """Begin to draw the batches of a draft; returns the job's id. What is wrong with anything but the data does not matter.

    Raises InputErrors for what is wrong with the data, HostError while others are drawn.
    """
    draft = drafts.read(body, service.datasets.left_out)
    access = service.host.access()
    if refused := folders.of_draft(draft, access):
        raise InputErrors(refused)

    def words(folder: Path) -> list[str]:
        files = _files(draft, folder)
        if refused := [*folders.of_files(files, access), *keys.missing(files.options, access)]:
            raise InputErrors(refused)
        for name, text in (("config", files.config_toml), ("dataset", files.dataset_toml)):
            write_text_atomic(folder / f"{name}.toml", text)
        write_text_atomic(folder / "prompts.txt", files.prompts)
        return ["--config_file", str(folder / "config.toml"), "--debug_dataset"]

    return service.batches.start(TRAIN, words, tool="batches", writes="", target=None)


def _files(draft: drafts.Draft, folder: Path) -> RunFiles:
    try:
        return drafts.files(draft, folder, _NAME)
    except InputErrors as wrong:
        files = drafts.files_in_spite(draft, folder, wrong)
        if files is None:
            raise
        return files


def view(service: Service, job_id: str) -> dict[str, Any]:
    """A Batches of docs/api.md."""
    status = service.batches.status(job_id)
    found = read_table(_folder(service, job_id) / "batches.json", limit=_MOST_TO_READ)
    shown = [
        {**batch, "samples": [{**one, "url": f"batches/{job_id}/file/{one['file']}"} for one in batch["samples"]]}
        for batch in found.get("batches", [])
    ]
    told = {key: status[key] for key in ("id", "state", "message", "done", "total")}
    return {**told, "batches": shown, "of": found.get("of", 0)}


def _folder(service: Service, job_id: str) -> Path:
    return service.batches.folder / job_id / "output" / f"{_NAME}-batches"


async def _file(service: Service, request: Request) -> Response:
    job_id, name = request.path_params["id"], request.path_params["name"]

    def look() -> Path:
        service.batches.status(job_id)  # an id that is none is refused
        path = _folder(service, job_id) / name
        if not _PICTURE.fullmatch(name) or not path.is_file():
            raise missing(f"picture {name!r}")
        return path

    return await file_answer(service, await service.look(look))


TABLE: jobs.Table = [
    *jobs.table("batches", start, view, lambda service: service.batches),
    ("GET", "batches/{id}/file/{name}", _file),
]
