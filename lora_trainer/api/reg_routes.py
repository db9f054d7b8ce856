"""Making regularisation pictures of a concept: how many of which size, the start, how it stands. Routes of routes.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..data.plan import make_plan
from ..errors import InputError, InputErrors
from ..options import flat, simple
from ..options.concepts import Concept
from ..paths import user_path
from ..runs.reg_images import MOST, Series, folder_name, shares
from . import answers, drafts, folders
from .answers import answer, json_body
from .service import Service

_ASKED: dict[str, Any] = {"negative_prompt": "", "steps": 20, "cfg_scale": 7.0, "sampler": "euler_a"}
_LEAST = 10  # that are offered, however few pictures there are


def plan_of(service: Service, body: Mapping[str, Any]) -> tuple[Series, dict[str, Any]]:
    """(what would be made for a concept of the form, {"count", "needed", "own", "there", "sizes", "folder", "caption"}).

    `needed` is what the check counts: the places that an epoch has for the regularisation images of all concepts; `own` those
    that the concept's pictures ask for.

    `body`: {"values": as in check, "prefix": "" or "concepts.0."; "count", "seed", "prompt" and what _ASKED holds, as wanted}.
    Raises InputErrors for a concept without class or pictures, a missing model, numbers out of range.
    """
    draft, prefix = drafts.read(body, service.datasets.left_out), body.get("prefix", "")
    refused = folders.of_draft(draft, service.host.access())
    if refused:
        raise InputErrors(refused)
    fields = simple.read_simple(simple.split_values(draft.base)[0], [])
    concept = dict(simple.concepts_of(fields)).get(prefix)
    if concept is None or not draft.is_form:
        raise answers.Refusal(400, '"prefix" is that of a concept in "values": "", or "concepts.0." and so on.')
    words = (concept.class_name or "").strip()
    model = str(draft.base.get("pretrained_model_name_or_path") or "").strip()
    errors = []
    if not words:
        errors.append(InputError("The class is missing: it is what is drawn.", field=f"{prefix}class_name"))
    if not model:
        errors.append(InputError("Choose a base model first: it draws the pictures.", field="pretrained_model_name_or_path"))
    if errors:
        raise InputErrors(errors)
    buckets, needed = _buckets(service, draft, concept, prefix)
    own = sum(buckets.values())
    count = _whole(body, "count", min(MOST, max(_LEAST, own)), 1, MOST)
    seed = _whole(body, "seed", 1, 0, 2**32)
    vae = str(draft.base.get("vae") or "").strip()
    series = Series(
        folder=service.paths.user_dir / "regularisation" / folder_name(model, words),
        counts=shares(buckets, count),
        caption=words,
        request={
            **{key: body.get(key, usual) for key, usual in _ASKED.items()},
            "prompt": str(body.get("prompt") or words),
            "model": str(user_path(model)),
            "vae": str(user_path(vae)) if vae else None,
            "lora_dirs": [],
        },
        seed=seed,
    )
    there = series.total - len(series.missing())
    sizes = [{"width": width, "height": height, "count": number} for (width, height), number in series.counts.items()]
    told = {
        "count": series.total,
        "needed": needed,
        "own": own,
        "there": there,
        "sizes": sizes,
        "folder": str(series.folder),
        "caption": words,
    }
    return series, told


def _buckets(service: Service, draft: drafts.Draft, concept: Concept, prefix: str) -> tuple[Counter[tuple[int, int]], int]:
    """(how often an epoch shows a picture of the concept in each bucket, how often it shows one of any concept)."""
    folder = service.paths.runs / "draft"
    try:
        files = drafts.files(draft, folder, draft.name or "draft")
    except InputErrors as wrong:
        found = drafts.files_in_spite(draft, folder, wrong)
        if found is None:
            raise
        files = found
    values = flat(files.options)
    plan = make_plan(files.data, seed=values["seed"] or 0, verify=False)
    place = user_path(concept.image_dir or "").absolute()
    mine = [image for image in plan.images if not image.is_reg and plan.subsets[image.subset].spec.image_dir == place]
    if not mine:
        raise InputErrors([InputError("There are no images yet.", field=f"{prefix}image_dir")])
    counted: Counter[tuple[int, int]] = Counter()
    for image in mine:
        counted[image.bucket] += image.repeats
    return counted, plan.datasets[mine[0].dataset].train_images


def _whole(body: Mapping[str, Any], name: str, usual: int, least: int, most: int) -> int:
    value = body.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputErrors([InputError(f"{value!r} is no number from {least} to {most}.", field=name)])
    return value


async def _look(service: Service, request: Request) -> Response:
    body = await json_body(request)
    return answer((await service.look(plan_of, service, body))[1])


async def _start(service: Service, request: Request) -> Response:
    body = await json_body(request)

    def start() -> dict[str, Any]:
        for trouble in service.host.problems():
            raise InputError(trouble.message, advice=trouble.advice)
        return service.reg_images.start(plan_of(service, body)[0])

    return answer(await service.change(start), 201)


async def _status(service: Service, request: Request) -> Response:
    return answer(service.reg_images.status())


async def _stop(service: Service, request: Request) -> Response:
    await json_body(request)
    return answer(service.reg_images.stop())


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("GET", "regularisation", _status),
    ("POST", "regularisation", _start),
    ("POST", "regularisation/plan", _look),
    ("POST", "regularisation/stop", _stop),
]
