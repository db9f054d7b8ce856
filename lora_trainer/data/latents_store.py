"""What the VAE made of each picture, on the disk: found again while picture, VAE, size and crop are the same."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..foreign.reading import UnreadableError
from . import entries, kohya_latents
from .entries import Shelves
from .plan.cuts import cut_of
from .plan.digest import HASHES
from .plan.model import DataPlan, PlannedImage
from .plan.remembered import Stamp, is_settled, stamp

PIXELS = 1  # raise it when pictures are brought to their pixels in another way


@dataclass
class LatentsStore:
    """Mean and standard deviation [2C, h, w] of the latents of each picture, and of its mirror image.

    `made_by` are the VAE's digest and precision. `trusting` (skip_cache_check): an entry of the right name and shape is taken
    without a look at the picture. `damaged` are entries that could not be used and are made again, `strange` how many files of
    sd-scripts were left aside, by folder. `suffix` is what those of this family end in, sd or sdxl.
    """

    made_by: Mapping[str, str]
    trusting: bool = False
    suffix: str = "sd"
    strange: Counter[Path] = field(default_factory=Counter)
    shelves: Shelves = field(default_factory=Shelves)
    damaged: list[str] = field(default_factory=list)

    def stamp(self, image: PlannedImage) -> Stamp | None:
        """What tells of a picture whether it changes; None where it is gone."""
        try:
            return stamp(image.path)
        except OSError:
            return None

    def find(self, plan: DataPlan, image: PlannedImage, flipped: bool, *, numbers: bool = True) -> Found | None:
        """What is kept of a picture, if it still is what the picture and the settings give."""
        settings = self._settings(plan, image, flipped)
        path = self.shelves.find(Path(image.path).parent, entries.file_name(Path(image.path).name, settings))
        if path is None:
            return None
        try:
            entry = entries.read(path, numbers=numbers)
            if any(entry.key.get(name) != value for name, value in settings.items()):
                raise UnreadableError("is of something else than its name says.")
            _check_size(entry, image)
            posterior = _posterior(entry) if numbers else None
        except UnreadableError as error:
            self.damaged.append(f"{path.name} {error}")
            return None
        if not self.trusting and not _is_of(entry, image.path, self.stamp(image)):
            return None
        return Found(path, posterior)

    def find_theirs(self, image: PlannedImage, flipped: bool) -> Found | None:
        """What sd-scripts kept of a picture, where it fits; unless `trusting` it may still be of another VAE."""
        path = kohya_latents.find(image, self.suffix)
        if path is None:
            return None
        if self.trusting or (kohya_latents.is_newer(path, image) and kohya_latents.is_plain(image)):
            with contextlib.suppress(UnreadableError):
                return Found(path, kohya_latents.read(path, image, flipped=flipped))
        self.strange[path.parent] += 1
        return None

    def keep(
        self, plan: DataPlan, image: PlannedImage, flipped: bool, seen: Stamp | None, posterior: torch.Tensor
    ) -> Path | None:
        """Write what the VAE made of a picture whose stamp was `seen` before it was read; None where that cannot be done."""
        if seen is None or self.stamp(image) != seen:  # it changes while we work: of what was this made?
            return None
        content = HASHES.of_one(image.path)
        settings = self._settings(plan, image, flipped)
        key = {**settings, "image": content}
        mean, std = posterior.chunk(2)
        remembered = {"stamp": json.dumps(seen) if is_settled(seen) else ""}
        path = Path(image.path)
        name = entries.file_name(path.name, settings)
        return self.shelves.put(path.parent, name, key, {"mean": mean, "std": std.half()}, remembered)

    def _settings(self, plan: DataPlan, image: PlannedImage, flipped: bool) -> dict[str, Any]:
        """All that an entry depends on besides the picture's content."""
        cut = cut_of(plan, image)
        return {
            **self.made_by,
            "pixels": PIXELS,
            "resized": list(cut.resized),
            "crop": [cut.left, cut.top, *image.bucket],
            "interpolation": plan.interpolation(image) or "",
            "flipped": flipped,
        }


@dataclass(frozen=True)
class Found:
    """An entry: where it lies, and its numbers [2C, h, w] where they were read."""

    path: Path
    posterior: torch.Tensor | None

    @property
    def numbers(self) -> torch.Tensor:
        """Those that were asked for."""
        assert self.posterior is not None
        return self.posterior


def load(path: Path, image: PlannedImage, *, flipped: bool = False) -> torch.Tensor:
    """Read the numbers [2C, h, w] of an entry that was found before. Raises InputError when they are damaged by now."""
    try:
        if path.suffix == kohya_latents.ENDING:
            return kohya_latents.read(path, image, flipped=flipped)
        entry = entries.read(path)
        _check_size(entry, image)
        return _posterior(entry)
    except UnreadableError as error:
        if path.suffix != kohya_latents.ENDING:
            path.unlink(missing_ok=True)
        raise InputError(
            f"the cached latents of {Path(image.path).name} cannot be used any more: the file {error}",
            where=str(path),
            field="cache_latents_to_disk",
            advice="Start the training again, or resume it: they are made anew.",
        ) from error


def _check_size(entry: entries.Entry, image: PlannedImage) -> None:
    """Raise UnreadableError for an entry of another size than is trained."""
    mean, std = (entry.shapes.get(name, ()) for name in ("mean", "std"))
    if mean != std or len(mean) != 3 or mean[1:] != (image.bucket[1] // 8, image.bucket[0] // 8):
        raise UnreadableError("is damaged: its numbers are not of the size that is trained.")


def _posterior(entry: entries.Entry) -> torch.Tensor:
    """Mean and standard deviation in one tensor, float32. Raises UnreadableError for numbers that are none."""
    posterior = torch.cat([entry.tensors["mean"].float(), entry.tensors["std"].float()])
    if not posterior.isfinite().all():
        raise UnreadableError("holds numbers that are none (NaN or infinite).")
    return posterior


def _is_of(entry: entries.Entry, path: str, seen: Stamp | None) -> bool:
    """Whether an entry was made of what the file at `path` holds now. It is read only where its stamp has changed."""
    content = str(entry.key.get("image", ""))
    if seen is None or not content:
        return False
    if entry.remembered.get("stamp") == json.dumps(seen):
        HASHES.learn(path, seen, content)
        return True
    return HASHES.of_one(path) == content
