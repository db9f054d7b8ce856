"""Training further what has changed: the pictures of a data set that its last training has not seen as they are now."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..datasets.dataset import DataSet
from ..datasets.model import Picture
from ..errors import InputError
from ..foreign.json_text import read_number
from ..foreign.reading import is_file
from ..options import concepts
from ..options.trained import EMBEDDING, MODEL, PIVOTAL
from ..paths import user_path
from ..runs import placing
from .answers import answer, json_body
from .dataset_routes import dataset_of, ids_of, steps_view
from .service import Service

_MOST = 100_000  # pictures in a request
_SECONDS = 5.0  # that what has changed on the disk is waited for


async def _retrain(service: Service, request: Request) -> Response:
    """The form's values for a training that goes on from the last one's result with some of the pictures alone."""
    body = await json_body(request)
    ids = set(ids_of(body, most=_MOST)) if "ids" in body else None

    def look() -> dict[str, Any]:
        dataset = dataset_of(service, request)
        dataset.refresh(thorough=True)
        dataset.wait(_SECONDS)
        steps_view(service, dataset)  # finds the training that saw these pictures last
        run_id = dataset.training.run if dataset.training else ""
        run = service.store.get(run_id) if run_id else None
        values = service.supervisor.folder(run_id).request().get("values") if run else None
        if run is None or not isinstance(values, dict) or not is_file(Path(run.result or "")):
            advice = "Train them whole, with Train with it."
            raise InputError("no training of these pictures has left its settings and its result.", advice=advice)
        with dataset.lock:
            pictures = [one for one in dataset.in_order() if not one.left_out]
        wanted = [one for one in pictures if (one.is_untrained if ids is None else one.id in ids)]
        if not wanted:
            advice = "Change a caption, or add pictures; or choose those to train."
            raise InputError("all pictures were trained as they are now.", advice=advice)
        word = placing.word_of(service.supervisor.folder(run_id))
        made = further(values, dataset, wanted, len(pictures), run.result, word)
        return {"values": made, "chosen": len(wanted), "of": len(pictures), "name": run.name}

    return answer(await service.look(look))


def further(
    values: Mapping[str, Any], dataset: DataSet, wanted: list[Picture], count: int, weights: str, word: str = ""
) -> dict[str, Any]:
    """The values of a run, changed so that they go on from `weights` with the `wanted` of `count` pictures; `word` is the file
    of a word that was saved beside it.

    The others stay where they are, as names to leave out of each concept; one without any of the wanted is switched off. A
    number of steps becomes as much smaller as there are fewer pictures. Raises InputError where the data set's folders are
    not those of the run's concepts.
    """
    tables = [dict(table) for _, table in concepts.raw_concepts(values)]
    places = _folders(tables, dataset)
    for table, place in zip(tables, places, strict=True):
        if place is None:
            table["is_off"] = True
            continue
        folder = dataset.folders[place]
        chosen = {one.name for one in wanted if one.folder == place}
        table.update(image_dir=str(folder.path), is_off=table.get("is_off", False) or not chosen)
        settings = dict(table.get(concepts.SETTINGS) or {})
        settings["exclude"] = sorted({*(settings.get("exclude") or ()), *(folder.pictures.keys() - chosen)})
        table[concepts.SETTINGS] = settings
    first = tables[0]
    first.pop("init_word", None)  # what was trained is gone on from
    begins = {EMBEDDING: "weights", MODEL: "pretrained_model_name_or_path"}.get(str(first.get("trains")), "network_weights")
    made = {**first, begins: weights}
    if first.get("trains") == PIVOTAL:
        made["weights"] = word or None  # else it lies in the LoRA's file
    if concepts.FURTHER in values:
        made[concepts.FURTHER] = tables[1:]
    steps = read_number(dict(values), "max_train_steps")
    if steps:
        made["max_train_steps"] = max(1, round(steps * len(wanted) / count))
    return made


def _folders(tables: list[dict[str, Any]], dataset: DataSet) -> list[int | None]:
    """Which folder of the data set each concept has; a single one has the only folder, which may be a copy of what it was."""
    if len(tables) == len(dataset.folders) == 1:
        return [0]
    known = {os.path.realpath(folder.path): place for place, folder in enumerate(dataset.folders)}
    found = [known.get(os.path.realpath(user_path(str(table.get("image_dir") or "")))) for table in tables]
    if set(found) - {None} != set(range(len(dataset.folders))):
        raise InputError(
            "the folders of this data set are not those of the training's concepts.",
            advice="Open the folders that it was trained from, all together or one by one.",
        )
    return found


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "datasets/{id}/retrain", _retrain),
]
