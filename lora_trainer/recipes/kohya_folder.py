"""kohya's folder form taken apart into concepts: a folder of folders named `<repeats>_<identifier> <class>`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.plan.files import Listing, list_folder
from ..foreign.reading import is_folder
from ..options.concepts import CAPTION
from ..options.dataset_folders import parse_folder_name
from .form_data import data_values
from .recipe import DATASET, Recipe
from .tables import from_parents

TRAIN_NAMES = ("img", "image", "images", "train")  # what the folders of a project are called, in which the others lie
REG_NAMES = ("reg", "regs", "regularisation", "regularization")


@dataclass
class TakenApart:
    """`values` are those of the form (empty when the folder is none of kohya's); `read` and `left` are names of folders, those
    that were understood and those that were not."""

    values: dict[str, Any] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def take_apart(parent: Path, reg: Path | None = None) -> TakenApart:
    """The concepts of a folder in kohya's form, with the regularisation folders in `reg`, or of a project's folder that holds
    both (`img` and `reg`). Raises OSError when it cannot be listed."""
    inside = {path.name.lower(): path for path in _folders(parent)}
    if not _named(parent):
        known = [inside[name] for name in TRAIN_NAMES if name in inside and _named(inside[name])]
        reg = reg or next((inside[name] for name in REG_NAMES if name in inside and _named(inside[name])), None)
        if not known:
            return TakenApart()
        parent = known[0]
    recipe = Recipe(name=parent.name, kind=DATASET)
    from_parents(recipe, {"train_data_dir": parent, **({"reg_data_dir": reg} if reg else {})})
    for folder in recipe.folders:
        folder.path = Path(folder.name)
        if _has_caption_files(list_folder(folder.path)):
            folder.settings["caption_extension"] = ".caption"
    named = [Path(folder.name).name for folder in recipe.folders]
    left = [path.name for path in (*_folders(parent), *(_folders(reg) if reg else ())) if path.name not in named]
    return TakenApart(_with_sources(data_values(recipe)), named, left)


def _with_sources(values: dict[str, Any]) -> dict[str, Any]:
    """Concepts that say where their captions come from only when it is not the usual place."""
    return {name: value for name, value in values.items() if not (name == "caption_source" and value != CAPTION)}


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if is_folder(path) and not path.name.startswith("."))


def _named(parent: Path) -> list[Path]:
    return [path for path in _folders(parent) if parse_folder_name(path.name)]


def _has_caption_files(listing: Listing) -> bool:
    names = [name.lower() for name in listing.names]
    return any(name.endswith(".caption") for name in names) and not any(name.endswith(".txt") for name in names)
