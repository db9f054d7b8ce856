"""From an image file to its pixels. Without torch, so that what needs no more starts at once."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .plan.files import open_image
from .plan.pixels import rgb
from .resize import Pixels


def load_pixels(path: str) -> Pixels:
    """Read an image file as uint8 sRGB [H, W, 3], upright, as `plan.pixels.rgb` makes it.

    Transparent parts become white (what lies under them is arbitrary, often black); 16-bit grey is scaled to 8 bits.
    Raises InputError, naming the file, when it cannot be read.
    """
    try:
        with open_image(path) as image:
            image.load()
            return np.array(rgb(image))
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        raise InputError(
            f"the image cannot be read: {getattr(error, 'strerror', None) or error}.",
            where=path,
            field="image_dir",
            advice="Put a whole copy of the image in its place, or take it out of the folder.",
        ) from error
