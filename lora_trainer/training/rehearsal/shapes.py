"""Which of a training's steps are rehearsed, and how long all of them take by those. Pure functions of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...data.plan import DataPlan, PlannedBatch, StepCounts

_AS_LARGE = 0.95  # a step of this share of the work of the largest takes as long


@dataclass(frozen=True)
class Step:
    """The batches of one optimizer step, and the number of the first in its epoch."""

    first: int
    batches: tuple[PlannedBatch, ...]

    @property
    def work(self) -> int:
        """Pixels that are trained in it."""
        return sum(pixels(batch) for batch in self.batches)

    @property
    def largest(self) -> int:
        """Pixels of its largest batch: what decides about the memory."""
        return max(pixels(batch) for batch in self.batches)

    @property
    def images(self) -> frozenset[int]:
        """Ids of its pictures."""
        return frozenset(image for batch in self.batches for image in batch.images)


def pixels(batch: PlannedBatch) -> int:
    """Pixels of all samples of a batch."""
    return len(batch.images) * batch.size[0] * batch.size[1]


def steps_of(plan: DataPlan, accumulation: int) -> list[Step]:
    """The steps of the first epoch; those of the others are of the same sizes, in another order."""
    planned = plan.batches(0)
    return [Step(at, tuple(planned[at : at + accumulation])) for at in range(0, len(planned), accumulation)]


def rehearsed(steps: Sequence[Step]) -> list[Step]:
    """The step with the largest batch, and the one with the least to do where that is notably less."""
    largest = max(steps, key=lambda step: (step.largest, step.work))
    least = min(steps, key=lambda step: step.work)
    return [largest, least] if least.work < _AS_LARGE * largest.work else [largest]


def seconds_of_all(steps: Sequence[Step], counts: StepCounts, measured: Sequence[tuple[int, float]]) -> float:
    """How long the training's steps take, from `measured` ones (work, seconds): a straight line through them."""
    fixed, each = line(measured)
    an_epoch = sum(fixed + each * step.work for step in steps)
    return an_epoch * counts.total_steps / max(1, len(steps))


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(a, b) of y = a + b x through the first and the last of the points; a is never negative, and of one point it is 0."""
    (x1, y1), (x2, y2) = points[0], points[-1]
    each = max(0.0, (y1 - y2) / (x1 - x2)) if x1 != x2 else y1 / x1
    fixed = y1 - each * x1
    return (0.0, y1 / x1) if fixed < 0 else (fixed, each)


def narrowed(plan: DataPlan, images: Iterable[int]) -> DataPlan:
    """The same plan as if it had these pictures alone, each once: for what is made of every picture beforehand."""
    wanted = frozenset(images)
    kept = tuple(
        replace(image, repeats=int(image.id in wanted), is_reg=False, kept_aside=False, caption=image.caption)
        for image in plan.images
    )
    return replace(plan, images=kept)
