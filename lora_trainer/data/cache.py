"""Latents of all images, made once before the training and kept in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import InputError, NotFiniteError
from .images import planned_pixels, to_tensor
from .plan.files import THREADS
from .plan.model import DataPlan, PlannedImage, Size

Encode = Callable[[torch.Tensor, "list[int]"], torch.Tensor]


@dataclass
class _Entry:
    """One picture to encode, and the images that it serves: a file may be in several data sets."""

    image: PlannedImage
    flipped: bool
    serves: list[int] = field(default_factory=list)  # image ids


class LatentsCache:
    """Latents by image, and those of the mirrored image where flip_aug asks for them.

    They lie in one tensor per bucket, [N, C, h, w], so that data-loader processes share a few tensors and not thousands.
    """

    def __init__(self, stacks: dict[Size, torch.Tensor], rows: dict[tuple[int, bool], int]) -> None:
        self._stacks = stacks
        self._rows = rows

    def get(self, image: PlannedImage, *, flipped: bool = False) -> torch.Tensor:
        """Latents [C, h, w] of an image or its mirror image, on the CPU; not to be written to."""
        return self._stacks[image.bucket][self._rows[image.id, flipped]]

    @property
    def nbytes(self) -> int:
        """Main memory that the latents take."""
        return sum(stack.numel() * stack.element_size() for stack in self._stacks.values())

    @classmethod
    def build(
        cls,
        plan: DataPlan,
        encode: Encode,
        *,
        batch_size: int = 1,
        kept_aside: bool = False,
        progress: Callable[[int, int], Any] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> LatentsCache | None:
        """Encode every image that an epoch shows, or those `kept_aside` as they are; None when `should_stop()` was true between
        two batches.

        `encode(images, ids)` takes images [B, 3, H, W] of one size, float32 in -1..1 on the CPU, and their ids (for noise that
        does not depend on the batch), and returns scaled latents [B, C, h, w] on any device; they are kept in the dtype they
        come in. `progress(done, total)` counts pictures, mirrored ones too. Files are read ahead by threads.
        Raises InputError for a broken file and NotFiniteError for latents that are no numbers; both name the file.
        """
        if not kept_aside:
            _refuse_changing_images(plan)
        groups = _entries(plan, kept_aside)
        done, total = 0, sum(len(entries) for entries in groups.values())
        stacks: dict[Size, torch.Tensor] = {}
        rows: dict[tuple[int, bool], int] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            for bucket, entries in groups.items():
                row = 0
                for batch, pixels in _read_ahead(pool, plan, entries, batch_size):
                    if should_stop and should_stop():
                        return None
                    latents = encode(pixels, [entry.image.id for entry in batch]).detach().to("cpu")
                    _check_finite(latents, batch)
                    if bucket not in stacks:
                        stacks[bucket] = torch.empty((len(entries), *latents.shape[1:]), dtype=latents.dtype)
                    stacks[bucket][row : row + len(batch)] = latents
                    for place, entry in enumerate(batch, row):
                        rows.update({(image, entry.flipped): place for image in entry.serves})
                    row += len(batch)
                    done += len(batch)
                    if progress:
                        progress(done, total)
        return cls(stacks, rows)


def _refuse_changing_images(plan: DataPlan) -> None:
    for subset in plan.subsets:
        for option in ("random_crop", "color_aug"):
            if getattr(subset.spec, option):
                raise InputError(
                    f"{option} changes an image each time it is shown, so its latents cannot be cached.",
                    where=str(subset.spec.image_dir),
                    field=option,
                    advice=f"Train without cache_latents or without {option}.",
                )


def _entries(plan: DataPlan, kept_aside: bool) -> dict[Size, list[_Entry]]:
    """What is to be encoded, by bucket. Equal pictures (same file, sizes and filter) are encoded once."""
    groups: dict[Size, dict[tuple[object, ...], _Entry]] = {}
    for image in plan.images:
        if not (image.kept_aside if kept_aside else image.repeats):
            continue
        entries = groups.setdefault(image.bucket, {})
        flips = plan.subsets[image.subset].spec.flip_aug and not kept_aside
        for flipped in (False, True) if flips else (False,):
            key = (flipped, image.path, image.resized, plan.interpolation(image))
            entries.setdefault(key, _Entry(image, flipped)).serves.append(image.id)
    return {bucket: list(entries.values()) for bucket, entries in groups.items()}


def _read_ahead(
    pool: ThreadPoolExecutor, plan: DataPlan, entries: list[_Entry], batch_size: int
) -> Iterator[tuple[list[_Entry], torch.Tensor]]:
    """Yield batches of entries with their images [B, 3, H, W]; while one is encoded, threads read the next two."""

    def read(entry: _Entry) -> torch.Tensor:
        pixels = planned_pixels(plan, entry.image)
        return to_tensor(pixels[:, ::-1] if entry.flipped else pixels)

    waiting: deque[tuple[list[_Entry], list[Future[torch.Tensor]]]] = deque()
    for batch in _cut(entries, batch_size):
        waiting.append((batch, [pool.submit(read, entry) for entry in batch]))
        if len(waiting) > 2:
            ready, futures = waiting.popleft()
            yield ready, torch.stack([future.result() for future in futures])
    while waiting:
        ready, futures = waiting.popleft()
        yield ready, torch.stack([future.result() for future in futures])


def _cut(entries: list[_Entry], size: int) -> Iterable[list[_Entry]]:
    return (entries[at : at + size] for at in range(0, len(entries), size))


def _check_finite(latents: torch.Tensor, batch: list[_Entry]) -> None:
    finite = torch.isfinite(latents.flatten(1)).all(1).tolist()
    if not all(finite):
        raise NotFiniteError(
            f"the VAE made latents that are no numbers (NaN or infinite) of {batch[finite.index(False)].image.path}.",
            advice="Use --no_half_vae, or another VAE: this one does not work in half precision.",
        )
