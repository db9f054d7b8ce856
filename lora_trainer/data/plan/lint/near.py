"""Finds pictures that look alike among many without comparing each with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TypeVar

from .looks import Look

T = TypeVar("T")
_BITS, _BANDS = 128, 8
_MOST_BITS = 12  # of 128 that differ between pictures that are alike: another size or compression changes 0 to 6
_MOST_COLOUR = 9.0  # of 255: mean difference of the cells' colours
_CROWD = 200  # pictures that share a band: then each is compared with its neighbours in order alone
_NEIGHBOURS = 20


def groups(looks: Mapping[str, Look]) -> list[list[str]]:
    """Groups of two or more paths whose pictures look the same but for size, compression and small changes, in order.

    Pictures are compared that agree in one of eight bands of their outline: all that differ in fewer than eight bits do.
    """
    outlines: dict[int, list[str]] = {}
    for path, look in looks.items():
        outlines.setdefault(look.outline, []).append(path)
    parent = {path: path for path in looks}
    for paths in outlines.values():
        for one, other in _neighbours(paths):
            _join_if_alike(one, other, looks, parent)
    for one_outline, other_outline in _candidates(sorted(outlines)):
        if (one_outline ^ other_outline).bit_count() <= _MOST_BITS:
            for one, other in product(outlines[one_outline][:_NEIGHBOURS], outlines[other_outline][:_NEIGHBOURS]):
                _join_if_alike(one, other, looks, parent)
    found: dict[str, list[str]] = {}
    for path in looks:
        found.setdefault(_root(path, parent), []).append(path)
    return [paths for paths in found.values() if len(paths) > 1]


def _candidates(outlines: list[int]) -> Iterator[tuple[int, int]]:
    """Pairs of outlines that agree in a band; a pair may come more than once."""
    width = _BITS // _BANDS
    for band in range(_BANDS):
        sharing: dict[int, list[int]] = {}
        for outline in outlines:
            sharing.setdefault(outline >> band * width & (1 << width) - 1, []).append(outline)
        for some in sharing.values():
            yield from _neighbours(some)


def _neighbours(some: Sequence[T]) -> Iterator[tuple[T, T]]:
    """All pairs of a few; of a crowd (a band that says nothing: plain grounds) those that stand near each other."""
    reach = len(some) if len(some) <= _CROWD else _NEIGHBOURS
    for place, one in enumerate(some):
        for other in some[place + 1 : place + 1 + reach]:
            yield one, other


def _join_if_alike(one: str, other: str, looks: Mapping[str, Look], parent: dict[str, str]) -> None:
    first, second = _root(one, parent), _root(other, parent)
    if first == second:
        return
    pairs = zip(looks[one].colours, looks[other].colours, strict=True)
    if sum(abs(a - b) for a, b in pairs) <= _MOST_COLOUR * len(looks[one].colours):
        parent[second] = first


def _root(path: str, parent: dict[str, str]) -> str:
    while parent[path] != path:
        parent[path] = parent[parent[path]]
        path = parent[path]
    return path
