"""What is asked of a run: how it stands, what it shall do, its files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError
from ..options.trained import MODEL
from ..runs import placing
from ..runs.store import Run
from . import answers, resuming, submitting, views
from .answers import answer, flag_of, json_body, number_of, text_of
from .sending import file_answer
from .service import Service
from .state import runs_view

_MOST_STEPS = 10**9 - 1  # that a training can have

MAX_RUNS = 200  # in a list


async def _list(service: Service, request: Request) -> Response:
    return answer(await service.control(runs_view, service, request.query_params.get("since", ""), MAX_RUNS))


async def _run(service: Service, request: Request) -> Response:
    after, have = request.query_params.get("after"), request.query_params.get("have", "")
    if after is not None and not (after.isdecimal() and len(after) < 16):
        raise answers.Refusal(400, f"'after' is {after[:40]!r}, expected a number of bytes.")

    def look() -> dict[str, Any]:
        run = _known(service, request)
        if after is not None:
            return views.news_view(service.supervisor, run, int(after), have)
        _, offset = service.supervisor.progress(run.id)
        return {"run": views.detail_view(service.supervisor, run), "offset": offset}

    return answer(await service.control(look))


async def _stop(service: Service, request: Request) -> Response:
    force = flag_of(await json_body(request), "force")
    return await _changed(service, request, lambda run: service.supervisor.stop(run.id, force=force))


async def _save(service: Service, request: Request) -> Response:
    await json_body(request)
    return await _changed(service, request, lambda run: service.supervisor.ask(run.id, save=True))


async def _sample(service: Service, request: Request) -> Response:
    await json_body(request)
    return await _changed(service, request, lambda run: service.supervisor.ask(run.id, sample=True))


async def _live(service: Service, request: Request) -> Response:
    body = await json_body(request)
    now, keep, every = flag_of(body, "now"), body.get("keep"), body.get("every")
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or not 0 <= every <= _MOST_STEPS):
        raise InputError(
            f"{every!r} is no number of steps from 0 to {_MOST_STEPS:,}.",
            field="every",
            advice="Give a whole number; 0 is never.",
        )
    if keep is not None:
        keep = flag_of(body, "keep")

    def change(run: Run) -> Run:
        supervisor = service.supervisor
        if supervisor.folder(run.id).request().get("trains") == MODEL:
            message = "a whole checkpoint would be written each time."
            raise InputError(message, field="every", advice="Save it in between, and choose that file as checkpoint.")
        if keep is not None and run.is_active:
            supervisor.live.keep(supervisor.folder(run.id), keep)
        return supervisor.ask(run.id, live=now, live_every=every)

    return await _changed(service, request, change)


async def _changed(service: Service, request: Request, change: Callable[[Run], Run]) -> Response:
    def do() -> dict[str, Any]:
        return {"run": views.run_view(service.supervisor, change(_known(service, request)))}

    return answer(await service.control(do))


async def _pause(service: Service, request: Request) -> Response:
    paused = flag_of(await json_body(request), "paused")
    return await _changed(service, request, lambda run: service.supervisor.pause(run.id, paused))


async def _resume_look(service: Service, request: Request) -> Response:
    text = request.query_params.get("steps", "")
    steps = _steps(int(text) if text.isdecimal() and len(text) < 10 else text or None)
    return answer(await service.look(lambda: resuming.look(service, _known(service, request), steps)))


async def _resume(service: Service, request: Request) -> Response:
    steps = _steps((await json_body(request)).get("steps"))

    def do() -> dict[str, Any]:
        return {"run": views.run_view(service.supervisor, resuming.go_on(service, _known(service, request), steps))}

    return answer(await service.change(do))


def _steps(value: Any) -> int | None:
    """How many steps beyond the end are asked for. Raises InputError for what is no number of steps."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST_STEPS):
        raise InputError(
            f"{value!r} is no number of steps from 1 to {_MOST_STEPS:,}.", field="steps", advice="Give a whole number."
        )
    return value


async def _move(service: Service, request: Request) -> Response:
    position = number_of(await json_body(request), "position", minimum=1)
    return await _changed(service, request, lambda run: service.supervisor.move(run.id, position))


async def _again(service: Service, request: Request) -> Response:
    await json_body(request)

    def do() -> Run:
        run_id = _known(service, request).id
        before = service.supervisor.folder(run_id).request()
        asked = before.get("body")
        if not isinstance(asked, dict):
            raise InputError("what was asked for this run is not known any more.", advice="Start it from the form.")
        return submitting.submit(service, asked, generate=before.get("generate"), keys=service.supervisor.keys(run_id))

    run = await service.change(do)
    return answer({"id": run.id, "name": run.name}, 201)


async def _use(service: Service, request: Request) -> Response:
    body = await json_body(request)
    name, overwrite, as_result = text_of(body, "file"), flag_of(body, "overwrite"), flag_of(body, "as_result")

    def do() -> dict[str, Any]:
        run = _known(service, request)
        path = service.supervisor.use(run.id, name, overwrite=overwrite, as_result=as_result)
        request_of = service.supervisor.folder(run.id).request()
        activation, trains = (str(request_of.get(key) or "") for key in ("activation", "trains"))
        return {"lora": views.lora_view(path, activation, trains)}

    return answer(await service.change(do))


async def _in_use(service: Service, request: Request) -> Response:
    def look() -> dict[str, Any]:
        run = _known(service, request)
        return placing.in_use(service.supervisor.folder(run.id), run.result).as_dict()

    return answer({"used": await service.look(look)})


async def _delete(service: Service, request: Request) -> Response:
    await json_body(request)

    def do() -> None:
        service.supervisor.delete(_known(service, request).id)
        service.uploads.remove_left()

    await service.change(do)
    return answer({})


async def _run_file(service: Service, request: Request) -> Response:
    return await file_answer(service, await service.control(_find_run_file, service, request))


async def _run_thumb(service: Service, request: Request) -> Response:
    return await file_answer(service, await service.look(lambda: service.thumbnails.of(_find_run_file(service, request))))


def _find_run_file(service: Service, request: Request) -> Path:
    name = request.path_params["name"]
    path = service.supervisor.folder(_known(service, request).id).file(name)
    if path is None:
        raise answers.missing(f"file {name!r} in this run")
    return path


def _known(service: Service, request: Request) -> Run:
    run = service.store.get(request.path_params["id"])
    if run is None:
        raise answers.missing(f"run {request.path_params['id']!r}")
    return run


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "runs", _list),
    ("GET", "runs/{id}", _run),
    ("POST", "runs/{id}/stop", _stop),
    ("POST", "runs/{id}/save", _save),
    ("POST", "runs/{id}/sample", _sample),
    ("POST", "runs/{id}/live", _live),
    ("POST", "runs/{id}/pause", _pause),
    ("GET", "runs/{id}/resume", _resume_look),
    ("POST", "runs/{id}/resume", _resume),
    ("POST", "runs/{id}/move", _move),
    ("POST", "runs/{id}/again", _again),
    ("GET", "runs/{id}/use", _in_use),
    ("POST", "runs/{id}/use", _use),
    ("POST", "runs/{id}/delete", _delete),
    ("GET", "runs/{id}/file/{name}", _run_file),
    ("GET", "runs/{id}/thumb/{name}", _run_thumb),
]
