r"""Prompts that change while a picture is drawn, with the Web UI's meaning. No torch here.

    [cat:dog:0.5]   cat up to half of the steps, then dog       [cat:dog:10]   up to step 10
    [dog:0.5]       from then on                                [cat::0.5]     up to then
    [cat|dog]       in turns, step by step                      [[a:b:5]|c]    inside each other

A fraction has a point. Square brackets of another form stay as they are: they are weights, as are all round ones. So do
those that lie deeper than DEEPEST in each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..prompt_weights import DEEPEST

_WHEN = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*")


@dataclass(frozen=True)
class _Switch:
    """`before` up to the step `when`, `after` behind it."""

    before: _Pieces
    after: _Pieces
    when: int

    def at(self, step: int) -> _Pieces:
        return self.before if step <= self.when else self.after


@dataclass(frozen=True)
class _Turns:
    """One of the options after another."""

    options: list[_Pieces]

    def at(self, step: int) -> _Pieces:
        return self.options[(step - 1) % len(self.options)]


_Pieces = list[str | _Switch | _Turns]


def texts(prompt: str, steps: int) -> list[str]:
    """Return the text that counts at each of the `steps`.

    Steps are counted from 1 in the brackets; the first two evaluations both are step 1, as in the Web UI.
    """
    pieces = _parse(prompt, steps)
    return [_text(pieces, max(step, 1)) for step in range(steps)]


def _text(pieces: _Pieces, step: int) -> str:
    return "".join(piece if isinstance(piece, str) else _text(piece.at(step), step) for piece in pieces)


def _parse(text: str, steps: int, depth: int = 0) -> _Pieces:
    """`text` as plain texts and what changes; a bracket without its partner is text."""
    if depth == DEEPEST:
        return [text]
    partners = _partners(text)
    pieces: _Pieces = []
    begin = 0
    for start in sorted(partners):
        if start < begin:
            continue  # inside the bracket before
        pieces.append(text[begin:start])
        pieces += _bracket(text[start + 1 : partners[start]], steps, depth + 1)
        begin = partners[start] + 1
    return [*pieces, text[begin:]]


def _bracket(body: str, steps: int, depth: int) -> _Pieces:
    options = _split(body, "|")
    if len(options) > 1:
        return [_Turns([_parse(option, steps, depth) for option in options])]
    *parts, last = _split(body, ":")
    when = _WHEN.fullmatch(last)
    if when is None or len(parts) not in (1, 2):
        return ["[", *_parse(body, steps, depth), "]"]
    before, after = (_parse(part, steps, depth) for part in ["", *parts][-2:])
    number = float(when[1]) * steps if "." in when[1] else int(when[1])
    return [_Switch(before, after, min(steps, int(number)))]


def _partners(text: str) -> dict[int, int]:
    r"""The place of each [ -> that of its ]; escaped ones (\[) and those without a partner are left out."""
    opened: list[int] = []
    found = {}
    for match in re.finditer(r"\\.|\[|\]", text, re.DOTALL):
        if match[0] == "[":
            opened.append(match.start())
        elif match[0] == "]" and opened:
            found[opened.pop()] = match.start()
    return found


def _split(text: str, mark: str) -> list[str]:
    """`text` cut at each `mark` that stands outside of inner brackets of both kinds."""
    parts, begin, depth = [], 0, 0
    for match in re.finditer(r"\\.|[()\[\]:|]", text, re.DOTALL):
        if match[0] in "([":
            depth += 1
        elif match[0] in ")]":
            depth -= 1
        elif match[0] == mark and depth == 0:
            parts.append(text[begin : match.start()])
            begin = match.end()
    return [*parts, text[begin:]]
