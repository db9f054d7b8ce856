"""Latents that kohya-ss' sd-scripts kept beside the pictures, as NAME_0300x0200_sd.npz or, older, NAME.npz.

They hold one sample of what the VAE made, without its scale, and do not say of which VAE, nor of which picture but its size.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import torch

from ..foreign.npz import read_arrays
from ..foreign.reading import UnreadableError, is_file
from .plan.buckets import crop_box
from .plan.files import open_image
from .plan.model import PlannedImage
from .plan.pixels import orientation

ENDING = ".npz"
_PIXEL = 1.0  # by how much a crop may be another because it was rounded


def find(image: PlannedImage, suffix: str) -> Path | None:
    """The file that is there for a picture; `suffix` is sd or sdxl. The older name comes first, as it does for sd-scripts."""
    stem = Path(image.path).with_suffix("")
    width, height = image.size
    names = (f"{stem}{ENDING}", f"{stem}_{width:04d}x{height:04d}_{suffix}{ENDING}")
    return next((Path(name) for name in names if is_file(name)), None)


def read(path: Path, image: PlannedImage, *, flipped: bool) -> torch.Tensor:
    """The sample as mean [C, h, w] with a deviation of nothing, [2C, h, w]; of the mirror image with `flipped`.

    Raises UnreadableError for a damaged file, and where size or crop are not those of the plan.
    """
    height, width = image.bucket[1] // 8, image.bucket[0] // 8
    for sized in ("", f"_{height}x{width}"):  # newer files may hold several sizes
        kind = f"latents{'_flipped' if flipped else ''}{sized}"
        names = (kind, f"original_size{sized}", f"crop_ltrb{sized}")
        found = read_arrays(path, names)
        if len(found) < len(names):
            continue
        sample = torch.from_numpy(np.array(found[kind], dtype=np.float32))
        if sample.shape != (4, height, width) or tuple(found[names[1]].tolist()) != image.size:
            raise UnreadableError("is of another size than is trained.")
        wanted = np.array(crop_box(image.size, image.bucket))
        if found[names[2]].shape != (4,) or not np.all(np.abs(found[names[2]] - wanted) <= _PIXEL):
            raise UnreadableError("is of another crop than is trained.")
        if not sample.isfinite().all():
            raise UnreadableError("holds numbers that are none (NaN or infinite).")
        return torch.cat([sample, torch.zeros_like(sample)])
    raise UnreadableError("does not hold the latents of this size.")


def is_newer(path: Path, image: PlannedImage) -> bool:
    """Whether the picture has surely not been touched since the file was made.

    The time of change can be set back, which only a time that nobody can set tells; Windows has none.
    """
    if os.name == "nt":
        return False
    with contextlib.suppress(OSError):
        made, picture = path.stat(), Path(image.path).stat()
        return max(picture.st_mtime_ns, picture.st_ctime_ns) < made.st_mtime_ns
    return False


def is_plain(image: PlannedImage) -> bool:
    """Whether sd-scripts sees the same picture: it looks neither at colour profiles nor at what is transparent or turned."""
    with contextlib.suppress(Exception), open_image(image.path) as opened:
        told = {"icc_profile", "transparency"} & set(opened.info)
        return opened.mode in ("RGB", "L") and not told and orientation(opened) == 1
    return False


def is_like(sample: torch.Tensor, posterior: torch.Tensor) -> bool:
    """Whether `sample` [2C, h, w] (see read) can have been drawn from `posterior` [2C, h, w], up to rounding."""
    drawn = sample.chunk(2)[0]
    mean, std = posterior.chunk(2)
    allowed = (0.02 * mean.std()) ** 2 + 4 * std.square().mean()
    return bool((drawn - mean).square().mean() <= allowed)
