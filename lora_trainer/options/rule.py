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
