"""Masks as the loss takes them: resized, cropped and mirrored with their images, as large as the latents.

What a mask is, and which image has which, is in `plan.masks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import InputError
from .images import cut_out
from .plan.cuts import Cut, cut_of
from .plan.files import THREADS, open_image
from .plan.model import DataPlan, PlannedImage
from .plan.pixels import alpha, mask
from .resize import Pixels

LATENT = 8  # pixels a side of what one latent stands for


class Masks:
    """The masks of a plan's images that are cut the same way each time, read once."""

    def __init__(self, masks: dict[int, torch.Tensor]) -> None:
        self._masks = masks  # by the image's id

    def get(self, image: PlannedImage) -> torch.Tensor:
        """Weights [h, w] of an image's latents, 0 to 1; all 1 where it has no mask. Not to be written to."""
        found = self._masks.get(image.id)
        return whole(image) if found is None else found

    @classmethod
    def read(
        cls, plan: DataPlan, images: Sequence[PlannedImage], progress: Callable[[int, int], Any] | None = None
    ) -> Masks | None:
        """The masks of `images`, read by several threads; None when none of the plan's images has one.

        Raises InputError, naming the file, for a mask that cannot be read any more.
        """
        if not has_masks(plan):
            return None
        masked = [image for image in images if image.mask]
        masks: dict[int, torch.Tensor] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for image, one in zip(masked, pool.map(lambda image: planned_mask(plan, image), masked), strict=True):
                masks[image.id] = one
                if progress:
                    progress(len(masks), len(masked))
        return cls(masks)


def has_masks(plan: DataPlan) -> bool:
    """Whether an image of the plan has a mask: then every batch has masks."""
    return any(image.mask for image in plan.images)


def planned_mask(plan: DataPlan, image: PlannedImage, cut: Cut | None = None) -> torch.Tensor:
    """The mask of an image as weights [h, w] of its latents, float32 in 0..1: it goes the way of the image, cut from the
    middle or as `cut`, then each weight is the mean over the pixels of its latent. All 1 without a mask.

    Raises InputError when the file cannot be read.
    """
    if not image.mask:
        return whole(image)
    pixels = mask_pixels(plan, image, cut)
    return _mean(torch.from_numpy(np.array(pixels)).to(torch.float32) / 255, image)


def mask_pixels(plan: DataPlan, image: PlannedImage, cut: Cut | None = None) -> Pixels:
    """The mask of an image that has one at the size of its bucket: uint8 [H, W], 255 is learned whole."""
    return cut_out(plan, image, _load(image), cut or cut_of(plan, image))


def whole(image: PlannedImage) -> torch.Tensor:
    """The weights of an image that is learned whole."""
    return torch.ones(image.bucket[1] // LATENT, image.bucket[0] // LATENT)


def _mean(values: torch.Tensor, image: PlannedImage) -> torch.Tensor:
    size = image.bucket[1] // LATENT, image.bucket[0] // LATENT
    return F.interpolate(values[None, None], size=size, mode="area")[0, 0]


def _load(image: PlannedImage) -> Pixels:
    """The values of a mask, uint8 [H, W], upright."""
    try:
        with open_image(image.mask) as file:
            file.load()
            value = alpha(file) if image.mask == image.path else mask(file)
            return np.array(value) if value is not None else np.full(file.size[::-1], 255, np.uint8)
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        raise InputError(
            f"the mask cannot be read: {getattr(error, 'strerror', None) or error}.",
            where=image.mask,
            field="masked_loss",
            advice="Put a whole copy of the mask in its place, and leave it alone while it is trained.",
        ) from error
