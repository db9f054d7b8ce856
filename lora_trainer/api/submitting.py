"""The start of a run: what was checked becomes its folder, and waits in the queue."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..options.saving import saved_as
from ..options.simple import RunFiles
from ..options.train import TrainOptions
from ..options.trained import BESIDE, PIVOTAL
from ..paths import safe_name
from ..runs import folder as run_folder
from ..runs.store import Run
from . import checks, drafts, folders
from . import keys as own_keys
from .checks import Checked
from .service import Service

_SD_VERSIONS = {"sd1": "SD1", "sd2": "SD2", "sdxl": "SDXL"}  # as the Web UI calls them


def submit(
    service: Service,
    body: Mapping[str, Any],
    *,
    generate: Mapping[str, Any] | None = None,
    keys: Mapping[str, str] | None = None,
) -> Run:
    """Queue a run. Raises InputErrors with every error that `checks.check` finds, StoreError when another host has the store.

    `generate` is what the Generate page is to be filled with for its LoRA, besides base model and size. `keys` are those of an
    earlier run with the same settings (see `api.keys`); what `body` holds of them counts.
    """
    service.store.must_write()
    with service.names.holder() as holder:
        run_id = _new_id(str(drafts.read(body).name))
        path = service.supervisor.folder(run_id).path
        checked = checks.check(service, body, folder=path, holder=holder)
        if not checked.ok or checked.files is None:
            wrong = [one for one in checked.problems if one["level"] == "error"]
            raise InputErrors(
                InputError(one["message"], field=one["field"], where=one["where"], advice=one["advice"]) for one in wrong
            )
        kept, sent = own_keys.split(body)
        files, request = checked.files, _request(service, checked, kept, generate or {})

        def make(target: Path) -> object:
            return run_folder.create(
                target, config=files.config_toml, dataset=files.dataset_toml, prompts=files.prompts, request=request
            )

        with service.uploads.changing:  # from here on its images stay as they are
            folders.must_be_there(files)
            return service.supervisor.submit(run_id, checked.saved_as, make, keys={**(keys or {}), **sent})


def _word_target(service: Service, options: TrainOptions) -> dict[str, str]:
    """Where a word goes that is saved beside its LoRA: among the embeddings, under its name, by which the host knows it."""
    if options.trained.trains != PIVOTAL or options.trained.save_embedding != BESIDE:
        return {}
    name = safe_name(str(options.trained.token_string), field="token_string")
    return {"word_target": str(service.paths.embeddings_dir / f"{name}.{options.saving.save_model_as}")}


def _request(service: Service, checked: Checked, body: Mapping[str, Any], generate: Mapping[str, Any]) -> dict[str, Any]:
    assert checked.files is not None
    base = Path(str(checked.files.options.model.pretrained_model_name_or_path))
    trains, word = checked.files.options.trained.trains, checked.files.options.trained.token_string
    said = checked.draft.words
    return {
        "name": checked.saved_as,
        "created": time.time(),
        "target": str(service.paths.results(trains) / f"{checked.saved_as}.{saved_as(checked.files.options.saving)}"),
        **_word_target(service, checked.files.options),
        "overwrite": checked.draft.overwrite,
        "trains": trains,
        "activation": said if word and word in said else word or said,
        "sd_version": _SD_VERSIONS.get(checked.family, "SD1"),
        "preferred_weight": 0.8,
        "description": f"Trained on {base.name} with LoRA Trainer.",
        "command": checked.files.command_line,
        "when_host_ends": "continue" if service.host.worker_outlives_host() else "stop",
        "values": dict(body.get("values") or {}) or None,
        "generate": {"checkpoint": str(base), **_drawn_size(checked.files), **generate},
        "caption": checked.tried,
        "forecast": service.rehearsals.foretold(checked.digest),
        "body": dict(body),
        "image_folders": sorted(
            {str(one.image_dir) for each in checked.files.data.datasets for one in each.subsets if one.image_dir}
        ),
    }


def _drawn_size(files: RunFiles) -> dict[str, int]:
    """The size of the training, as pictures can have it."""
    width, height = (side // 8 * 8 for side in files.data.datasets[0].resolution)
    return {"width": width, "height": height}


def _new_id(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return "-".join(part for part in (time.strftime("%Y%m%d-%H%M%S"), slug, secrets.token_hex(2)) if part)
