"""What is wrong with the arguments of a network, of whatever kind, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InputError, InputErrors
from .block_arguments import LAYOUTS
from .network_arguments import parse_network_args
from .network_kinds import KINDS, find


def network_args_problems(module: str, texts: Iterable[str] | None, network_dim: int | None) -> list[InputError]:
    """Everything that is wrong with the network_args of the kind `module`; a kind that is not known is wrong itself.

    `network_dim` is None when the rank comes from a file.
    """
    kind = find(module)
    if kind is None:
        known = ", ".join(one.name for one in KINDS)
        return [
            InputError(f"there is no network module {module!r}.", field="network_module", advice=f"Choose one of: {known}.")
        ]
    try:
        kind.check(parse_network_args(texts), network_dim)
    except InputErrors as wrong:
        return wrong.errors
    return []


def block_findings(module: str, texts: Iterable[str] | None, family: str) -> tuple[list[InputError], list[str]]:
    """(what is wrong, what has no effect) with the arguments per block for a base model of `family` (see modelfile.probe).

    Nothing where the family is not known, or where network_args_problems has something to say already.
    """
    layout, kind = LAYOUTS.get(family), find(module)
    if layout is None or kind is None or kind.blocks is None:
        return [], []
    try:
        blocks = kind.blocks(parse_network_args(texts))
    except InputErrors:
        return [], []
    notes = [*blocks.weights(layout)[1], blocks.without_effect]
    return blocks.misfits(layout), [note for note in notes if note]
