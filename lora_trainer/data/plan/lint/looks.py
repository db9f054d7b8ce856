"""What a picture looks like, from one small copy of it: enough to find pictures that are alike, bars, and empty ones.

Each file is decoded once (a JPEG at an eighth of its size) and remembered until it changes; a Look is some 250 bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image, ImageStat

from ..files import THREADS, open_image
from ..pixels import UPRIGHT, has_transparency, orientation, rgb
from ..remembered import Remembered
from .bars import bars

_SMALL = 64  # pixels of each side of the copy
_FLAT = 6.0  # standard deviation below which a picture shows nothing


@dataclass(frozen=True, slots=True)
class Look:
    """A picture seen from afar.

    `outline` is a difference hash of 128 bits (is each of 8x8 cells lighter than its right, than its lower neighbour?);
    `colours` are 8x8 cells of RGB; `has_bars`: plain ones above and below, or left and right; `transparent` is the share of
    pixels that are not opaque; `is_flat` says that all is of nearly one colour.
    """

    outline: int
    colours: bytes
    has_bars: bool = False
    transparent: float = 0.0
    is_flat: bool = False


class Looks:
    """Looks of files, remembered. Thread-safe."""

    def __init__(self, capacity: int = 100_000) -> None:
        self._known: Remembered[Look | None] = Remembered(capacity)

    def at(self, paths: Iterable[str], *, until: float | None = None) -> tuple[dict[str, Look], int]:
        """(path -> Look, how many have not been looked at). What cannot be read has none.

        With `until` (of time.monotonic), no further file is begun after that time: ask again for the rest.
        """
        wanted = list(dict.fromkeys(paths))
        with ThreadPoolExecutor(THREADS) as pool:
            looked = list(pool.map(lambda path: self._one(path, until), wanted))
        found = {path: look for path, (look, _) in zip(wanted, looked, strict=True) if look is not None}
        return found, sum(is_left for _, is_left in looked)

    def _one(self, path: str, end: float | None) -> tuple[Look | None, bool]:
        try:
            if end is not None and time.monotonic() > end and not self._known.knows(path):
                return None, True
            return self._known.of(path, lambda _: read_look(path)), False
        except OSError:
            return None, False


def read_look(path: str) -> Look | None:
    """Decode one file and look at it; None where that fails (the plan says why)."""
    try:
        with open_image(path) as image:
            turn = orientation(image)
            image.draft("RGB", (2 * _SMALL, 2 * _SMALL))
            small, transparent = _small(image)
    except Exception:  # Pillow's plug-ins raise all kinds of errors for damaged files
        return None
    small = small.transpose(UPRIGHT[turn]) if turn in UPRIGHT else small
    grey = small.convert("L")
    is_flat = max(ImageStat.Stat(small).stddev) < _FLAT
    return Look(
        _outline(grey),
        small.resize((8, 8), Image.Resampling.BOX).tobytes(),
        not is_flat and any(bars(grey)),
        transparent,
        is_flat,
    )


def _small(image: Image.Image) -> tuple[Image.Image, float]:
    """(the picture in RGB on white at 64x64, the share of its pixels that are not opaque)."""
    size = (_SMALL, _SMALL)
    if not has_transparency(image):
        plain = image if image.mode in ("L", "RGB") else rgb(image, 1)
        return plain.resize(size, Image.Resampling.BOX).convert("RGB"), 0.0
    over = image.convert("RGBA")
    alpha = over.getchannel("A").histogram()
    small = over.resize(size, Image.Resampling.BOX)
    on_white = Image.alpha_composite(Image.new("RGBA", size, "white"), small).convert("RGB")
    return on_white, 1.0 - sum(alpha[250:]) / max(1, sum(alpha))


def _outline(grey: Image.Image) -> int:
    """Difference hash (N. Krawetz, "Kind of Like That", 2013), along rows and along columns."""
    bits = 0
    across = grey.resize((9, 8), Image.Resampling.BOX).tobytes()
    down = grey.resize((8, 9), Image.Resampling.BOX).tobytes()
    for row in range(8):
        for column in range(8):
            bits = bits << 1 | (across[9 * row + column] > across[9 * row + column + 1])
            bits = bits << 1 | (down[8 * row + column] > down[8 * row + column + 8])
    return bits
