"""Dynamic prompts: `{red|blue}` becomes one of the two. No torch here.

    {a|b|c}                one of them, by chance          {2$$a|b|c}    two different ones: "c, a"
    {1-2$$a|b|c}           one or two ("-2", "2-": the other bound left out)
    {2$$ and $$a|b|c}      with another separator          {e$$a|b|c}    every one, in a prompt of its own
    {e2$$a|b|c}            every pair                      {a|{b|c} d}   choices inside choices

A bracket without its partner is text. More than there are means as many as there are.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError

MOST_PROMPTS = 10_000  # that `e$$` may make of one
_HEAD = re.compile(r"(?P<every>[eE])?(?P<low>\d+)?(?P<to>-)?(?P<high>\d+)?")


@dataclass(frozen=True)
class _Choice:
    """`low` to `high` of the `options` (each a sequence of texts and choices), joined by `separator`; or every such one."""

    options: list[_Pieces]
    low: int
    high: int
    separator: str
    every: bool

    @property
    def counts(self) -> range:
        return range(self.low, self.high + 1)


_Pieces = list[str | _Choice]


def expand(prompt: str, draw: random.Random, count: int = 1) -> list[str]:
    """Return the prompts that `prompt` stands for: what its `e$$` ask for in order, each `count` times, the rest by chance.

    Raises InputError when `e$$` ask for more than MOST_PROMPTS. (One inside of a choice by chance is by chance, too.)
    """
    return [_settled(pieces, draw) for pieces in _variants(_parse(prompt)) for _ in range(count)]


def _variants(pieces: _Pieces) -> list[_Pieces]:
    """`pieces` once for every choice among `e$$`; the choices by chance stay."""
    parts = [_every(piece) if isinstance(piece, _Choice) and piece.every else [[piece]] for piece in pieces]
    _check(math.prod(len(part) for part in parts))
    return [[*itertools.chain.from_iterable(each)] for each in itertools.product(*parts)]


def _every(choice: _Choice) -> list[_Pieces]:
    _check(sum(math.comb(len(choice.options), count) for count in choice.counts))
    options = [_variants(option) for option in choice.options]
    found: list[_Pieces] = []
    for picked in itertools.chain.from_iterable(itertools.combinations(options, count) for count in choice.counts):
        _check(len(found) + math.prod(len(option) for option in picked))
        found += [_joined(each, choice.separator) for each in itertools.product(*picked)]
    return found


def _settled(pieces: _Pieces, draw: random.Random) -> str:
    """The text, every choice made by chance."""
    return "".join(piece if isinstance(piece, str) else _drawn(piece, draw) for piece in pieces)


def _drawn(choice: _Choice, draw: random.Random) -> str:
    picked = draw.sample(choice.options, draw.choice(choice.counts))
    return choice.separator.join(_settled(option, draw) for option in picked)


def _joined(options: Sequence[_Pieces], separator: str) -> _Pieces:
    joined: _Pieces = []
    for number, option in enumerate(options):
        joined += [separator, *option] if number else option
    return joined


def _check(count: int) -> None:
    if count > MOST_PROMPTS:
        raise InputError(
            f"the dynamic prompt asks for {count:,} prompts, at most {MOST_PROMPTS:,} are made.",
            field="prompt",
            advice="Write fewer alternatives behind e$$.",
        )


def _parse(text: str) -> _Pieces:
    """`text` as plain texts and choices; a bracket without its partner is text."""
    pieces: _Pieces = []
    closing = _partners(text)
    at = 0
    while at < len(text):
        if at in closing:
            pieces.append(_choice(text[at + 1 : closing[at]]))
            at = closing[at] + 1
        else:
            end = next((i for i in range(at + 1, len(text)) if i in closing), len(text))
            pieces.append(text[at:end])
            at = end
    return pieces


def _choice(body: str) -> _Choice:
    """What stands between two brackets: [e][count or range]$$[separator$$]alternatives."""
    every, low, high, separator = False, 1, 1, ", "
    head, *rest = _split(body, "$$")
    match = _HEAD.fullmatch(head)
    if rest and match and head != "-":  # that is a separator
        every = bool(match["every"])
        if match["low"] or match["to"]:
            low = int(match["low"] or 1)
            high = int(match["high"]) if match["high"] else len(body) if match["to"] else low
        head, *rest = rest
    if rest:
        separator, head = head, "$$".join(rest)
    alternatives = [_parse(alternative) for alternative in _split(head, "|")]
    low, high = sorted((min(low, len(alternatives)), min(high, len(alternatives))))
    return _Choice(alternatives, low, high, separator, every)


def _split(text: str, mark: str) -> list[str]:
    """`text` cut at each `mark` that stands outside of inner brackets."""
    closing = _partners(text)
    parts, begin, at = [], 0, 0
    while at < len(text):
        if at in closing:
            at = closing[at]
        elif text.startswith(mark, at):
            parts.append(text[begin:at])
            begin = at + len(mark)
            at = begin - 1
        at += 1
    return [*parts, text[begin:]]


def _partners(text: str) -> dict[int, int]:
    """The place of each opening bracket -> that of its closing one; those without a partner are left out."""
    opened: list[int] = []
    found = {}
    for at, character in enumerate(text):
        if character == "{":
            opened.append(at)
        elif character == "}" and opened:
            found[opened.pop()] = at
    return found
