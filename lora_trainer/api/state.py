"""What the page asks first: how things stand, and what can be chosen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import StoreError
from ..hosts.base import Checkpoint
from ..ui.assets import assets
from ..ui.form import specification
from . import model_files, trial, upload_names, views
from .answers import Refusal
from .preset_routes import presets_view
from .service import Service
from .speech import said

_SHOWN_RUNS = 20
# Where those who have no base model get one: full checkpoints that anybody may download.
BASE_MODELS = (
    ("Stable Diffusion 1.5 (4 GB)", "https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5"),
    ("Stable Diffusion XL (7 GB)", "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0"),
)
FORM_SECONDS = 15.0  # for each list of files


def state_view(service: Service, since: str = "") -> dict[str, Any]:
    """The answer of GET state. It never fails for a store that cannot be used: that is one of its problems."""
    problems = [_problem(trouble.message, trouble.advice) for trouble in service.host.problems()]
    state = {
        "version": __version__,
        "page": assets().version,
        "host": service.host.name,
        "user_dir": str(service.paths.user_dir),
        "lora_dir": str(service.paths.lora_dir),
        "time": time.time(),
        "read_only": "",
        "active": None,
        "runs": [],
        "order": [],
        "token": "",
        "trial": False,
        "generating": service.generation.active(),
        "pictures_policy": service.host.pictures_policy(),
    }
    try:
        store, active = service.store, service.store.active()
        other = store.other_owner()
        if other:
            state["read_only"] = f"Another program runs the queue ({other}); here it can only be watched."
        state["active"] = active.id if active else None
        state |= runs_view(service, since, _SHOWN_RUNS, {"uploads": service.uploads.titles()})
        state["trial"] = not other and trial.can_try(service)
    except StoreError as error:
        problems.append(_problem(error.message, error.advice))
    return {**state, "problems": problems, "ready": not problems}


def runs_view(service: Service, since: str, most: int, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The newest runs, `most` at most: {"runs": those that have changed since the answer with the token `since`, "order": the
    ids of all, newest first, "token"}, and what has changed of `more`."""
    supervisor, queue = service.supervisor, [run.id for run in service.store.queue()]
    shown = {run.id: views.run_view(supervisor, run, queue) for run in service.store.runs(limit=most)}
    more = more or {}
    changed, token = service.changes.news({**shown, **more}, since)
    runs = [shown[one] for one in changed if one in shown]
    return {"runs": runs, "order": list(shown), "token": token, **{one: more[one] for one in changed if one in more}}


async def form_view(service: Service) -> dict[str, Any]:
    """The answer of GET form. What a drive that hangs keeps back is left out and told, so that the page opens all the same."""
    problems: list[dict[str, str]] = []

    async def part(name: str, function: Callable[[], list[Any]]) -> list[Any]:
        try:
            return await service.look(function, within=FORM_SECONDS)
        except Refusal as error:
            problems.append(_problem(f"The list of {name} could not be read: {error.message}", error.advice))
            return []

    checkpoints, vaes, loras = await asyncio.gather(
        part("base models", lambda: _with_problems(service.host.checkpoints())),
        part("VAE files", service.host.vaes),
        part("LoRA files", lambda: _lora_choices(service.paths.lora_dir)),
    )
    return {
        "host": service.host.name,
        "lora_dir": str(service.paths.lora_dir),
        "checkpoint_dirs": [str(folder) for folder in service.paths.checkpoint_dirs],
        "base_models": [{"title": title, "url": url} for title, url in BASE_MODELS],
        "checkpoints": checkpoints,
        "vaes": [_choice(one) for one in vaes],
        "loras": loras,
        "uploads": {"images": list(upload_names.images()), "captions": list(upload_names.CAPTIONS)},
        "spec": await service.control(specification),
        "presets": await service.control(presets_view, service),
        "problems": problems,
    }


def _with_problems(models: list[Checkpoint]) -> list[dict[str, Any]]:
    problems = model_files.model_problems(one.path for one in models)
    return [{**_choice(one), "problem": problems.get(one.path, "")} for one in models]


def _lora_choices(folder: Path) -> list[dict[str, Any]]:
    paths = model_files.lora_files(folder)
    problems = model_files.lora_problems(paths)
    return [{"name": path.stem, "path": str(path), "problem": problems.get(path, "")} for path in paths]


def _choice(one: Checkpoint) -> dict[str, Any]:
    known = {"title": one.title, "path": str(one.path), "is_current": one.is_current, "side": one.side, "is_demo": one.is_demo}
    return {**known, "title_ko": said(one.title, "ko") if one.is_demo else one.title}


def _problem(message: str, advice: str) -> dict[str, str]:
    return {"field": "", "level": "error", "message": message, "advice": advice, "where": ""}
