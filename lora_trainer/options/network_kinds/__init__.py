"""The kinds of network: one file each, which declares KIND. Whatever lies in this folder is offered, checked and documented."""

from __future__ import annotations

import importlib
import pkgutil

from .kind import NetworkKind

__all__ = ["KINDS", "NetworkKind", "find"]

_FILES = (entry.name for entry in pkgutil.iter_modules(__path__) if entry.name != "kind")
_FOUND: list[NetworkKind] = [importlib.import_module(f"{__name__}.{name}").KIND for name in _FILES]
KINDS: tuple[NetworkKind, ...] = tuple(sorted(_FOUND, key=lambda kind: (kind.place, kind.name)))


def find(name: str) -> NetworkKind | None:
    """The kind of this name (also its name inside our package); None for one that is not known."""
    short = name.removeprefix("lora_trainer.")
    return next((kind for kind in KINDS if kind.name == short), None)
