"""`resize_images_to_resolution`: smaller copies of images, to be trained beside the originals.

python -m lora_trainer resize_images_to_resolution --max_resolution 512x512,384x384 --copy_associated_files originals smaller
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .. import log
from ..checkpoints.stream import Progress
from ..data.images import load_pixels
from ..data.plan.files import MASK_SUFFIX, list_folder, masks_of
from ..data.resize import Pixels, resize
from ..errors import InputError, InputErrors
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.resize_images import ResizeImages
from ..paths import write_atomic

_INTERPOLATION = {"lanczos4": "lanczos"}


def main(argv: Sequence[str]) -> int:
    """Resize as the arguments say; returns 0. Raises InputError(s) and SaveError."""
    log.setup()
    written = run(parse(ResizeImages, "resize_images_to_resolution", argv))
    logger.info("%d images were written", len(written))
    return 0


def run(options: ResizeImages, progress: Progress | None = None) -> list[Path]:
    """Resize as `options` say; returns the images written. Each is made from its original.

    Names get `+WIDTHxHEIGHT` of the wanted size, with `copy_associated_files` captions and masks too. Files that are no images
    are copied, and the images themselves where the sizes name `original`. Raises InputErrors before anything is written, for
    sizes that are none, two images of one name, and files that are there already; an image that cannot be read is reported at
    its turn.
    """
    assert options.src_img_folder and options.dst_img_folder
    source, target = Path(options.src_img_folder), Path(options.dst_img_folder)
    sizes, originals = resolutions(options.max_resolution)
    listing = list_folder(source)
    _check(source, target, listing.images)
    suffix = ".png" if options.save_as_png else ".jpg"
    plan = [
        (name, size, target / f"{Path(name).stem}+{size[0]}x{size[1]}{suffix}") for name in listing.images for size in sizes
    ]
    others = sorted(listing.names - {*listing.images, *(() if originals else listing.masks)})
    copies = {target / name: source / name for name in [*others, *(listing.images if originals else ())]}
    if options.copy_associated_files:
        for name, _, path in plan:
            copies |= {path.with_suffix(Path(o).suffix): source / o for o in others if Path(o).stem == Path(name).stem}
        plan += [  # masks are resized as their images are
            (mask, size, path.with_name(f"{path.stem}{MASK_SUFFIX}.png"))
            for name, size, path in list(plan)
            for mask in masks_of(name, listing)[:1]
        ]
    there = [path for path in [*(path for _, _, path in plan), *copies] if path.exists()]
    if there and not options.overwrite:
        raise InputError(
            f"{there[0]} and {len(there) - 1} other files exist already." if len(there) > 1 else f"{there[0]} exists already.",
            field="dst_img_folder",
            where="dst_img_folder",
            advice="Name an empty folder, or give --overwrite.",
        )
    target.mkdir(parents=True, exist_ok=True)
    pixels, loaded = None, ""
    for number, (name, size, path) in enumerate(plan, 1):
        if name != loaded:
            pixels, loaded = load_pixels(str(source / name)), name
        assert pixels is not None
        _save(shrunk(pixels, size, options.divisible_by, options.interpolation), path)
        if progress:
            progress(number, len(plan))
    for path, origin in copies.items():
        shutil.copyfile(origin, path)
    return [*(path for _, _, path in plan), *(target / name for name in listing.images if originals)]


def resolutions(text: str) -> tuple[list[tuple[int, int]], bool]:
    """The sizes in `512x512,384x384,original`, and whether `original` is among them. Raises InputError for anything else."""
    parts = text.split(",")
    words = [part.strip().lower() for part in parts]
    found = []
    for part in (part for part, word in zip(parts, words, strict=True) if word != "original"):
        match = re.fullmatch(r"\s*(\d{1,5})\s*[x×X]\s*(\d{1,5})\s*", part)
        if match is None or not int(match[1]) or not int(match[2]):
            raise InputError(
                f"{part.strip()!r} is no size.",
                field="max_resolution",
                where="--max_resolution",
                advice="Write width x height, several with commas: 512x512,384x384,original.",
            )
        found.append((int(match[1]), int(match[2])))
    if len(set(found)) < len(found) or words.count("original") > 1:
        raise InputError(f"{text} names a size twice.", field="max_resolution", where="--max_resolution")
    return found, "original" in words


def shrunk(pixels: Pixels, wanted: tuple[int, int], divisible_by: int = 1, interpolation: str = "area") -> Pixels:
    """`pixels` [H, W, 3] with at most the area of `wanted` (width, height), its proportions kept; never enlarged.

    Then the edges are cut evenly so that both sides are multiples of `divisible_by` (a shorter side stays as it is).
    """
    height, width = pixels.shape[:2]
    scale = (wanted[0] * wanted[1] / (width * height)) ** 0.5
    if scale < 1.0:
        size = max(1, int(width * scale + 1e-6)), max(1, int(height * scale + 1e-6))
        pixels = resize(pixels, size, _INTERPOLATION.get(interpolation, interpolation))
    height, width = pixels.shape[:2]
    new_width = width - width % divisible_by or width
    new_height = height - height % divisible_by or height
    x, y = (width - new_width) // 2, (height - new_height) // 2
    return pixels[y : y + new_height, x : x + new_width]


def _check(source: Path, target: Path, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"there are no images in {source}.", field="src_img_folder", where="src_img_folder")
    if target.exists() and target.samefile(source):
        raise InputError(
            "source and target are one folder.", field="dst_img_folder", where="dst_img_folder", advice="Name another folder."
        )
    stems: dict[str, str] = {}
    errors = []
    for name in names:
        first = stems.setdefault(Path(name).stem.lower(), name)
        if first != name:
            message = f"{first} and {name} would be written under one name."
            errors.append(InputError(message, field="src_img_folder", where=str(source), advice="Rename one of them."))
    if errors:
        raise InputErrors(errors)


def _save(pixels: Pixels, path: Path) -> None:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    settings = {} if path.suffix == ".png" else {"quality": 100, "subsampling": 0}
    write_atomic(path, lambda file: image.save(file, "PNG" if path.suffix == ".png" else "JPEG", **settings))
