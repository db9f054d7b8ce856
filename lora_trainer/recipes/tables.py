"""Data sets as tables: of a data set file, and as the metadata of a LoRA file has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError
from ..options.dataset_folders import parse_folder_name
from ..options.dataset_keys import DATASET, GENERAL, KEYS, SUBSET
from ..options.values import BadValue, convert, resolution_pair, resolution_text
from .recipe import Folder, Recipe, Table, is_nothing

_BESIDE = {"image_dir", "metadata_file", "images", "img_count", "digest", SUBSET}  # no settings of a folder
# What kohya's ss_datasets calls otherwise than a data set file, and what it counts.
_RENAMED = {"batch_size_per_device": "batch_size"}
_COUNTED = {
    "is_dreambooth", "num_train_images", "num_reg_images", "tag_frequency", "bucket_info", "num_validation_images",
    "validation_split", "validation_seed", "subsets",
}  # fmt: skip


def from_dataset_file(recipe: Recipe, data: Mapping[str, Any]) -> None:
    """The tables of a data set file; what stands in [general] is handed down."""
    general = data.get(GENERAL)
    general = dict(general) if isinstance(general, dict) else {}
    for number, raw in enumerate(_tables(data.get(DATASET)), 1):
        handed = {**general, **{key: value for key, value in raw.items() if key != SUBSET}}
        own = {key: value for key, value in handed.items() if key not in KEYS or DATASET in KEYS[key].levels}
        table = Table(_settings(recipe, own, f"datasets {number}", DATASET))
        for one in _tables(raw.get(SUBSET)):
            merged = {key: value for key, value in general.items() if key in KEYS and DATASET not in KEYS[key].levels} | one
            _add_folder(recipe, table, merged, f"datasets {number}")
        recipe.tables.append(table)


def from_record(recipe: Recipe, record: Mapping[str, Any]) -> None:
    """The tables that our own files carry (data.plan.digest.data_record)."""
    from_dataset_file(recipe, {DATASET: record.get(DATASET)})


def from_kohya(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    """ss_datasets, or the folder form: ss_dataset_dirs and ss_reg_dataset_dirs."""
    told = _json(metadata.get("ss_datasets"))
    for number, raw in enumerate(_tables(told), 1):
        own = {_RENAMED.get(key, key): value for key, value in raw.items() if key not in _COUNTED}
        table = Table(_settings(recipe, own, f"ss_datasets {number}", DATASET))
        for one in _tables(raw.get("subsets")):
            _add_folder(recipe, table, one, f"ss_datasets {number}")
        recipe.tables.append(table)
    if recipe.tables:
        return
    table = Table()
    for key, is_reg in (("ss_dataset_dirs", False), ("ss_reg_dataset_dirs", True)):
        dirs = _json(metadata.get(key))
        for name, raw in dirs.items() if isinstance(dirs, dict) else ():
            counts = raw if isinstance(raw, dict) else {}
            words = parse_folder_name(name)
            settings = {"num_repeats": counts.get("n_repeats"), "class_tokens": words[1] if words else None, "is_reg": is_reg}
            _add_folder(recipe, table, {**settings, "image_dir": name, "img_count": counts.get("img_count")}, key)
    if table.folders:
        recipe.tables.append(table)


def from_parents(recipe: Recipe, parents: Mapping[str, Path]) -> None:
    """The folder form on this machine: train_data_dir and reg_data_dir with the folders that lie in them."""
    table = Table()
    for option, parent in parents.items():
        for folder in sorted(parent.iterdir()):
            words = parse_folder_name(folder.name)
            if words and folder.is_dir():
                settings = {"num_repeats": words[0], "class_tokens": words[1] or None, "is_reg": option == "reg_data_dir"}
                _add_folder(recipe, table, {**settings, "image_dir": str(folder)}, option)
    if table.folders:
        recipe.tables.append(table)


def _add_folder(recipe: Recipe, table: Table, raw: Mapping[str, Any], where: str) -> None:
    metadata = raw.get("metadata_file")
    metadata = metadata.strip() if isinstance(metadata, str) else ""
    name = raw.get("image_dir") or (metadata and str(Path(metadata).parent))
    if not isinstance(name, str) or not name.strip():
        recipe.drop(where, name, "it names no folder of images.")
        return
    images = raw.get("images", raw.get("img_count"))
    table.folders.append(
        Folder(
            name=name,
            settings=_settings(recipe, raw, f"{where}, {name}", SUBSET),
            images=images if isinstance(images, int) else None,
            digest=str(raw.get("digest") or ""),
            metadata=metadata,
        )
    )


def _settings(recipe: Recipe, raw: Mapping[str, Any], where: str, level: str) -> dict[str, Any]:
    """The checked keys of one table; what cannot be taken over is dropped."""
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if key in _BESIDE or is_nothing(value):
            continue
        known = KEYS.get(key)
        if known is None or level not in known.levels:
            recipe.drop(f"{where}: {key}", value, "it is no key of a data set here.")
            continue
        if key == "custom_attributes":
            continue
        try:
            if key == "resolution":
                found[key] = list(resolution_pair(resolution_text(value)))
                continue
            converted = convert(known.option, value, loose=True)
        except BadValue as problem:
            recipe.drop(f"{where}: {key}", value, str(problem))
            continue
        if not known.option.supported and converted != known.option.default:
            recipe.drop(f"{where}: {key}", value, "it has no effect yet in this version.")
            continue
        found[key] = converted
    return found


def _tables(raw: Any) -> list[dict[str, Any]]:
    return [one for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []


def _json(text: str | None) -> Any:
    try:
        return parse_json(text) if text else None
    except UnreadableError:
        return None
