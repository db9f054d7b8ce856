"""Routes of a kind of jobs: begun with a draft, followed, ended. What they are and what is told of one says who has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..runs.tool_jobs import ToolJobs
from .answers import answer, json_body
from .service import Service

Table = list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]]


def table(
    path: str,
    start: Callable[[Service, Mapping[str, Any]], str],
    view: Callable[[Service, str], dict[str, Any]],
    jobs: Callable[[Service], ToolJobs],
) -> Table:
    """POST `path` -> {"id"}, GET `path`/{id} -> what `view` tells, POST `path`/{id}/stop -> {}.

    `start(service, body)` begins one and returns its id; `view` looks into the jobs' own folders alone.
    """

    async def begin(service: Service, request: Request) -> Response:
        return answer({"id": await service.change(start, service, await json_body(request))}, 201)

    async def look(service: Service, request: Request) -> Response:
        return answer(await service.control(view, service, request.path_params["id"]))

    async def stop(service: Service, request: Request) -> Response:
        await json_body(request)
        await service.control(jobs(service).stop, request.path_params["id"])
        return answer({})

    return [("POST", path, begin), ("GET", f"{path}/{{id}}", look), ("POST", f"{path}/{{id}}/stop", stop)]
