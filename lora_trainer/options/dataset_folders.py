"""The data set of a command line: a folder that holds folders named `<repeats>_<identifier> <class>`, or a metadata file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.reading import is_file, is_folder
from ..paths import seen_from, user_path
from .data_spec import DatasetSpec, DataSpec, SubsetSpec
from .dataset_keys import KEYS
from .train import TrainOptions, flat
from .values import face_range, resolution_pair

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_OF_A_FOLDER = {"image_dir", "metadata_file", "class_tokens", "is_reg"}  # what a metadata file does not inherit
_EXAMPLE = '"10_sls frog" for ten repeats of "sls frog"'


def parse_folder_name(name: str) -> tuple[int, str] | None:
    """Split `20_sls frog` into (20, "sls frog"); None when the name does not begin with a count of at least 1 and `_`.

    The count may be written as Python's int() reads it (`01`, `+4`, other scripts' digits); `5` alone means no words.
    """
    count, _, words = name.partition("_")
    try:
        repeats = int(count)
    except ValueError:
        return None
    return (repeats, words) if repeats >= 1 else None


def _stated_words(name: str) -> str | None:
    """The words of a well-named folder: "" where the name says that there are none (`7_`), None where it says nothing (`7`)."""
    return name.partition("_")[2] if "_" in name else None


def folder_spec(options: TrainOptions) -> DataSpec:
    """The data set of train_data_dir and reg_data_dir. Raises InputErrors when there are no folders to train on."""
    assert options.dataset.train_data_dir, "resolve.train_options checks this"
    values = flat(options)
    skipped: list[str] = []
    errors: list[InputError] = []
    subsets: list[SubsetSpec] = []
    for field, is_reg in (("train_data_dir", False), ("reg_data_dir", True)):
        if not values[field]:
            continue
        try:
            subsets += _subsets(user_path(values[field]), field, is_reg, values, skipped)
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    source = user_path(options.dataset.train_data_dir)
    masked, trusting = options.dataset.masked_loss, options.dataset.skip_cache_check
    dataset = _dataset(options, subsets)
    return DataSpec(datasets=(dataset,), source=source, masked_loss=masked, skip_cache_check=trusting, skipped=tuple(skipped))


def metadata_spec(options: TrainOptions) -> DataSpec:
    """The data set of in_json: the images that a metadata file names, train_data_dir being their folder."""
    assert options.dataset.in_json
    values = flat(options)
    file = user_path(options.dataset.in_json)
    folder = user_path(options.dataset.train_data_dir) if options.dataset.train_data_dir else None
    common = {field.name: inherited(field.name, values) for field in fields(SubsetSpec) if field.name not in _OF_A_FOLDER}
    if common["conditioning_data_dir"]:
        common["conditioning_data_dir"] = user_path(common["conditioning_data_dir"])
    subset = SubsetSpec(image_dir=folder, metadata_file=file, **common)
    unused = "reg_data_dir is not used: the images of a metadata file cannot have regularisation images beside them."
    skipped = (unused,) if options.dataset.reg_data_dir else ()
    masked = options.dataset.masked_loss
    return DataSpec(datasets=(_dataset(options, [subset]),), source=file, masked_loss=masked, skipped=skipped)


def _dataset(options: TrainOptions, subsets: list[SubsetSpec]) -> DatasetSpec:
    """The one data set of a command line."""
    assert options.dataset.resolution, "resolve.train_options checks this"
    values = flat(options)
    known = {field.name for field in fields(DatasetSpec)} - {"subsets", "resolution"}
    settings = {name: inherited(name, values) for name in known}
    return DatasetSpec(resolution=resolution_pair(options.dataset.resolution), subsets=tuple(subsets), **settings)


def inherited(name: str, values: dict[str, Any]) -> Any:
    """The value of a data set key that is given nowhere but on the command line, if there."""
    key = KEYS[name]
    value = values[key.command_line] if key.command_line else None
    found = key.option.default if value is None else value
    return face_range(found) if name == "face_crop_aug_range" else found


def _subsets(folder: Path, field: str, is_reg: bool, values: dict[str, Any], skipped: list[str]) -> list[SubsetSpec]:
    """One subset for each well-named folder in `folder`, sorted by name; the others are told in `skipped`."""
    if not is_folder(folder):
        missing = f"the folder {folder} does not exist{seen_from(folder)}."
        raise InputError(missing, field=field, advice="Check the path for typing errors.")
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        message = f"the folder {folder} cannot be read: {error.strerror or error}."
        raise InputError(message, field=field, advice="Check its permissions, and that its drive is there.") from error
    shown = (entry for entry in entries if not entry.name.startswith("."))  # backups, thumbnails and the like
    named = {entry: parse_folder_name(entry.name) for entry in shown if is_folder(entry)}
    images = sum(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries if is_file(entry))
    if not any(named.values()):
        raise _no_folders(folder, field, images, [entry.name for entry in named])
    skipped += [
        f"the folder {entry} is left out: its name does not begin with a number of repeats and _, like {_EXAMPLE}."
        for entry, parsed in named.items()
        if parsed is None
    ]
    if images:
        skipped.append(
            f"{images} image{'s' * (images != 1)} directly in {folder} left out: only the images in its folders are used."
        )
    own = {"image_dir", "num_repeats", "class_tokens", "is_reg", "conditioning_data_dir"}
    common = {f.name: inherited(f.name, values) for f in fields(SubsetSpec) if f.name not in own}
    return [
        SubsetSpec(
            image_dir=entry,
            num_repeats=parsed[0],
            class_tokens=_stated_words(entry.name),
            is_reg=is_reg,
            conditioning_data_dir=_masks_of(entry.name, values["conditioning_data_dir"]),
            **common,
        )
        for entry, parsed in named.items()
        if parsed is not None
    ]


def _masks_of(name: str, given: str | None) -> Path | None:
    """The folder of the masks for the images of a folder: the one of its name in conditioning_data_dir, else that itself."""
    if not given:
        return None
    inner = user_path(given) / name
    return inner if is_folder(inner) else user_path(given)


def _no_folders(folder: Path, field: str, images: int, names: list[str]) -> InputError:
    if images and parse_folder_name(folder.name):
        advice = f"Give the folder above it: {folder.absolute().parent}."
        return InputError(f"{folder} is itself an image folder, but its parent is expected.", field=field, advice=advice)
    if images:
        advice = f"Put the images into a folder inside it, named like {_EXAMPLE}."
        return InputError(
            f"the images lie directly in {folder}, so that their repeats and words are not known.", field=field, advice=advice
        )
    if names:
        found = ", ".join(repr(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
        advice = f"Name them like {_EXAMPLE}."
        return InputError(f"no folder in {folder} is named <repeats>_<words>; found {found}.", field=field, advice=advice)
    return InputError(
        f"the folder {folder} is empty.", field=field, advice=f"Put a folder of images into it, named like {_EXAMPLE}."
    )
