"""Gives the images of a data set their sizes, and tells of those that suffer by it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .buckets import Fit, bucket_limits, bucket_resolutions, cover, fit_to_buckets, fit_without_upscaling
from .folder import FoundImage
from .model import Finding, Fix, Size
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec, SubsetSpec


@dataclass
class Fitter:
    """The buckets of one data set. Without `enable_bucket` there is one of the size of the resolution."""

    spec: DatasetSpec
    limits: tuple[int, int]
    buckets: list[Size]  # empty with bucket_no_upscale, which makes them as they come
    _known: dict[Size, Fit] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: DatasetSpec, findings: list[Finding]) -> Fitter:
        """Make the buckets; settings that contradict each other are reported, and then there is one bucket."""
        limits = (spec.min_bucket_reso, spec.max_bucket_reso)
        if not spec.enable_bucket or spec.bucket_reso_steps < 1:
            return cls(spec, limits, [spec.resolution])
        try:
            limits = bucket_limits(spec.resolution, *limits, spec.bucket_reso_steps)
        except InputError as error:
            findings.append(Finding("error", str(error), field=error.field))
            return cls(spec, limits, [spec.resolution])
        if spec.bucket_no_upscale:
            return cls(spec, limits, [])
        return cls(spec, limits, bucket_resolutions(spec.resolution, *limits, spec.bucket_reso_steps))

    def fit(self, image: FoundImage, subset: SubsetSpec, findings: list[Finding]) -> Fit | None:
        """Return how an image is brought to its bucket; None, and a finding, when it cannot be."""
        spec = self.spec
        if min(spec.resolution) < 1:
            return None  # reported already
        if not spec.enable_bucket:
            larger = image.size[0] >= spec.resolution[0] and image.size[1] >= spec.resolution[1]
            # Without buckets a random crop is cut from the image as it is, as in kohya-ss.
            resized = image.size if subset.random_crop and larger else cover(image.size, spec.resolution)
            return Fit(spec.resolution, resized, 0.0)
        if image.size not in self._known:
            try:
                self._known[image.size] = (
                    fit_to_buckets(image.size, self.buckets)
                    if self.buckets
                    else fit_without_upscaling(image.size, spec.resolution, spec.bucket_reso_steps)
                )
            except InputError as error:
                findings.append(Finding("error", str(error), image.path, error.field))
                return None
        return self._known[image.size]

    def report(self, fitted: list[tuple[FoundImage, Fit]], findings: list[Finding]) -> None:
        """Tell of images that are not of the one size, lose much by cropping, or are enlarged much; one finding a folder."""
        folders: dict[str, list[tuple[FoundImage, Fit]]] = {}
        for image, fit in fitted:
            folders.setdefault(os.path.dirname(image.path), []).append((image, fit))  # noqa: PTH120 - of large data sets
        for folder, items in folders.items():
            other = [image for image, _ in items if not self.spec.enable_bucket and image.size != self.spec.resolution]
            cut = [image for image, fit in items if _area(fit.bucket) < 0.5 * _area(fit.resized)]
            grown = [image for image, fit in items if fit.resized[0] > 2 * image.size[0]]
            if other:
                text = (
                    f"not {self.spec.resolution[0]}x{self.spec.resolution[1]}, so they are resized, and cropped where their"
                    " shape differs. enable_bucket keeps almost all of each picture."
                )
                findings.append(
                    _about(other, items, text, folder, "enable_bucket", "other_size", Fix("set", {"enable_bucket": True}))
                )
            elif cut:
                text = "cropped to less than half of the picture."
                findings.append(_about(cut, items, text, folder, "max_bucket_reso", "cropped"))
            if grown:
                text = "enlarged to more than twice the size, which trains their blur. A lower resolution suits them."
                fix = Fix("set", {"bucket_no_upscale": True}) if self.spec.enable_bucket else None
                findings.append(_about(grown, items, text, folder, "resolution", "enlarged", fix))


def _about(
    some: list[FoundImage],
    items: list[tuple[FoundImage, Fit]],
    text: str,
    folder: str,
    option: str,
    code: str,
    fix: Fix | None = None,
) -> Finding:
    names = name_some(Path(image.path).name for image in some)
    verb = "is" if len(some) == 1 else "are"
    message = f"{len(some)} of {count(len(items), 'image', 'images')} ({names}) {verb} {text}"
    return Finding("warning", message, folder, option, code, tuple(image.path for image in some), fix)


def _area(size: Size) -> int:
    return size[0] * size[1]
