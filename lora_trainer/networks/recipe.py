"""What a LoRA file of ours carries besides kohya's metadata, so that its run can be made again: all settings, the data set with
its digests, the versions. Folders and files appear by name, never by path; what is secret or belongs to one machine does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..foreign.model_header import PICKLES, SAFETENSORS
from ..options.config_file import given
from ..options.hub import HubOptions
from ..options.saving import StateOptions
from ..options.schema import Option
from ..options.trackers import LoggingOptions
from ..options.train import OPTIONS_BY_NAME

if TYPE_CHECKING:
    from ..options.train import TrainOptions

SETTINGS, DATA, PROMPTS, VERSIONS = (f"lora_trainer_{name}" for name in ("settings", "data", "prompts", "versions"))
KEYS = (SETTINGS, DATA, PROMPTS, VERSIONS)
MAX_PROMPTS = 64 << 10  # characters of the sample prompts
_NOT_TOLD = {StateOptions.TITLE, HubOptions.TITLE, LoggingOptions.TITLE}
_NAMED = ("model", "file", "files")  # kinds of paths of which the name is told


def settings(options: TrainOptions, seed: int) -> dict[str, Any]:
    """Every option that differs from its default and is not of one machine alone. `seed` is the one that was drawn."""
    found = {"seed": seed}
    for name, value in given(options).items():
        option = OPTIONS_BY_NAME[name]
        if is_told(option):
            found[name] = _named(option, value)
    return {**found, "seed": seed}


def is_told(option: Option) -> bool:
    """Whether a file tells the value of `option`."""
    is_place = bool(option.path) and (option.path not in _NAMED or option.section not in ("model", "network"))
    return option.group not in _NOT_TOLD and not is_place


def _named(option: Option, value: Any) -> Any:
    """`value` with names in place of paths."""
    if not option.path:
        return value
    return [file_name(one) for one in value] if option.many else file_name(value)


def file_name(path: str) -> str:
    """The name of the file at `path`, Windows' or another; a model's name on the hub (`user/model`) stays whole."""
    plain = path.replace("\\", "/").rstrip("/")
    is_file = plain.lower().endswith((SAFETENSORS, *PICKLES))
    is_on_hub = plain.count("/") == 1 and plain == path and not plain.startswith((".", "/", "~")) and not is_file
    return path if is_on_hub else plain.rpartition("/")[2]


def texts(
    options: TrainOptions, *, seed: int, data: Mapping[str, Any], versions: Mapping[str, Any], prompts: str = ""
) -> dict[str, str]:
    """The values of KEYS for a file's metadata. `data` is `data.plan.digest.data_record`'s."""
    found = {SETTINGS: _json(settings(options, seed)), DATA: _json(data), VERSIONS: _json(versions)}
    if prompts.strip() and len(prompts) <= MAX_PROMPTS:
        found[PROMPTS] = prompts.strip()
    return found


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
