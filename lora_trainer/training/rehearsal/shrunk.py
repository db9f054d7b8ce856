"""What a step would need that does not fit: from parts of its batch that do, by a straight line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from ...data.dataset import Batch
from ...models.main_memory import free_card
from .. import failures
from ..gradients import OF_THE_WHOLE
from ..loop import Loop
from .meter import working_memory
from .shapes import line

_SMALLEST = 1 / 64
_ROWS = {"latents": 8, "images": 64, "masks": 8}  # the heights that a UNet can halve three times


def estimate(loop: Loop, batches: Sequence[Batch], device: torch.device, *, whole: bool = False) -> int | None:
    """The bytes that the gradients of the largest of `batches` need; None when not even small parts fit.

    With `whole` all of it is tried first.
    """
    batch = largest(batches)
    full, share = _pixels(batch), 1.0 if whole else 0.5
    points: list[tuple[float, float]] = []
    while share >= _SMALLEST and len(points) < 2:
        part = shrink(batch, share)
        share /= 2
        if points and _pixels(part) == points[0][0]:
            continue
        needed = _try(loop, part, device)
        if needed is not None and _pixels(part) == full:
            return needed
        if needed is not None:
            points.append((_pixels(part), needed))
    if not points:
        return None
    fixed, each = line(points)
    return int(fixed + each * full)


def largest(batches: Sequence[Batch]) -> Batch:
    """The one of most pixels."""
    return max(batches, key=_pixels)


def shrink(batch: Batch, share: float) -> Batch:
    """About this `share` of the pixels of a batch: fewer samples, and of a single one the upper part."""
    count = len(batch["captions"])
    kept = max(1, int(count * share))
    part = {key: value if key in OF_THE_WHOLE else value[:kept] for key, value in batch.items()}  # type: ignore[index]
    rest = min(1.0, share * count / kept)
    for name, multiple in _ROWS.items():
        if name in part:
            pixels = cast(torch.Tensor, part[name])
            axis = 1 if name == "masks" else 2
            rows = pixels.shape[axis]
            part[name] = pixels.narrow(axis, 0, min(rows, max(multiple, int(rows * rest) // multiple * multiple)))
    return cast(Batch, part)


def _pixels(batch: Batch) -> int:
    """Numbers of its pictures or latents: what the memory goes by."""
    return cast(torch.Tensor, batch["latents"] if "latents" in batch else batch["images"]).numel()


def _try(loop: Loop, part: Batch, device: torch.device) -> int | None:
    trainee, updater = loop.gradients.trainee, loop.updater

    def work() -> None:
        count = len(part["captions"])
        updater.backward(trainee.batch_loss(part, step=updater.steps + 1, offset=0, samples=count))

    try:
        return working_memory(device, work)
    except (RuntimeError, MemoryError) as error:
        if not failures.is_out_of_memory(error):
            raise
    finally:
        updater.clear()
    free_card()
    return None
