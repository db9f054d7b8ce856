"""Packages that only some optimizers need: which there are, and fetching one when the user says so. Routes of routes.py.

What may be fetched is a fixed list with hashes (installing.extras); it goes into the program's own folder. The process is one
of ours, `python -m lora_trainer install_packages NAME`, in the interpreter that trains.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError
from ..installing import extras
from ..options.optimizer import OptimizerOptions
from ..options.optimizer_kinds import OPTIMIZERS, kind_of
from .answers import answer, json_body, text_of
from .service import Service
from .tools import job_view


def lacking(options: OptimizerOptions) -> tuple[str, bool]:
    """(package that the chosen optimizer needs and that is not there, or ""; whether another optimizer stands in for it)."""
    kind = kind_of(options.optimizer_type)
    if kind.full and shutil.which("nvidia-smi") is None:
        kind = kind_of(kind.full)
    if not kind.package or extras.is_there(kind.package):
        return "", False
    stand_in = kind_of(kind.full) if kind.full else None
    return kind.package, stand_in is not None and not stand_in.package


def package_view(name: str) -> dict[str, Any]:
    """A Package of docs/api.md."""
    extra = extras.BY_NAME[name]
    optimizers = [kind.name for kind in OPTIMIZERS if kind.package == name]
    told = {"name": name, "version": extra.version, "bytes": extra.size, "purpose": extra.purpose}
    return {**told, "installed": extras.is_there(name), "optimizers": optimizers}


def page_view(service: Service) -> dict[str, Any]:
    """The answer of GET packages."""
    return {"packages": [package_view(name) for name in extras.BY_NAME], "active": service.packages.active()}


def start(service: Service, name: str) -> str:
    """Begin to fetch package `name`; returns the job's id. Raises InputError for another name, HostError while one is."""
    if name not in extras.BY_NAME:
        raise InputError(f"there is no package {name!r} here.", field="name", advice=f"There are: {', '.join(extras.BY_NAME)}.")
    return service.packages.start(extras.COMMAND, lambda folder: [name], tool=name, writes="", target=None)


# -- routes -----------------------------------------------------------------------------------------------------------


async def _packages(service: Service, request: Request) -> Response:
    return answer(await service.look(page_view, service))


async def _start(service: Service, request: Request) -> Response:
    job_id = await service.change(start, service, text_of(await json_body(request), "name"))
    return answer(await service.look(lambda: job_view(service.packages.status(job_id))), 201)


async def _job(service: Service, request: Request) -> Response:
    return answer(await service.look(lambda: job_view(service.packages.status(request.path_params["id"]))))


async def _stop(service: Service, request: Request) -> Response:
    await json_body(request)
    return answer(await service.control(lambda: job_view(service.packages.stop(request.path_params["id"]))))


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "packages", _packages),
    ("POST", "packages", _start),
    ("GET", "packages/{id}", _job),
    ("POST", "packages/{id}/stop", _stop),
]
