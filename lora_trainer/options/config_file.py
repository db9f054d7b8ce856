"""Configuration files (`--config_file`): reading, and writing what repeats a run as TOML and as a command line.

The form is kohya-ss's: any section names, which are flattened away; what is written here uses our own sections.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..paths import write_text_atomic
from . import located
from .schema import Option
from .train import OPTIONS, TrainOptions, flat

_NOT_WRITTEN = {"config_file", "output_config"}
COMMAND = ("python", "-m", "lora_trainer", "train_network")


@dataclass(frozen=True)
class ConfigFile:
    """The flattened values of a configuration file, and where each stands."""

    path: Path
    values: Mapping[str, Any]
    places: Mapping[str, str]

    def where(self, name: str) -> str:
        """`run.toml, line 3, network_dim`."""
        return f"{self.places[name]}, {name}"


def actual_path(path: Path) -> Path:
    """The file that `path` means: the ending .toml may be left out."""
    return path if path.suffix.lower() == ".toml" else path.with_name(path.name + ".toml")


def read(path: Path) -> ConfigFile:
    """Read a configuration file and flatten its sections. Raises InputError, or InputErrors for keys given twice."""
    file = located.read(actual_path(path.expanduser()), field="config_file")
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    errors = []
    for section, content in file.data.items():
        entries = content.items() if isinstance(content, dict) else [(section, content)]
        for key, value in entries:
            keys = (section, key) if isinstance(content, dict) else (key,)
            if key in values:
                errors.append(
                    InputError(
                        f"{key} is given twice, here and at {places[key]}.",
                        field=key,
                        where=file.where(*keys),
                        advice="Delete one of them.",
                    )
                )
            values[key] = value
            places[key] = file.where(*keys)
    if errors:
        raise InputErrors(errors)
    return ConfigFile(file.path, values, places)


def write(path: Path, options: TrainOptions) -> Path:
    """Write all options to `path` (the ending .toml is added). Raises InputError when the file exists already."""
    target = actual_path(path.expanduser())
    if target.exists():
        raise InputError(f"{target} exists already and is not overwritten.", field="config_file", advice="Choose another name.")
    write_text_atomic(target, to_toml(options))
    return target


def given(options: TrainOptions) -> dict[str, Any]:
    """The options that differ from their defaults, in the order of declaration."""
    values = flat(options)
    return {
        option.name: values[option.name]
        for option in OPTIONS
        if values[option.name] != option.default and option.name not in _NOT_WRITTEN
    }


def to_toml(options: TrainOptions) -> str:
    """The configuration file that repeats a run: every option that has a value, in our sections."""
    values = flat(options)
    lines: list[str] = []
    section = ""
    for option in OPTIONS:
        value = values[option.name]
        if option.name in _NOT_WRITTEN or value is None or (not option.supported and value == option.default):
            continue
        if option.section != section:
            lines += ["", f"[{option.section}]"] if lines else [f"[{option.section}]"]
            section = option.section
        lines.append(f"{option.name} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def to_arguments(options: TrainOptions) -> list[str]:
    """The arguments that repeat a run, one string each, unquoted."""
    by_name = {option.name: option for option in OPTIONS}
    arguments: list[str] = []
    for name, value in given(options).items():
        arguments += _argument(by_name[name], value)
    return arguments


def command_line(arguments: Sequence[str], *, windows: bool = False, command: Sequence[str] = COMMAND) -> str:
    """`command` with `arguments`, quoted for a POSIX shell, or for the Windows command prompt and PowerShell alike."""
    quote = quote_windows if windows else shlex.quote
    return " ".join(quote(word) for word in (*command, *arguments))


def quote_windows(word: str) -> str:
    """`word` in double quotes where needed, as the Windows C runtime takes command lines apart.

    (Backslashes before a quotation mark are doubled.) A `%NAME%` inside is still replaced by the command prompt.
    """
    if word and re.fullmatch(r"[\w.:\\/+=-]+", word):
        return word
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", escaped) + '"'


def toml_value(value: Any) -> str:
    """A TOML value. Texts stand in single quotes where that is possible, so that Windows paths stay readable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value!r}.0"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if "'" not in text and all(ord(character) >= 32 and ord(character) != 127 for character in text):
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _argument(option: Option, value: Any) -> list[str]:
    if option.kind == "bool":
        return [f"--{option.name}" if value else f"--{option.name}=false"]
    if option.many:
        return [f"--{option.name}", *(str(item) for item in value)]
    return [f"--{option.name}={option.default if value is None else value}"]
