"""JSON that others wrote. Depth, number of values and length of numbers are counted before anything is made of it.

Python's parser alone fails in several ways on hostile text: RecursionError for depth, gigabytes for a few million empty lists,
hours for a number of a million digits (before Python 3.10.7), texts with halves of characters that nobody can write.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .reading import TEXT_LIMIT, UnreadableError, read_text

DEPTH = 64
VALUES = 1_000_000
_DIGITS = re.compile(rb"\d{1000}")
_BRACKETS = re.compile(rb"[\[\]{}]")
_STRING = re.compile(rb'"[^"]*"?')
_HALF = re.compile(r"[\ud800-\udfff]")


def parse_json(
    text: str,
    *,
    depth: int = DEPTH,
    values: int = VALUES,
    strict: bool = False,
    pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None,
) -> Any:
    """What `text` says. Raises UnreadableError, with the line where it is known, for text that is no JSON or beyond the bounds.

    `pairs` makes a table of its keys and values. Halves of characters (lone surrogates) become "?", or are
    an error when `strict`.
    """
    check_bounds(text.encode("utf-8", "replace"), depth=depth, values=values)
    try:
        found = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        message = f"is not valid JSON: {error.msg} in line {error.lineno}."
        raise UnreadableError(message, line=error.lineno, column=error.colno) from error
    except (UnreadableError, RecursionError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"is not valid JSON: {error}.") from error
    if not re.search(r"\\u[dD][89a-fA-F]", text) and not _HALF.search(text):
        return found
    return _whole(found, strict)


def check_bounds(data: bytes, *, depth: int = DEPTH, values: int = VALUES) -> None:
    """Raise UnreadableError for JSON that is deeper than `depth`, has more `values`, or numbers of a thousand digits.

    Linear in the text, whatever it is.
    """
    if len(data) < 1000 and data.count(b"[") + data.count(b"{") <= depth:
        return
    bare = _STRING.sub(b"", data.replace(b"\\\\", b"").replace(b'\\"', b""))
    if sum(bare.count(mark) for mark in (b",", b"[", b"{")) > values:
        raise UnreadableError(f"holds more than {values:,} values, which are not read.")
    if _DIGITS.search(bare):
        raise UnreadableError("holds a number of a thousand digits and more.")
    open_now = 0
    for bracket in _BRACKETS.finditer(bare):
        open_now += 1 if bracket[0] in b"[{" else -1
        if open_now > depth:
            raise UnreadableError(f"is nested more than {depth} levels deep, which is not read.")


def _whole(value: Any, strict: bool) -> Any:
    """`value` without halves of characters."""
    if isinstance(value, str):
        if strict and _HALF.search(value):
            raise UnreadableError("holds half a character (a lone surrogate), which is no text.")
        return _HALF.sub("?", value)
    if isinstance(value, list):
        return [_whole(item, strict) for item in value]
    if isinstance(value, dict):
        return {_whole(key, strict): _whole(item, strict) for key, item in value.items()}
    return value


def without_nan(value: Any) -> Any:
    """`value` as every reader of JSON takes it: None in place of NaN and infinity, text in place of what JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def read_json(path: Path | str, *, limit: int = TEXT_LIMIT) -> Any:
    """What the JSON file says. Raises UnreadableError."""
    return parse_json(read_text(path, limit=limit))


def read_table(path: Path | str, *, limit: int = TEXT_LIMIT) -> dict[str, Any]:
    """The table in a JSON file that may be missing or damaged: {} then, and where it holds something else."""
    try:
        found = read_json(path, limit=limit)
    except UnreadableError:
        return {}
    return found if isinstance(found, dict) else {}


def read_number(table: dict[str, Any], key: str) -> float | None:
    """The finite number at `key` of such a table; None when there is none."""
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        return None
    return value
