"""The loss on pictures that are kept aside: always the same pictures, noise levels and noise, so that the curve is smooth and
runs compare.

It is the plain mean squared error of the prediction, without the weights and the extra noise that a training may choose: runs
that weigh their losses differently are measured alike. Four noise levels, evenly in the trained range, for each picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..checkpoints.whole_model import WholeModel
from ..data.cache import LatentsCache
from ..data.dataset import sizes_of
from ..data.latents_store import LatentsStore
from ..data.masks import Masks
from ..data.plan import DataPlan, PlannedImage
from ..data.plan.aside import name_of
from ..data.plan.captions import example
from ..errors import InputError
from ..options import TrainOptions
from ..options.dataset import DatasetOptions
from ..randomness import rng, seed_of
from ..sampling.preview import evaluating
from . import encoding
from .distributed import Processes
from .phases import Emit, phase
from .precision import Precision
from .trainee import Trainee

PHASE = "measuring the loss"
LEVELS = 4  # noise levels for each picture, as in the reference


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When is measured: every so many steps or epochs (None: not by these), at the beginning and at the last step."""

    every_steps: int | None
    every_epochs: int | None
    total_steps: int

    @classmethod
    def of(cls, options: DatasetOptions, total_steps: int) -> Schedule:
        """What the options say; at the end of each epoch where they say nothing."""
        steps, epochs = options.validate_every_n_steps, options.validate_every_n_epochs
        return cls(every_steps=steps, every_epochs=epochs if steps or epochs else 1, total_steps=total_steps)

    def is_due(self, step: int, epoch: int | None = None) -> bool:
        """Whether is measured after `step` (0: before the first), or at the end of `epoch` (from 1)."""
        if epoch is not None:
            return bool(self.every_epochs) and epoch % self.every_epochs == 0
        return step in (0, self.total_steps) or bool(self.every_steps) and step % self.every_steps == 0

    def times_to_come(self, step: int, epoch: int, epochs: int) -> int:
        """About how often will be measured after `step` and `epoch` finished epochs."""
        by_steps = self.total_steps // self.every_steps - step // self.every_steps if self.every_steps else 0
        by_epochs = epochs // self.every_epochs - epoch // self.every_epochs if self.every_epochs else 0
        return by_steps + by_epochs


@dataclass
class Validation:
    """Measures the loss on `batches`, images of one size each, and remembers the best. All processes measure together.

    Within `with shown():` the network has the weights that would be saved.
    """

    trainee: Trainee
    plan: DataPlan
    batches: Sequence[Sequence[PlannedImage]]
    latents: LatentsCache
    masks: Masks | None
    schedule: Schedule
    processes: Processes
    emit: Emit
    shown: Callable[[], AbstractContextManager[None]] = nullcontext
    best: float = math.inf
    best_step: int = 0
    _measured: int = -1  # the step that was measured last
    _seconds: float = field(default=0.0)  # that it took

    @classmethod
    def of(
        cls,
        options: DatasetOptions,
        trainee: Trainee,
        plan: DataPlan,
        total_steps: int,
        processes: Processes,
        emit: Emit,
        shown: Callable[[], AbstractContextManager[None]] = nullcontext,
        store: LatentsStore | None = None,
    ) -> Validation | None:
        """The validation that the options ask for, its pictures encoded; None when no picture is kept aside."""
        if not plan.kept_aside:
            return None
        latents = LatentsCache.build(
            plan,
            trainee.encoder.means,
            batch_size=options.vae_batch_size,
            kept_aside=True,
            store=store,
            together=processes,
            progress=phase(emit, "encoding the images kept aside"),
        )
        encoding.tell(store, emit)
        assert latents is not None
        if options.cache_latents:
            trainee.encoder.free()
        return cls(
            trainee=trainee,
            plan=plan,
            batches=_batches(plan)[: options.max_validation_steps],
            latents=latents,
            masks=Masks.read(plan, plan.kept_aside),
            schedule=Schedule.of(options, total_steps),
            processes=processes,
            emit=emit,
            shown=shown,
        )

    def after(self, step: int, epochs_done: int, epoch: int | None = None) -> bool | None:
        """Measure if it is time to, after `step` or at the end of `epoch`; returns whether it is the best of a trained network.

        None when nothing was measured.
        """
        if step == self._measured or not self.schedule.is_due(step, epoch):
            return None
        began = time.perf_counter()
        loss, count = self.measure()
        self._measured, self._seconds = step, time.perf_counter() - began
        is_best = step > 0 and loss < self.best
        if is_best:
            self.best, self.best_step = loss, step
        event = {"type": "validation", "step": step, "epoch": epochs_done, "loss": loss, "images": count, "best": is_best}
        self.emit({**event, "seconds": self._seconds})
        return is_best

    @torch.no_grad()
    def measure(self) -> tuple[float, int]:
        """Return (mean over pictures and noise levels, pictures measured). No random state, weight or mode changes."""
        told = phase(self.emit, PHASE)
        model, network = self.trainee.model, self.trainee.network
        modules = [model.unet, *model.text_encoders, *([network] if isinstance(network, torch.nn.Module) else [])]
        total, count = 0.0, 0
        with self.shown(), evaluating(modules):
            for number, images in enumerate(self.batches):
                if number % self.processes.world_size == self.processes.rank:
                    total += self._losses(images)
                    count += len(images)
                told(number + 1, len(self.batches))
        total, samples = self.processes.add_up([total, float(count)])
        return total / samples / LEVELS, int(samples)

    def seconds_to_come(self, step: int, epoch: int, epochs: int) -> float:
        """How long measuring will take yet, as it took the last time."""
        return self._seconds * self.schedule.times_to_come(step, epoch, epochs)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know the best by."""
        return {"best": self.best, "best_step": self.best_step, "measured": self._measured}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as `state_dict` told."""
        self.best, self.best_step, self._measured = float(state["best"]), int(state["best_step"]), int(state["measured"])

    def _precision(self) -> Precision:
        """That of a step, but for weights of the model itself that are shown in another type than they are trained in: an
        average is float32."""
        own, network = self.trainee.precision, self.trainee.network
        is_wide = isinstance(network, WholeModel) and any(one.dtype != own.dtype for one in network.parameters())
        return replace(own, mixed=own.mixed or is_wide)

    def _losses(self, images: Sequence[PlannedImage]) -> float:
        """The sum of the losses of a batch over all noise levels."""
        precision = self._precision()
        trainee, device = self.trainee, self.trainee.precision.device
        trainee.set_strength(self.plan.datasets[images[0].dataset].spec.network_multiplier)
        latents = torch.stack([self.latents.get(image) for image in images]).to(device, torch.float32)
        masks = torch.stack([self.masks.get(image) for image in images]).to(device) if self.masks else None
        captions = [example(image.caption, self.plan.subsets[image.subset].spec) for image in images]
        sizes = torch.tensor([sizes_of(image) for image in images], dtype=torch.float32).unbind(1)
        conditioning = trainee.text(captions).with_sizes(*sizes)
        total = 0.0
        for timestep in levels(trainee.noise.min_timestep, trainee.noise.max_timestep, trainee.noise.timesteps):
            noise = torch.stack([self._noise(image, timestep, latents.shape[1:]) for image in images]).to(device)
            timesteps = torch.full((len(images),), timestep, device=device)
            errors = trainee.objective.errors(trainee.model, latents, conditioning, noise, timesteps, precision, masks)
            total += float(errors.double().sum())
        return total

    def _noise(self, image: PlannedImage, timestep: int, shape: torch.Size) -> torch.Tensor:
        """The noise on one picture at one level: by the seed and the picture's name, so that other pictures change nothing."""
        own = self.plan.datasets[image.dataset].spec.validation_seed
        seed = self.plan.seed if own is None else own
        generator = torch.Generator("cpu").manual_seed(seed_of(seed, f"validation:{name_of(image.path)}", timestep))
        return torch.randn(shape, generator=generator)


def levels(least: int | None, end: int | None, timesteps: int) -> list[int]:
    """The noise levels that are measured: evenly inside the trained range, 200, 400, 600 and 800 of 1000."""
    first, last = least or 0, timesteps if end is None else end
    return [first + (last - first) * number // (LEVELS + 1) for number in range(1, LEVELS + 1)]


def check(options: TrainOptions, plan: DataPlan) -> None:
    """Raise InputError for what is asked of a validation where no picture is kept aside for it."""
    if plan.kept_aside:
        return
    wanted = {
        "save_best": options.saving.save_best,
        "validate_every_n_steps": options.dataset.validate_every_n_steps,
        "validate_every_n_epochs": options.dataset.validate_every_n_epochs,
        "max_validation_steps": options.dataset.max_validation_steps,
    }
    for name, value in wanted.items():
        if value:
            raise InputError(
                f"{name} needs images to measure the loss on, but none is kept aside.",
                field=name,
                advice=f"Give validation_split (0.1 is usual), or leave {name} out.",
            )


def _batches(plan: DataPlan) -> list[list[PlannedImage]]:
    """The images kept aside in batches of one data set and one size, in an order that the plan's seed decides."""
    groups: dict[tuple[int, tuple[int, int]], list[PlannedImage]] = {}
    for image in plan.kept_aside:
        groups.setdefault((image.dataset, image.bucket), []).append(image)
    batches = []
    for (dataset, _), images in sorted(groups.items()):
        size = max(1, plan.datasets[dataset].spec.batch_size)
        batches += [images[at : at + size] for at in range(0, len(images), size)]
    rng(plan.seed, "validation-batches").shuffle(batches)
    return batches
