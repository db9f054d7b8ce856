"""TOML and JSON files whose keys know their line (the `toml` package gives values, but not where they stand).

Every way in which such a file cannot be read ends as an InputError that names file and line and says what to do. What stands in
the line is not told: the file may be one that whoever named it should not see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError, errors_as, read_text
from .toml_text import LIMIT, parse_toml

KeyPath = tuple[str | int, ...]

_SHOWN = 200  # characters of a line in a message
_STRING = re.compile(r'"(?:\\.|[^"\\])*"?|\'[^\']*\'?')  # one that is not closed ends with its line: linear
_KEY = r'(?:[\w-]+|"[^"]*"|\'[^\']*\')'
_ASSIGNMENT = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_SINGLE_BACKSLASH = re.compile(r'"(?:[^"\\]|\\\\)*\\[^\\"]')
_BARE_WORD = re.compile(_ASSIGNMENT.pattern + r"\s*[^\W\d]\w*\s*(?:#.*)?$")  # as in `flip_aug = yes`
_TWICE = re.compile(r"What\? (\S+) already exists|Duplicate keys")
BACKSLASH_ADVICE = "In double quotes a backslash has a special meaning: write the path in single quotes, 'C:\\images\\cat'."


@dataclass(frozen=True)
class Located:
    """The content of a file (`data`: nested dicts and lists) and each key's line (`lines`: by path of keys and indices)."""

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    text: str

    def line(self, *keys: str | int) -> int | None:
        """The line of the value at `keys`; else the first line where a key of that name is set; else the line of its table."""
        if keys in self.lines:
            return self.lines[keys]
        names = [key for key in keys if isinstance(key, str)]
        if names:
            given = re.compile(rf"(?:^|[\s{{,\[\"'-]){re.escape(names[-1])}[\"']?\s*[=:]")
            for number, line in enumerate(self.text.splitlines(), 1):
                if given.search(line):
                    return number
        return self.line(*keys[:-1]) if len(keys) > 1 else None

    def where(self, *keys: str | int) -> str:
        """`dataset.toml, line 7`, or just the file's name when the line is not known."""
        line = self.line(*keys)
        return f"{self.path.name}, line {line}" if line else self.path.name


def read(path: Path, *, field: str = "") -> Located:
    """Read a .toml or .json file. `field` is the option that named it. Raises InputError."""
    with errors_as(InputError, path, field=field):
        text = read_text(path, limit=LIMIT)
    return parse(path, text, field=field)


def parse(path: Path, text: str, *, field: str = "") -> Located:
    """Take apart the `text` of a .toml or .json file that lies, or will lie, at `path`. Raises InputError."""
    if path.suffix.lower() == ".json":
        return _from_json(path, text, field)
    if path.suffix.lower() == ".toml":
        return _from_toml(path, text, field)
    raise InputError(
        f"{path.name} is neither a .toml nor a .json file.", field=field, advice="Give the file the ending of its format."
    )


def _from_toml(path: Path, text: str, field: str) -> Located:
    try:
        data = parse_toml(text)
    except UnreadableError as error:
        line, said = error.line, str(error)
        source = _line_of(text, line)
        advice = "Texts need quotes, lists need [ ], and each key its own line."
        if _SINGLE_BACKSLASH.search(source):
            advice = BACKSLASH_ADVICE
        elif twice := _TWICE.match(said):
            said = f"{twice[1] or 'the key'} is given twice"
            advice = "Delete one of them, or put what they hold together under one heading."
        elif _BARE_WORD.match(source):
            said = "a value is neither a text in quotes nor a number"
            advice = "Write true or false where yes or no is meant, in small letters, and texts in quotes."
        elif "homogeneous" in said:
            advice = "Write all values of a list alike, for example [1.0, 2.5] rather than [1, 2.5]."
        raise InputError(
            f"this is not valid TOML: {without_content(said)}.",
            field=field,
            where=_place(path, line, error.column),
            advice=advice,
        ) from error
    return Located(path, data, _key_lines(text), text)


def _from_json(path: Path, text: str, field: str) -> Located:
    try:
        data = parse_json(text, pairs=lambda pairs: _object(pairs, path, text, field))
    except UnreadableError as error:
        source = _line_of(text, error.line)
        raise InputError(
            f"this {error}",
            field=field,
            where=_place(path, error.line, error.column),
            advice="In JSON a backslash has to be doubled: C:\\\\images." if _SINGLE_BACKSLASH.search(source) else "",
        ) from error
    if not isinstance(data, dict):
        raise InputError("the file has to hold one JSON object, { ... }.", field=field, where=path.name)
    return Located(path, data, {}, text)


def _line_of(text: str, line: int | None) -> str:
    """The text of a line, as a message can have it."""
    lines = text.splitlines()
    return lines[line - 1].strip()[:_SHOWN] if line and line <= len(lines) else ""


def _object(pairs: list[tuple[str, Any]], path: Path, text: str, field: str) -> dict[str, Any]:
    """A JSON object. Raises InputError when a key is given twice, of which one would silently be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            lines = [number for number, line in enumerate(text.splitlines(), 1) if f'"{name}"' in line]
            where = f"{path.name}, line {lines[-1]}" if len(lines) == 2 else path.name
            raise InputError(f"{name} is given twice in one object.", field=field, where=where, advice="Delete one of them.")
        found[name] = value
    return found


def _place(path: Path, line: int | None, column: int | None) -> str:
    if not line:
        return path.name
    return f"{path.name}, line {line}, column {column}" if column else f"{path.name}, line {line}"


def without_content(said: str) -> str:
    """A parser's message without what it repeats of the file: quotations of more than a character or two, and tables."""
    if said.startswith(("could not convert", "invalid literal")):
        return "a value is neither a text in quotes nor a number"
    plain = re.sub(r"'[^']{3,}'|\"[^\"]{3,}\"|\{.*", "…", said, flags=re.DOTALL)
    return re.sub(r" *\(line \d+ column \d+ char \d+\)", "", plain).rstrip(".")


def _key_lines(text: str) -> dict[KeyPath, int]:
    """The line of each key and table of a TOML text. Keys inside inline tables are left out."""
    lines: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}  # arrays of tables: how many there are so far
    prefix: KeyPath = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if depth == 0 and not quote:
            if header := _HEADER.match(line):
                prefix = _table(_names(header[2]), header[1] == "[[", tables)
                lines.setdefault(prefix, number)
                continue
            if assignment := _ASSIGNMENT.match(line):
                lines.setdefault((*prefix, *_names(assignment[1])), number)
        depth, quote = _nesting(line, depth, quote)
    return lines


def _table(names: list[str], is_array: bool, tables: dict[KeyPath, int]) -> KeyPath:
    """The path of the table that a header opens; counts arrays of tables in `tables`."""
    path: KeyPath = ()
    for position, name in enumerate(names):
        path = (*path, name)
        if position == len(names) - 1 and is_array:
            tables[path] = tables.get(path, 0) + 1
        if path in tables:
            path = (*path, tables[path] - 1)
    return path


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in re.findall(_KEY, dotted)]


def _nesting(line: str, depth: int, quote: str) -> tuple[int, str]:
    """How many brackets, and which triple quote, are open after `line`."""
    while line:
        if quote:
            _, found, line = line.partition(quote)
            if not found:
                return depth, quote
            quote = ""
            continue
        start = min((at for at in (line.find('"""'), line.find("'''")) if at >= 0), default=len(line))
        plain = _STRING.sub("", line[:start]).partition("#")
        depth += sum(plain[0].count(mark) for mark in "[{") - sum(plain[0].count(mark) for mark in "]}")
        if plain[1]:
            break
        quote, line = line[start : start + 3], line[start + 3 :]
    return max(depth, 0), quote
