"""Prompts of several parts, with the Web UI's meaning: `a AND b` is drawn by both, BREAK ends a chunk. No torch here."""

from __future__ import annotations

import re

BREAK = re.compile(r"\bBREAK\b")  # white space round it is no token
_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)")


def composed(prompt: str) -> list[tuple[str, float]]:
    """Return the parts of "a cat AND a dog :0.5" with their weights, 1.0 where none is given; a prompt without AND is one.

    The parts are drawn into one picture (Liu et al. 2022, "Composable Diffusion Models").
    """
    parts = _AND.split(prompt)
    if len(parts) == 1:
        return [(prompt, 1.0)]
    return [_weighted(part.rstrip()) for part in parts]


def _weighted(part: str) -> tuple[str, float]:
    text, colon, weight = part.rpartition(":")
    return (text.rstrip(), float(weight)) if colon and _WEIGHT.fullmatch(weight) else (part, 1.0)
