"""The Tools page: what can be chosen, starting a tool, how it stands, what it made. Routes of routes.py.

The page names models as the lists do; only what is listed can be read, and a result goes into the host's LoRA folder (a
checkpoint into its checkpoint folder) under a plain name. Folders of pictures are typed: see `captioning`.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from ..errors import HostError, InputError, InputErrors
from ..modelfile import SAFETENSORS
from ..options.schema import options_of
from ..options.tool_page import arguments, page_tools, tool_named
from ..options.tools import PageTool
from ..paths import safe_name
from ..runs.tool_jobs import REPORT
from . import answers, captioning, model_files
from .answers import answer, flag_of, json_body
from .sending import file_answer
from .service import Service

_FILES = {"picture": "norms.png", "report": REPORT}  # options of tools that name a file for the page, in the job's folder
_SINGLE_FILES = {SAFETENSORS, ".ckpt"}  # what the tools read; a model in diffusers' form is a folder


def loras(service: Service) -> dict[str, Path]:
    """The LoRA files by their names inside the LoRA folder."""
    folder = service.paths.lora_dir
    return {path.relative_to(folder).as_posix(): path for path in model_files.lora_files(folder)}


def checkpoints(service: Service) -> dict[str, Path]:
    """The host's checkpoints by title."""
    known = service.host.checkpoints()
    return {one.title: one.path for one in known if one.path.suffix.lower() in _SINGLE_FILES and one.path.is_file()}


def page_view(service: Service, folder: str) -> dict[str, Any]:
    """The answer of GET tools."""
    own, models = loras(service), checkpoints(service)
    wrong = {**model_files.lora_problems(own.values()), **model_files.model_problems(models.values())}
    ranks = model_files.lora_ranks(own.values())
    named = {"loras": list(own), "checkpoints": list(models)}
    return {
        "spec": {language: page_tools(language) for language in ("en", "ko")},
        **named,
        "ranks": {name: ranks[path] for name, path in own.items() if path in ranks},
        "problems": {name: wrong[path] for name, path in {**models, **own}.items() if path in wrong},
        "active": service.tools.active(),
        "captioned": captioning.undoable(service, folder),
    }


def start(service: Service, body: dict[str, Any]) -> str:
    """Start what `body` asks for; returns the job's id.

    Raises InputErrors (bad values, a name that is no file's name or is taken), HostError while another tool runs or packages
    are missing.
    """
    for trouble in service.host.problems():
        raise HostError(trouble.message, advice=trouble.advice)
    tool = tool_named(body.get("tool"))
    values = body.get("values")
    if not isinstance(values, dict):
        raise answers.Refusal(400, 'Expected {"tool": name, "values": {...}}.')
    captioning.check_paths(service, tool, values)
    overwrite = flag_of(body, "overwrite")
    target, errors = _target(service, tool, body, overwrite=overwrite)
    words: list[str] = []
    try:
        words = arguments(
            tool, captioning.prepared(service, tool, values), {"lora": loras(service), "checkpoint": checkpoints(service)}
        )
    except InputErrors as wrong:
        errors += wrong.errors
    if errors:
        raise InputErrors(errors)
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        words += ["--save_to", str(target), *(["--overwrite"] if overwrite else [])]

    def whole(folder: Path) -> list[str]:
        more = [*words, *(captioning.words(service, tool, folder) if tool.writes == captioning.WRITES else [])]
        for option, file in _FILES.items():
            if option in {one.name for one in options_of(tool.declared)}:
                more += [f"--{option}", str(folder / file)]
        return more

    return service.tools.start(tool.command, whole, tool=tool.name, writes=tool.writes, target=target)


def _target(
    service: Service, tool: PageTool, body: Mapping[str, Any], *, overwrite: bool
) -> tuple[Path | None, list[InputError]]:
    """(the file to write, what is wrong with its name). An input of the same name is refused by the tool itself."""
    if tool.writes not in ("lora", "checkpoint"):
        return None, []
    name = body.get("output")
    try:
        safe_name(name if isinstance(name, str) else "", field="output")
    except InputError as error:
        return None, [error]
    assert isinstance(name, str)
    is_lora = tool.writes == "lora"
    folders = [service.paths.lora_dir] if is_lora else list(service.paths.checkpoint_dirs)
    if not folders:
        raise HostError("This host has no folder for checkpoints.")
    target = folders[0] / f"{name}{SAFETENSORS}"
    if target.exists() and not overwrite:
        advice = "Choose another name, or ask to overwrite it."
        return target, [InputError(f"there is a file {target.name} already.", field="output", advice=advice)]
    return target, []


def job_view(status: Mapping[str, Any]) -> dict[str, Any]:
    """A Job of docs/api.md, without what one that writes captions has besides."""
    paths: list[Path] = status["files"]
    is_lora = status["writes"] == "lora"
    files = [
        {
            "name": path.name,
            "url": f"tools/{status['id']}/file/{quote(path.name)}",
            "bytes": path.stat().st_size,
            "prompt": f"<lora:{path.stem}:0.8>" if is_lora else "",
        }
        for path in paths
    ]
    command = "python -m lora_trainer " + shlex.join(status["words"])
    return {**{key: value for key, value in status.items() if key != "words"}, "command": command, "files": files}


def whole_view(service: Service, status: Mapping[str, Any]) -> dict[str, Any]:
    """A Job of docs/api.md."""
    return {**job_view(status), **captioning.view(service, status)}


# -- routes -----------------------------------------------------------------------------------------------------------


async def _tools(service: Service, request: Request) -> Response:
    return answer(await service.look(page_view, service, request.query_params.get("folder", "")))


async def _start(service: Service, request: Request) -> Response:
    job_id = await service.change(start, service, await json_body(request))
    return answer(await service.look(lambda: whole_view(service, service.tools.status(job_id))), 201)


async def _job(service: Service, request: Request) -> Response:
    return answer(await service.look(lambda: whole_view(service, service.tools.status(request.path_params["id"]))))


async def _undo(service: Service, request: Request) -> Response:
    await json_body(request)
    job_id = request.path_params["id"]
    undone = await service.change(captioning.undo, service, job_id)
    return answer({**undone, "job": await service.look(lambda: whole_view(service, service.tools.status(job_id)))})


async def _stop(service: Service, request: Request) -> Response:
    await json_body(request)
    return answer(await service.control(lambda: whole_view(service, service.tools.stop(request.path_params["id"]))))


async def _job_file(service: Service, request: Request) -> Response:
    name = request.path_params["name"]
    path = await service.look(service.tools.file, request.path_params["id"], name)
    if path is None:
        raise answers.missing(f"file {name!r}")
    return await file_answer(service, path)


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "tools", _tools),
    ("POST", "tools", _start),
    ("GET", "tools/{id}", _job),
    ("POST", "tools/{id}/stop", _stop),
    ("POST", "tools/{id}/undo", _undo),
    ("GET", "tools/{id}/file/{name}", _job_file),
]
