"""The presets that a person keeps: one JSON file each, under its name, in the host's own folder; and which one is the default.

The form of a file is that of an export, so that one can be copied to another machine as it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.json_text import read_json, read_table
from ..foreign.reading import UnreadableError
from ..options.simple import SIMPLE_BY_NAME
from ..options.train import OPTIONS_BY_NAME
from ..options.values import BadValue, convert, did_you_mean
from ..paths import safe_name, write_text_atomic
from .configuration import PRESET_MARK

OWN = "own:"  # before the name, in an id: what tells it from a preset that comes with the program
MOST = 200
# What is learned, and from what, is no part of a preset.
NOT_KEPT = frozenset(
    {
        "pretrained_model_name_or_path", "image_dir", "reg_dir", "identifier", "class_name", "output_name", "prompts",
        "concepts", "settings", "is_off", "metadata_file",
        "resume", "network_weights", "output_dir",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """A preset: `values` by field of the form; `problem` says why a file cannot be used."""

    name: str
    values: Mapping[str, Any]
    problem: str = ""

    @property
    def id(self) -> str:
        return OWN + self.name


class PresetStore:
    """The presets in `folder`. Thread-safe; writes are atomic, and no name leads out of the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._default = folder.with_name(folder.name + "-default.json")
        self._lock = threading.Lock()

    def all(self) -> list[Kept]:
        """The presets by name. A damaged file is one with a problem, never lost."""
        paths = sorted(self._folder.glob("*.json"), key=lambda path: path.stem.casefold())[:MOST]
        return [self._read(path) for path in paths]

    def get(self, name: str) -> Kept:
        """Raises InputError when there is none of this name."""
        path = self._path(name)
        if not path.is_file():
            raise InputError(f"there is no preset {name!r}.", field="name", advice="Look at the list again.")
        return self._read(path)

    def default(self) -> str:
        """The id of the preset that the form starts from; "" where none was chosen, or it is gone."""
        chosen = read_table(self._default).get("default")
        if not isinstance(chosen, str):
            return ""
        return "" if chosen.startswith(OWN) and not self._is_there(chosen.removeprefix(OWN)) else chosen

    def choose(self, preset_id: str) -> None:
        """Make a preset the default ("" for none). Raises InputError for one of our own that is not there, SaveError."""
        if preset_id.startswith(OWN):
            self.get(preset_id.removeprefix(OWN))
        write_text_atomic(self._default, json.dumps({"default": preset_id}) + "\n")

    def save(self, name: str, values: Mapping[str, Any], *, overwrite: bool = False) -> Kept:
        """Keep `values` under `name`. Raises InputError(s) (a name that is none or is taken, bad values), SaveError."""
        kept = checked(values)
        with self._lock:
            path = self._path(name)
            other = self._same_but_case(name)
            if (path.is_file() or other) and not overwrite:
                advice = "Choose another name, or ask to overwrite it."
                raise InputError(f"there is a preset {other or name} already.", field="name", advice=advice)
            if len(self.all()) >= MOST and not path.is_file():
                raise InputError(f"there are {MOST} presets already.", field="name", advice="Delete one that is not needed.")
            if other and other != name:
                self._path(other).unlink(missing_ok=True)
            write_text_atomic(path, text_of(name, kept))
        return Kept(name, kept)

    def rename(self, name: str, to: str) -> None:
        """Raises InputError when there is none of this name, or one of the new name already."""
        kept = self.get(name)
        if kept.problem:
            raise InputError(kept.problem, field="name")
        with self._lock:
            target, was_default = self._path(to), self.default() == kept.id
            if to.casefold() != name.casefold() and (target.is_file() or self._same_but_case(to)):
                raise InputError(f"there is a preset {to} already.", field="name", advice="Choose another name.")
            if to.casefold() == name.casefold():  # on some systems they are one file
                self._path(name).unlink(missing_ok=True)
            write_text_atomic(target, text_of(to, kept.values))
            if to.casefold() != name.casefold():
                self._path(name).unlink(missing_ok=True)
            if was_default:
                self.choose(OWN + to)

    def delete(self, name: str) -> None:
        """Raises InputError when there is none of this name."""
        self.get(name)
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{safe_name(name, field='name')}.json"

    def _is_there(self, name: str) -> bool:
        try:
            return self._path(name).is_file()
        except InputError:
            return False

    def _same_but_case(self, name: str) -> str:
        """The name of a preset that a file system without letter case would take for this one, or ""."""
        stems = [path.stem for path in self._folder.glob("*.json")]
        return next((stem for stem in stems if stem.casefold() == name.casefold()), "")

    def _read(self, path: Path) -> Kept:
        try:
            data = read_json(path, limit=1 << 20)
        except UnreadableError as error:
            return Kept(path.stem, {}, f"{path.name} {error}")
        values = data.get("values") if isinstance(data, dict) and PRESET_MARK in data else None
        if not isinstance(values, dict):
            return Kept(path.stem, {}, f"{path.name} is no preset.")
        return Kept(path.stem, usable(values))


def text_of(name: str, values: Mapping[str, Any]) -> str:
    """A preset as a file."""
    return json.dumps({PRESET_MARK: 1, "name": name, "values": dict(values)}, ensure_ascii=False, indent=1) + "\n"


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a preset keeps, as they were sent. Raises InputErrors for what no field of the form can hold."""
    kept, errors = {}, []
    for name, value in values.items():
        option = SIMPLE_BY_NAME.get(name) or OPTIONS_BY_NAME.get(name)
        if name in NOT_KEPT or (option is not None and option.secret):
            continue
        if option is None or not option.form:
            advice = did_you_mean(name, [*SIMPLE_BY_NAME, *OPTIONS_BY_NAME])
            errors.append(InputError(f"there is no field {name}.", field=name, advice=advice))
            continue
        try:
            convert(option, value, loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=name))
            continue
        kept[name] = value
    if errors:
        raise InputErrors(errors)
    return kept


def usable(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of a file's values this version knows: an option may be gone, or from a newer one."""
    found = {}
    for name, value in values.items():
        try:
            found |= checked({name: value})
        except InputErrors:
            continue
    return found
