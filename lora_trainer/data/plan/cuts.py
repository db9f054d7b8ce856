"""Where a picture is cut: how large it is made, and which part of it fills its bucket. A picture and its mask are cut alike."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .buckets import centre_crop
from .faces import Face, face_of
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
    face = face_of(image.path, image.size) if random is not None and spec.face_crop_aug_range else None
    if random is not None and face is not None and spec.face_crop_aug_range:
        return around_face(image.size, image.bucket, face, spec.face_crop_aug_range, random, is_random=spec.random_crop)
    if random is not None and spec.random_crop:
        left = random.randint(0, image.resized[0] - image.bucket[0])
        return Cut(image.resized, left, random.randint(0, image.resized[1] - image.bucket[1]))
    return Cut(image.resized, *centre_crop(image.resized, image.bucket))


def around_face(
    size: Size, bucket: Size, face: Face, times: tuple[float, float], random: Random, *, is_random: bool = False
) -> Cut:
    """A cut of a picture of `size` whose shorter side is between `times` as long as its face, which is in the middle.

    A picture is never enlarged for it, nor made smaller than its bucket. Where there is a range the face is up to a twentieth
    of its side beside the middle; with `is_random` anywhere, near the middle more often.
    """
    covering = max(bucket[0] / size[0], bucket[1] / size[1])
    smallest, largest = (max(covering, min(1.0, min(bucket) / (face.side * factor))) for factor in reversed(times))
    scale = random.uniform(smallest, largest) if smallest < largest else smallest
    resized = (max(bucket[0], int(size[0] * scale + 0.5)), max(bucket[1], int(size[1] * scale + 0.5)))
    corner = []
    for place, length, wanted in ((face.x, resized[0], bucket[0]), (face.y, resized[1], bucket[1])):
        middle = int(place * scale + 0.5)
        if is_random:
            reach = max(length - middle, middle)
            middle += random.randint(0, reach) + random.randint(0, reach) - reach
        elif times[0] != times[1]:
            reach = int(face.side * scale) // 20
            middle += random.randint(-reach, reach)
        corner.append(max(0, min(middle - wanted // 2, length - wanted)))
    return Cut(resized, corner[0], corner[1])
