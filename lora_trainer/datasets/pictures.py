"""A picture turned or cut, written as a new file of the same kind: what it says about its colours and itself stays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.plan.files import open_image
from ..data.plan.lint.bars import content_box
from ..data.plan.masks import same_shape
from ..data.plan.model import Size
from ..data.plan.pixels import EXIF_ORIENTATION, UPRIGHT, mask, orientation, rgb
from ..errors import InputError
from ..foreign.reading import shown
from ..paths import write_atomic
from .edits import Edit, read_edit

_MOST_MASK = 1 << 25  # pixels
_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}  # clockwise
_HOW: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}, "AVIF": {"quality": 90}, "PNG": {}, "BMP": {},
}  # fmt: skip


def write_changed(source: Path, edit: Edit, target: Path, size: Size) -> None:
    """Write `source` as `edit` (rotate, crop) makes it to `target`. Raises InputError for what cannot be, SaveError.

    `size` is that of the picture that a crop is measured in: its mask may have another.
    """
    try:
        with open_image(str(source)) as image:
            kind = "JPEG" if image.format == "MPO" else image.format or ""  # a phone's photo with a preview behind it
            if kind not in _HOW or (kind != "JPEG" and getattr(image, "n_frames", 1) > 1):
                raise InputError(f"{source.name} is an animation or of a kind that cannot be written here.", field="edit")
            turn = orientation(image)
            upright = image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image.copy()
            exif = image.getexif()
            exif.pop(EXIF_ORIENTATION, None)
            kept = {"icc_profile": image.info.get("icc_profile"), "exif": exif.tobytes() if len(exif) else None}
            changed = _changed(upright, edit, source.name, size)
    except InputError:
        raise
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        raise InputError(f"{shown(source)} cannot be read: {error}.", field="edit") from error
    options = {name: value for name, value in kept.items() if value} | _HOW[kind]
    if kind == "JPEG" and changed.mode in ("RGBA", "P", "LA"):
        changed = changed.convert("RGB")
    write_atomic(target, lambda file: changed.save(file, kind, **options))


def without_bars(source: Path) -> Edit | None:
    """The crop that leaves a picture without the plain bars at its edges; None where it has none, or cannot be read."""
    try:
        with open_image(str(source)) as image:
            box = content_box(rgb(image, orientation(image)))
    except Exception:  # as above; who would write it says why
        return None
    if box is None:
        return None
    left, top, right, bottom = box
    return read_edit({"kind": "crop", "x": left, "y": top, "width": right - left, "height": bottom - top})


def write_mask(data: bytes, target: Path, size: Size) -> None:
    """Write a mask that was painted over a picture of `size` (width, height), smaller or larger, as a PNG in grey.

    Raises InputError for what is no such picture, SaveError.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            found = image.size
            if found[0] * found[1] > _MOST_MASK:
                raise InputError(f"The mask has {found[0]}x{found[1]} pixels, at most {_MOST_MASK:,} are read.", field="edit")
            image.load()
            grey = mask(image)
    except InputError:
        raise
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        raise InputError(f"The mask cannot be read as a PNG: {error}.", field="edit") from error
    if not same_shape(found, size):
        raise InputError(
            f"The mask has {found[0]}x{found[1]} pixels, which is another shape than the picture's {size[0]}x{size[1]}.",
            field="edit",
        )
    write_atomic(target, lambda file: grey.save(file, "PNG"))


def _changed(upright: Image.Image, edit: Edit, name: str, size: Size) -> Image.Image:
    if edit.kind == "rotate":
        return upright.transpose(_TURNS[edit.values["degrees"]])
    left, top = edit.values["x"], edit.values["y"]
    right, bottom = left + edit.values["width"], top + edit.values["height"]
    if right > size[0] or bottom > size[1]:
        raise InputError(f"The crop reaches to {right}, {bottom}, but {name} has {size[0]}x{size[1]} pixels.", field="edit")
    across, down = upright.width / size[0], upright.height / size[1]
    return upright.crop((round(left * across), round(top * down), round(right * across), round(bottom * down)))
