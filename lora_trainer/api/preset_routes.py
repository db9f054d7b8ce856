"""The presets that a person keeps: saved, renamed, exported, deleted, the default chosen. Routes of routes.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError
from ..recipes import preset_store
from ..recipes.preset_store import PresetStore
from . import answers
from .answers import answer, flag_of, json_body, text_of
from .drafts import page_start
from .sending import attachment
from .service import Service


def presets_view(service: Service) -> dict[str, Any]:
    """{"own": the presets that were kept, "default": id}; values go over what the form starts with."""
    store, start = service.presets, page_start()
    own_presets = [
        {
            "id": kept.id,
            "name": kept.name,
            "values": {**start, **kept.values},
            "problem": kept.problem,
            "url": f"presets/file?name={quote(kept.name)}",
        }
        for kept in store.all()
    ]
    return {"own": own_presets, "default": store.default()}


async def _presets(service: Service, request: Request) -> Response:
    return answer(await service.control(presets_view, service))


async def _changed(service: Service, change: Callable[[PresetStore], object]) -> Response:
    """Change something, and answer with how the presets stand then."""

    def do() -> dict[str, Any]:
        change(service.presets)
        return presets_view(service)

    return answer(await service.control(do))


async def _save(service: Service, request: Request) -> Response:
    body = await json_body(request)
    name, values, overwrite = text_of(body, "name"), body.get("values"), flag_of(body, "overwrite")
    if not isinstance(values, dict):
        raise answers.Refusal(400, 'Expected {"name": text, "values": {...}}.')
    return await _changed(service, lambda store: store.save(name.strip(), values, overwrite=overwrite))


async def _rename(service: Service, request: Request) -> Response:
    body = await json_body(request)
    name, to = text_of(body, "name"), text_of(body, "to").strip()
    return await _changed(service, lambda store: store.rename(name, to))


async def _delete(service: Service, request: Request) -> Response:
    name = text_of(await json_body(request), "name")
    return await _changed(service, lambda store: store.delete(name))


async def _default(service: Service, request: Request) -> Response:
    preset_id = text_of(await json_body(request), "id")
    return await _changed(service, lambda store: store.choose(preset_id))


async def _export(service: Service, request: Request) -> Response:
    name = request.query_params.get("name", "")

    def look() -> str:
        kept = service.presets.get(name)
        if kept.problem:
            raise InputError(kept.problem, field="name")
        return preset_store.text_of(kept.name, kept.values)

    text = await service.control(look)
    headers = {"Content-Disposition": attachment(f"{name}.json"), **answers.HEADERS}
    return Response(text, media_type="application/json", headers=headers)


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "presets", _presets),
    ("POST", "presets", _save),
    ("POST", "presets/rename", _rename),
    ("POST", "presets/delete", _delete),
    ("POST", "presets/default", _default),
    ("GET", "presets/file", _export),
]
