"""TOML that others wrote, by the `toml` package, whose errors are of many kinds and which recurses as deep as the text."""

from __future__ import annotations

import re
from typing import Any

from ..foreign.reading import UnreadableError

LIMIT = 1 << 20  # bytes; a data set of 3,000 folders has half of it
DEPTH = 32
_TOKEN = re.compile(r"\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|\"[^\"\n]*\"?|'[^'\n]*'?|#[^\n]*|[\[\]{}]")
_LONG_NUMBER = re.compile(r"\d{1000}")


def parse_toml(text: str) -> dict[str, Any]:
    """What `text` says. Raises UnreadableError, with the parser's own words and the line where it is known."""
    import toml  # type: ignore[import-untyped] # here, not above: --help is answered before anything is installed

    check_bounds(text)
    try:
        found: dict[str, Any] = toml.loads(text)
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, RecursionError) as error:  # it raises all of these
        said = getattr(error, "msg", None) or "it could not be understood"
        line, column = (getattr(error, place, None) for place in ("lineno", "colno"))
        raise UnreadableError(str(said), line=line, column=column) from error
    _check_depth(found)
    return found


def check_bounds(text: str) -> None:
    """Raise UnreadableError for a text that is too long, too deep, or has numbers of a thousand digits. Linear in the text."""
    if len(text) > LIMIT:
        raise UnreadableError(f"it has more than the {LIMIT:,} characters that are read")
    if long := _LONG_NUMBER.search(text):
        raise UnreadableError("a number has a thousand digits and more", line=text.count("\n", 0, long.start()) + 1)
    open_now = 0
    for token in _TOKEN.finditer(text.replace("\\\\", "").replace('\\"', "")):
        open_now += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if open_now > DEPTH:
            raise UnreadableError(f"it is nested more than {DEPTH} levels deep")


def _check_depth(found: dict[str, Any]) -> None:
    """Dotted keys nest too."""
    level: list[Any] = [found]
    for _ in range(DEPTH + 1):
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
        level = [one for one in level if isinstance(one, (dict, list))]
        if not level:
            return
    raise UnreadableError(f"it is nested more than {DEPTH} levels deep")
