"""Start images: files that pictures are drawn over."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from ...errors import InputError
from ...foreign.reading import is_file

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
STEP = 8  # sides are multiples of this


def find(path: Path, *, field: str = "image_path") -> list[Path]:
    """Return the image `path`, or the images of that folder by name. Raises InputError when there is none."""
    if is_file(path):
        return [path]
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES and is_file(entry))
    if not found:
        raise InputError(
            f"there is no image in {path}.", field=field, where=f"--{field}", advice=f"It needs {', '.join(sorted(SUFFIXES))}."
        )
    return found


def read(path: Path, *, field: str = "image_path") -> Image.Image:
    """Return the image upright, as RGB on white. Raises InputError for a file that is no image or is damaged."""
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise InputError(f"{path} cannot be read as an image: {error}.", field=field, advice="Give another file.") from error
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def natural_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of the image, cut to multiples of 8 and at least 64."""
    width, height = (max(64, side // STEP * STEP) for side in image.size)
    return width, height
