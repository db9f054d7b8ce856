"""Aspect ratio buckets: which resolutions there are, and which one an image gets.

Sizes are (width, height) in pixels everywhere. Bucketing by aspect ratio: NovelAI, "Improvements on Stable Diffusion" (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from ...errors import InputError
from .model import Size


@dataclass(frozen=True)
class Fit:
    """How one image comes to its bucket. `aspect_error` is the bucket's aspect ratio less the image's."""

    bucket: Size
    resized: Size
    aspect_error: float


def bucket_limits(resolution: Size, min_bucket_reso: int, max_bucket_reso: int, steps: int) -> tuple[int, int]:
    """Round the limits outwards to multiples of `steps`, the lower one to at least one step.

    Raises InputError when they then exclude the resolution itself, or the resolution is smaller than one step.
    """
    low = max(steps, _floor(min_bucket_reso, steps))
    high = -(-max_bucket_reso // steps) * steps
    if min(resolution) < steps:
        raise InputError(
            f"the resolution {_text(resolution)} is smaller than bucket_reso_steps, which is {steps}.",
            field="resolution",
            advice=f"Set the resolution to {steps} or more.",
        )
    if low > min(resolution):
        raise InputError(
            f"min_bucket_reso is {min_bucket_reso}, which is more than the resolution {_text(resolution)}.",
            field="min_bucket_reso",
            advice=f"Set it to {min(resolution)} or less.",
        )
    if high < max(resolution):
        raise InputError(
            f"max_bucket_reso is {max_bucket_reso}, which is less than the resolution {_text(resolution)}.",
            field="max_bucket_reso",
            advice=f"Set it to {max(resolution)} or more.",
        )
    return low, high


def bucket_resolutions(resolution: Size, min_bucket_reso: int, max_bucket_reso: int, steps: int) -> list[Size]:
    """All sizes whose sides are multiples of `steps` within the limits and whose area is at most that of `resolution`, as
    large as they can be for their width or height; sorted."""
    area = resolution[0] * resolution[1]
    square = _floor(int(sqrt(area)), steps)
    sizes = {(square, square)}
    for long in range(min_bucket_reso, max_bucket_reso + 1, steps):
        short = min(max_bucket_reso, _floor(area // long, steps))
        if short >= min_bucket_reso:
            sizes |= {(long, short), (short, long)}
    return sorted(sizes)


def fit_to_buckets(image: Size, buckets: list[Size]) -> Fit:
    """Give an image the bucket of its own size, else that nearest in aspect ratio (the first of equals); scale to cover it."""
    aspect = image[0] / image[1]
    bucket = image if image in buckets else min(buckets, key=lambda size: abs(size[0] / size[1] - aspect))
    return Fit(bucket, cover(image, bucket), bucket[0] / bucket[1] - aspect)


def fit_without_upscaling(image: Size, resolution: Size, steps: int) -> Fit:
    """Shrink an image to the area of `resolution` if it has more, then cut both sides to multiples of `steps`.

    Raises InputError for an image that has a side shorter than `steps` then.
    """
    aspect = image[0] / image[1]
    resized = image
    area = resolution[0] * resolution[1]
    if image[0] * image[1] > area:
        width = sqrt(area * aspect)
        resized = _rounded_to_steps(width, area / width, aspect, steps) or (int(width), int(area / width))
    bucket = (_floor(resized[0], steps), _floor(resized[1], steps))
    if 0 in bucket:
        raise InputError(
            f"the image of {_text(image)} is trained at {_text(resized)}, but no side may be shorter than {steps} pixels"
            " with bucket_no_upscale.",
            field="bucket_no_upscale",
            advice="Take the image out, make it larger, or train without bucket_no_upscale.",
        )
    return Fit(bucket, resized, bucket[0] / bucket[1] - aspect)


def _rounded_to_steps(width: float, height: float, aspect: float, steps: int) -> Size | None:
    """Round one side to `steps` and let the other follow: the side that keeps the aspect ratio better. None if one is lost."""
    by_width = _floor(int(width + 0.5), steps)
    height_of_it = _floor(int(by_width / aspect + 0.5), steps)
    by_height = _floor(int(height + 0.5), steps)
    width_of_it = _floor(int(by_height * aspect + 0.5), steps)
    if 0 in (by_width, height_of_it, by_height, width_of_it):
        return None
    if abs(by_width / height_of_it - aspect) < abs(width_of_it / by_height - aspect):
        return by_width, int(by_width / aspect + 0.5)
    return int(by_height * aspect + 0.5), by_height


def cover(image: Size, target: Size) -> Size:
    """The size of an image scaled, with its aspect ratio kept, so that it just covers `target`."""
    wider = image[0] / image[1] > target[0] / target[1]
    scale = target[1] / image[1] if wider else target[0] / image[0]
    return int(image[0] * scale + 0.5), int(image[1] * scale + 0.5)


def centre_crop(resized: Size, bucket: Size) -> tuple[int, int]:
    """(x, y) of the upper left corner of a crop from the middle."""
    return (resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2


def crop_box(image: Size, bucket: Size) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the largest box of the image's aspect ratio in the middle of the bucket, for SDXL."""
    aspect = image[0] / image[1]
    if bucket[0] / bucket[1] > aspect:
        width, height = bucket[1] * aspect, float(bucket[1])
    else:
        width, height = float(bucket[0]), bucket[0] / aspect
    left, top = (bucket[0] - width) // 2, (bucket[1] - height) // 2
    return left, top, left + width, top + height


def _floor(value: int, steps: int) -> int:
    return value - value % steps


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
