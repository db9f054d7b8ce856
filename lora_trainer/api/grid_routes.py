"""Saved steps of a run, and other LoRAs, side by side: what is asked for, how it stands, its pictures and the sheet of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError
from ..grids.grid import Candidate, checked
from ..grids.sheet import model_of, sheet
from ..modelfile import LORA_SUFFIXES
from ..options.trained import EMBEDDING, MODEL
from ..sampling.request import from_mapping
from . import answers, model_files, painting
from .answers import answer, json_body
from .sending import file_answer
from .service import Service

_ASKED = ("files", "others", "strengths", "prompts")


async def _begin(service: Service, request: Request) -> Response:
    body, run_id = await json_body(request), request.path_params["id"]
    settings = {key: value for key, value in body.items() if key not in _ASKED}

    def do() -> dict[str, Any]:
        chosen = [*_of_run(service, run_id, body.get("files")), *_others(service, body.get("others"))]
        grid = checked(chosen, body.get("strengths"), body.get("prompts"), _seeded(settings))
        return {"id": service.grids.begin(grid, run_id)}

    return answer(await service.change(do), 201)


def _seeded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """With a seed drawn in place of -1: all pictures have the same. Raises InputErrors for what cannot be drawn."""
    wanted = {key: value for key, value in settings.items() if key not in ("checkpoint", "vae")}
    return {**settings, "seed": from_mapping({**wanted, "prompt": ""}).with_seed().seed}


def _of_run(service: Service, run_id: str, names: Any) -> list[Candidate]:
    """Saved files of the run. Raises InputError for one that is not there."""
    _known(service, run_id)
    folder = service.supervisor.folder(run_id)
    if folder.request().get("trains") == EMBEDDING:
        raise InputError(
            "an embedding has no strength to compare.", field="files", advice="Try its files in prompts by their names."
        )
    if folder.request().get("trains") == MODEL:
        raise InputError("a model has no strength to compare.", field="files", advice="Choose its files as checkpoints.")
    progress, _ = service.supervisor.progress(run_id)
    steps = {Path(path).name: saved.get("step") for path, saved in progress.files.items()}
    found = []
    for name in _texts(names, "files"):
        path = folder.file(name)
        if path is None or path.suffix not in LORA_SUFFIXES:
            raise InputError(f"the run has no saved file {name!r}.", field="files")
        step = steps.get(name)
        found.append(Candidate(path.stem, path, int(step) if isinstance(step, (int, float)) else None))
    return found


def _others(service: Service, names: Any) -> list[Candidate]:
    wanted = _texts(names, "others")
    if not wanted:
        return []
    there = {path.stem: path for path in model_files.lora_files(service.paths.lora_dir)}
    for name in wanted:
        if name not in there:
            raise InputError(f"there is no LoRA {name!r} in the LoRA folder.", field="others")
    return [Candidate(name, there[name]) for name in wanted]


def _texts(value: Any, field: str) -> list[str]:
    if not isinstance(value or [], list) or not all(isinstance(one, str) for one in value or []):
        raise InputError(f"{field!r} is {value!r}, expected a list of names.", field=field)
    return list(dict.fromkeys(value or []))


def _known(service: Service, run_id: str) -> None:
    if service.store.get(run_id) is None:
        raise answers.missing(f"run {run_id!r}")


async def _of(service: Service, request: Request) -> Response:
    def look() -> dict[str, Any]:
        _known(service, request.path_params["id"])
        ids = service.grids.of_run(request.path_params["id"])
        return {"grids": [grid_view(service, grid_id) for grid_id in ids]}

    return answer(await service.look(look))


async def _one(service: Service, request: Request) -> Response:
    return answer({"grid": await service.look(grid_view, service, request.path_params["id"])})


async def _act(service: Service, request: Request) -> Response:
    await json_body(request)
    grid_id, action = request.path_params["id"], request.path_params["action"]
    actions = {"stop": service.grids.stop, "go_on": service.grids.go_on, "delete": service.grids.delete}
    if action not in actions:
        raise answers.missing(f"action {action!r}")
    await service.change(actions[action], grid_id)
    return answer({})


async def _picture(service: Service, request: Request) -> Response:
    name = request.path_params["name"]
    path = await service.look(service.grids.picture, request.path_params["id"], name)
    if path is None:
        raise answers.missing(f"picture {name!r}")
    return await file_answer(service, path)


async def _sheet(service: Service, request: Request) -> Response:
    def make() -> bytes:
        grid_id = request.path_params["id"]
        grid = service.grids.look(grid_id)["grid"]
        return sheet(grid, lambda cell: service.grids.picture(grid_id, f"{cell.key}.png"))

    headers = {"Content-Disposition": 'attachment; filename="comparison.png"'}
    return Response(await service.draw(make), media_type="image/png", headers=headers)


def grid_view(service: Service, grid_id: str) -> dict[str, Any]:
    """A Grid of docs/api.md."""
    found = service.grids.look(grid_id)
    grid, saved = found["grid"], service.saved_steps(found["run"])
    drawn = (service.grids.picture(grid_id, f"{cell.key}.png") for cell, is_drawn in found["cells"] if is_drawn)
    cells = [
        {
            "key": cell.key,
            "prompt": cell.prompt,
            "lora": cell.candidate,
            "strength": cell.strength,
            "text": grid.text(cell),
            "url": f"grids/{quote(grid_id)}/file/{cell.key}.png" if is_drawn else None,
        }
        for cell, is_drawn in found["cells"]
    ]
    return {
        "id": grid_id,
        "run": found["run"],
        **{key: found[key] for key in ("state", "message", "advice")},
        "done": sum(1 for cell in cells if cell["url"]),
        "total": len(cells),
        "base_model": model_of(grid, drawn),
        "loras": [{"name": one.name, "step": one.step, "file": painting.file_now(one, saved)} for one in grid.candidates],
        "strengths": list(grid.strengths),
        "prompts": list(grid.prompts),
        "settings": dict(grid.settings),
        "cells": cells,
        "sheet": f"grids/{quote(grid_id)}/sheet",
    }


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "runs/{id}/grids", _begin),
    ("GET", "runs/{id}/grids", _of),
    ("GET", "grids/{id}", _one),
    ("POST", "grids/{id}/{action}", _act),
    ("GET", "grids/{id}/file/{name}", _picture),
    ("GET", "grids/{id}/sheet", _sheet),
]
