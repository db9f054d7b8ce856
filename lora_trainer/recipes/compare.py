"""Whether two runs are the same: the data by their digests, the settings one by one, the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..options.data_spec import DatasetSpec, SubsetSpec
from ..options.dataset_folders import inherited
from ..options.dataset_keys import KEYS
from ..options.train import OPTIONS, OPTIONS_BY_NAME
from .recipe import Origin, shown

# Sections whose options change nothing of what is learned; and options elsewhere of which that holds.
_WITHOUT_EFFECT = ("sampling", "saving")
_PROMPTS = "prompts"
_HOW = {
    "max_data_loader_n_workers", "persistent_data_loader_workers", "cache_latents", "cache_latents_to_disk", "lowram",
    "highvram", "skip_cache_check", "disable_mmap_load_safetensors", "vae_batch_size", "dataset_config", "train_data_dir",
    "reg_data_dir",
}  # fmt: skip
_WITH_EFFECT = {"save_precision"}
_SAYS_WHICH = {"resolution", "image_dir", "metadata_file", "is_reg", "class_tokens", "num_repeats"}  # of what only one run has
_NOT_COMPARED = {"subsets", "image_dir", "custom_attributes"}

_OF_TABLES = frozenset(key.command_line or key.name for key in KEYS.values()) | KEYS.keys()
_SHOWN_AS = {"batch_size": "train_batch_size"}


@dataclass(frozen=True)
class Difference:
    """A setting that differs: its name, and what each of the runs has (as text, "" for none). `counts` says whether it changes
    what is learned."""

    name: str
    values: tuple[str, ...]
    counts: bool = True


def counts(name: str) -> bool:
    """Whether an option changes the numbers in the result."""
    option = OPTIONS_BY_NAME.get(name)
    if name == _PROMPTS:
        return False
    if option is None or name in _WITH_EFFECT:
        return True
    return option.section not in _WITHOUT_EFFECT and name not in _HOW


def differing(runs: Sequence[Origin], *, places: bool = False) -> list[Difference]:
    """The settings, options and data set's keys, that are not the same for all of `runs`, in the order of declaration.

    `places`: the folders of images are compared too, which are paths of one machine.
    """
    found = []
    in_tables = _OF_TABLES if all(run.data.get("datasets") for run in runs) else frozenset()
    for name in [option.name for option in OPTIONS if option.name not in in_tables] + [_PROMPTS]:
        values = [run.settings.get(name, OPTIONS_BY_NAME[name].default if name in OPTIONS_BY_NAME else "") for run in runs]
        if not _same(values):
            found.append(Difference(name, tuple(_text(value) for value in values), counts(name)))
    most = _most_places(runs)
    tables = [_flat(run, places, most) for run in runs]
    held = [{name.rpartition(": ")[0] for name in table} for table in tables]
    for name in dict.fromkeys(name for table in tables for name in table):
        place, _, key = name.rpartition(": ")
        if key not in _SAYS_WHICH and not all(place in one for one in held):
            continue  # a folder that one of them has not: that it is there says all
        values = [table.get(name) for table in tables]
        if not _same(values):
            found.append(Difference(name, tuple(_text(value) for value in values)))
    return found


def _tables(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [one for one in data.get(key) or [] if isinstance(one, dict)]


def _most_places(runs: Sequence[Origin]) -> tuple[int, int]:
    """How many data sets, and folders in one, a run has at the most: all are numbered alike, and like stands beside like."""
    sets = [_tables(run.data, "datasets") for run in runs]
    return max(map(len, sets), default=0), max((len(_tables(one, "subsets")) for tables in sets for one in tables), default=0)


def _flat(run: Origin, places: bool, most: tuple[int, int]) -> dict[str, Any]:
    """Every key of the data set with its effective value; the place in front where one of the runs has several of it."""
    settings = {option.name: run.settings.get(option.name, option.default) for option in OPTIONS}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    flat: dict[str, Any] = {}
    for number, table in enumerate(_tables(run.data, "datasets"), 1):
        place = f"{number}: " if most[0] > 1 else ""
        flat |= _effective(table, DatasetSpec, settings, place)
        for inner, subset in enumerate(_tables(table, "subsets"), 1):
            inner_place = f"{place}{inner}: " if most[1] > 1 else place
            flat |= _effective(subset, SubsetSpec, settings, inner_place)
            if places:
                flat[f"{inner_place}image_dir"] = subset.get("image_dir")
    return flat


def _effective(table: Mapping[str, Any], kind: Any, settings: dict[str, Any], place: str) -> dict[str, Any]:
    names = [name for name in kind.__dataclass_fields__ if name not in _NOT_COMPARED]
    values = {name: table[name] if name in table else inherited(name, settings) for name in names}
    return {place + _SHOWN_AS.get(name, name): value for name, value in values.items()}


def _same(values: Sequence[Any]) -> bool:
    plain = [list(value) if isinstance(value, tuple) else value for value in values]
    return all(value == plain[0] for value in plain)


def _text(value: Any) -> str:
    return "" if value is None else shown(value)


def same_data(one: Origin, other: Origin) -> bool | None:
    """Whether both trained the same pictures and captions; None when that is not known."""
    digests = [run.data.get("digest") for run in (one, other)]
    return digests[0] == digests[1] if all(digests) else None


def other_versions(one: Origin, other: Origin) -> list[Difference]:
    """Programs and machine that are not the same."""
    names = [*one.versions, *(name for name in other.versions if name not in one.versions)]
    pairs = [(name, one.versions.get(name), other.versions.get(name)) for name in names]
    return [Difference(name, (_text(first), _text(second))) for name, first, second in pairs if first != second]
