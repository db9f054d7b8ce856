"""Where a picture is cut: how large it is made, and which part of it fills its bucket. A picture and its mask are cut alike."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .buckets import centre_crop
from .model import DataPlan, PlannedImage, Size


@dataclass(frozen=True)
class Cut:
    """A picture is resized to `resized` (width, height), and its bucket cut out of it with this upper left corner (pixels)."""

    resized: Size
    left: int
    top: int


def cut_of(plan: DataPlan, image: PlannedImage, random: Random | None = None) -> Cut:
    """How `image` is brought to its bucket: from the middle, or with `random` as its folder's settings ask for."""
    spec = plan.subsets[image.subset].spec
    if random is not None and spec.random_crop:
        left = random.randint(0, image.resized[0] - image.bucket[0])
        return Cut(image.resized, left, random.randint(0, image.resized[1] - image.bucket[1]))
    return Cut(image.resized, *centre_crop(image.resized, image.bucket))
