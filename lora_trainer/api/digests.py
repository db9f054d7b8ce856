"""By what a draft is known whose needs were measured: while this stays, so do they."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import lru_cache
from typing import Any

from .. import __version__
from ..data.plan import DataPlan
from ..data.plan.remembered import stamp
from ..options import OPTIONS, flat
from ..options.simple import RunFiles
from ..paths import user_path

# What a training's memory, time and files do not depend on, or what the digest has in another form.
_WITHOUT = {"output_dir", "output_name", "dataset_config", "sample_prompts", "training_comment", "config_file", "seed"}


@lru_cache(maxsize=1)
def has_card() -> bool:
    """Whether there is a card on which measuring takes seconds."""
    return shutil.which("nvidia-smi") is not None or shutil.which("rocm-smi") is not None


def digest(files: RunFiles, plan: DataPlan) -> str:
    """What stands for everything that the measured numbers depend on: settings, sizes of the pictures, files of models."""
    named = {option.name for option in OPTIONS if option.secret or option.name.startswith(("metadata_", "console_", "wandb_"))}
    chosen = {name: value for name, value in flat(files.options).items() if name not in _WITHOUT | named}
    models = [_stamp(chosen.get(option.name)) for option in OPTIONS if option.path in ("model", "file", "files")]
    pictures = [(one.path, one.size, one.bucket, one.repeats, one.is_reg, one.kept_aside) for one in plan.images]
    told = [
        __version__,
        has_card(),
        chosen,
        models,
        pictures,
        files.prompts.strip(),
        _stamp(files.options.sampling.sample_prompts),
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()


def _stamp(path: Any) -> Any:
    """What tells of a file whether it changes; None where there is none."""
    if isinstance(path, (list, tuple)):
        return [_stamp(one) for one in path]
    try:
        return stamp(str(user_path(path))) if path else None
    except OSError:
        return None
