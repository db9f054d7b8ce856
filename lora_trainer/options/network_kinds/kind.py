"""What the program has to know of a kind of network before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..block_arguments import BlockArguments


@dataclass(frozen=True, kw_only=True)
class NetworkKind:
    """One kind of network. A file of this room declares it as KIND; the module that makes it is `implementation`.

    `name` is the value of the option network_module; `title` (and in Korean `title_ko`) what the page calls it; `purpose`
    stands behind "NAME for " in the option's help, `purpose_ko` before the name, `note_ko` in brackets at its end. `place` is
    where it stands in lists.

    `check(network_args, network_dim)` raises InputErrors for what is wrong with the arguments; network_dim is None where ranks
    come from a file. `blocks(network_args)` gives what is set per block of the UNet, where the kind has that. `editor` names
    the parts of the page's editor that it has: "conv" (3x3 convolutions), "plus" (LoRA+), "blocks" (weights per block),
    "ranks" (ranks per block), "unit" (ranks that are trained together; one rank for all).
    """

    name: str
    title: str
    title_ko: str
    purpose: str
    purpose_ko: str
    note_ko: str = ""
    place: int = 100
    implementation: str
    check: Callable[[Mapping[str, object], int | None], object]
    blocks: Callable[[Mapping[str, object]], BlockArguments] | None = None
    editor: tuple[str, ...] = ()
