"""Reading what to train on: the data set file (TOML or JSON), a metadata file, or folders named `<repeats>_<words>`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.reading import is_file, is_folder
from ..paths import seen_from, user_path
from . import located, sentences
from .data_spec import CHANGING, DatasetSpec, DataSpec, SubsetSpec
from .dataset_folders import folder_spec, metadata_spec, parse_folder_name
from .dataset_keys import DATASET, GENERAL, HEADINGS, KEYS, SUBSET, Key
from .train import OPTIONS_BY_NAME, TrainOptions, flat
from .trained import WITH_WORD
from .values import BadValue, convert, did_you_mean, face_range, resolution_pair

__all__ = ["DataSpec", "DatasetSpec", "SubsetSpec", "data_spec", "load", "parse_folder_name"]

_SUBSET_FIELDS = tuple(field.name for field in fields(SubsetSpec))
_DATASET_FIELDS = tuple(field.name for field in fields(DatasetSpec) if field.name != "subsets")
_PATHS = {"image_dir", "metadata_file", "conditioning_data_dir"}


def data_spec(options: TrainOptions) -> DataSpec:
    """What `options` say to train on: the data set file when one is given, else in_json, else the folders of train_data_dir.

    Raises InputErrors with everything that is wrong in the file.
    """
    if options.dataset.dataset_config:
        found = load(Path(options.dataset.dataset_config), options)
    else:
        found = metadata_spec(options) if options.dataset.in_json else folder_spec(options)
    return as_trained(found, options)


def as_trained(data: DataSpec, options: TrainOptions) -> DataSpec:
    """`data` with what the kind of training asks of it: a word that is learned, and the sentences that it is trained with."""
    if options.trained.trains not in WITH_WORD:
        return data
    return replace(sentences.told_by(data, options.trained), word=options.trained.token_string)


def load(path: Path, options: TrainOptions, *, check_paths: bool = True) -> DataSpec:
    """Read a data set file and apply inheritance, command line and defaults. Raises InputErrors."""
    try:
        file = located.read(user_path(path), field="dataset_config")
    except InputError as error:
        raise InputErrors([error]) from error
    return from_file(file, options, check_paths=check_paths)


def from_file(file: located.Located, options: TrainOptions, *, check_paths: bool = True) -> DataSpec:
    """The data set that a file's content describes (see load)."""
    reader = _Reader(file, flat(options), check_paths)
    datasets = reader.datasets()
    if reader.errors:
        raise InputErrors(reader.errors)
    unused = [name for name in ("train_data_dir", "reg_data_dir", "in_json") if getattr(options.dataset, name)]
    skipped = tuple(f"{name} is not used, because a data set file is given." for name in unused)
    masked, trusting = options.dataset.masked_loss, options.dataset.skip_cache_check
    return DataSpec(datasets=tuple(datasets), source=file.path, masked_loss=masked, skip_cache_check=trusting, skipped=skipped)


@dataclass(frozen=True)
class _Table:
    """The entries of one table of the file and where it stands."""

    level: str
    keys: tuple[str | int, ...]
    values: Mapping[str, Any]

    @property
    def has_metadata(self) -> bool:
        """Whether it is a subset whose images a metadata file names, or a data set of such."""
        raw = self.values.get(SUBSET)
        subsets = [one for one in raw if isinstance(one, dict)] if isinstance(raw, list) else []
        return any("metadata_file" in one for one in (self.values, *subsets))


class _Reader:
    """Reads one file; collects what is wrong in `errors`."""

    def __init__(self, file: located.Located, command_line: Mapping[str, Any], check_paths: bool) -> None:
        self.file = file
        self.command_line = command_line
        self.check_paths = check_paths
        self.errors: list[InputError] = []

    def datasets(self) -> list[DatasetSpec]:
        if options := self._options_of_a_configuration():
            some = ", ".join(options[:3])
            self._error(
                f"this is a configuration file: it holds options of the training ({some}, ...) and no [[datasets]].",
                "",
                advice="Give it as --config_file; --dataset_config takes a data set file.",
            )
            return []
        for name in self.file.data:
            if name not in (GENERAL, DATASET):
                self._unknown(_Table("", (), self.file.data), name, (GENERAL, DATASET))
        general = self._table(GENERAL, (GENERAL,), self.file.data.get(GENERAL, {}))
        tables = self._tables(DATASET, (DATASET,), self.file.data.get(DATASET))
        if not tables and not self.errors:
            self._error("there are no [[datasets]] in the file, so there is nothing to train on.", "", advice=_EXAMPLE)
        specs = []
        for table in tables:
            subsets = self._tables(SUBSET, (*table.keys, SUBSET), table.values.get(SUBSET))
            if not table.values.get(SUBSET):
                self._error("the data set has no [[datasets.subsets]], so it has no images.", "", table.keys, advice=_EXAMPLE)
            own = {name: value for name, value in table.values.items() if name != SUBSET}
            known = self._table(DATASET, table.keys, own, metadata=table.has_metadata)
            read = [self._table(SUBSET, one.keys, one.values, metadata=one.has_metadata) for one in subsets]
            spec = self._dataset(known, general, read)
            if spec is not None:
                specs.append(spec)
        return specs

    def _options_of_a_configuration(self) -> list[str]:
        """The options, flat or in sections, of a file that is no data set file at all; else nothing."""
        if DATASET in self.file.data:
            return []
        names = [name for name, value in self.file.data.items() if not isinstance(value, dict)]
        sections = [value for name, value in self.file.data.items() if isinstance(value, dict) and name != GENERAL]
        names += [name for section in sections for name in section]
        return [name for name in names if name in OPTIONS_BY_NAME]

    def _dataset(self, table: _Table, general: _Table, subsets: list[_Table]) -> DatasetSpec | None:
        before = len(self.errors)
        if len({"metadata_file" in subset.values for subset in subsets}) > 1:
            self._error(
                "subsets with metadata_file and subsets without it cannot stand in one data set.",
                "metadata_file",
                table.keys,
                advice="Give them [[datasets]] of their own.",
            )
        values = {name: self._value(KEYS[name], (table, general)) for name in _DATASET_FIELDS}
        if values["resolution"] is None and not any("resolution" in one.values for one in (table, general)):
            self._error("the resolution is missing.", "resolution", table.keys, advice="Add resolution = 512.")
        specs = [self._subset(subset, table, general) for subset in subsets]
        if len(self.errors) > before or None in specs or values["resolution"] is None:
            return None
        values["resolution"] = resolution_pair(values["resolution"])
        return DatasetSpec(subsets=tuple(spec for spec in specs if spec is not None), **values)

    def _subset(self, subset: _Table, dataset: _Table, general: _Table) -> SubsetSpec | None:
        values: dict[str, Any] = {name: self._value(KEYS[name], (subset, dataset, general)) for name in _SUBSET_FIELDS}
        if not values["image_dir"] and not values["metadata_file"]:
            if not {"image_dir", "metadata_file"} & {name for name, value in subset.values.items() if value is None}:
                self._error("image_dir is missing.", "image_dir", subset.keys, advice="Name the folder that holds the images.")
            return None
        self._check_paths(values, subset)
        self._check_masks(subset, values)
        for name in CHANGING:
            if values[name] and self.command_line["cache_latents"] and not self.command_line[name]:
                self._error(
                    f"{name} changes the images at each use, so that their latents cannot be cached.",
                    name,
                    (*subset.keys, name),
                    advice=f"Switch cache_latents or {name} off.",
                )
        values |= {name: user_path(values[name]) if values[name] else None for name in _PATHS}
        values["face_crop_aug_range"] = face_range(values["face_crop_aug_range"])
        if subset.has_metadata:
            values["class_tokens"] = None  # of [general], for other folders: an image without a caption has an empty one
        return SubsetSpec(**values)

    def _check_masks(self, subset: _Table, values: Mapping[str, Any]) -> None:
        """A folder of masks is there, and is used."""
        name = "conditioning_data_dir"
        if not subset.values.get(name):  # from the command line: its path and masked_loss have been checked
            return
        if not self.command_line["masked_loss"]:
            self._error(
                f"{name} has no effect without masked_loss.",
                name,
                (*subset.keys, name),
                advice=f"Give masked_loss on the command line too, or leave {name} out.",
            )
        elif self.check_paths and not is_folder(user_path(values[name])):
            folder = user_path(values[name])
            self._error(
                f"the folder {folder} does not exist{seen_from(folder)}.",
                name,
                (*subset.keys, name),
                advice="Check the path for typing errors; write Windows paths in single quotes.",
            )

    def _check_paths(self, values: Mapping[str, Any], subset: _Table) -> None:
        """Report the folder of images and the metadata file that are not there."""
        advice = "Check the path for typing errors; write Windows paths in single quotes."
        folder, file = (user_path(values[name]) if values[name] else None for name in ("image_dir", "metadata_file"))
        if self.check_paths and folder is not None and not is_folder(folder):
            message = f"the folder {folder} does not exist{seen_from(folder)}."
            self._error(message, "image_dir", (*subset.keys, "image_dir"), advice=advice)
        if self.check_paths and file is not None and not is_file(file):
            message = f"the file {file} does not exist{seen_from(file)}."
            self._error(message, "metadata_file", (*subset.keys, "metadata_file"), advice=advice)

    def _tables(self, level: str, keys: tuple[str | int, ...], raw: Any) -> list[_Table]:
        """The tables of a list of tables."""
        if raw is None:
            return []
        if not isinstance(raw, list):
            self._error(f"{level} is a single table, but a list of tables is expected.", level, keys, advice=_BRACKETS[level])
            return []
        tables = []
        for index, item in enumerate(raw):
            if isinstance(item, dict):
                tables.append(_Table(level, (*keys, index), item))
            else:
                self._error(f"{item!r} is not a table.", level, keys, advice=_BRACKETS[level])
        return tables

    def _table(self, level: str, keys: tuple[str | int, ...], raw: Any, *, metadata: bool = False) -> _Table:
        """A table with its known keys checked and converted; the others are reported.

        `metadata` says that it is about images that a metadata file names.
        """
        if not isinstance(raw, dict):
            self._error(f"{level} is not a table.", level, keys, advice=f"Write {HEADINGS[level]} on a line of its own.")
            return _Table(level, keys, {})
        values: dict[str, Any] = {}
        table = _Table(level, keys, values)
        for name, value in raw.items():
            key = KEYS.get(name)
            if key is not None and metadata and level in key.levels and level not in key.metadata_levels:
                self._error(_MEANINGLESS.format(name), name, (*keys, name), advice="Leave it out.")
                continue
            if key is None or level not in {*key.levels, *key.metadata_levels}:
                self._unknown(table, name, tuple(k.name for k in KEYS.values() if level in k.levels))
                continue
            try:
                values[name] = _converted(key, value)
            except BadValue as problem:
                values[name] = None
                self._error(str(problem), name, (*keys, name))
        return table

    def _value(self, key: Key, tables: tuple[_Table, ...]) -> Any:
        """The inherited value of `key`."""
        for table in tables:
            if key.name in table.values:
                return table.values[key.name]
        inherited = self.command_line.get(key.command_line) if key.command_line else None
        if inherited is None:
            return key.option.default
        return inherited

    def _unknown(self, table: _Table, name: str, known: tuple[str, ...]) -> None:
        elsewhere = KEYS[name].levels if name in KEYS else ()
        renamed = next((key.name for key in KEYS.values() if key.command_line == name and key.name in known), "")
        if elsewhere:
            advice = f"It belongs under {' or '.join(HEADINGS[level] for level in elsewhere)}."
        elif renamed:
            advice = f"Here it is called {renamed}."
        elif name in OPTIONS_BY_NAME:
            advice = "It is an option of the command line or of the configuration file."
        else:
            advice = did_you_mean(name, known)
        place = f"under {HEADINGS[table.level]}" if table.level else "at the top of the file"
        self._error(f"the key {name} is not known {place}.", name, (*table.keys, name), advice=advice)

    def _error(self, message: str, field: str, keys: tuple[str | int, ...] = (), *, advice: str = "") -> None:
        where = self.file.where(*keys) if keys else self.file.path.name
        name = f", {field}" if field and field not in (GENERAL, DATASET, SUBSET) else ""
        self.errors.append(InputError(message, field=field, where=f"{where}{name}", advice=advice))


def _converted(key: Key, value: Any) -> Any:
    """The checked value of a key, as the file has it. Raises BadValue."""
    if key.name == "custom_attributes":
        if not isinstance(value, dict):
            raise BadValue(f"{value!r} is not a table.")
        return value
    if key.name == "resolution":
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value)):
            raise BadValue(f"{value!r} is not a resolution: write 512, or [512, 768] for width and height.")
    if not key.option.supported:
        if value == key.option.default:
            return value
        raise BadValue(f"{key.name} has no effect yet in this version, so it is not accepted. Leave it out.")
    return convert(key.option, value, loose=False)


_MEANINGLESS = "{} means nothing for images that a metadata file names."
_BRACKETS = {DATASET: "Write [[datasets]] with two brackets.", SUBSET: "Write [[datasets.subsets]] with two brackets."}
_EXAMPLE = "It needs [[datasets]], below it [[datasets.subsets]], and below that image_dir = 'folder'."
