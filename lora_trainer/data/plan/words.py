"""Numbers and names as they stand in messages."""

from __future__ import annotations

from collections.abc import Iterable


def count(number: int, one: str, many: str) -> str:
    """`1 file is`, `3 files are`."""
    return f"{number:,} {one if number == 1 else many}"


def name_some(names: Iterable[str], most: int = 5) -> str:
    """`a, b, c and 7 more`."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
