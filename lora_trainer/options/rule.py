"""A rule that more than one option decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """`broken` gets all values by option name. The first of the fields that was given is the one named in the error.

    `message` and `advice` may name options in braces: their values are put in.
    """

    fields: tuple[str, ...]
    broken: Callable[[Values], bool]
    message: str
    advice: str = ""


def needs(option: str, needed: str) -> Rule:
    """`option` means nothing without `needed`."""
    return Rule(
        (option, needed),
        lambda v: bool(v[option]) and not v[needed],
        f"{option} has no effect without {needed}.",
        f"Give {needed} too, or leave {option} out.",
    )


def exclude(first: str, second: str, why: str, advice: str) -> Rule:
    """Two options that do not go together."""
    return Rule((second, first), lambda v: bool(v[first]) and bool(v[second]), why, advice)
