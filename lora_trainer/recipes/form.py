"""What a recipe fills the page's form with, and the files that repeat it from the command line."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any

from ..options.config_file import tables_to_toml, toml_value
from ..options.data_spec import NO_CAPTIONS
from ..options.dataset_keys import KEYS
from ..options.simple import CAPTION, OTHER, SIMPLE_BY_NAME, TXT, WORDS
from ..options.train import OPTIONS, OPTIONS_BY_NAME
from .recipe import Folder, Recipe

# Which change nothing of the result: how it is computed here, and that a night's training survives a crash.
_OF_THIS_MACHINE = {
    "max_data_loader_n_workers", "persistent_data_loader_workers", "split_batch_when_full", "save_state_every_n_minutes",
    "save_state_on_train_end",
}  # fmt: skip
_OF_THE_FIELDS = {"num_repeats", "class_tokens", "is_reg", "caption_extension", "image_dir"}
_SOURCES = {NO_CAPTIONS: WORDS, ".txt": TXT, ".caption": CAPTION}
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
    values |= _data(recipe)
    if recipe.prompts:
        values["prompts"] = recipe.prompts
    if off_form:
        names = ", ".join(off_form)
        recipe.note(f"The form has no field for {names}.", advice="The configuration file for the command line has them.")
    return values


def _default(name: str) -> Any:
    option = OPTIONS_BY_NAME.get(name) or SIMPLE_BY_NAME[name]
    return list(option.default) if isinstance(option.default, tuple) else option.default


def _data(recipe: Recipe) -> dict[str, Any]:
    """The fields of "Images and words" and the options that the tables of the data set stand for."""
    train = [folder for folder in recipe.folders if not folder.is_reg]
    reg = [folder for folder in recipe.folders if folder.is_reg]
    if not train:
        ending = recipe.options.get("caption_extension")
        return _captions(ending) if ending else {}
    if len(train) > 1 or len(reg) > 1 or len(recipe.tables) > 1:
        recipe.miss(
            f"It was trained on {len(train)} folders and {len(reg)} of regularisation images; the form holds one of each.",
            field="image_dir",
            advice="The first one stands in the form; from the command line, the data set file below has them all.",
        )
    values: dict[str, Any] = {}
    for name, value in {**recipe.tables[0].settings, **train[0].settings}.items():
        option = KEYS[name].command_line
        if name not in _OF_THE_FIELDS and option and OPTIONS_BY_NAME[option].form:
            values[option] = _size(value) if name == "resolution" else value
    values |= _words(train[0])
    values |= {"image_dir": _path(train[0]), "num_repeats": train[0].settings.get("num_repeats", 1)}
    ending = train[0].settings.get("caption_extension") or recipe.options.get("caption_extension")
    values |= _captions(ending) if ending else {}
    if reg:
        values |= {"reg_dir": _path(reg[0]), "reg_repeats": reg[0].settings.get("num_repeats", 1)}
    return values


def _size(sides: list[int]) -> str:
    return ",".join(map(str, dict.fromkeys(sides) if len(set(sides)) == 1 else sides))


def _path(folder: Folder) -> str | None:
    return str(folder.path) if folder.path else None


def _words(folder: Folder) -> dict[str, Any]:
    """`sls green frog` is the identifier sls and the class "green frog"."""
    identifier, _, kind = str(folder.settings.get("class_tokens") or "").strip().partition(" ")
    return {"identifier": identifier or None, "class_name": kind.strip() or None}


def _captions(ending: str) -> dict[str, Any]:
    source = _SOURCES.get(ending, OTHER)
    return {"caption_source": source, "caption_extension": ending if source == OTHER else None}


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
        subsets.append({"image_dir": place, **settings})
    return {**table.settings, "subsets": subsets}


def _one_line(text: str) -> str:
    return " ".join(text.split())
