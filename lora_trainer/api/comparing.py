"""Runs side by side: their curves, their samples, and the settings that differ. Routes of routes.py."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from itertools import repeat
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import LoraTrainerError
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError, read_text
from ..networks import recipe as own
from ..networks.files import read_metadata
from ..options import config_file, located
from ..options.resolve import train_options
from ..options.train import OPTIONS_BY_NAME
from ..options.trained import NETWORK, WITH_NETWORK
from ..recipes import compare
from ..recipes.recipe import CONFIG, Origin, Recipe
from ..recipes.tables import from_dataset_file
from ..runs.folder import RunFolder
from ..runs.store import Run
from . import answers, views
from .answers import answer
from .service import Service

LEAST, MOST = 2, 6
_OF_THE_RUN = {"output_dir", "dataset_config", "sample_prompts"}  # each run has its own folder


async def _compare(service: Service, request: Request) -> Response:
    asked = [run_id for run_id in request.query_params.get("runs", "").split(",") if run_id]
    ids = list(dict.fromkeys(asked))
    if not LEAST <= len(ids) <= MOST:
        raise answers.Refusal(400, f"{len(ids)} runs were chosen, expected {LEAST} to {MOST}.")
    return answer(await service.control(compare_view, service, ids))


def compare_view(service: Service, ids: list[str]) -> dict[str, Any]:
    """The answer of GET compare."""
    runs = [_known(service, run_id) for run_id in ids]
    origins = [_origin(service.supervisor.folder(run.id)) for run in runs]
    return {
        "runs": [_run_view(service, run, origin) for run, origin in zip(runs, origins, strict=True)],
        "settings": [
            {"name": one.name, "texts": texts, "counts": one.counts}
            for one in compare.differing(origins, places=True)
            if one.name not in _OF_THE_RUN and any(texts := [*map(_meant, repeat(one.name), one.values, origins)])
        ],
    }


def _meant(name: str, text: str, origin: Origin) -> str:
    """The value of a setting as a text, "" where what the run trains has no such thing (an embedding no rank)."""
    trains, option = str(origin.settings.get("trains") or NETWORK), OPTIONS_BY_NAME.get(name)
    return "" if option is not None and option.section == "network" and trains not in WITH_NETWORK else text


def _run_view(service: Service, run: Run, origin: Origin) -> dict[str, Any]:
    progress, _ = service.supervisor.progress(run.id)
    parts = views.parts_view(service.supervisor, run)
    return {
        **views.run_view(service.supervisor, run),
        "curve": views.curve_view(progress),
        "samples": parts["samples"],
        "data_digest": str(origin.data.get("digest") or ""),
    }


def _known(service: Service, run_id: str) -> Run:
    run = service.store.get(run_id)
    if run is None:
        raise answers.missing(f"run {run_id!r}")
    return run


def _origin(folder: RunFolder) -> Origin:
    """What a run's own files say that it trains; the digest of its data where it has saved a file already."""
    settings: dict[str, Any] = {}
    try:
        settings = config_file.given(train_options({}, config_file.read(folder.config), check_paths=False))
    except LoraTrainerError:  # of another version, or damaged: what can be read of it
        settings = _loosely(folder)
    settings["prompts"] = _text(folder)
    recipe = Recipe(name=folder.path.name, kind=CONFIG)
    with contextlib.suppress(LoraTrainerError):
        from_dataset_file(recipe, located.read(folder.dataset).data)
    tables = [
        {**table.settings, "subsets": [{**one.settings, "image_dir": one.name} for one in table.folders]}
        for table in recipe.tables
    ]
    return Origin(settings=settings, data={"datasets": tables, "digest": _digest(folder)}, versions={})


def _loosely(folder: RunFolder) -> dict[str, Any]:
    try:
        return dict(config_file.read(folder.config).values)
    except LoraTrainerError:
        return {}


def _text(folder: RunFolder) -> str:
    try:
        return read_text(folder.prompts, limit=1 << 20).strip()
    except UnreadableError:
        return ""


def _digest(folder: RunFolder) -> str:
    """The digest in the metadata of one of the run's files; "" before the first."""
    names = sorted(name for name in folder.saved_sizes() if name.endswith(".safetensors"))
    if not names:
        return ""
    try:
        data = parse_json(read_metadata(folder.output / names[-1]).get(own.DATA) or "{}")
    except (LoraTrainerError, UnreadableError):
        return ""
    return str(data.get("digest") or "") if isinstance(data, dict) else ""


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [("GET", "compare", _compare)]
