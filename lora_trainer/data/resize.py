"""Resizing as kohya-ss does it, with Pillow and numpy alone.

Its default is OpenCV's area filter for shrinking and Pillow's Lanczos for enlarging. OpenCV's filters (area, bilinear,
bicubic) do not widen when they shrink, unlike Pillow's, so they are written here. Pixels are uint8 [H, W, C] throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
_PILLOW = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX, "nearest": Image.Resampling.NEAREST}
_SAME = {"linear": "bilinear", "cubic": "bicubic"}


def resize(pixels: Pixels, size: tuple[int, int], interpolation: str | None = None) -> Pixels:
    """Resize [H, W, C] pixels to `size` (width, height).

    `interpolation` is area, bicubic (cubic), bilinear (linear), box, lanczos, nearest, or None: area where both sides shrink or
    stay, else lanczos. Raises ValueError for another name.
    """
    height, width = pixels.shape[:2]
    if (width, height) == tuple(size):
        return pixels
    shrinks = width >= size[0] and height >= size[1]
    name = ("area" if shrinks else "lanczos") if interpolation is None else _SAME.get(interpolation, interpolation)
    if name in _PILLOW:
        return _resize_pillow(pixels, size, _PILLOW[name])
    if name == "area" and shrinks:
        result = _shrink_area(_shrink_area(pixels, size[1]).swapaxes(0, 1), size[0]).swapaxes(0, 1)
    elif name in ("area", "bilinear", "bicubic"):
        taps = {"area": _area_taps, "bilinear": _linear_taps, "bicubic": _cubic_taps}[name]
        result = _apply(_apply(pixels, *taps(height, size[1])).swapaxes(0, 1), *taps(width, size[0])).swapaxes(0, 1)
    else:
        raise ValueError(f"no such interpolation: {interpolation!r}")
    return np.ascontiguousarray(np.clip(np.rint(result), 0, 255).astype(np.uint8))


def _resize_pillow(pixels: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    """Pillow's resize in two passes, each rounded to grey levels, in an order that does not change with Pillow's version:
    the width first, but the height when it shrinks much more than the width (as the newest Pillow does)."""
    height, width = pixels.shape[:2]
    height_first = 3 * width * size[1] < 2 * size[0] * height
    between = (width, size[1]) if height_first else (size[0], height)
    return np.asarray(Image.fromarray(pixels).resize(between, method).resize((size[0], size[1]), method))


def _shrink_area(values: NDArray[Any], length: int) -> NDArray[np.float32]:
    """Shrink the first axis to `length`: means over each target's span of source pixels, those at its ends counted in part."""
    source = values.shape[0]
    flat = values.reshape(source, -1)
    edges = np.arange(length + 1) * (source / length)
    result = np.empty((length, flat.shape[1]), np.float32)
    for target, (begin, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        pixel = np.arange(int(begin + 1e-9), min(int(np.ceil(end - 1e-9)), source))  # 1e-9: an edge on a border is no overlap
        weight = (np.minimum(pixel + 1, end) - np.maximum(pixel, begin)) / (end - begin)
        result[target] = weight.astype(np.float32) @ flat[pixel[0] : pixel[-1] + 1].astype(np.float32)
    return result.reshape(length, *values.shape[1:])


def _apply(values: NDArray[Any], index: NDArray[np.intp], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted sum over the taps of each target: index, weight [target, taps], applied to the first axis."""
    result = np.zeros((len(index), *values.shape[1:]), np.float32)
    for tap in range(index.shape[1]):
        result += values[index[:, tap]] * weight[:, tap].reshape(-1, *[1] * (values.ndim - 1))
    return result


def _linear_taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    low = np.floor(position)
    return _taps(low, np.stack([1 - (position - low), position - low], 1), source, 0)


def _area_taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """OpenCV's area filter where it enlarges: linear between the borders of the source pixels, flat inside them."""
    scale = source / target
    low = np.floor(np.arange(target) * scale)
    share = (np.arange(target) + 1) - (low + 1) / scale
    share = np.where(share <= 0, 0.0, share - np.floor(share))
    return _taps(low, np.stack([1 - share, share], 1), source, 0)


def _cubic_taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Cubic convolution with a = -0.75 (Keys 1981, IEEE Trans. ASSP 29(6))."""
    a = -0.75
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    low = np.floor(position)
    x = (position - low)[:, None] + np.array([1.0, 0.0, -1.0, -2.0])
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return _taps(low, np.where(x <= 1, near, far), source, -1)


def _taps(
    low: NDArray[np.float64], weight: NDArray[np.float64], source: int, first: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    index = low[:, None] + np.arange(first, first + weight.shape[1])
    return np.clip(index, 0, source - 1).astype(np.intp), weight.astype(np.float32)
