"""Pictures that are there twice, are alike, transparent, framed, empty, or of an extreme shape."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..digest import HASHES
from ..model import DataPlan, Finding, Fix, PlannedImage
from ..words import count, name_some
from .looks import Look
from .marks import Marks
from .near import groups

_EXTREME = 3.0  # times as long as it is wide
_PLACES = {
    "top_left": "the top left",
    "top": "the top",
    "top_right": "the top right",
    "bottom_left": "the bottom left",
    "bottom": "the bottom",
    "bottom_right": "the bottom right",
}
_SEEN_THROUGH = 0.01  # share of the pixels: an alpha channel alone says nothing


def findings(plan: DataPlan, looks: Mapping[str, Look]) -> Iterator[Finding]:
    """Findings about what the pictures show. `looks` are those that are known, by path."""
    images = {image.path: image for image in plan.images}  # once each, however many data sets use them
    same = _same_files(images)
    yield from _duplicates(images, same)
    copies = {path for group in same for path in group[1:]}
    yield from _near_duplicates(images, {path: look for path, look in looks.items() if path not in copies})
    for folder, own in _by_folder(images.values()).items():
        seen = {image.path: looks[image.path] for image in own if image.path in looks}
        yield from _about_one(plan, folder, own, seen)


def marked(plan: DataPlan, marks: Marks, until: float | None) -> tuple[list[Finding], list[str]]:
    """(findings about the same mark at the same place of many pictures, the pictures that there was no time to look at)."""
    found: list[Finding] = []
    left: list[str] = []
    for folder, own in _by_folder({image.path: image for image in plan.images}.values()).items():
        here, waiting = marks.find([image.path for image in own], until=until)
        left += waiting
        for mark in here:
            message = f"{count(len(mark.paths), 'picture has', 'pictures have')} the same mark at {_PLACES[mark.region]}: {{}}."
            found.append(_finding("warning", message, folder, "same_mark", mark.paths))
    return found, left


def _about_one(plan: DataPlan, folder: str, own: Sequence[PlannedImage], looks: Mapping[str, Look]) -> Iterator[Finding]:
    through = [path for path, look in looks.items() if look.transparent > _SEEN_THROUGH]
    masked = plan.subsets[own[0].subset].spec.alpha_mask
    if through and not masked:
        message = f"{count(len(through), 'picture has', 'pictures have')} transparent parts, which are trained as white: {{}}."
        yield _finding("info", message, folder, "transparent", through, field="alpha_mask")
    framed = [path for path, look in looks.items() if look.has_bars]
    if framed:
        message = f"{count(len(framed), 'picture has', 'pictures have')} plain bars at the edges: {{}}."
        yield _finding("warning", message, folder, "bars", framed, fix=Fix("trim"))
    flat = [path for path, look in looks.items() if look.is_flat]
    if flat:
        message = f"{count(len(flat), 'picture is', 'pictures are')} of nearly one colour: {{}}."
        yield _finding("warning", message, folder, "flat", flat, fix=Fix("put_aside"))
    extreme = [image.path for image in own if max(image.size) > _EXTREME * min(image.size)]
    if extreme:
        message = f"{count(len(extreme), 'picture is', 'pictures are')} more than three times as long as wide: {{}}."
        sizes = {image.path: f"{image.size[0]}x{image.size[1]}" for image in own}
        yield _finding("warning", message, folder, "extreme_shape", extreme, details=sizes, fix=Fix("put_aside"))


def _duplicates(images: Mapping[str, PlannedImage], same: Sequence[Sequence[str]]) -> Iterator[Finding]:
    """The same file more than once; and one that is trained and regularised with."""
    both = [group for group in same if len({images[path].is_reg for path in group}) > 1]
    if both:
        files = [path for group in both for path in group]
        message = (
            f"{count(len(both), 'picture is', 'pictures are')} among both the training and the regularisation images: {{}}."
        )
        yield _finding("warning", message, str(Path(files[0]).parent), "reg_is_training", files, field="reg_data_dir")
    doubled = [group for group in same if len({images[path].is_reg for path in group}) == 1]
    if doubled:
        message = f"{count(len(doubled), 'picture is', 'pictures are')} there more than once, byte for byte: {{}}."
        yield _grouped(message, "duplicate", doubled, images)


def _near_duplicates(images: Mapping[str, PlannedImage], looks: Mapping[str, Look]) -> Iterator[Finding]:
    found = [group for group in groups(looks) if len({images[path].is_reg for path in group}) == 1]
    if found:
        message = f"{count(len(found), 'group of pictures looks', 'groups of pictures look')} nearly the same: {{}}."
        yield _grouped(message, "near_duplicate", found, images)


def _grouped(message: str, code: str, found: Sequence[Sequence[str]], images: Mapping[str, PlannedImage]) -> Finding:
    """A finding about groups of files; what mends it keeps the largest picture of each, and of these the first."""
    kept = [max(group, key=lambda path: images[path].size[0] * images[path].size[1]) for group in found]
    files = [path for group in found for path in group]
    rest = [path for path in files if path not in set(kept)]
    text = message.format(name_some((_equal(group) for group in found), 3))
    where = str(Path(files[0]).parent)
    return Finding("warning", text, where, "", code, tuple(files), Fix("put_aside", {"files": rest}))


def _equal(group: Sequence[str]) -> str:
    names = [Path(path).name for path in group]
    return " = ".join([*names[:3], *(["…"] if len(names) > 3 else [])])


def _same_files(images: Mapping[str, PlannedImage]) -> list[list[str]]:
    """Groups of files with the same bytes. Only those are read of which another one has the size."""
    sizes: dict[int, list[str]] = {}
    for path in images:
        with suppress(OSError):
            sizes.setdefault(os.stat(path).st_size, []).append(path)  # noqa: PTH116 - the hot loop of large data sets
    suspects = [path for some in sizes.values() if len(some) > 1 for path in some]
    hashes: dict[str, list[str]] = {}
    for path, digest in zip(suspects, HASHES.of(suspects), strict=True):
        if digest:
            hashes.setdefault(digest, []).append(path)
    return [paths for paths in hashes.values() if len(paths) > 1]


def _by_folder(images: Iterable[PlannedImage]) -> dict[str, list[PlannedImage]]:
    found: dict[str, list[PlannedImage]] = {}
    for image in images:
        found.setdefault(str(Path(image.path).parent), []).append(image)
    return found


def _finding(
    level: str,
    message: str,
    folder: str,
    code: str,
    files: Sequence[str],
    *,
    field: str = "",
    details: Mapping[str, str] | None = None,
    fix: Fix | None = None,
) -> Finding:
    names = (f"{Path(path).name} ({details[path]})" if details else Path(path).name for path in files)
    return Finding(level, message.format(name_some(names)), folder, field, code, tuple(files), fix)  # type: ignore[arg-type]
