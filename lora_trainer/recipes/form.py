"""What a recipe fills the page's form with, and the files that repeat it from the command line."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any

from ..options.config_file import tables_to_toml, toml_value
from ..options.simple import SIMPLE_BY_NAME
from ..options.train import OPTIONS, OPTIONS_BY_NAME
from .form_data import data_values
from .recipe import Recipe

# Which change nothing of the result: how it is computed here, and that a night's training survives a crash.
_OF_THIS_MACHINE = {
    "max_data_loader_n_workers", "persistent_data_loader_workers", "split_batch_when_full", "save_state_every_n_minutes",
    "save_state_on_train_end",
}  # fmt: skip
_NOT_WRITTEN = {"train_data_dir", "reg_data_dir", "dataset_config", "output_dir", "sample_prompts", "in_json"}


def form_values(recipe: Recipe, start: dict[str, Any]) -> dict[str, Any]:
    """The form's values by name. What the recipe does not tell has the command line's default where `start`, what the page
    starts with, says otherwise. What the form has no field for is noted."""
    values: dict[str, Any] = {name: start[name] if name in _OF_THIS_MACHINE else _default(name) for name in start}
    off_form = []
    for name, value in recipe.options.items():
        option = OPTIONS_BY_NAME[name]
        if option.form and option.supported:
            values[name] = list(value) if isinstance(value, tuple) else value
        elif value != option.default and name not in _NOT_WRITTEN and name != "caption_extension":
            off_form.append(name)
    values |= data_values(recipe)
    if recipe.prompts:
        values["prompts"] = recipe.prompts
    if off_form:
        names = ", ".join(off_form)
        recipe.note(f"The form has no field for {names}.", advice="The configuration file for the command line has them.")
    return values


def _default(name: str) -> Any:
    option = OPTIONS_BY_NAME.get(name) or SIMPLE_BY_NAME[name]
    return list(option.default) if isinstance(option.default, tuple) else option.default


def files(recipe: Recipe, folder: Path) -> dict[str, str]:
    """{file name: text} of what repeats the recipe with `train_network --config_file`, to be written into `folder`."""
    made: dict[str, str] = {}
    if recipe.tables:
        made["dataset.toml"] = tables_to_toml({"datasets": [_table(recipe, number) for number in range(len(recipe.tables))]})
    if recipe.prompts:
        made["prompts.txt"] = recipe.prompts + "\n"
    named = {
        "output_dir": str(folder / "output"),
        **({"dataset_config": str(folder / "dataset.toml")} if recipe.tables else {}),
        **({"sample_prompts": str(folder / "prompts.txt")} if recipe.prompts else {}),
    }
    return {"config.toml": _config(recipe, named), **made}


def _config(recipe: Recipe, named: dict[str, str]) -> str:
    told = {**{key: value for key, value in recipe.options.items() if key not in _NOT_WRITTEN or not recipe.tables}, **named}
    told.setdefault("output_name", PureWindowsPath(recipe.name).stem)
    lines = [f"# Made from {_one_line(recipe.name)}"]
    lines += [f"# Missing: {_one_line(note.message)}" for note in recipe.missing]
    section = ""
    for option in OPTIONS:
        value = told.get(option.name)
        if value is None or value == option.default:
            continue
        if option.section != section:
            section = option.section
            lines += ["", f"[{section}]"]
        lines.append(f"{option.name} = {toml_value(list(value) if isinstance(value, tuple) else value)}")
    return "\n".join(lines) + "\n"


def _table(recipe: Recipe, number: int) -> dict[str, Any]:
    table = recipe.tables[number]
    subsets = []
    for folder in table.folders:
        place = str(folder.path) if folder.path else folder.name
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in folder.settings.items()}
        named = {"metadata_file": folder.metadata} if folder.metadata else {}
        subsets.append({"image_dir": place, **named, **settings})
    return {**table.settings, "subsets": subsets}


def _one_line(text: str) -> str:
    return " ".join(text.split())
