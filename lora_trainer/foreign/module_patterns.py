"""PEFT's patterns of module names (`alpha_pattern`), which are regular expressions out of a file: matched without running them.

PEFT asks `re.match(rf"(.*\\.)?({pattern})$", path)`, first pattern first. A hostile one takes for ever there. Here literals are
looked up, and what people write (`.*`, `\\d+`, `.`, `^`, `$`) is matched by a set of positions: time grows with length alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .reading import UnreadableError, shown

_PART = re.compile(
    r"(?P<any>(?:\.\*)+)|(?P<digits>\\d\+)|(?P<digit>\\d)|\\(?P<escaped>[^\w\s])|(?P<one>\.)|(?P<plain>[\w\- /])"
)
_LONGEST, _MOST_WILD = 300, 64
_DIGITS = "0123456789"


def find(patterns: Mapping[str, Any], path: str) -> Any:
    """The value of the first pattern that matches the module at `path`, or the end of it behind a dot; None when none does.

    Raises UnreadableError for a pattern that is written in more of the language than is read here.
    """
    literal, wild = _sorted(tuple(patterns))
    ends = [path, *(path[place + 1 :] for place, letter in enumerate(path) if letter == ".")]
    found = [literal[end] for end in ends if end in literal]
    found += [number for number, pattern in wild if pattern.ends(path)]
    return patterns[tuple(patterns)[min(found)]] if found else None


@functools.lru_cache(maxsize=4)
def _sorted(patterns: tuple[str, ...]) -> tuple[dict[str, int], list[tuple[int, _Wild]]]:
    """({text: number of the first pattern that is just this text}, [(number, pattern) of the others])."""
    literal: dict[str, int] = {}
    wild: list[tuple[int, _Wild]] = []
    for number, pattern in enumerate(patterns):
        parts = _parts(pattern)
        if all(kind in ("plain", "escaped", "one") for kind, _ in parts):  # a plain dot is meant as a dot
            literal.setdefault("".join(text for _, text in parts), number)
        else:
            wild.append((number, _Wild(parts)))
    if len(wild) > _MOST_WILD:
        raise UnreadableError(f"has an alpha_pattern of {len(wild)} patterns with wild cards, of which {_MOST_WILD} are read.")
    return literal, wild


def _parts(pattern: str) -> list[tuple[str, str]]:
    """[(kind, text)] of what a pattern is made of."""
    inner, place, parts = pattern.removeprefix("^").removesuffix("$"), 0, []
    while place < len(inner) <= _LONGEST and (match := _PART.match(inner, place)):
        parts.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    if place < len(inner):
        raise UnreadableError(
            f"has the alpha_pattern {shown(pattern)!r}, a regular expression that is not read here: the strength is not known.",
            "Save the LoRA with the modules' names as the keys of alpha_pattern (or without it).",
        )
    return parts


class _Wild:
    """A pattern with wild cards, followed in all ways at once: bit n of a number says that the first n parts have matched."""

    def __init__(self, parts: Sequence[tuple[str, str]]) -> None:
        self._end = 1 << len(parts)
        self._stay = sum(1 << n for n, (kind, _) in enumerate(parts) if kind in ("any", "digits"))
        self._any = sum(1 << n for n, (kind, _) in enumerate(parts) if kind == "any")
        self._one = sum(1 << n for n, (kind, _) in enumerate(parts) if kind == "one")
        self._letters: dict[str, int] = {}
        for n, (kind, text) in enumerate(parts):
            for letter in _DIGITS if kind in ("digit", "digits") else text if kind in ("plain", "escaped") else "":
                self._letters[letter] = self._letters.get(letter, 0) | 1 << n

    def ends(self, path: str) -> bool:
        """Whether the pattern is the whole `path`, or all that stands behind one of its dots."""
        ways = self._skipping(1)
        for letter in path:
            fitting = ways & (self._letters.get(letter, 0) | self._one)
            ways = self._skipping(fitting << 1 | ways & self._any | fitting & self._stay | (letter == "."))
        return bool(ways & self._end)

    def _skipping(self, ways: int) -> int:
        """`.*` may be nothing; two of them in a row are one part."""
        return ways | (ways & self._any) << 1
