"""From an image file to what is trained: upright, RGB, resized, cropped, augmented, a tensor in -1..1."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from PIL import Image

from ..errors import InputError
from .decoding import load_pixels
from .plan.cuts import Cut, cut_of
from .plan.model import DataPlan, PlannedImage
from .resize import Pixels, resize


def planned_pixels(plan: DataPlan, image: PlannedImage, cut: Cut | None = None) -> Pixels:
    """Load an image, resize it as planned and crop it to its bucket: uint8 [H, W, 3].

    The crop is from the middle, or `cut`. Raises InputError when the file cannot be read or is no longer of the size that was
    planned with.
    """
    pixels = load_pixels(image.path)
    if (pixels.shape[1], pixels.shape[0]) != image.size:
        raise InputError(
            f"the image is {pixels.shape[1]}x{pixels.shape[0]} now, but was {image.size[0]}x{image.size[1]} at the start.",
            where=image.path,
            advice="Leave the images alone while they are trained.",
        )
    return cut_out(plan, image, pixels, cut or cut_of(plan, image))


def cut_out(plan: DataPlan, image: PlannedImage, pixels: Pixels, cut: Cut) -> Pixels:
    """What fills the bucket of `image` out of `pixels` [H, W] or [H, W, C]: the picture, or what lies over all of it."""
    width, height = image.bucket
    resized = resize(pixels, cut.resized, plan.interpolation(image))
    return resized[cut.top : cut.top + height, cut.left : cut.left + width]


def vary_colour(pixels: Pixels, random: Random) -> Pixels:
    """color_aug: one image in three is changed a little, in hue (up to 16 degrees) or in gamma (0.95 to 1.05)."""
    if random.random() >= 1 / 3:
        return pixels
    if random.random() < 0.5:
        shift = round(random.uniform(-16, 16) / 360 * 256)
        hue, saturation, value = Image.fromarray(np.ascontiguousarray(pixels)).convert("HSV").split()
        hue = hue.point([(old + shift) % 256 for old in range(256)])
        return np.array(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))
    gamma = random.uniform(0.95, 1.05)
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return table[pixels]


def to_tensor(pixels: Pixels) -> torch.Tensor:
    """uint8 [H, W, 3] to float32 [3, H, W] in -1..1."""
    values = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(torch.float32)
    return values.div_(255).sub_(0.5).div_(0.5)
