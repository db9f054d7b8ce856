"""Batches for the training loop, the same bytes for any number of data-loader workers and any split over processes.

dataset = TrainDataset(plan, seed=42, latents=cache)
loader = DataLoader(dataset, batch_size=None, sampler=EpochStream(plan, epochs=10), num_workers=2)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch.utils.data import Dataset, Sampler

from ..errors import InputError
from ..randomness import rng
from .cache import LatentsCache
from .images import planned_pixels, to_tensor, vary_colour
from .masks import Masks, has_masks, planned_mask, whole
from .plan.buckets import crop_box
from .plan.captions import process_caption
from .plan.cuts import Cut, cut_of
from .plan.model import DataPlan, PlannedBatch, PlannedImage
from .resize import Pixels

MOST_TRIES = 8  # images in a row that cannot be read: then it is not a few that were removed


class _Described(TypedDict):
    """What every batch has."""

    captions: list[str]
    loss_weights: torch.Tensor
    image_ids: torch.Tensor
    indices: torch.Tensor
    global_size: int
    network_multiplier: float
    epoch: int
    batch: int
    original_sizes: torch.Tensor
    crop_top_lefts: torch.Tensor
    target_sizes: torch.Tensor
    replaced: list[str]


class Batch(_Described, total=False):
    """One process's share of a batch of B samples:

    - `latents` [B, C, h, w] in the cache's dtype, or without a cache `images` [B, 3, H, W], float32 in -1..1
    - `masks` [B, h, w] float32 in 0..1, how much of each latent is learned; there where an image of the plan has a mask
    - `captions` list of B texts; `loss_weights` [B] float32 (prior_loss_weight for regularisation images, else 1)
    - `image_ids` [B] int64 (places in plan.images); `indices` [B] int64 (places in the global batch); `global_size` int, the
      number of samples of all processes together; `network_multiplier` of their data set; `epoch`, `batch` int
    - `original_sizes`, `crop_top_lefts`, `target_sizes` [B, 2] float32, (height, width) or (top, left) in pixels
    - `replaced` a sentence for each image that could not be read any more, so that another one stands in its place

    B can be 0: the last batch of a bucket may be smaller than the number of processes.
    """

    latents: torch.Tensor
    images: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True)
class Sample:
    """One picture of a batch and what was drawn for it: `draw` is (epoch, number of the sample in it), `step` the optimiser
    step (from 0), `caption` the text that is trained, `flipped` whether it is mirrored."""

    image: PlannedImage
    draw: tuple[int, int]
    step: int
    cut: Cut
    flipped: bool
    caption: str
    loss_weight: float


class EpochStream(Sampler[tuple[int, int]]):
    """Yields (epoch, batch) over all epochs, epochs counted from 0; `first` is where a resumed training goes on.

    It has no state: iterating twice yields the same.
    """

    def __init__(self, plan: DataPlan, epochs: int, *, first: tuple[int, int] = (0, 0)) -> None:
        self._batches = plan.batches_per_epoch
        self._epochs = epochs
        self._first = first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start = self._first[0] * self._batches + self._first[1]
        return (divmod(number, self._batches) for number in range(start, self._epochs * self._batches))

    def __len__(self) -> int:
        return max(0, (self._epochs - self._first[0]) * self._batches - self._first[1])


class TrainDataset(Dataset[Batch]):
    """`dataset[(epoch, batch)]` is a collated batch, or one process's share of it."""

    def __init__(
        self,
        plan: DataPlan,
        *,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        latents: LatentsCache | None = None,
        masks: Masks | None = None,
        gradient_accumulation_steps: int = 1,
        max_train_steps: int = 0,
    ) -> None:
        """`seed` is that of captions and augmentations, the plan's if None; the last two are for the token warm-up.

        Without `masks` those of the plan are read each time, as the images are without `latents`.
        """
        assert world_size == plan.world_size, "the plan was made for another number of processes"
        assert 0 <= rank < world_size
        self._plan = plan
        self._seed = plan.seed if seed is None else seed
        self._rank = rank
        self._latents = latents
        self._masks = masks
        self._has_masks = has_masks(plan)
        self._accumulation = gradient_accumulation_steps
        self._max_train_steps = max_train_steps
        self._epoch: tuple[int, list[PlannedBatch]] = (-1, [])

    def __getstate__(self) -> dict[str, Any]:
        """The batches of an epoch are made anew in each worker process instead of being sent there."""
        return {**self.__dict__, "_epoch": (-1, [])}

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._plan.batches_per_epoch

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, number = key
        planned = self._planned(epoch, number)
        share = planned.share(self._rank, self._plan.world_size)
        replaced: list[str] = []
        read = [self._read(sample, replaced) for sample in self.samples(key)]
        samples = [sample for sample, _, _ in read]
        sizes = [sizes_of(sample.image, flipped=sample.flipped) for sample in samples]
        content = "latents" if self._latents else "images"
        contents = [one for _, one, _ in read]
        masks = [mask for _, _, mask in read if mask is not None]
        return {
            **({"masks": torch.stack(masks) if masks else self._no_masks(planned)} if self._has_masks else {}),
            content: torch.stack(contents) if contents else self._nothing(planned),
            "captions": [sample.caption for sample in samples],
            "loss_weights": torch.tensor([sample.loss_weight for sample in samples], dtype=torch.float32),
            "image_ids": torch.tensor([sample.image.id for sample in samples], dtype=torch.int64),
            "indices": torch.tensor(list(share), dtype=torch.int64),
            "global_size": len(planned.images),
            "network_multiplier": self._plan.datasets[planned.dataset].spec.network_multiplier,
            "epoch": epoch,
            "batch": number,
            "original_sizes": _pairs([size[0] for size in sizes]),
            "crop_top_lefts": _pairs([size[1] for size in sizes]),
            "target_sizes": _pairs([size[2] for size in sizes]),
            "replaced": replaced,
        }

    def samples(self, key: tuple[int, int]) -> list[Sample]:
        """What is drawn for this process's share of a batch (epoch, number); no file is read."""
        epoch, number = key
        planned = self._planned(epoch, number)
        step = epoch * -(-self._plan.batches_per_epoch // self._accumulation) + number // self._accumulation
        return [
            self._sample(self._plan.images[planned.images[place]], (epoch, planned.first + place), step)
            for place in planned.share(self._rank, self._plan.world_size)
        ]

    def picture(self, sample: Sample) -> Pixels:
        """A sample's picture as the model gets it, uint8 [H, W, 3]. Raises InputError as `planned_pixels` does."""
        pixels = planned_pixels(self._plan, sample.image, sample.cut)
        if self._plan.subsets[sample.image.subset].spec.color_aug:
            pixels = vary_colour(pixels, rng(self._seed, "colour", *sample.draw))
        return pixels[:, ::-1] if sample.flipped else pixels

    def _planned(self, epoch: int, number: int) -> PlannedBatch:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._plan.batches(epoch))
        return self._epoch[1][number]

    def _sample(self, image: PlannedImage, draw: tuple[int, int], step: int) -> Sample:
        """One sample of optimiser step `step`; its draws depend on its number in the epoch, not on its batch or process."""
        spec = self._plan.subsets[image.subset].spec
        flipped = spec.flip_aug and rng(self._seed, "flip", *draw).random() < 0.5
        caption = process_caption(
            image.caption,
            spec,
            rng(self._seed, "caption", *draw),
            epoch=draw[0] + 1,
            step=step,
            max_train_steps=self._max_train_steps,
        )
        return Sample(
            image=image,
            draw=draw,
            cut=cut_of(self._plan, image, rng(self._seed, "crop", *draw)),
            flipped=flipped,
            step=step,
            caption=caption,
            loss_weight=self._plan.prior_loss_weight if image.is_reg else 1.0,
        )

    def _read(self, sample: Sample, replaced: list[str]) -> tuple[Sample, torch.Tensor, torch.Tensor | None]:
        """A sample, its content and its mask. A file that was removed or changed since the plan was made ends no training:
        another image of its bucket takes its place, and `replaced` gets a sentence that names it.

        Raises InputError when its folder is gone too (a drive), or several images in its place cannot be read either.
        """
        others = islice(alike(self._plan, sample.image), MOST_TRIES)
        shown = sample
        while True:
            try:
                return shown, self._content(shown), self._mask(shown) if self._has_masks else None
            except InputError as error:
                other = next(others, None)
                if self._latents or other is None or not Path(shown.image.path).parent.is_dir():
                    raise
                replaced.append(f"{error} Another image is shown in its place.")
                shown = self._sample(other, sample.draw, sample.step)

    def _content(self, sample: Sample) -> torch.Tensor:
        if self._latents:
            return self._latents.get(sample.image, flipped=sample.flipped)
        return to_tensor(self.picture(sample))

    def _mask(self, sample: Sample) -> torch.Tensor:
        mask = self._masks.get(sample.image) if self._masks else planned_mask(self._plan, sample.image, sample.cut)
        return mask.flip(1) if sample.flipped else mask

    def _no_masks(self, planned: PlannedBatch) -> torch.Tensor:
        return whole(self._plan.images[planned.images[0]])[None][:0]

    def _nothing(self, planned: PlannedBatch) -> torch.Tensor:
        """A batch of no samples, of the shape and dtype of the others."""
        if self._latents:
            return self._latents.get(self._plan.images[planned.images[0]])[None][:0]
        return torch.empty((0, 3, planned.size[1], planned.size[0]))


def alike(plan: DataPlan, image: PlannedImage) -> Iterator[PlannedImage]:
    """The images that can stand in the place of another of their data set, bucket and kind: those behind it, then the rest."""
    for number in chain(range(image.id + 1, len(plan.images)), range(image.id)):
        other = plan.images[number]
        same = (other.dataset, other.bucket, other.is_reg) == (image.dataset, image.bucket, image.is_reg)
        if same and other.repeats and not other.kept_aside:
            yield other


def sizes_of(image: PlannedImage, *, flipped: bool = False) -> tuple[tuple[float, float], ...]:
    """Original size, place of the crop, and target size of an image: (height, width), (top, left), (height, width), pixels."""
    left, top, right, _ = crop_box(image.size, image.bucket)
    return image.size[::-1], (top, image.bucket[0] - right if flipped else left), image.bucket[::-1]


def _pairs(values: list[tuple[float, float]]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 2)
