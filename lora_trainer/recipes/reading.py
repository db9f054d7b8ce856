"""Which reader for which file: a LoRA, or a text that is a configuration, a data set file, a preset, or sample prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, LoraFileError
from ..foreign.model_header import PICKLES, SAFETENSORS, read_model_header
from ..foreign.reading import errors_as, read_text
from ..options import located
from ..options.config_file import flatten
from ..options.dataset_keys import DATASET
from . import configuration, kohya_gui
from .lora_file import from_lora
from .recipe import DATASET as DATASET_FILE
from .recipe import Recipe
from .tables import from_dataset_file

MODELS = (SAFETENSORS, *PICKLES)
TEXTS = (".toml", ".json", ".txt")
ENDINGS = (*MODELS, *TEXTS)
MAX_FILES = 6
_MAX_TEXT = 1 << 20


@dataclass(frozen=True)
class Given:
    """A file that somebody gave: where it lies, what it was called, and whether it is the header of a .safetensors file alone
    (the page sends no more of it)."""

    path: Path
    name: str = ""
    header_alone: bool = False

    @property
    def title(self) -> str:
        return self.name or self.path.name


@dataclass
class Read:
    """What came out: the recipe, and values of the page's own fields that a preset holds."""

    recipe: Recipe
    simple: dict[str, Any]


def read(files: Sequence[Given]) -> Read:
    """Read one LoRA or configuration; beside it may be its data set file (.toml) and its sample prompts (.txt).

    Raises InputError and LoraFileError for files that are none of these, or when there are several to choose from.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise InputError(f"there are {len(files)} files, expected 1 to {MAX_FILES}.", advice="Give one LoRA or configuration.")
    found: Read | None = None
    data: located.Located | None = None
    prompts = ""
    for file in files:
        ending = Path(file.title).suffix.lower()
        if ending == ".txt":
            prompts = _text(file)
            continue
        if ending not in ENDINGS:
            known = ", ".join(ENDINGS)
            raise InputError(f"{file.title} is of no kind that is read here.", advice=f"These are: {known}.")
        parsed = None if ending in MODELS else located.parse(Path(file.title), _text(file))
        if parsed is not None and isinstance(parsed.data.get(DATASET), list):
            data = parsed
            continue
        if found is not None:
            raise InputError(f"{file.title} is a second file of settings.", advice="Give one LoRA or configuration at a time.")
        found = _from_lora(file) if parsed is None else _from_text(file.title, parsed)
    if found is None and data is None:
        raise InputError("there is no LoRA and no configuration among the files.", advice="Give one of them.")
    if found is None and data is not None:
        found = Read(Recipe(name=data.path.name, kind=DATASET_FILE), {})
    assert found is not None
    if data is not None:
        found.recipe.tables.clear()
        from_dataset_file(found.recipe, data.data)
        found.recipe.forget("dataset_config")
    if prompts.strip():
        found.recipe.prompts = prompts.strip()
        found.recipe.forget("sample_prompts")
    return found


def _from_lora(file: Given) -> Read:
    with errors_as(LoraFileError, file.title):
        header = read_model_header(file.path, header_alone=file.header_alone)
    return Read(from_lora(file.title, header), {})


def _from_text(name: str, parsed: located.Located) -> Read:
    if configuration.PRESET_MARK in parsed.data:
        return Read(*configuration.from_preset(name, parsed.data))
    loosely = kohya_gui.flattened(parsed.data)
    if kohya_gui.is_gui(loosely):
        return Read(kohya_gui.from_gui(name, loosely), {})
    values = flatten(parsed).values
    if configuration.looks_like_one(values):
        return Read(configuration.from_config(name, values), {})
    raise InputError(
        f"{name} holds no settings of a training that are known here.",
        advice="Give a LoRA file, a configuration of kohya_ss or sd-scripts, or a preset.",
    )


def _text(file: Given) -> str:
    with errors_as(InputError, file.title):
        return read_text(file.path, limit=_MAX_TEXT)
