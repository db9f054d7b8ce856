r"""The Web UI's attention syntax: (more), [less], (word:1.3), nested, with \( \) \[ \] \\ for the characters themselves."""

from __future__ import annotations

import re

ROUND = 1.1
SQUARE = 1 / 1.1
DEEPEST = 64  # brackets of one kind inside each other; a factor of 446, and a bound on the time that a text can take

_PIECE = re.compile(
    r"""\\(?P<literal>[\\()\[\]]?)                                   # a lone backslash stands for nothing
      | :\s*(?P<weight>[+-]?(\d+\.?\d*|\.\d+))\s*\)                  # ends a round bracket, if one is open
      | (?P<bracket>[()\[\]])
      | (?P<text>[^\\()\[\]:]+|:)""",
    re.VERBOSE,
)


def parse(prompt: str) -> list[tuple[str, float]]:
    """Return the pieces of `prompt` with their weights, neighbours of one weight joined; [("", 1.0)] when nothing is left.

        parse("a (red:1.3) [fox]") == [("a ", 1.0), ("red", 1.3), (" ", 1.0), ("fox", 1 / 1.1)]

    A round bracket multiplies by 1.1 or by its own number (which may be 0 or negative), a square one divides by 1.1. One that
    is never closed reaches to the end; one that closes nothing is text. A number after a colon counts only at the end of an
    open round bracket; anything else there is text. So is what opens more than DEEPEST brackets inside each other.
    """
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def multiply(start: int, factor: float) -> None:
        pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]

    for match in _PIECE.finditer(prompt):
        bracket, weight = match["bracket"], match["weight"]
        if bracket in opened and len(opened[bracket]) < DEEPEST:
            opened[bracket].append(len(pieces))
        elif weight is not None and opened["("]:
            multiply(opened["("].pop(), float(weight))
        elif bracket == ")" and opened["("]:
            multiply(opened["("].pop(), ROUND)
        elif bracket == "]" and opened["["]:
            multiply(opened["["].pop(), SQUARE)
        else:
            literal = match["literal"]
            pieces.append((match[0] if literal is None else literal, 1.0))
    for start in opened["("]:
        multiply(start, ROUND)
    for start in opened["["]:
        multiply(start, SQUARE)
    return _joined(pieces)


def _joined(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    joined: list[tuple[str, float]] = []
    for text, weight in pieces:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + text, weight)
        else:
            joined.append((text, weight))
    return joined or [("", 1.0)]
