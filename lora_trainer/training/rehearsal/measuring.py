"""The rehearsal itself: the training's own pieces, on its own pictures, for a few steps. Nothing is kept of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ...data.cache import LatentsCache
from ...data.dataset import Batch, TrainDataset
from ...data.encode_work import Picture, pictures_of
from ...data.plan import DataPlan, StepCounts
from ...models.main_memory import free_card
from ...options import TrainOptions
from ...runs.events import Reporter
from .. import assembling, captions, failures, prepare, resuming
from ..assembling import Loaded, Setting
from ..distributed import Processes
from ..encoding import kept_masks, latents_store
from ..interrupt import StopOnSignal
from ..loop import Loop
from ..previews import sample_prompts
from ..recomputing import AUTO, Recomputing
from . import drawing, shrunk
from .card import TIGHT, Room, room
from .drawing import Drawing
from .meter import Meter, held, wait, working_memory
from .shapes import Step, narrowed, rehearsed, steps_of

CAPTIONS = "encoding the captions"
_PIXELS_A_BYTE = 4  # of latents: four numbers of 32 bits stand for 64 pixels


@dataclass
class Found:
    """What a rehearsal found out. Bytes and seconds; what was not come to is None or empty.

    `overflowed` is the phase in which the memory was full. `working` is what a step allocates beyond what stays: activations
    and gradients, of the largest step (`is_estimated`: it did not fit, and follows from smaller ones); `checkpointed` the same
    with gradient checkpointing, `chosen` with that of the blocks that fit (None where all of them have to be). `points` are the
    steps that were timed: (pixels, seconds).
    """

    room: Room
    meter: Meter
    overflowed: str = ""
    working: int | None = None
    is_estimated: bool = False
    checkpointed: int | None = None
    chosen: int | None = None
    points: list[tuple[int, float]] = field(default_factory=list)
    latent_seconds: float | None = None  # per pixel of a picture
    caption_seconds: float | None = None  # per caption
    drawing: Drawing | None = None
    before_steps: int = 0  # what is held when the first step begins
    warnings: list[str] = field(default_factory=list)


class Told:
    """A reporter that passes phases on and keeps warnings, and when the captions began to be encoded."""

    def __init__(self, reporter: Reporter, warnings: list[str]) -> None:
        self._reporter, self._warnings = reporter, warnings
        self.captions_began: float | None = None

    def emit(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        if event["type"] == "warning":
            self._warnings.append(str(event["message"]))
            return
        if event["type"] == "phase" and event["name"] == CAPTIONS and self.captions_began is None:
            self.captions_began = time.perf_counter()
        self._reporter.emit(event)

    def control(self) -> Any:
        """What the user asks for."""
        return self._reporter.control()


@dataclass
class Rehearsal:
    """A rehearsal at work: what it is of, and what it has come to.

    `steps` are those of an epoch, `chosen` those that are made. `to_encode` are the pixels of the pictures whose latents do not
    lie on the disk yet, `latents_bytes` what all latents take, `texts_to_come` how many captions were left out.
    """

    options: TrainOptions
    plan: DataPlan
    counts: StepCounts
    found: Found
    processes: Processes
    steps: list[Step]
    chosen: list[Step]
    setting: Setting
    told: Told
    loaded: Loaded | None = None
    latents: LatentsCache | None = None
    loop: Loop | None = None
    optimizer: str = ""
    to_encode: int = 0
    latents_bytes: int = 0
    texts_to_come: int = 0


def rehearse(
    options: TrainOptions,
    *,
    reporter: Reporter,
    processes: Processes | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Rehearsal:
    """Load, encode, step and draw as the training would, and measure it. Writes nothing.

    `reporter` hears of what is done, `progress` how many of the PARTS are. Memory that is full is a finding, not an error.
    Raises what `train` raises for wrong input.
    """
    processes = processes or Processes.of(options.training)
    options = replace(options, training=replace(options.training, check=False))
    prepare.check(options)
    device = processes.device
    found = Found(room(device), Meter(device))
    told = Told(reporter, found.warnings)
    seed = processes.agree(resuming.seed(options.training.seed, None))
    computed = prepare.precision(options.training, device, told.emit)
    plan = prepare.data_plan(options, seed, processes, Told(reporter, []).emit)  # what is found in the data is told by others
    counts = prepare.step_counts(options.training, plan)
    plan = replace(plan, epochs=counts.epochs)
    steps = steps_of(plan, options.training.gradient_accumulation_steps)
    chosen = rehearsed(steps)
    small = narrowed(plan, frozenset().union(*(step.images for step in chosen)))
    unkept = replace(options.dataset, cache_latents_to_disk=False, cache_text_encoder_outputs_to_disk=False)
    setting = Setting(replace(options, dataset=unkept), small, counts, seed, computed, processes, told, StopOnSignal())
    of = Rehearsal(options, plan, counts, found, processes, steps, chosen, setting, told)
    for number, (name, work) in enumerate(PARTS.items()):
        progress(number, len(PARTS))
        if not _fits(of, name, work):
            break
    if found.overflowed == "step":
        _estimate(of)
    elif not found.overflowed and max(found.meter.peaks.values()) > TIGHT * found.room.free:
        _try_checkpointing(of)
    return of


def _fits(of: Rehearsal, name: str, work: Callable[[Rehearsal], object]) -> bool:
    """Do one phase; False when the memory is full in it."""
    try:
        work(of)
    except (RuntimeError, MemoryError) as error:
        if not failures.is_out_of_memory(error):
            raise
    else:
        return True
    of.found.overflowed = name
    free_card()
    return False


def _load(of: Rehearsal) -> None:
    with of.found.meter.phase("loading"):
        of.loaded = assembling.load(of.setting)


def _encode(of: Rehearsal) -> None:
    """Let the VAE encode as many pictures of the largest size as it will at once, then those that are rehearsed with."""
    assert of.loaded is not None
    pictures = pictures_of(of.plan, False)
    buckets = [one.bucket for one in pictures]
    of.latents_bytes = sum(width * height // _PIXELS_A_BYTE for width, height in buckets)
    if not of.options.dataset.cache_latents:
        return
    of.to_encode = sum(bucket[0] * bucket[1] for bucket in _lacking(of, pictures))
    width, height = max(buckets, key=lambda bucket: bucket[0] * bucket[1])
    count = min(of.options.dataset.vae_batch_size, buckets.count((width, height)))
    nothing = torch.zeros(count, 3, height, width)
    with of.found.meter.phase("latents"):
        for _ in range(2 if of.processes.device.type == "cuda" else 1):  # a card's first time tells nothing of the others
            began = time.perf_counter()
            of.loaded.encoder.posterior(nothing)
            wait(of.processes.device)
            of.found.latent_seconds = (time.perf_counter() - began) / (count * width * height)
    of.latents = assembling.encode(of.setting, of.loaded)


def _lacking(of: Rehearsal, pictures: list[Picture]) -> list[tuple[int, int]]:
    """The sizes of the pictures whose latents the training has to make: those that lie on the disk are there."""
    assert of.loaded is not None
    if not of.options.dataset.cache_latents_to_disk:
        return [one.bucket for one in pictures]
    store = latents_store(of.options.dataset, of.loaded.encoder)
    assert store is not None
    return [one.bucket for one in pictures if store.find(of.plan, one.image, one.flipped, numbers=False) is None]


def _build(of: Rehearsal) -> None:
    """Encode the captions, and make network and optimizer."""
    assert of.loaded is not None
    with of.found.meter.phase("texts"):
        of.loop, of.optimizer = assembling.build(of.setting, of.loaded)
        wait(of.processes.device)
    ended = time.perf_counter()
    every, here = captions.constant(of.plan), captions.constant(of.setting.plan)
    if of.told.captions_began is not None and every and here:
        of.texts_to_come = max(0, len(every) - len(here))
        of.found.caption_seconds = (ended - of.told.captions_began) / len(here)
    of.found.before_steps = held(of.processes.device)


def _steps(of: Rehearsal) -> None:
    """Make steps of the chosen sizes: the first of each to warm up, the next is timed."""
    loop, found, device = of.loop, of.found, of.processes.device
    assert loop is not None
    prepared = [_read(of, step) for step in of.chosen]
    loop.gradients.decide(lambda: shrunk.largest(prepared[0]), found.room)
    with found.meter.phase("step"):
        for step, batches in zip(of.chosen, prepared, strict=True):
            loop.make_step(step.batches, iter(batches))
            wait(device)
            began = time.perf_counter()
            loop.make_step(step.batches, iter(batches))
            wait(device)
            found.points.append((step.work, time.perf_counter() - began))


def _working(of: Rehearsal) -> None:
    """Make one more of the largest steps, for what it allocates. Last: on the CPU its record takes main memory itself."""
    loop = of.loop
    assert loop is not None
    batches = _read(of, of.chosen[0])
    of.found.working = working_memory(of.processes.device, lambda: loop.make_step(of.chosen[0].batches, iter(batches)))


def _estimate(of: Rehearsal) -> None:
    """A step did not fit: how much it needs follows from smaller ones."""
    assert of.loop is not None
    of.loop.updater.clear()
    of.found.working = shrunk.estimate(of.loop, _read(of, of.chosen[0]), of.processes.device)
    of.found.is_estimated = True
    _try_checkpointing(of)


def _try_checkpointing(of: Rehearsal) -> None:
    """There is too little memory: what gradient checkpointing, the best that costs no quality, would save. The last that is
    done, for the model stays so."""
    loop, training = of.loop, of.options.training
    assert loop is not None
    if not training.gradient_checkpointing:
        twice = replace(training, gradient_checkpointing=True, gradient_checkpointing_blocks=AUTO, torch_compile=False)
        trainee = loop.gradients.trainee
        recomputing, batches = Recomputing.of(twice, trainee.model), _read(of, of.chosen[0])
        of.found.checkpointed = shrunk.estimate(loop, batches, of.processes.device, whole=True)
        recomputing.choose(trainee, loop.updater, shrunk.largest(batches), of.told.emit, of.found.room)
        if recomputing.names is not None:
            of.found.chosen = recomputing.working


def _read(of: Rehearsal, step: Step) -> list[Batch]:
    """The batches of a step as the training gets them."""
    batches = TrainDataset(
        of.plan,
        rank=of.processes.rank,
        world_size=of.processes.world_size,
        latents=of.latents,
        masks=kept_masks(of.latents, of.setting.plan, of.told.emit),
        gradient_accumulation_steps=of.options.training.gradient_accumulation_steps,
        max_train_steps=of.counts.total_steps,
    )
    return [batches[(0, step.first + place)] for place in range(len(step.batches))]


def _samples(of: Rehearsal) -> None:
    """Draw one of the sample pictures in a few steps, where some are asked for."""
    prompts = sample_prompts(of.options.sampling)
    if not prompts:
        return
    assert of.loop is not None
    with tempfile.TemporaryDirectory(prefix="lora-trainer-check-") as folder, of.found.meter.phase("samples"):
        of.found.drawing = drawing.measure(of.options, prompts, of.loop, of.plan, Path(folder), of.told.emit)


PARTS: Mapping[str, Callable[[Rehearsal], None]] = {
    "loading": _load,
    "latents": _encode,
    "texts": _build,
    "step": _steps,
    "samples": _samples,
    "working": _working,
}
