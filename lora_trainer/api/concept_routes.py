"""The list of concepts: a folder in kohya's form taken apart, the list as a data set file. Routes of routes.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InputError, InputErrors
from ..options import concepts, config_file, flat, located
from ..options.dataset_keys import DATASET, GENERAL, KEYS
from ..options.simple import RunFiles
from ..recipes.kohya_folder import take_apart
from . import drafts, folders
from .answers import answer, json_body
from .images import image_folder
from .service import Service


def parts_of(service: Service, folder: str, reg: str) -> dict[str, Any]:
    """{"values", "read", "left"}: what the folder is as concepts. Raises InputError."""
    access = service.host.access()
    parent = image_folder(folder, access)
    try:
        found = take_apart(parent, image_folder(reg, access) if reg else None)
    except OSError as error:
        raise InputError(f"{parent} cannot be listed: {error.strerror}.", field="folder") from error
    return {"values": found.values, "read": found.read, "left": found.left}


async def _parts(service: Service, request: Request) -> Response:
    query = request.query_params
    return answer(await service.look(parts_of, service, query.get("folder", ""), query.get("reg", "")))


def dataset_file(files: RunFiles) -> str:
    """The data set of a run as a file that says everything itself, for another program or the command line."""
    values = flat(files.options)
    told = {
        key.name: list(value) if isinstance(value := values[key.command_line], tuple) else value
        for key in KEYS.values()
        if key.command_line and GENERAL in key.levels and key.option.supported
        if values[key.command_line] not in (None, key.option.default)
    }
    size = list(files.data.datasets[0].resolution)
    tables = located.parse(Path("dataset.toml"), files.dataset_toml).data
    return config_file.tables_to_toml({GENERAL: {**told, "resolution": size}, DATASET: tables[DATASET]})


async def _file(service: Service, request: Request) -> Response:
    body = await json_body(request)

    def make() -> str:
        draft, folder = drafts.read(body, service.datasets.left_out), service.paths.runs / "draft"
        refused = folders.of_draft(draft, service.host.access())
        if refused:
            raise InputErrors(refused)
        try:
            return dataset_file(drafts.files(draft, folder, draft.name or "draft"))
        except InputErrors as wrong:  # what is no matter of the data set does not keep it from being saved
            found = drafts.files_in_spite(draft, folder, wrong)
            about = [
                one for one in wrong.errors if concepts.plain_name(one.field) in concepts.FIELDS_BY_NAME or "." in one.field
            ]
            if found is None or about:
                raise InputErrors(about or wrong.errors) from wrong
            return dataset_file(found)

    return answer({"dataset": await service.look(make)})


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "concepts", _parts),
    ("POST", "concepts/file", _file),
]
