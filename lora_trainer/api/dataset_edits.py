"""The routes of the data set page that change something, or tell what changed. Shapes: docs/api.md.

An upload that a run trains from is not changed: a copy is, which makes another data set of it (`datasets.library.moved`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from ..datasets import queries
from ..datasets.changing import Force, Outcome
from ..datasets.dataset import DataSet
from ..datasets.edits import MARKS, read_edit
from ..datasets.filters import Around, parse
from ..datasets.history import DONE, DROPPED, KEPT, TEXT, UNDONE, Change, Step
from ..datasets.model import Picture
from ..datasets.planning import Conflict, concerned, preview
from ..datasets.suggest import suggest
from ..datasets.text import text_or_none
from .answers import Refusal, answer, flag_of, json_body, text_of
from .dataset_routes import dataset_of, ids_of, picture_in, progress, step_view, steps_view
from .service import Service

_MOST_IDS, _EXAMPLES, _MOST_TOLD = 200_000, 20, 200
_BETWEEN_LOOKS = 2.0  # seconds


def _selected(dataset: DataSet, body: dict[str, Any]) -> list[Picture]:
    """The pictures that a request names by ids, or by a filter."""
    if "ids" in body:
        return [dataset.pictures[one] for one in ids_of(body, most=_MOST_IDS) if one in dataset.pictures]
    if "filter" not in body:
        raise Refusal(400, "The request names no pictures: it needs 'ids' or 'filter'.")
    return queries.matching(dataset, text_of(body, "filter"))


def _versions(body: dict[str, Any]) -> dict[int, str]:
    given = body.get("versions", {})
    if not isinstance(given, dict) or not all(isinstance(value, str) and key.isdigit() for key, value in given.items()):
        raise Refusal(400, "'versions' is no object of ids and texts.")
    return {int(key): value for key, value in given.items()}


def _force(body: dict[str, Any]) -> Force:
    return Force(skip=flag_of(body, "skip"), overwrite=flag_of(body, "force"))


def _conflicts(conflicts: list[Conflict]) -> list[dict[str, Any]]:
    return [
        {"id": one.picture, "name": one.name, "message": one.message, "caption": one.caption} for one in conflicts[:_MOST_TOLD]
    ]


# -- looking ----------------------------------------------------------------------------------------------------------


async def _tags(service: Service, request: Request) -> Response:
    body = await json_body(request)
    text, order, starts = text_of(body, "filter", ""), text_of(body, "order", "count"), text_of(body, "starts", "")
    limit = body.get("limit", 10_000)
    if type(limit) is not int or limit < 0:
        raise Refusal(400, "'limit' is no whole number.")

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        version, pictures = dataset.version, queries.matching(dataset, text)
        counts = queries.tag_counts(pictures, order=order, starts=starts)
        untagged = len(parse("untagged").matching(pictures, Around()))
        told = [{"tag": tag, "count": count} for tag, count in counts[:limit]]
        return {"tags": told, "total": len(counts), "untagged": untagged, "version": version}

    return answer(await service.look(look))


async def _suggest(service: Service, request: Request) -> Response:
    text = request.query_params.get("q", "")[:200]

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        return {"suggestions": [one._asdict() for one in suggest(text, dataset.in_order(), service.datasets.tag_lists)]}

    return answer(await service.look(look))


async def _changes(service: Service, request: Request) -> Response:
    since = request.query_params.get("since", "0")
    if not since.isascii() or not since.isdigit() or len(since) > 18:
        raise Refusal(400, "'since' is no version.")

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        dataset.refresh(every=_BETWEEN_LOOKS)
        steps = steps_view(service, dataset)
        return {**dataset.changes(int(since)), "scan": progress(dataset), "unread": len(dataset.unread()), **steps}

    return answer(await service.look(look))


async def _history(service: Service, request: Request) -> Response:
    number = request.query_params.get("image")
    wanted = request.query_params.get("limit", "100")
    limit = min(int(wanted), 1000) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else 100

    def look() -> dict[str, Any]:
        dataset, history = dataset_of(service, request), service.datasets.history
        if number is None:
            states = [DONE, UNDONE, DROPPED, KEPT]
            steps = history.steps([folder.id for folder in dataset.folders], states, limit)
            return {"steps": [step_view(step) for step in steps]}
        picture = picture_in(dataset, number)
        return {"changes": [_change_view(*one) for one in history.of_image(picture.id, limit)]}

    return answer(await service.look(look))


def _change_view(step: Step, change: Change) -> dict[str, Any]:
    told = {**step_view(step), "file": change.file, "kind": change.kind}
    sides = (change.before, change.after) if change.kind == TEXT else (None, None)
    return told | {"before": text_or_none(sides[0]), "after": text_or_none(sides[1])}


# -- changing ---------------------------------------------------------------------------------------------------------


async def _preview(service: Service, request: Request) -> Response:
    body = await json_body(request)
    edit, versions = read_edit(body.get("edit")), _versions(body)

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        pictures = concerned(edit, _selected(dataset, body))
        told = preview(dataset, edit, pictures, versions)
        examples = [{"id": one.id, "before": before, "after": after} for one, before, after in told.changed[:_EXAMPLES]]
        count = {"changed": len(told.changed), "of": len(pictures)}
        return {**count, "examples": examples, "conflicts": _conflicts(told.conflicts)}

    return answer(await service.look(look))


async def _edit(service: Service, request: Request) -> Response:
    body = await json_body(request)
    edit, versions, force = read_edit(body.get("edit")), _versions(body), _force(body)

    def change() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        ids = [one.id for one in _selected(dataset, body)]
        do = partial(service.datasets.edit, edit=edit, ids=ids, versions=versions, force=force)
        return changed(service, dataset, do, files=edit.kind not in MARKS)

    return answer(await service.change(change))


async def _undo(service: Service, request: Request) -> Response:
    return await _move(service, request, "undo")


async def _redo(service: Service, request: Request) -> Response:
    return await _move(service, request, "redo")


async def _move(service: Service, request: Request, way: Literal["undo", "redo"]) -> Response:
    force = _force(await json_body(request))

    def change() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        step = steps_view(service, dataset)[way]
        do = partial(getattr(service.datasets, way), force=force)
        return changed(service, dataset, do, files=step is not None and step["edit"]["kind"] not in MARKS)

    return answer(await service.change(change))


def changed(service: Service, dataset: DataSet, do: Callable[[DataSet], Outcome], *, files: bool) -> dict[str, Any]:
    """Do a change, where it is one of `files` in a copy of the uploads that runs train from; the route's answer."""
    before = [str(folder.path) for folder in dataset.folders]
    with service.uploads.changing:
        if files:
            places = service.uploads.for_changing([folder.path for folder in dataset.folders])
            dataset = service.datasets.moved(dataset, places)
        outcome = do(dataset)
    step = service.datasets.history.step(outcome.step) if outcome.step is not None else None
    places = [str(folder.path) for folder in dataset.folders]
    return {
        "step": step_view(step) if step else None,
        "changed": outcome.changed,
        "conflicts": _conflicts(outcome.conflicts),
        "version": dataset.version,
        "dataset": dataset.id,
        "moved": {old: new for old, new in zip(before, places, strict=True) if old != new},
        **steps_view(service, dataset),
    }


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "datasets/{id}/tags", _tags),
    ("GET", "datasets/{id}/suggest", _suggest),
    ("POST", "datasets/{id}/preview", _preview),
    ("POST", "datasets/{id}/edit", _edit),
    ("POST", "datasets/{id}/undo", _undo),
    ("POST", "datasets/{id}/redo", _redo),
    ("GET", "datasets/{id}/history", _history),
    ("GET", "datasets/{id}/changes", _changes),
]
