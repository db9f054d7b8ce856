"""What a dropped file fills the form with, and whether the form is that run again. Routes of routes.py."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .. import __version__
from ..data.plan import make_plan
from ..data.plan.digest import data_record
from ..errors import InputError, InputErrors
from ..foreign.model_header import SAFETENSORS
from ..foreign.reading import is_folder
from ..hosts.base import Access
from ..networks import recipe as own
from ..options import flat, located
from ..recipes import compare, places
from ..recipes.form import files, form_values
from ..recipes.reading import ENDINGS, MAX_FILES, MODELS, Given, Read, read
from ..recipes.recipe import DATASET, PRESET, Line, Note, Origin
from ..runs.folder import RunFolder
from . import answers, drafts, folders, model_files, receiving
from .answers import answer, json_body
from .drafts import page_start
from .service import RECIPES, Service
from .upload_names import Sent

_MAX_MODEL, _MAX_TEXT = 2 << 30, 1 << 20  # bytes of a LoRA, which the page sends the header of alone, and of a text
_RUNS = 100  # whose folders of images are known
_LIMITS = receiving.Wanted(
    problem=lambda name: "" if Path(name).suffix.lower() in ENDINGS else f"Only these are read here: {', '.join(ENDINGS)}.",
    limit=lambda name: _MAX_MODEL if Path(name).suffix.lower() in MODELS else _MAX_TEXT,
    most=MAX_FILES,
)


# -- recipes ----------------------------------------------------------------------------------------------------------


async def _recipe(service: Service, request: Request) -> Response:
    """Read the dropped files."""
    folder = Path(await service.change(_new_folder, service))
    try:
        arrivals = receiving.Arrivals()
        await receiving.receive(request, folder, service.change, arrivals, _LIMITS)
        if arrivals.refused:
            one = arrivals.refused[0]
            raise InputError(one["message"], where=one["name"])
        return answer(await service.look(lambda: recipe_view(service, read([_given(sent) for sent in arrivals.whole]))))
    finally:
        await service.change(lambda: shutil.rmtree(folder, ignore_errors=True))


def _given(sent: Sent) -> Given:
    """A file as it came, now with the ending that it was sent under."""
    ending = sent.ending.lower()
    return Given(sent.file.rename(sent.file.with_suffix(ending)), sent.name, header_alone=ending == SAFETENSORS)


def _new_folder(service: Service) -> str:
    service.paths.user_dir.mkdir(parents=True, exist_ok=True)
    return tempfile.mkdtemp(prefix=RECIPES, dir=service.paths.user_dir)


async def _recipe_of_lora(service: Service, request: Request) -> Response:
    """Read a LoRA of the LoRA folder, by its name or its path, as GET form has both."""
    name = answers.text_of(await json_body(request), "name")

    def look() -> dict[str, Any]:
        for path in model_files.lora_files(service.paths.lora_dir):
            if name in (path.stem, str(path)):
                return recipe_view(service, read([Given(path)]))
        raise answers.missing(f"LoRA {name!r}")

    return answer(await service.look(look))


def recipe_view(service: Service, found: Read) -> dict[str, Any]:
    """A Recipe of docs/api.md."""
    recipe = found.recipe
    places.settle(recipe, surroundings(service))
    is_whole = recipe.kind not in (PRESET, DATASET)  # of the others, what is not told stays as it is
    values = {**form_values(recipe, page_start() if is_whole else {}), **found.simple}
    made = files(recipe, Path())
    return {
        "name": recipe.name,
        "kind": recipe.kind,
        "maker": recipe.maker,
        "values": values,
        **{name: [_line_view(line) for line in getattr(recipe, name)] for name in ("taken", "renamed", "dropped")},
        **{name: [_note_view(note) for note in getattr(recipe, name)] for name in ("missing", "notes")},
        "origin": vars(recipe.origin) if recipe.origin else None,
        "config": made["config.toml"],
        "dataset": made.get("dataset.toml", ""),
        "prompts": made.get("prompts.txt", ""),
    }


def _line_view(line: Line) -> dict[str, str]:
    return {"key": line.key, "option": line.option, "value": line.value, "message": line.why}


def _note_view(note: Note) -> dict[str, str]:
    return {"field": note.field, "message": note.message, "advice": note.advice}


def surroundings(service: Service) -> places.Surroundings:
    """Models and LoRA files of the host, the folders that its runs trained, and what may be looked at."""
    access = service.host.access()
    loras = model_files.lora_files(service.paths.lora_dir)
    models = {
        places.BASE: [one.path for one in service.host.checkpoints()],
        places.VAE: [one.path for one in service.host.vaes()],
        "network_weights": loras,
        "base_weights": loras,
    }
    known = [path for path in known_folders(service) if _may_look(path, access)]
    return places.Surroundings(models=models, folders=known, may_look=lambda path: _may_look(path, access))


def _may_look(path: Path, access: Access) -> bool:
    return folders.problem(path, access, "") is None


def known_folders(service: Service) -> list[Path]:
    """The folders of images of the newest runs, and what was dropped onto the page."""
    found: dict[Path, None] = {}
    for run in service.store.runs(limit=_RUNS):
        for name in image_folders(service.supervisor.folder(run.id)):
            found[Path(name)] = None
    if is_folder(service.paths.uploads):
        found |= dict.fromkeys(sorted(service.paths.uploads.glob("*/"), reverse=True))
    return list(found)


def image_folders(folder: RunFolder) -> list[str]:
    """The image_dir of each subset in a run's data set file."""
    try:
        data = located.read(folder.dataset).data
    except InputError:
        return []
    tables = [one for one in data.get("datasets") or [] if isinstance(one, dict)]
    subsets = [one for table in tables for one in table.get("subsets") or [] if isinstance(one, dict)]
    return [one["image_dir"] for one in subsets if isinstance(one.get("image_dir"), str)]


# -- whether it is the same again -------------------------------------------------------------------------------------


async def _same(service: Service, request: Request) -> Response:
    body = await json_body(request)
    origin = body.get("origin")
    if not isinstance(origin, dict) or not all(isinstance(origin.get(name), dict) for name in ("settings", "data", "versions")):
        raise answers.Refusal(400, '"origin" with "settings", "data" and "versions" is expected, as docs/api.md has it.')
    return answer(await service.look(same_view, service, body, Origin(**{name: origin[name] for name in _PARTS})))


_PARTS = ("settings", "data", "versions")


def same_view(service: Service, body: Mapping[str, Any], theirs: Origin) -> dict[str, Any]:
    """What is the same, and what is not, between a file's run and what the form holds. Reads every picture once."""
    draft = drafts.read(body, service.datasets.left_out)
    access = service.host.access()
    refused = folders.of_draft(draft, access)
    if refused:
        raise InputErrors(refused)
    made = drafts.files(draft, service.paths.runs / "draft", draft.name or "draft")
    refused = folders.of_files(made, access)
    if refused:
        raise InputErrors(refused)
    values = flat(made.options)
    plan = make_plan(made.data, seed=values["seed"] or 0, prior_loss_weight=values["prior_loss_weight"])
    seed = values["seed"] if values["seed"] is not None else -1
    ours = Origin(settings=own.settings(made.options, seed), data=data_record(plan, values), versions=_versions(theirs))
    settings = [one for one in compare.differing([theirs, ours]) if one.name != "output_name"]
    versions = compare.other_versions(theirs, ours)
    data = compare.same_data(theirs, ours)
    return {
        "data": data,
        "settings": [_difference_view(one) for one in settings],
        "versions": [_difference_view(one) for one in versions],
        "same": data is True and not versions and not any(one.counts for one in settings),
    }


def _difference_view(one: compare.Difference) -> dict[str, Any]:
    return {"name": one.name, "texts": list(one.values), "counts": one.counts}


def _versions(theirs: Origin) -> dict[str, Any]:
    """The versions that a file tells, as they are here; the worker's packages and the card are not known here, and stay."""
    here = {"lora_trainer": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    with contextlib.suppress(PackageNotFoundError):
        here["torch"] = version("torch")
    return {name: here.get(name, told) for name, told in theirs.versions.items()}


TABLE: list[tuple[str, str, Callable[[Service, Request], Awaitable[Response]]]] = [
    ("POST", "recipes", _recipe),
    ("POST", "recipes/lora", _recipe_of_lora),
    ("POST", "recipes/same", _same),
]
