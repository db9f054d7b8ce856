"""The routes of the data set page: below `datasets`. Shapes: docs/api.md; what they do: the room `datasets`.

A data set is opened by folders that whoever asks may look into, and each later request is held against that again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..data.plan.files import list_folder, masks_of
from ..datasets import learning, queries
from ..datasets.dataset import DataSet
from ..datasets.edit_titles import title
from ..datasets.history import Step
from ..datasets.model import Picture
from ..errors import InputError
from . import folders
from .answers import HEADERS, Refusal, answer, flag_of, json_body, missing, text_of
from .images import image_folder
from .sending import file_answer
from .service import Service

_MOST_ROWS = 500
# What is shown in place of a picture that cannot be read: a frame with a tear.
_TORN = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="256" height="256"><path fill="none" stroke="#999" '
    'stroke-width="3" d="M42 20H18v56h24l-6-18 12-12-10-12zM54 20h24v56H52l-6-16 12-14-10-12z"/></svg>'
)


def dataset_of(service: Service, request: Request) -> DataSet:
    """The data set that a request names. Raises Refusal (404), and InputError where it may not be looked into (any more)."""
    try:
        dataset = service.datasets.get(request.path_params["id"])
    except InputError as error:
        raise Refusal(404, error.message, advice=error.advice) from error
    for folder in dataset.folders:
        refused = folders.problem(folder.path, service.host.access(), "folders")
        if refused is not None:
            raise refused
    return dataset


def picture_of(service: Service, request: Request) -> tuple[DataSet, Picture]:
    """The picture that a request names. Raises Refusal (404)."""
    dataset = dataset_of(service, request)
    return dataset, picture_in(dataset, request.path_params["image"])


def picture_in(dataset: DataSet, number: str) -> Picture:
    """The picture with the id `number`. Raises Refusal (404)."""
    picture = dataset.pictures.get(int(number)) if number.isascii() and number.isdigit() and len(number) < 18 else None
    if picture is None:
        raise missing(f"picture {number} in this data set")
    return picture


def set_view(service: Service, dataset: DataSet) -> dict[str, Any]:
    """A Set of docs/api.md."""
    steps = steps_view(service, dataset)
    copied = [service.uploads.earlier(folder.path) for folder in dataset.folders]
    with dataset.lock:
        told = [
            {
                "path": str(folder.path),
                "name": folder.name,
                "images": len(folder.pictures),
                "earlier": [str(path) for path in earlier],
                "problem": folder.problem,
                "read_only": not folder.problem and not folder.is_writable(),
            }
            for folder, earlier in zip(dataset.folders, copied, strict=True)
        ]
        total, version = len(dataset.pictures), dataset.version
    return {
        "id": dataset.id,
        "folders": told,
        "caption_extension": dataset.ending,
        "total": total,
        "version": version,
        "scan": progress(dataset),
        "unread": len(dataset.unread()),
        **steps,
    }


def steps_view(service: Service, dataset: DataSet) -> dict[str, Any]:
    """What would be undone and redone, and in which run the pictures were learned: {"undo", "redo", "learned"}."""
    learning.look(dataset, service.paths.runs, service.uploads.earlier)
    service.datasets.adopt(dataset, lambda name: name != service.tools.active() and (service.tools.folder / name).is_dir())
    history, ids = service.datasets.history, [folder.id for folder in dataset.folders]
    steps = {"undo": history.to_undo(ids), "redo": history.to_redo(ids)}
    told: dict[str, Any] = {name: step_view(step) if step else None for name, step in steps.items()}
    run = dataset.training
    return {**told, "learned": {"run": run.run, "time": run.time} if run else None}


def step_view(step: Step) -> dict[str, Any]:
    """A Step of docs/api.md."""
    told = {"step": step.id, "time": step.time, "title": title(step.edit), "edit": step.edit, "changed": step.changed}
    return {**told, "state": step.state}


def progress(dataset: DataSet) -> dict[str, int] | None:
    now = dataset.progress
    return {"done": now.done, "total": now.total} if now is not None else None


# -- opening ----------------------------------------------------------------------------------------------------------


def _folders_of(service: Service, body: dict[str, Any]) -> list[Path]:
    """The folders that a request names: full paths, or ids of uploads."""
    named = body.get("folders")
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise Refusal(400, "'folders' is no list of texts.")
    return [_folder(service, text) for text in named]


def _folder(service: Service, text: str) -> Path:
    if service.uploads.is_id(text):
        return service.uploads.newest(service.uploads.folder(text))
    return service.uploads.newest(image_folder(text, service.host.access()))


async def _open(service: Service, request: Request) -> Response:
    body = await json_body(request)
    ending = text_of(body, "caption_extension", "") or None

    def look() -> dict[str, Any]:
        return set_view(service, service.datasets.open(_folders_of(service, body), ending))

    return answer(await service.change(look))


async def _list(service: Service, request: Request) -> Response:
    def look() -> dict[str, Any]:
        access = service.host.access()
        known = [
            {"id": name, "folders": [str(path) for path in paths], "opened": opened}
            for name, paths, _, opened in service.datasets.store.sets()
            if not any(folders.problem(path, access, "folders") for path in paths)
        ]
        return {"datasets": known}

    return answer(await service.look(look))


async def _view(service: Service, request: Request) -> Response:
    return answer(await service.look(lambda: set_view(service, dataset_of(service, request))))


# -- looking ----------------------------------------------------------------------------------------------------------


def _buckets(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("buckets") or {}
    if not isinstance(given, dict):
        raise Refusal(400, "'buckets' is no object.")
    return given


async def _query(service: Service, request: Request) -> Response:
    body = await json_body(request)
    text, sort, descending = text_of(body, "filter", ""), text_of(body, "sort", "name"), flag_of(body, "descending")
    counted = body.get("counts", [])
    if not isinstance(counted, list) or not all(isinstance(one, str) for one in counted) or len(counted) > 50:
        raise Refusal(400, "'counts' is no list of at most 50 texts.")

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        version, total = dataset.version, len(dataset.pictures)
        found = queries.ordered(queries.matching(dataset, text, _buckets(body)), sort, descending=descending)
        counts = [len(queries.matching(dataset, one, _buckets(body))) for one in counted]
        return {"version": version, "total": total, "ids": [one.id for one in found], "counts": counts}

    return answer(await service.look(look))


async def _rows(service: Service, request: Request) -> Response:
    body = await json_body(request)
    ids = ids_of(body, most=_MOST_ROWS)

    def look() -> dict[str, Any]:
        dataset, bucket = dataset_of(service, request), queries.bucket_of(_buckets(body))
        with dataset.lock:
            rows = [queries.row(dataset, dataset.pictures[one], bucket) for one in ids if one in dataset.pictures]
            return {"version": dataset.version, "rows": rows}

    return answer(await service.look(look))


def ids_of(body: dict[str, Any], *, most: int) -> list[int]:
    """The ids in a request. Raises Refusal for what is no list of whole numbers, or of more than `most`."""
    ids = body.get("ids")
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise Refusal(400, "'ids' is no list of whole numbers.")
    if len(ids) > most:
        raise Refusal(400, f"'ids' names {len(ids)} pictures, at most {most} are answered at once.")
    return ids


async def _thumb(service: Service, request: Request) -> Response:
    dataset, picture = await service.look(picture_of, service, request)
    mark = f'"{picture.stamp.mtime_ns:x}-{picture.stamp.size:x}"'
    # `v` names the contents, so an address that has it is good for ever.
    kept = "private, max-age=31536000, immutable" if request.query_params.get("v") == mark.strip('"') else "private, no-cache"
    headers = {"ETag": mark, "Cache-Control": kept, **HEADERS}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    try:
        path = await service.draw(service.thumbnails.of, dataset.path_of(picture))
        return Response(await service.draw(path.read_bytes), media_type="image/jpeg", headers=headers)
    except (Refusal, OSError):
        return Response(_TORN, media_type="image/svg+xml", headers={**headers, "Cache-Control": "private, no-cache"})


async def _image(service: Service, request: Request) -> Response:
    dataset, picture = await service.look(picture_of, service, request)
    return await file_answer(service, dataset.path_of(picture))


async def _mask(service: Service, request: Request) -> Response:
    """The mask beside a picture; nothing (204) where there is none."""
    dataset, picture = await service.look(picture_of, service, request)

    def look() -> Path | None:
        path = dataset.path_of(picture)
        found = masks_of(picture.name, list_folder(path.parent))
        return path.with_name(found[0]) if found else None

    path = await service.look(look)
    return await file_answer(service, path) if path is not None else Response(status_code=204, headers=HEADERS)


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "datasets", _open),
    ("GET", "datasets", _list),
    ("GET", "datasets/{id}", _view),
    ("POST", "datasets/{id}/query", _query),
    ("POST", "datasets/{id}/rows", _rows),
    ("GET", "datasets/{id}/thumb/{image}", _thumb),
    ("GET", "datasets/{id}/image/{image}", _image),
    ("GET", "datasets/{id}/mask/{image}", _mask),
]
