"""The batches of a training, read by processes beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from torch.utils.data import DataLoader, Dataset

from ..data.cache import LatentsCache
from ..data.dataset import Batch, EpochStream, TrainDataset
from ..data.masks import Masks
from ..data.plan import DataPlan, StepCounts
from ..errors import LoraTrainerError
from ..options.training import TrainingOptions
from .distributed import Processes
from .interrupt import begin_data_worker


def batches(
    options: TrainingOptions,
    plan: DataPlan,
    counts: StepCounts,
    latents: LatentsCache | None,
    processes: Processes,
    first: tuple[int, int] = (0, 0),
    *,
    masks: Masks | None = None,
) -> Iterator[Batch]:
    """Yield this process's share of every batch of all epochs from `first` (epoch, batch) on, without a pause between epochs.

    Latents from memory need no processes to read them.
    """
    dataset = _dataset(options, plan, counts, latents, processes, masks)
    workers = 0 if latents is not None and latents.is_in_memory else options.max_data_loader_n_workers
    others = (os.cpu_count() or 1) - 1  # the training itself takes one
    loader = DataLoader(
        _ErrorsAsBatches(dataset),
        batch_size=None,
        sampler=EpochStream(plan, counts.epochs, first=first),
        num_workers=min(workers, others, plan.batches_per_epoch * counts.epochs),
        pin_memory=processes.device.type == "cuda",
        worker_init_fn=begin_data_worker,
    )
    for batch in loader:
        if isinstance(batch, LoraTrainerError):
            raise batch
        yield batch


def largest(
    options: TrainingOptions,
    plan: DataPlan,
    counts: StepCounts,
    latents: LatentsCache | None,
    processes: Processes,
    masks: Masks | None = None,
) -> Batch | None:
    """Of the batches of an epoch, the one of which this process has the most pixels to train; None where it never has any."""
    planned = plan.batches(0)

    def work(number: int) -> int:
        batch = planned[number]
        return len(batch.share(processes.rank, processes.world_size)) * batch.size[0] * batch.size[1]

    most = max(range(len(planned)), key=work)
    return _dataset(options, plan, counts, latents, processes, masks)[(0, most)] if work(most) else None


def _dataset(
    options: TrainingOptions,
    plan: DataPlan,
    counts: StepCounts,
    latents: LatentsCache | None,
    processes: Processes,
    masks: Masks | None,
) -> TrainDataset:
    return TrainDataset(
        plan,
        rank=processes.rank,
        world_size=processes.world_size,
        latents=latents,
        masks=masks,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        max_train_steps=counts.total_steps,
    )


class _ErrorsAsBatches(Dataset[Batch | LoraTrainerError]):
    """Gives our errors in place of a batch: torch would put the traceback of its process into their message."""

    def __init__(self, batches: TrainDataset) -> None:
        self._batches = batches

    def __getitem__(self, key: tuple[int, int]) -> Batch | LoraTrainerError:
        try:
            return self._batches[key]
        except LoraTrainerError as error:
            return error

    def __len__(self) -> int:
        return len(self._batches)
