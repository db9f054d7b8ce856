"""A training from beginning to end. It reads from top to bottom; each part is a small piece beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..data.plan import StepCounts
from ..errors import NotFiniteError
from ..options import TrainOptions
from ..runs.control import Control
from ..runs.events import Reporter
from . import base_weights, failures, hub, memory, optimizers, precision, prepare, resuming, trackers
from .checkpoint import SavePlan
from .conditioning import text_states
from .determinism import deterministic
from .distributed import Processes
from .encoding import Encoder, cached_latents, kept_masks, latents_store
from .facts import file_metadata
from .gradients import Gradients
from .interrupt import StopOnSignal
from .loading import batches
from .loop import Loop
from .noise import NoiseSettings
from .parking import Parking
from .phases import Emit, phase
from .picture_losses import PictureLosses
from .previews import Previews, sample_prompts
from .saver import Saver
from .state_saver import StateSaver
from .trainee import Trainee
from .update import Updater
from .validation import Validation


@dataclass(frozen=True)
class TrainResult:
    """How a training ended: the final file (None when it was stopped before the first step), and after how many steps."""

    path: Path | None
    step: int
    reason: Literal["done", "stopped"]


def train(
    options: TrainOptions, *, reporter: Reporter, processes: Processes | None = None, losses_to: Path | None = None
) -> TrainResult:
    """Train a network as `options` say, and save it.

    `reporter` takes events and is asked for the user's wishes (docs/architecture.md); `losses_to` is where the loss of each
    picture is written (`picture_losses`), None for nowhere. Raises InputError(s) for what is wrong with the input,
    BaseModelError, LoraFileError, NotFiniteError, OutOfMemoryError and SaveError; everything that had been saved before stays.
    """
    processes = processes or Processes.of(options.training)
    reporter = reporter if processes.is_main else _Quiet()
    chosen = options.training
    with (
        StopOnSignal() as signals,
        failures.memory_explained(options, processes.device),
        deterministic(chosen.deterministic),
        trackers.following(options, reporter, is_main=processes.is_main) as reporter,
        hub.following(options.saving, reporter, is_main=processes.is_main) as reporter,
    ):
        emit = reporter.emit
        prepare.check(options)
        resumed = resuming.find(hub.fetched(options.saving, emit), processes, emit)
        seed = processes.agree(resuming.seed(chosen.seed, resumed))
        computed = prepare.precision(chosen, processes.device, emit)

        plan = prepare.data_plan(options, seed, processes, emit)
        start = resuming.start(options, resumed, plan, prepare.step_counts(chosen, plan), computed, processes, emit)
        counts = start.counts
        plan = replace(plan, epochs=counts.epochs)
        prompts = sample_prompts(options.sampling)
        emit(_started(computed, counts, seed))

        model = prepare.base_model(options.model, plan, computed, emit)
        objective = prepare.objective(chosen, model, computed.device)
        base_weights.merge(options.network, model, emit)
        encoder = Encoder(model, seed, computed.device, memory.Resting.of(options.model, computed.device))
        parking = Parking.of(model, reporter, processes, signals)
        store = latents_store(options.dataset, encoder)
        latents = cached_latents(options.dataset, plan, encoder, emit, parking.while_preparing, store, processes)
        if processes.any(signals.asked or reporter.control().stop):
            return _finish(TrainResult(None, start.step, "stopped"), emit)
        masks = kept_masks(latents, plan, emit)

        phase(emit, "building the network")
        network = prepare.network(options.network, model, seed, computed.device)
        memory.save(chosen, model)
        built = optimizers.of(options.optimizer, network, emit)
        updater = Updater.of(options, network, built, computed, processes, total_steps=counts.total_steps, seed=seed)
        processes.same_start(network.parameters())
        text = text_states(options, model, network, plan, computed, processes, emit)
        pictures = PictureLosses(plan, losses_to) if losses_to and processes.is_main else None
        trainee = Trainee(model, text, encoder, objective, NoiseSettings.of(chosen), computed, seed, network, pictures)
        loop = Loop(
            gradients=Gradients(trainee, updater, emit, splits=chosen.split_batch_when_full and not updater.fused),
            updater=updater,
            plan=plan,
            counts=counts,
            accumulation=chosen.gradient_accumulation_steps,
            processes=processes,
            reporter=reporter,
            signals=signals,
            parking=parking.with_trained(network, updater.optimizer, updater.remembered),
            validation=Validation.of(options.dataset, trainee, plan, counts.total_steps, processes, emit, updater.shown, store),
        )
        pieces = resuming.pieces(loop)  # what remembers something from one step to the next
        if processes.is_main:
            metadata = file_metadata(options, model, network, plan, counts, built.description, start)
            saving = SavePlan.of(options.saving, counts.epochs)
            number_format, mine = options.saving.save_precision, start.session_of_files
            loop.saver = pieces["saver"] = Saver(network, saving, metadata, emit, number_format, updater.shown, mine)
            loop.states = StateSaver.of(options.saving, saving, pieces, start.facts, emit)
            loop.previews = Previews.of(options.sampling, prompts, trainee, network, saving, plan, emit, updater.shown)
        resuming.go_on(start, pieces, loop, emit)

        phase(emit, "training")
        with _rescued(loop, options):
            loop.run(batches(chosen, plan, counts, latents, processes, loop.position, masks=masks))
        return _end(loop, emit)


def _end(loop: Loop, emit: Emit) -> TrainResult:
    """Save the result, and what can be gone on from."""
    phase(emit, "saving the LoRA")
    if loop.pictures:
        loop.pictures.write(loop.step)
    path = loop.saver.final(loop.step, loop.epochs_done) if loop.saver and loop.step else None
    if loop.states:
        loop.states.at_end(loop.step, loop.position, done=not loop.stopped)
    result = _finish(TrainResult(path, loop.step, "stopped" if loop.stopped else "done"), emit)
    if loop.states and not loop.stopped:
        loop.states.remove_rolling()
    return result


@contextmanager
def _rescued(loop: Loop, options: TrainOptions) -> Iterator[None]:
    """Save what was trained when something goes wrong; a number that is none is said with what is left and what to change."""
    try:
        yield
    except Exception as error:
        saved = loop.saver.rescue(loop.step, loop.epochs_done) if loop.saver else None
        if loop.states and loop.updater.is_whole:
            loop.states.rescue(loop.step, loop.position)
        if isinstance(error, NotFiniteError):
            raise failures.not_finite(error, saved, options) from error
        raise


class _Quiet:
    """The reporter of the processes that write nothing; the main process tells them when to stop."""

    def emit(self, event: Mapping[str, Any]) -> None:
        """Say nothing."""

    def control(self) -> Control:
        """Nobody asks for anything here."""
        return Control()


def _started(computed: precision.Precision, counts: StepCounts, seed: int) -> dict[str, Any]:
    return {
        "type": "started",
        "pid": os.getpid(),
        "version": __version__,
        "device": precision.device_name(computed.device),
        "precision": str(computed.dtype).removeprefix("torch."),
        "seed": seed,
        "total_steps": counts.total_steps,
        "steps_per_epoch": counts.steps_per_epoch,
        "epochs": counts.epochs,
    }


def _finish(result: TrainResult, emit: Emit) -> TrainResult:
    path = str(result.path) if result.path else ""
    emit({"type": "finished", "reason": result.reason, "path": path, "step": result.step})
    return result
