"""The data set of a recipe as the form's concepts: which folder is whose regularisation folder, which settings are all of the
training's and which a concept's own; what the form cannot hold is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..options.concepts import CAPTION, FIELDS, FURTHER, METADATA, OTHER, SETTING_NAMES, SETTINGS, TXT, WORDS
from ..options.data_spec import NO_CAPTIONS
from ..options.dataset_keys import KEYS
from ..options.train import OPTIONS_BY_NAME
from .recipe import Folder, Recipe, Table, shown

_SOURCES = {NO_CAPTIONS: WORDS, ".txt": TXT, ".caption": CAPTION}
_NOTHING: dict[str, Any] = {option.name: option.default for option in FIELDS} | {FURTHER: []}
_IN_FIELDS = {"num_repeats", "class_tokens", "is_reg", "caption_extension", "image_dir"}


@dataclass
class _Learned:
    """A folder that is trained, and the one with its regularisation pictures."""

    folder: Folder
    reg: Folder | None = None


def data_values(recipe: Recipe) -> dict[str, Any]:
    """The fields of "Images and words" and the options that the tables of the data set stand for."""
    table = _one_table(recipe)
    train = [folder for folder in table.folders if not folder.is_reg]
    if not train:
        ending = recipe.options.get("caption_extension")
        return _captions(ending) if ending else {}
    learned = _paired(recipe, train, [folder for folder in table.folders if folder.is_reg])
    kept = [one.reg for one in learned if one.reg is not None]
    common = _common(recipe, table, [*train, *kept])
    values = {**_NOTHING, **_options(recipe, common)}
    made = [_concept(recipe, one, table, common) for one in learned]
    return {**values, **made[0], FURTHER: made[1:]}


def _one_table(recipe: Recipe) -> Table:
    """All folders in one table, where that trains the same; else the first table, and it is said what is left out."""
    first, *others = recipe.tables or [Table()]
    if not others:
        return first
    if all(one.settings == first.settings for one in others) and not any(folder.is_reg for folder in recipe.folders):
        return Table(first.settings, recipe.folders)
    told = {
        key for one in others for key in {*one.settings, *first.settings} if one.settings.get(key) != first.settings.get(key)
    }
    why = ", ".join(sorted(told)) or "each with regularisation images"
    recipe.miss(
        f"It has {len(recipe.tables)} [[datasets]] ({why}); the form holds one.",
        field="image_dir",
        advice="The first one stands in the form; from the command line, the data set file below has them all.",
    )
    return first


def _paired(recipe: Recipe, train: list[Folder], reg: list[Folder]) -> list[_Learned]:
    """Each regularisation folder with the concepts of its class, else with the first one that has none."""
    learned = [_Learned(folder) for folder in train]
    for folder in reg:
        words = str(folder.settings.get("class_tokens") or "").strip().casefold()
        free = [one for one in learned if one.reg is None]
        same = [one for one in free if words and str(_words(one.folder)["class_name"]).casefold() == words]
        for one in same or free[:1]:
            one.reg = folder
        if not free:
            recipe.miss(
                f"The regularisation folder {folder.name} belongs to no concept of the form: each has one.",
                field="reg_dir",
                advice="From the command line, the data set file below has it.",
            )
    return learned


def _common(recipe: Recipe, table: Table, folders: list[Folder]) -> dict[str, Any]:
    """The settings of subsets that are the same for all: of the table, or of each of the folders. Those of a regularisation
    folder that differ are told, as the form has none for it."""
    common = {key: value for key, value in table.settings.items() if key in SETTING_NAMES}
    told = [{**common, **folder.settings} for folder in folders]
    for key in SETTING_NAMES:
        values = [one.get(key) for one in told]
        if values[0] is not None and all(value == values[0] for value in values):
            common[key] = values[0]
    for folder, own in zip(folders, told, strict=True):
        for key in SETTING_NAMES if folder.is_reg else ():
            if own.get(key) != common.get(key):
                why = "regularisation images have no options of their own in the form."
                recipe.drop(f"{folder.name}: {key}", own.get(key), why)
    return common


def _options(recipe: Recipe, common: dict[str, Any]) -> dict[str, Any]:
    """The options of the training that the settings of a table stand for."""
    found: dict[str, Any] = {}
    table = recipe.tables[0]
    for name, value in {**table.settings, **common}.items():
        option = KEYS[name].command_line
        if name in _IN_FIELDS or value == KEYS[name].option.default and not option:
            continue
        if option and OPTIONS_BY_NAME[option].form:
            found[option] = _size(value) if name == "resolution" else value
        else:
            recipe.drop(name, value, "the form has no field for it; the data set file below has it.")
    return found


def _concept(recipe: Recipe, one: _Learned, table: Table, common: dict[str, Any]) -> dict[str, Any]:
    """The values of one concept's fields."""
    told = one.folder.settings
    ending = told.get("caption_extension") or table.settings.get("caption_extension") or recipe.options.get("caption_extension")
    values = {
        **_words(one.folder),
        "image_dir": _path(one.folder),
        **_repeats(told.get("num_repeats", table.settings.get("num_repeats", 1))),
        **(_captions(ending) if ending else {}),
        **({"caption_source": METADATA, "metadata_file": one.folder.metadata} if one.folder.metadata else {}),
    }
    own = {key: value for key, value in told.items() if key in SETTING_NAMES and value != common.get(key)}
    if own:
        values[SETTINGS] = {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}
    if one.reg is not None:
        values |= {"reg_dir": _path(one.reg), "reg_repeats": one.reg.settings.get("num_repeats", 1)}
        theirs = one.reg.settings.get("caption_extension", ending)
        if theirs != ending:
            recipe.drop(f"{one.reg.name}: caption_extension", shown(theirs), "its captions are read as those of its concept.")
    return values


def _repeats(number: int) -> dict[str, Any]:
    """0 leaves a folder of a data set file out."""
    return {"num_repeats": number} if number > 0 else {"num_repeats": 1, "is_off": True}


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
