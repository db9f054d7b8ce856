"""Where the face of a picture is, as its file's name says: `NAME_x_y_width_height.png`, kohya-ss's form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .folder import FoundImage
from .model import Finding, Size
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_NAME = re.compile(r".*_(\d{1,5})_(\d{1,5})_(\d{1,5})_(\d{1,5})", re.DOTALL | re.ASCII)


@dataclass(frozen=True)
class Face:
    """The middle of a face and the longer side of its box, in pixels of the picture."""

    x: int
    y: int
    side: int


def face_of(path: str, size: Size) -> Face | None:
    """The face that a file's name tells of; None where it tells of none inside a picture of `size`."""
    found = _NAME.fullmatch(Path(path).stem)
    if found is None:
        return None
    x, y, width, height = (int(number) for number in found.groups())
    return Face(x, y, max(width, height)) if x < size[0] and y < size[1] and width and height else None


def report_faces(spec: SubsetSpec, images: Sequence[FoundImage], findings: list[Finding]) -> None:
    """Tell of the images that face_crop_aug_range can do nothing for."""
    missing = [image.path for image in images if face_of(image.path, image.size) is None] if spec.face_crop_aug_range else []
    if not missing:
        return
    some = f"{count(len(missing), 'image', 'images')} whose name tells of no face"
    names = name_some(Path(path).name for path in missing)
    message = f"{some} (NAME_x_y_width_height), cut as without face_crop_aug_range: {names}."
    findings.append(Finding("warning", message, str(spec.image_dir), "face_crop_aug_range", files=tuple(missing)))
