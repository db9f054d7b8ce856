"""Everything below `/lora-trainer/api/`. JSON in, JSON out; THE table of routes and shapes is docs/api.md.

    mount(app, service_for(host))        # harmless when done again

Each handler is `async`, passes security.check first, and waits for nothing but threads of our own: `service.control` for what
concerns runs alone, `service.look` and `service.change` for what touches files that a person named (service.py).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from ..errors import InputError
from ..hosts.base import POLICIES
from ..ui.assets import assets, kind_of
from . import (
    answers,
    batches,
    checks,
    comparing,
    concept_routes,
    dataset_edits,
    dataset_lint,
    dataset_routes,
    grid_routes,
    images,
    losses,
    model_files,
    packages,
    preset_routes,
    receiving,
    recipe_routes,
    reg_routes,
    rehearsing,
    retraining,
    run_routes,
    security,
    sent,
    speech,
    submitting,
    tools,
    trial,
    variants,
)
from .answers import answer, json_body, text_of
from .sending import file_answer
from .service import Service
from .state import form_view, state_view
from .upload_names import CAPTIONS

PREFIX = "/lora-trainer"
_CHECKING = 0.4  # seconds that one check spends itself on reading pictures; the page asks again for the rest
UPLOADS = {"uploads", "recipes"}  # these take files
Handler = Callable[[Service, Request], Awaitable[Response]]


def mount(app: Starlette, service: Service) -> None:
    """Put our routes first into `app`, in place of those of an earlier call ("Reload UI")."""
    others = [route for route in app.router.routes if getattr(route, "path", None) != PREFIX]
    app.router.routes[:] = [Mount(PREFIX, routes=routes(service)), *others]


def routes(service: Service) -> list[BaseRoute]:
    """Our routes, relative to PREFIX."""
    page = functools.partial(_serve, service, _asset, False)
    return [Route("/assets/{version}/{name:path}", page, methods=["GET"]), *_api_routes(service)]


def _api_routes(service: Service) -> list[BaseRoute]:
    return [
        Route(f"/api/{path}", functools.partial(_serve, service, handler, path in UPLOADS), methods=[method])
        for method, path, handler in _TABLE
    ]


async def _serve(service: Service, handler: Handler, upload: bool, request: Request) -> Response:
    speech.listen(request)
    try:
        security.check(request, service.host, upload=upload)
        return await handler(service, request)
    except Exception as error:
        return answers.error_answer(error)


async def _asset(service: Service, request: Request) -> Response:
    """A file of the page. Its address carries the version, so a browser need not ask twice; another version is not served."""
    ours, name = assets(), request.path_params["name"]
    if request.path_params["version"] != ours.version:
        raise answers.Refusal(
            404, "This page is of another version of LoRA Trainer than the program.", advice="Reload the page."
        )
    if name not in ours.files:
        raise answers.missing("such file")
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "ETag": f'"{ours.version}"', **answers.HEADERS}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(ours.files[name], media_type=kind_of(name), headers=headers)


# -- the page ---------------------------------------------------------------------------------------------------------


async def _state(service: Service, request: Request) -> Response:
    return answer(await service.control(state_view, service, request.query_params.get("since", "")))


async def _settings(service: Service, request: Request) -> Response:
    policy = text_of(await json_body(request), "pictures_policy")
    if policy not in POLICIES:
        raise InputError(
            f"pictures_policy is {policy!r}.", field="pictures_policy", advice=f"Expected one of: {', '.join(POLICIES)}."
        )
    await service.control(service.host.choose_pictures_policy, policy)
    return answer({"pictures_policy": service.host.pictures_policy()})


async def _form(service: Service, request: Request) -> Response:
    return answer(await form_view(service))


async def _check(service: Service, request: Request) -> Response:
    body = await json_body(request)

    def look() -> dict[str, Any]:
        checked = checks.check(service, body, seconds=_CHECKING)
        if body.get("is_seen") is True and (checked.plan or {}).get("images"):
            service.standby.wanted()
        return {**checked.view(), "forecast": rehearsing.forecast(service, checked)}

    return answer(await service.look(look))


# -- runs -------------------------------------------------------------------------------------------------------------


async def _start(service: Service, request: Request) -> Response:
    run = await service.change(submitting.submit, service, await json_body(request))
    return answer({"id": run.id, "name": run.name}, 201)


async def _trial(service: Service, request: Request) -> Response:
    run = await service.change(trial.start, service, await json_body(request))
    return answer({"id": run.id, "name": run.name}, 201)


async def _trial_picture(service: Service, request: Request) -> Response:
    if not trial.can_try(service):
        raise answers.missing("trial here")
    headers = {"Cache-Control": "private, no-cache", **answers.HEADERS}
    return Response(await service.look(trial.picture), media_type="image/png", headers=headers)


# -- images -----------------------------------------------------------------------------------------------------------


async def _upload(service: Service, request: Request) -> Response:
    wanted = request.query_params.get("folder")
    upload_id = wanted if wanted else await service.change(service.uploads.new)
    folder = await service.change(service.uploads.folder, upload_id)
    arrivals = receiving.Arrivals()
    try:
        await receiving.receive(request, folder, service.change, arrivals)
    finally:  # what came whole is kept, also of a request that broke off
        received = await service.change(service.uploads.place, upload_id, arrivals)
    return answer(await service.change(service.uploads.summary, received))


async def _upload_view(service: Service, request: Request) -> Response:
    def look() -> dict[str, Any]:
        upload_id = request.path_params["id"]
        folder = service.uploads.folder(upload_id)
        wanted = images.Wanted.of(request.query_params, CAPTIONS, service.host.access())
        return _described(service, folder, wanted, upload_id)

    return answer(await service.look(look))


def _described(service: Service, folder: Path, wanted: images.Wanted, upload_id: str | None) -> dict[str, Any]:
    left_out = service.datasets.left_out(str(folder))
    return images.describe(folder, upload_id=upload_id, wanted=wanted, left_out=left_out)


async def _upload_caption(service: Service, request: Request) -> Response:
    body = await json_body(request)
    name, caption, end = text_of(body, "name"), text_of(body, "caption"), text_of(body, "extension", ".txt")
    upload_id, keep_lines = request.path_params["id"], body.get("keep_lines") is True
    changed = await service.change(lambda: service.uploads.set_caption(upload_id, name, caption, end, keep_lines=keep_lines))
    return answer(_changed(service, changed))


async def _upload_delete(service: Service, request: Request) -> Response:
    body = await json_body(request)
    upload_id = request.path_params["id"]
    if body.get("name") is None:
        await service.change(service.uploads.delete, upload_id)
        return answer({})
    return answer(_changed(service, await service.change(service.uploads.delete_image, upload_id, text_of(body, "name"))))


def _changed(service: Service, upload_id: str) -> dict[str, Any]:
    """Where a change went: into another upload than was named when a run trains from that one."""
    return {"id": upload_id, "folder": str(service.uploads.root / upload_id)}


def _shown_folder(service: Service, request: Request) -> Path:
    return images.image_folder(request.query_params.get("folder", ""), service.host.access())


async def _images(service: Service, request: Request) -> Response:
    def look() -> dict[str, Any]:
        folder = _shown_folder(service, request)
        wanted = images.Wanted.of(request.query_params, CAPTIONS, service.host.access())
        return _described(service, folder, wanted, service.uploads.id_of(folder))  # an earlier run's pictures may be one

    return answer(await service.look(look))


async def _images_thumb(service: Service, request: Request) -> Response:
    def look() -> Path:
        folder = _shown_folder(service, request)
        return service.thumbnails.of(images.image_in(folder, request.query_params.get("name", "")))

    return await file_answer(service, await service.look(look))


# -- pictures and LoRA files ------------------------------------------------------------------------------------------


async def _generate(service: Service, request: Request) -> Response:
    asked = (await json_body(request)).get("request")
    if not isinstance(asked, dict):
        raise answers.Refusal(400, 'Expected {"request": {...}}.')
    return answer({"id": await service.change(service.generate, asked)}, 201)


async def _generated(service: Service, request: Request) -> Response:
    request_id = request.path_params["id"]
    return answer(_generated_view(request_id, await service.control(service.generation.status, request_id)))


async def _generate_stop(service: Service, request: Request) -> Response:
    await json_body(request)
    request_id = request.path_params["id"]
    return answer(_generated_view(request_id, await service.control(service.generation.stop, request_id)))


def _generated_view(request_id: str, status: dict[str, Any]) -> dict[str, Any]:
    base = f"generate/{request_id}/file"
    pictures = [{**one, "url": f"{base}/{one.get('name', '')}", "infotext": one.get("info", "")} for one in status["images"]]
    return {"id": request_id, **status, "images": pictures}


async def _generated_file(service: Service, request: Request) -> Response:
    name = request.path_params["name"]
    path = await service.control(service.generation.file, request.path_params["id"], name)
    if path is None:
        raise answers.missing(f"picture {name!r}")
    return await file_answer(service, path)


async def _loras(service: Service, request: Request) -> Response:
    folder = service.paths.lora_dir
    return answer({"folder": str(folder), "loras": await service.look(model_files.loras_view, folder)})


async def _lora_preview(service: Service, request: Request) -> Response:
    name = request.query_params.get("name", "")

    def look() -> Path:
        for path in model_files.lora_files(service.paths.lora_dir):
            preview = model_files.preview_of(path) if path.stem == name else None
            if preview is not None:
                return service.thumbnails.of(preview)
        raise answers.missing(f"picture of the LoRA {name!r}")

    return await file_answer(service, await service.look(look))


_TABLE: list[tuple[str, str, Handler]] = [
    ("GET", "state", _state),
    ("GET", "form", _form),
    ("POST", "settings", _settings),
    ("POST", "check", _check),
    ("POST", "runs", _start),
    ("POST", "trial", _trial),
    ("GET", "trial/picture", _trial_picture),
    ("POST", "uploads", _upload),
    ("GET", "uploads/{id}", _upload_view),
    ("POST", "uploads/{id}/caption", _upload_caption),
    ("POST", "uploads/{id}/delete", _upload_delete),
    ("GET", "images", _images),
    ("GET", "images/thumb", _images_thumb),
    ("POST", "generate", _generate),
    ("GET", "generate/{id}", _generated),
    ("GET", "generate/{id}/file/{name}", _generated_file),
    ("POST", "generate/{id}/stop", _generate_stop),
    ("GET", "loras", _loras),
    ("GET", "loras/preview", _lora_preview),
    *sent.TABLE,
    *dataset_routes.TABLE,
    *dataset_edits.TABLE,
    *dataset_lint.TABLE,
    *run_routes.TABLE,
    *grid_routes.TABLE,
    *losses.TABLE,
    *retraining.TABLE,
    *tools.TABLE,
    *recipe_routes.TABLE,
    *preset_routes.TABLE,
    *comparing.TABLE,
    *variants.TABLE,
    *packages.TABLE,
    *batches.TABLE,
    *rehearsing.TABLE,
    *concept_routes.TABLE,
    *reg_routes.TABLE,
]
