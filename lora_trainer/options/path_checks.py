"""Whether the files and folders that options name are there, before anything starts."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from .. import modelfile
from ..errors import InputError
from ..foreign.reading import is_file, is_folder, is_there
from ..paths import safe_name, seen_from, user_path
from .schema import Option

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# Files whose header tells whether they can be what they are given as.
_ROLES = {"pretrained_model_name_or_path": "model", "vae": "vae", "network_weights": "lora", "base_weights": "lora"}
_TYPING = "Check the path for typing errors."
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def path_problem(option: Option, value: str) -> InputError | None:
    """What is wrong with the path `value` of `option`, or None."""
    path = user_path(value)
    match option.path:
        case "file" | "files" if not is_file(path):
            kind = "is a folder, but a file is expected" if is_folder(path) else "does not exist"
            return InputError(f"the file {value} {kind}{seen_from(path)}.", field=option.name, advice=_TYPING)
        case "folder" if not is_folder(path):
            kind = "is a file, but a folder is expected" if is_there(path) else "does not exist"
            return InputError(f"the folder {value} {kind}{seen_from(path)}.", field=option.name, advice=_TYPING)
        case "checkpoint" if not is_there(path):
            return InputError(f"there is no model at {value}{seen_from(path)}.", field=option.name, advice=_TYPING)
        case "model" if not is_there(path) and looks_local(value):
            return InputError(
                f"there is no model at {value}{seen_from(path)}.",
                field=option.name,
                advice='Check the path; a model on Hugging Face is named like "user/model".',
            )
        case "output":
            return _output_problem(option, path)
        case "written":
            if not is_folder(path):
                return _output_problem(option, path.parent)
            return InputError(f"{value} is a folder, but a file is expected.", field=option.name, advice="Name a file in it.")
    if option.name in _ROLES and is_there(path):
        problem, advice = modelfile.problem_as(_ROLES[option.name], path)
        return InputError(problem, field=option.name, advice=advice) if problem else None
    if option.path in ("file", "files") and not os.access(path, os.R_OK):
        return InputError(f"the file {value} may not be read.", field=option.name, advice="Check its permissions.")
    return None


def name_problem(name: str) -> InputError | None:
    """Why `name` cannot be the name of the result, or None."""
    try:
        safe_name(name, field="output_name")
    except InputError as error:
        return error
    return None


def looks_local(value: str) -> bool:
    """Whether a model's name means a file or folder here, rather than a model on Hugging Face (`user/model`)."""
    return not _HUB_ID.fullmatch(value) or value.lower().endswith(_WEIGHTS)


def _output_problem(option: Option, folder: Path) -> InputError | None:
    """The folder may be missing, but it must be possible to make it and write there."""
    existing = next((place for place in (folder.absolute(), *folder.absolute().parents) if is_there(place)), None)
    if existing is None:
        return InputError(f"the drive or folder of {folder} does not exist.", field=option.name, advice="Name another folder.")
    if not is_folder(existing):
        return InputError(f"{existing} is a file, but a folder is expected.", field=option.name, advice="Name another folder.")
    try:
        with tempfile.TemporaryFile(dir=existing):  # permissions alone tell little: read-only drives, Windows
            pass
    except OSError as error:
        message = f"nothing can be written into {existing} ({error.strerror or error})."
        return InputError(message, field=option.name, advice="Name another folder, or free some space.")
    return None
