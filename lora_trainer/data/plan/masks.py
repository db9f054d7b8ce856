"""Masks: which picture says what of an image is learned, and what is wrong with it. Pillow only.

White is learned, black is not, grey in part. An image's mask is, the first that there is: with masked_loss the picture of its
name in conditioning_data_dir, then `NAME-masklabel.png` beside it; with alpha_mask its own transparency.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageChops

from .files import MASK_SUFFIX, THREADS, list_folder, open_image, read_facts
from .folder import FoundImage
from .model import Finding, Fix, Size
from .pixels import alpha, mask
from .remembered import Remembered
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_BRIGHT = 250  # of 255: a mask whose brightest part is darker is hardly meant so; JPEG's white is not always 255
_COLOUR = 24  # of 255: channels of a mask may differ as much before it is called coloured


@dataclass(frozen=True)
class _MaskFacts:
    """What is known of one mask: its size upright, its brightest value (0 to 255), whether it has colours or transparent parts.

    `brightest` is -1 for the transparency of an image that has none.
    """

    size: Size
    problem: str = ""
    brightest: int = 255
    is_coloured: bool = False
    is_transparent: bool = False


@dataclass(frozen=True)
class _Match:
    """An image with its mask. They are one file where the image's transparency is meant."""

    image: FoundImage
    mask: str
    facts: _MaskFacts

    @property
    def said(self) -> str:
        """The mask's name, and its brightest value where that is another than usual."""
        brightest = self.facts.brightest / 255
        return Path(self.mask).name + (f" ({brightest:.0%})" if 0 < self.facts.brightest < _BRIGHT else "")


class MaskReader:
    """Finds the masks of images; what was seen of a mask is remembered until the file changes."""

    def __init__(self) -> None:
        self._known: Remembered[_MaskFacts] = Remembered()

    def find(
        self, spec: SubsetSpec, images: Sequence[FoundImage], masked_loss: bool, findings: list[Finding]
    ) -> dict[str, str]:
        """Return {path of an image: path of its mask} of those that have one; the image's own where its transparency says it.

        What is wrong or odd goes into `findings`.
        """
        here = str(spec.place)
        pictures = _mask_files(spec, images, masked_loss, findings)
        matches = self._look(pictures, images, is_alpha=False)
        usable = [match for match in matches if _is_usable(match, findings)]
        if spec.alpha_mask:
            others = {image.path: image.path for image in images if image.path not in pictures}
            usable += [one for one in self._look(others, images, is_alpha=True) if one.facts.brightest >= 0]
        if masked_loss or spec.alpha_mask:
            _report_missing(spec, images, {one.image.path for one in usable} | pictures.keys(), masked_loss, findings)
        option = _option(spec, masked_loss)
        for text, odd in _oddities(usable):
            message = f"{text}: {name_some(one.said for one in odd)}."
            files = tuple(one.image.path for one in odd)
            findings.append(Finding("warning", message, here, option, code="mask_odd", files=files))
        return {match.image.path: match.mask for match in usable}

    def _look(self, masks: Mapping[str, str], images: Iterable[FoundImage], *, is_alpha: bool) -> list[_Match]:
        """The images that have one of `masks`, each with what is known of it."""
        own = [image for image in images if image.path in masks]
        Image.init()  # not by several threads at once
        with ThreadPoolExecutor(THREADS) as pool:
            facts = pool.map(lambda image: self._facts(masks[image.path], is_alpha), own)
            return [_Match(image, masks[image.path], one) for image, one in zip(own, facts, strict=True)]

    def _facts(self, path: str, is_alpha: bool) -> _MaskFacts:
        try:
            return self._known.of(path, lambda size: _read_alpha(path) if is_alpha else _read_mask(path, size), is_alpha)
        except OSError as error:
            return _MaskFacts((0, 0), f"the mask cannot be read: {error.strerror or error}.", brightest=-1)


def _mask_files(spec: SubsetSpec, images: Sequence[FoundImage], masked_loss: bool, findings: list[Finding]) -> dict[str, str]:
    """The pictures that are masks of images, by the path of the image; files that are the mask of nothing are reported."""
    found: dict[str, str] = {}
    if masked_loss and spec.conditioning_data_dir:
        found = _in_folder(Path(spec.conditioning_data_dir), images, findings)
    folders: dict[str, list[FoundImage]] = {}
    for image in images:
        folders.setdefault(os.path.dirname(image.path), []).append(image)  # noqa: PTH120 - the hot loop of large data sets
    for place, own in folders.items():
        folder = Path(place)
        try:
            masks = list_folder(folder).masks
        except OSError:  # reported where its images were looked for
            continue
        if masks and not masked_loss:
            text = f"{count(len(masks), 'mask', 'masks')} beside the images without effect, because masked_loss is off."
            fix = Fix("set", {"masked_loss": True})
            findings.append(Finding("info", text, str(folder), "masked_loss", code="masks_unused", fix=fix))
        if masks and masked_loss:
            found = _named(folder, masks, own, findings) | found
    return found


def _in_folder(folder: Path, images: Sequence[FoundImage], findings: list[Finding]) -> dict[str, str]:
    """The masks in a folder of their own."""
    option = "conditioning_data_dir"
    try:
        if any(Path(image.path).parent.samefile(folder) for image in images[:1]):
            text = (
                "the folder of masks is the folder of the images, so that each image would be its own mask. Name another one; "
                "masks beside the images are found without it, where they are called NAME-masklabel.png."
            )
            findings.append(Finding("error", text, str(folder), option))
            return {}
        listing = list_folder(folder)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"
        findings.append(Finding("error", f"the folder of masks {why}.", str(folder), option))
        return {}
    return _named(folder, sorted((*listing.images, *listing.masks)), images, findings)


def _named(folder: Path, names: Sequence[str], images: Sequence[FoundImage], findings: list[Finding]) -> dict[str, str]:
    """Which of the pictures `names` in `folder` is the mask of which image: the first of several, and one in another case
    where there is none."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(_stem(name), []).append(name)
    folded: dict[str, list[str]] = {}
    for stem, own in by_stem.items():
        folded.setdefault(stem.casefold(), []).extend(own)
    found, doubled = {}, []
    for image in images:
        stem = _stem(Path(image.path).name)
        own = by_stem.get(stem) or folded.get(stem.casefold())
        if own:
            found[image.path] = str(folder / own[0])
            if len(own) > 1:
                doubled.append(own[0])
    used = {Path(one).name for one in found.values()}
    taken = {_stem(name) for name in used}
    lonely = [name for name in names if name not in used and _stem(name) not in taken]
    if lonely:
        text = f"{count(len(lonely), 'mask', 'masks')} without an image of the same name: {name_some(lonely)}."
        findings.append(Finding("warning", text, str(folder), "masked_loss"))
    if doubled:
        text = f"some images have two masks of their name; these are used: {name_some(doubled)}."
        findings.append(Finding("warning", text, str(folder), "masked_loss"))
    return found


def _stem(name: str) -> str:
    """The name of the image whose mask a picture is, without its ending."""
    stem = unicodedata.normalize("NFC", Path(name).stem)
    return stem[: -len(MASK_SUFFIX)] if stem.lower().endswith(MASK_SUFFIX) else stem


def _is_usable(match: _Match, findings: list[Finding]) -> bool:
    """Whether a mask can be laid over its image; else that is an error."""
    size, wanted = match.facts.size, match.image.size
    message = match.facts.problem
    if not message and not same_shape(size, wanted):
        message = (
            f"the mask is {size[0]}x{size[1]}, which is another shape than {wanted[0]}x{wanted[1]} of its image "
            f"{Path(match.image.path).name}: it cannot be laid over it. Save the mask in the size of the image."
        )
    if message:
        findings.append(Finding("error", message, match.mask, "masked_loss"))
    return not message


def same_shape(one: Size, other: Size) -> bool:
    """Whether one size is the other, made smaller or larger and rounded to whole pixels."""
    width, height = one[0] * other[1] / one[1], one[1] * other[0] / one[0]
    return abs(width - other[0]) <= max(1, other[0] / one[0]) or abs(height - other[1]) <= max(1, other[1] / one[1])


def _oddities(matches: Sequence[_Match]) -> Iterable[tuple[str, list[_Match]]]:
    """What is allowed but hardly meant: what is said of how many, and which."""
    own = [one for one in matches if one.mask == one.image.path and one.facts.brightest == 0]
    masks = [one for one in matches if one.mask != one.image.path]
    black = [one for one in masks if one.facts.brightest == 0]
    dark = [one for one in masks if 0 < one.facts.brightest < _BRIGHT]
    coloured = [one for one in masks if one.facts.is_coloured]
    clear = [one for one in masks if one.facts.is_transparent]
    if own:
        yield f"{count(len(own), 'image', 'images')} transparent all over, of which nothing is learned", own
    if black:
        yield f"{count(len(black), 'mask', 'masks')} all black, so that nothing is learned of the image", black
    if dark:
        yield f"{count(len(dark), 'mask', 'masks')} without white, so that images are learned in part", dark
    if coloured:
        yield f"{count(len(coloured), 'mask', 'masks')} with colours, of which only the red counts", coloured
    if clear:
        yield f"{count(len(clear), 'mask', 'masks')} with transparent parts, which count as black", clear


def _report_missing(
    spec: SubsetSpec, images: Sequence[FoundImage], masked: set[str], masked_loss: bool, findings: list[Finding]
) -> None:
    """Name the images that are learned whole, because nothing masks them."""
    missing = [image.path for image in images if image.path not in masked]
    if not missing or spec.is_reg:
        return
    some, names = count(len(missing), "image", "images"), name_some(Path(path).name for path in missing)
    if masked_loss and len(missing) == len(images):
        message = "none of the images has a mask: they are learned whole."
    elif masked_loss:
        message = f"{some} without a mask, learned whole: {names}."
    elif len(missing) == len(images):
        message = "none of the images has a transparent part: they are learned whole."
    else:
        message = f"{some} without a transparent part, learned whole: {names}."
    option = _option(spec, masked_loss)
    findings.append(Finding("warning", message, str(spec.place), option, code="mask_missing", files=tuple(missing)))


def _option(spec: SubsetSpec, masked_loss: bool) -> str:
    if not masked_loss:
        return "alpha_mask"
    return "conditioning_data_dir" if spec.conditioning_data_dir else "masked_loss"


def _read_mask(path: str, file_size: int) -> _MaskFacts:
    facts = read_facts(path, file_size, verify=False)
    if facts.problem:
        return _MaskFacts((0, 0), f"the mask cannot be used: {facts.problem} Put a whole copy in its place.")
    try:
        with open_image(path) as image:
            image.load()
            value = mask(image)
            clear = alpha(image)
            small = image.convert("RGB").resize((min(64, image.width), min(64, image.height)), Image.Resampling.NEAREST)
    except Exception as error:  # Pillow's plug-ins raise all kinds of errors for damaged files
        return _MaskFacts((0, 0), f"the mask cannot be used: it is damaged or cut short: {error}.")
    red, green, blue = small.split()
    apart = max(int(ImageChops.difference(red, other).getextrema()[1]) for other in (green, blue))
    has_clear = clear is not None and int(clear.getextrema()[0]) < 255
    return _MaskFacts(value.size, "", int(value.getextrema()[1]), apart > _COLOUR and not has_clear, has_clear)


def _read_alpha(path: str) -> _MaskFacts:
    try:
        with open_image(path) as image:
            value = alpha(image)
            if value is None or int(value.getextrema()[0]) == 255:
                return _MaskFacts(image.size, brightest=-1)
            return _MaskFacts(value.size, brightest=int(value.getextrema()[1]))
    except Exception as error:  # reported where the image was looked at, unless it has changed since
        return _MaskFacts((0, 0), str(error), brightest=-1)
