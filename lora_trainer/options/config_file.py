"""Configuration files (`--config_file`): reading, and writing what repeats a run as TOML and as a command line.

The form is kohya-ss's: any section names, which are flattened away; what is written here uses our own sections.
"""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.reading import is_there
from ..paths import user_path, write_text_atomic
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

    def line(self, name: str) -> str:
        """`line 3`, or nothing where that is not known."""
        return self.places[name].partition(", ")[2]

    def where(self, name: str) -> str:
        """`run.toml, line 3, network_dim`."""
        return f"{self.places[name]}, {name}"


def actual_path(path: Path) -> Path:
    """The file that `path` means: the ending .toml may be left out."""
    return path if path.suffix.lower() == ".toml" else path.with_name(path.name + ".toml")


def read(path: Path) -> ConfigFile:
    """Read a configuration file and flatten its sections. Raises InputError, or InputErrors for keys given twice."""
    return flatten(located.read(actual_path(user_path(path)), field="config_file"))


def flatten(file: located.Located) -> ConfigFile:
    """The values of a file whose sections are flattened away (see read)."""
    if isinstance(file.data.get("datasets"), list):
        raise InputError(
            "this is a data set file ([[datasets]]), not a configuration file.",
            field="config_file",
            where=file.path.name,
            advice="Give it as --dataset_config.",
        )
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
    target = actual_path(user_path(path))
    if is_there(target):
        raise InputError(f"{target} exists already and is not overwritten.", field="config_file", advice="Choose another name.")
    write_text_atomic(target, to_toml(options))
    return target


def given(options: TrainOptions) -> dict[str, Any]:
    """The options that differ from their defaults, in the order of declaration; no secrets."""
    values = flat(options)
    return {
        option.name: values[option.name]
        for option in OPTIONS
        if values[option.name] != option.default and not _is_left_out(option)
    }


def _is_left_out(option: Option) -> bool:
    return option.name in _NOT_WRITTEN or bool(option.secret)


def to_toml(options: TrainOptions) -> str:
    """The configuration file that repeats a run: every option that has a value, in our sections; no secrets."""
    values = flat(options)
    lines: list[str] = []
    section = ""
    for option in OPTIONS:
        value = values[option.name]
        if _is_left_out(option) or value is None or (not option.supported and value == option.default):
            continue
        if option.section != section:
            lines += ["", f"[{option.section}]"] if lines else [f"[{option.section}]"]
            section = option.section
        lines.append(f"{option.name} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def tables_to_toml(tables: Mapping[str, Any], path: tuple[str, ...] = (), heading: str = "") -> str:
    """TOML of nested tables and lists of tables, such as a data set file's {"datasets": [{"subsets": [...]}]}."""
    own = [f"{_key(name)} = {toml_value(value)}" for name, value in tables.items() if not _is_table(value)]
    parts = ["\n".join([heading, *own] if heading else own)] if own or heading else []
    for name, value in tables.items():
        below = (*path, _key(name))
        if isinstance(value, Mapping):
            parts.append(tables_to_toml(value, below, f"[{'.'.join(below)}]"))
        elif _is_table(value):
            parts += [tables_to_toml(table, below, f"[[{'.'.join(below)}]]") for table in value]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _double_quoted(name)


def _is_table(value: Any) -> bool:
    """A table, or a list of tables that is not empty."""
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


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
    """A TOML value. Texts stand in single quotes where that is possible, so that Windows paths stay readable.

    The `toml` package misreads some valid texts (a comma or bracket beside a quotation mark in a list, a single quotation
    mark): those are written with escapes, which it reads rightly (but for some texts that begin with quotation marks).
    """
    import toml  # type: ignore[import-untyped] # here: --help is answered before anything is installed

    written = ""
    for quote in (_single_quoted, _double_quoted, _escaped):
        written = _toml(value, quote)
        try:
            if toml.loads(f"a = {written}\nb = 1") == {"a": list(value) if isinstance(value, tuple) else value, "b": 1}:
                break
        except (ValueError, IndexError):
            continue
    return written


def _toml(value: Any, quote: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item, quote) for item in value) + "]"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value!r}.0"
    return str(value) if isinstance(value, int) else quote(str(value))


def _single_quoted(text: str) -> str:
    plain = "'" not in text and all(ord(character) >= 32 and ord(character) != 127 for character in text)
    return f"'{text}'" if plain else _double_quoted(text)


def _double_quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _escaped(text: str) -> str:
    plain = {"\\": "\\\\"} | {c: c for c in string.ascii_letters + string.digits}
    return '"' + "".join(plain.get(c, f"\\U{ord(c):08x}") for c in text) + '"'


def _argument(option: Option, value: Any) -> list[str]:
    if option.kind == "bool":
        return [f"--{option.name}" if value else f"--{option.name}=false"]
    if option.many:
        return [f"--{option.name}", *(str(item) for item in value)]
    return [f"--{option.name}={option.default if value is None else value}"]
