"""Metadata files: one JSON object whose keys name images, each with a `caption` and `tags`; or (.jsonl) a line for each image,
with its `image_path`.

kohya-ss' tools write them and its fine-tuning method trains from them; ours read and write the same. What else an entry holds
(`train_resolution`, notes of other programs) is kept where a file is written again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import InputError, InputErrors
from ...foreign.json_text import parse_json
from ...foreign.reading import UnreadableError, errors_as, read_text
from ...paths import free_path, write_atomic, write_text_atomic

CAPTION, TAGS = "caption", "tags"
MAX_BYTES = 1 << 30
MAX_VALUES = 20_000_000
_KINDS = {bool: "yes or no", int: "a number", float: "a number", list: "a list", dict: "a table", str: "a text"}
_EXAMPLE = 'Write "cat.png": {"caption": "a cat on a chair", "tags": "cat, chair"}.'
_ONE_JSON = "A metadata file is one JSON object, { ... }. A file of one JSON a line has the ending .jsonl."
_LINE = 'Each line of a .jsonl file is like {"image_path": "cat.png", "caption": "a cat on a chair", "tags": "cat, chair"}.'
_IMAGE = "image_path"
_TEXT = 'Write it as a text in quotes, for example "cat, chair".'

Entries = dict[str, dict[str, Any]]


def read_entries(path: Path, *, field: str = "metadata_file") -> Entries:
    """What a metadata file says: image's key -> its entry. `field` is the option that named the file.

    Raises InputError when it cannot be read or names a key twice, and InputErrors, one a key, when an entry is no table or its
    caption or tags are no text.
    """
    with errors_as(InputError, path, field=field):
        text = read_text(path, limit=MAX_BYTES)
        try:
            lines = path.suffix.lower() == ".jsonl"
            found = _of_lines(text) if lines else parse_json(text, values=MAX_VALUES, pairs=_table)
        except _TwiceError as twice:
            advice = "Delete one of them: only one caption can be trained."
            raise InputError(f"the key {twice.key!r} is there twice.", where=str(path), field=field, advice=advice) from twice
        except UnreadableError as error:
            advice = error.advice or (_LINE if lines else _ONE_JSON)
            raise UnreadableError(str(error), advice, line=error.line, column=error.column) from error
    if not isinstance(found, dict):
        raise InputError(f"the file holds {_kind(found)}, no table of images.", where=str(path), field=field, advice=_ONE_JSON)
    errors = [error for key, entry in found.items() for error in _problems(str(path), key, entry, field)]
    if errors:
        raise InputErrors(errors)
    return found


def replace_entries(path: Path, entries: Entries) -> Path | None:
    """Write a metadata file, as kohya-ss' tools do (indented, every character as it is).

    Returns the backup of a file that was there and is another now: `NAME.json.bak`, or a further one where that is taken.
    Raises InputError for a file that is no metadata file, and SaveError; what was there is there then.
    """
    _check_target(path)
    text, backup = json.dumps(entries, indent=2, ensure_ascii=False) + "\n", None
    before = path.read_bytes() if path.is_file() else None
    if before is not None and before != text.encode("utf-8"):
        backup = free_path(path.with_name(f"{path.name}.bak"))
        write_atomic(backup, lambda file: file.write(before))
    write_text_atomic(path, text)
    return backup


def _check_target(path: Path) -> None:
    """Nothing but a metadata file is replaced by one: names of files are easily given in the wrong order."""
    advice = "Name another file, with the ending .json."
    if path.suffix.lower() != ".json":
        raise InputError("the file to write does not end in .json.", where=str(path), field="out_json", advice=advice)
    if path.is_file():
        try:
            read_entries(path, field="out_json")
        except (InputError, InputErrors) as error:
            message = "the file is there and is no metadata file, so it is not replaced."
            raise InputError(message, where=str(path), field="out_json", advice=advice) from error


def caption_of(entry: dict[str, Any], *, separator: str, enable_wildcard: bool) -> str:
    """The caption that is trained: caption and tags joined by `separator`; "" where there is neither.

    Tags stand on one line. With `enable_wildcard` they are joined to each line of the caption, any of which may be shown;
    else to the first line with text, which alone is trained.
    """
    lines = [line.strip() for line in (entry.get(CAPTION) or "").split("\n") if line.strip()]
    tags = tags_of(entry, separator=separator)
    if not enable_wildcard:
        lines = lines[:1]
    if not lines or not tags:
        return tags or "\n".join(lines)
    return "\n".join(f"{line}{separator}{tags}" for line in lines)


def tags_of(entry: dict[str, Any], *, separator: str) -> str:
    """The tags of an entry on one line."""
    return separator.join(line.strip() for line in (entry.get(TAGS) or "").split("\n") if line.strip())


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names: set[str] = set()
        raise _TwiceError(next(name for name, _ in pairs if name in names or names.add(name)))  # type: ignore[func-returns-value]
    return found


def _of_lines(text: str) -> dict[str, Any]:
    """The same table from a line for each image. Raises UnreadableError, with the line, and _TwiceError."""
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line, pairs=_table)
        except UnreadableError as error:
            raise UnreadableError(f"is not valid JSON in line {number}.", line=number, column=error.column) from error
        key = entry.pop(_IMAGE, None) if isinstance(entry, dict) else None
        if not isinstance(key, str):
            raise UnreadableError(f"names no image in line {number}.", line=number)
        if key in found:
            raise _TwiceError(key)
        found[key] = entry
    return found


def _problems(path: str, key: str, entry: Any, field: str) -> list[InputError]:
    if not isinstance(entry, dict):
        message = f"the entry {key!r} is {_kind(entry)}, but a table is expected."
        return [InputError(message, where=path, field=field, advice=_EXAMPLE)]
    return [
        InputError(f"{name} of {key!r} is {_kind(entry[name])}, but a text is expected.", where=path, field=field, advice=_TEXT)
        for name in (CAPTION, TAGS)
        if entry.get(name) is not None and not isinstance(entry[name], str)
    ]


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "nothing")
