"""A Recipe: options and data that were read, and the report of the reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..options.resolve import ALIASES
from ..options.train import OPTIONS_BY_NAME
from ..options.values import BadValue, convert, did_you_mean

LORA, GUI, CONFIG, DATASET, PRESET = "lora", "gui", "config", "dataset", "preset"  # kinds of files
_NOTHING = (None, "", "None", "null")
_FOLDERS = ("train_data_dir", "reg_data_dir")
_SHOWN = 200  # characters of a value in a report


@dataclass(frozen=True)
class Line:
    """One entry of the report: the key as the file has it, our option (the same, or its new name), the value, and why it was
    dropped."""

    key: str
    option: str
    value: str
    why: str = ""


@dataclass(frozen=True)
class Note:
    """What is missing, or should be known. `field` is the field of the form or option that it is about."""

    message: str
    field: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Wanted:
    """A model by its name and hashes (of 8 digits, and SHA-256), as far as they are known."""

    name: str = ""
    short: str = ""
    sha256: str = ""


@dataclass
class Folder:
    """A folder of images. `name` is what the file calls it (a name or a path), `path` where it is here; `settings` are keys
    of a data set file, `digest` is `data.plan.digest`'s."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    images: int | None = None
    digest: str = ""
    path: Path | None = None
    metadata: str = ""  # the metadata file that names its images: a name or a path

    @property
    def is_reg(self) -> bool:
        return bool(self.settings.get("is_reg"))


@dataclass
class Table:
    """One [[datasets]] table with its folders."""

    settings: dict[str, Any] = field(default_factory=dict)
    folders: list[Folder] = field(default_factory=list)


@dataclass(frozen=True)
class Origin:
    """What a file of ours tells of its run: enough to say whether another is the same."""

    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    versions: Mapping[str, Any]


@dataclass
class Recipe:
    """`options` are checked values by name; `tables` the data; `wanted` models (by option) that have to be found here."""

    name: str
    kind: str
    maker: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    prompts: str = ""
    wanted: dict[str, Wanted] = field(default_factory=dict)
    origin: Origin | None = None
    taken: list[Line] = field(default_factory=list)
    renamed: list[Line] = field(default_factory=list)
    dropped: list[Line] = field(default_factory=list)
    missing: list[Note] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def folders(self) -> list[Folder]:
        return [folder for table in self.tables for folder in table.folders]

    def take(self, key: str, raw: Any, option: str = "") -> bool:
        """Take over a value under `option` (its own name, or what that is an alias of, when empty); what cannot be is dropped
        with the reason. What is not given, and a default, need no line. Returns whether the value is in `options` now."""
        name = option or ALIASES.get(key, key)
        declared = OPTIONS_BY_NAME.get(name)
        if is_nothing(raw):
            return False
        if declared is None:
            hint = did_you_mean(name, OPTIONS_BY_NAME) if self.kind == CONFIG else ""  # elsewhere it was no slip
            self.drop(key, raw, f"there is no such option here. {hint}".strip())
            return False
        if declared.secret:
            self.drop(key, "***", "a secret is not taken over: type it anew.")
            return False
        if declared.path in ("output", "folder", "any") and name not in _FOLDERS:
            self.drop(key, raw, "it names a place on the machine that the file comes from: choose it anew.")
            return False
        try:
            value = convert(declared, raw, loose=True)
        except BadValue as problem:
            if not _is_default(raw, declared.default):
                self.drop(key, raw, str(problem))
            return False
        if not declared.supported and value != declared.default:
            self.drop(key, raw, "it has no effect yet in this version.")
            return False
        self.options[name] = value
        if value != declared.default:
            line = Line(key, name, shown(value))
            is_same = key.removeprefix("ss_") == name or key == name.replace("metadata_", "modelspec.")
            (self.taken if is_same else self.renamed).append(line)
        return True

    def drop(self, key: str, raw: Any, why: str) -> None:
        """Note that a value is not taken over."""
        self.dropped.append(Line(key, "", shown(raw), why))

    def miss(self, message: str, *, field: str = "", advice: str = "") -> None:
        """Note what somebody has to see to."""
        self.missing.append(Note(message, field, advice))

    def note(self, message: str, *, field: str = "", advice: str = "") -> None:
        """Note what should be known."""
        self.notes.append(Note(message, field, advice))

    def forget(self, option: str) -> Any:
        """Take an option out again, with its lines; returns its value."""
        for lines in (self.taken, self.renamed):
            lines[:] = [line for line in lines if line.option != option]
        return self.options.pop(option, None)


def is_nothing(raw: Any) -> bool:
    """Whether a value of a file stands for "not given"."""
    if isinstance(raw, str):
        return raw.strip() in _NOTHING
    return raw is None or raw == [] or raw == {}


def _is_default(raw: Any, default: Any) -> bool:
    return str(raw).lower() in ("false", "0", "none") and default in (None, False, 0)


def shown(value: Any) -> str:
    """A value as a report shows it."""
    if isinstance(value, (list, tuple)):
        text = " ".join(str(item) for item in value)
    elif isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
    else:
        text = str(value)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
