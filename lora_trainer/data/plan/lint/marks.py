"""The same mark, a watermark or signature, at the same place of many pictures.

What pictures share by chance has no edges at the same place; a mark has them in each (T. Dekel and others, "On the
Effectiveness of Visible Watermarks", 2017, estimate one by the median of the gradients). So each region at the border of a
picture, made small, is kept as bits: where does it become lighter or darker to the right, or downwards? A place where most
pictures of a sample agree belongs to a mark. Plain grounds have no edges and no bits. What runs on into the picture (a
horizon, a table, a frame, the same room) reaches the inner borders of its region, and is no mark.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageChops

from ..files import THREADS, open_image
from ..pixels import orientation, rgb
from ..remembered import Remembered

LEAST_PICTURES = 8  # fewer agree by chance
_WIDE, _HIGH = 80, 28  # pixels of a region made small
_ACROSS = 0.46  # of the width of the picture that a region has
_STEP = 9  # of 255: the least difference of neighbours that counts as an edge
_SAMPLE = 32  # pictures in which a mark is looked for first
_LEAST_EDGES = 24  # of a mark: some letters
_BORDER, _MOST_AT_BORDER = 3, 2  # pixels at the inner borders of a region, and edges that may lie there by chance
_MOST_BESIDE = 2  # regions into which a mark reaches from another one
_SMALLEST = 128  # pixels of the shorter side
_HAS = 0.6  # of a mark's edges that a picture shows which has it
_BITS = _WIDE * _HIGH

# Region -> where it lies: (left, centre or right; top or bottom).
REGIONS: Mapping[str, tuple[float, float]] = {
    "top_left": (0, 0), "top": (0.5, 0), "top_right": (1, 0),
    "bottom_left": (0, 1), "bottom": (0.5, 1), "bottom_right": (1, 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges in each region of a picture: 4 x 80 x 28 bits (lighter to the right, darker, lighter downwards, darker)."""

    regions: tuple[int, ...]


@dataclass(frozen=True)
class Mark:
    """A mark, where it is, and the pictures that have it."""

    region: str
    paths: tuple[str, ...]


class Marks:
    """Edges of files, remembered until they change. Thread-safe."""

    def __init__(self, capacity: int = 20_000) -> None:
        self._known: Remembered[Edges | None] = Remembered(capacity)

    def find(self, paths: Sequence[str], *, until: float | None = None) -> tuple[list[Mark], list[str]]:
        """The marks that most pictures of a folder have, and those that there was no time to look at.

        A sample is looked at first, and the others where it shows a mark. After `until` (of time.monotonic) no file is begun:
        ask again for the rest.
        """
        if len(paths) < LEAST_PICTURES:
            return [], []
        end = math.inf if until is None else until
        sample = _sampled(paths)
        seen, left = self._look(sample, end)
        if left:
            return [], left
        shared = {name: shared_edges([one.regions[_place(name)] for one in seen.values()]) for name in REGIONS}
        shown = marks_among(shared)
        if not shown:
            return [], []
        seen, left = self._look(paths, end)
        found = [Mark(name, tuple(_showing(seen, _place(name), bits))) for name, bits in shown.items()]
        return [one for one in found if len(one.paths) >= LEAST_PICTURES], left

    def at(self, paths: Sequence[str]) -> None:
        """Look at these files now."""
        self._look(paths, math.inf)

    def _look(self, paths: Sequence[str], end: float) -> tuple[dict[str, Edges], list[str]]:
        """(path -> edges of those that can be read, those that were not looked at)."""

        def one(path: str) -> tuple[Edges | None, bool]:
            try:
                if time.monotonic() > end and not self._known.knows(path):
                    return None, True
                return self._known.of(path, lambda _: read_edges(path)), False
            except OSError:
                return None, False

        with ThreadPoolExecutor(THREADS) as pool:
            looked = list(pool.map(one, paths))
        seen = {path: edges for path, (edges, _) in zip(paths, looked, strict=True) if edges}
        return seen, [path for path, (_, is_left) in zip(paths, looked, strict=True) if is_left]


def read_edges(path: str) -> Edges | None:
    """Decode one file and find the edges at its border; None where that fails (the plan says why)."""
    try:
        with open_image(path) as image:
            turn = orientation(image)
            image.draft("RGB", (512, 512))
            grey = rgb(image, turn).convert("L")
    except Exception:  # Pillow's plug-ins raise all kinds of errors for damaged files
        return None
    return edges_of(grey) if min(grey.size) >= _SMALLEST else None


def edges_of(grey: Image.Image) -> Edges:
    """The Edges of a picture in grey."""
    wide = max(1, round(grey.width * _ACROSS))
    high = max(1, min(grey.height // 2, round(wide * _HIGH / _WIDE)))
    regions = []
    for across, down in REGIONS.values():
        left, top = round((grey.width - wide) * across), round((grey.height - high) * down)
        small = grey.resize((_WIDE, _HIGH), Image.Resampling.BOX, box=(left, top, left + wide, top + high))
        regions.append(_bits(small))
    return Edges(tuple(regions))


def _bits(small: Image.Image) -> int:
    right = ImageChops.offset(small, -1, 0)
    right.paste(small.crop((_WIDE - 1, 0, _WIDE, _HIGH)), (_WIDE - 1, 0))  # offset goes round
    below = ImageChops.offset(small, 0, -1)
    below.paste(small.crop((0, _HIGH - 1, _WIDE, _HIGH)), (0, _HIGH - 1))
    bits = 0
    for one, other in ((right, small), (small, right), (below, small), (small, below)):
        steps = ImageChops.subtract(one, other).point([255 * (value >= _STEP) for value in range(256)]).convert("1")
        bits = bits << _BITS | int.from_bytes(steps.tobytes(), "big")
    return bits


def _sampled(paths: Sequence[str]) -> list[str]:
    """Some of many, evenly."""
    if len(paths) <= _SAMPLE:
        return list(paths)
    return [paths[number * len(paths) // _SAMPLE] for number in range(_SAMPLE)]


def shared_edges(pictures: Sequence[int]) -> int:
    """The edges that so many of some pictures have, each given as its bits, as would not agree by chance."""
    if len(pictures) < LEAST_PICTURES:
        return 0
    planes: list[int] = []  # the count of each bit, as binary digits, the last first
    for carry in pictures:
        for place in range(len(planes)):
            planes[place], carry = planes[place] ^ carry, planes[place] & carry  # noqa: PLW2901 - it is what is carried on
        planes += [carry] if carry else []
    needed = math.ceil(0.45 * len(pictures) + 1.2 * math.sqrt(len(pictures)))
    more, equal = 0, (1 << 4 * _BITS) - 1
    for place in range(max(len(planes), needed.bit_length()) - 1, -1, -1):
        plane = planes[place] if place < len(planes) else 0
        if needed >> place & 1:
            equal &= plane
        else:
            more, equal = more | equal & plane, equal & ~plane
    return more | equal


def marks_among(shared: Mapping[str, int]) -> dict[str, int]:
    """Those of the edges that pictures share, by region, that are a mark's: enough of them, and inside of their region.

    A mark may reach into the regions at its sides. What runs on in more of them is the place where all pictures were taken.
    """
    enough = {name: bits for name, bits in shared.items() if bits.bit_count() >= _LEAST_EDGES}
    inside = {name: bits for name, bits in enough.items() if (bits & _INNER_BORDERS[name]).bit_count() <= _MOST_AT_BORDER}
    return _each_once(inside) if len(enough) - len(inside) <= _MOST_BESIDE else {}


def _each_once(marks: Mapping[str, int]) -> dict[str, int]:
    """The region in the middle overlaps those at its sides: what both show is one mark, where it shows the most edges."""
    kept = dict(marks)
    for middle in ("top", "bottom"):
        for side in (f"{middle}_left", f"{middle}_right"):
            if middle in kept and side in kept:
                kept.pop(min(middle, side, key=lambda name: kept[name].bit_count()))
    return kept


def _showing(seen: Mapping[str, Edges], place: int, mark: int) -> Iterator[str]:
    least = _HAS * mark.bit_count()
    return (path for path, edges in seen.items() if (edges.regions[place] & mark).bit_count() >= least)


def _place(region: str) -> int:
    return list(REGIONS).index(region)


def _inner_borders(across: float, down: float) -> int:
    """The bits of a region that lie where the picture goes on."""
    inside = Image.new("1", (_WIDE, _HIGH), 1)
    left, right = _BORDER * (across > 0), _WIDE - _BORDER * (across < 1)
    top, bottom = _BORDER * (down > 0), _HIGH - _BORDER * (down < 1)
    inside.paste(0, (left, top, right, bottom))
    bits = int.from_bytes(inside.tobytes(), "big")
    return sum(bits << _BITS * number for number in range(4))


_INNER_BORDERS = {region: _inner_borders(*place) for region, place in REGIONS.items()}
