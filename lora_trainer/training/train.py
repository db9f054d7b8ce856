"""A training from beginning to end. It reads from top to bottom; each part is a small piece beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..data.plan import StepCounts
from ..errors import NotFiniteError
from ..log import logger
from ..options import TrainOptions
from ..runs.control import Control
from ..runs.events import Reporter
from . import assembling, early, failures, hub, kernels, precision, prepare, results, resuming, shared, trackers
from .assembling import Setting
from .checkpoint import SavePlan
from .determinism import deterministic
from .distributed import Processes
from .encoding import kept_masks
from .facts import file_metadata
from .interrupt import StopOnSignal
from .loading import batches, largest
from .loop import Loop
from .phases import Emit, phase
from .previews import Previews, sample_prompts
from .saver import Saver
from .sharing import Undo
from .state_saver import StateSaver


@dataclass(frozen=True)
class TrainResult:
    """How a training ended: the final file (None when it was stopped before the first step), and after how many steps."""

    path: Path | None
    step: int
    reason: Literal["done", "stopped"]


def train(
    options: TrainOptions,
    *,
    reporter: Reporter,
    processes: Processes | None = None,
    losses_to: Path | None = None,
    of_run: bool = False,
) -> TrainResult:
    """Train what `options` say, and save it.

    `reporter` takes events and is asked for the user's wishes (docs/architecture.md); `losses_to` is where the loss of each
    picture is written (`picture_losses`), None for nowhere; `of_run`: output_dir is one run's alone, so that what is gone on
    from there is its own even with other pictures or settings. Raises InputError(s) for what is wrong with the input,
    BaseModelError, LoraFileError, NotFiniteError, OutOfMemoryError and SaveError; everything that had been saved before stays.
    """
    processes = processes or Processes.of(options.training)
    reporter = reporter if processes.is_main else _Quiet()
    chosen = options.training
    with (
        StopOnSignal() as signals,
        failures.memory_explained(options, processes.device),
        deterministic(chosen.deterministic),
        kernels.chosen(chosen),
        trackers.following(options, reporter, is_main=processes.is_main) as reporter,
        hub.following(options.saving, reporter, is_main=processes.is_main) as reporter,
    ):
        emit = reporter.emit
        prepare.check(options)
        prepare.check_sharing(chosen, processes)
        imports = early.import_models()
        resumed = resuming.find(hub.fetched(options.saving, emit), processes, emit)
        seed = processes.agree(resuming.seed(chosen.seed, resumed))
        computed = prepare.precision(chosen, processes.device, emit)

        plan = prepare.data_plan(options, seed, processes, emit)
        planned = prepare.step_counts(chosen, plan)
        start = resuming.start(options, resumed, plan, planned, computed, processes, emit, of_run=of_run)
        counts = start.counts
        plan = replace(plan, epochs=counts.epochs)
        prompts = sample_prompts(options.sampling)
        emit(_started(computed, counts, seed))
        if not of_run:
            prepare.say_doubts(options, counts, emit)

        setting = Setting(options, plan, counts, seed, computed, processes, reporter, signals)
        imports.join()  # a package that another thread is importing has not all of its names yet
        loaded = assembling.load(setting)
        latents = assembling.encode(setting, loaded)
        if processes.any(signals.asked or reporter.control().stop):
            return _finish(TrainResult(None, start.step, "stopped"), emit)
        masks = kept_masks(latents, plan, emit)
        saving = SavePlan.of(options.saving, counts.epochs)
        beside = saving.losses if options.saving.save_picture_losses else None
        loop, optimizer = assembling.build(setting, loaded, losses_to or beside)
        updater, trainee, network, shards = loop.updater, loop.gradients.trainee, loop.updater.trained, loop.shards
        pieces = resuming.pieces(loop)  # what remembers something from one step to the next
        loop.sharing.undo = Undo(updater, pieces, loop.pictures)
        if processes.is_main:
            metadata = file_metadata(options, loaded.model, network, plan, counts, optimizer, start)
            number_format, mine = options.saving.save_precision, start.session_of_files
            written = results.of(options, loaded.model, network)
            saver = Saver(network, saving, metadata, emit, number_format, shared.for_files(shards, updater), mine, written)
            loop.saver = pieces["saver"] = saver
            loop.states = StateSaver.of(options.saving, saving, pieces, start.facts, emit, shared.for_states(shards))
            shown = shared.for_pictures(shards, updater)
            loop.previews = Previews.of(options.sampling, prompts, trainee, network, saving, plan, emit, shown, loop.attempt)
        logger.info("%s", kernels.told(loaded.model, computed, channels_last=chosen.channels_last))
        resuming.go_on(start, pieces, loop, emit)
        loop.gradients.decide(
            lambda: largest(chosen, plan, counts, latents, processes, masks),
            batches=counts.total_steps * loop.accumulation,
            shapes=len({(batch.size, len(batch.images)) for batch in plan.batches(0)}),
        )

        phase(emit, "training")
        with shards.attended() if shards else nullcontext():
            with _rescued(loop, options):
                loop.run(batches(chosen, plan, counts, latents, processes, loop.position, masks=masks))
            with loop.served():
                return _end(loop, emit)


def _end(loop: Loop, emit: Emit) -> TrainResult:
    """Save the result, and what can be gone on from."""
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
        with suppress(Exception):  # a step that nobody has told of yet; a card that failed has no more to say of it
            loop.settle()
        can_save = loop.shards is None or loop.shards.come_for(all_failed=isinstance(error, NotFiniteError))
        saved = loop.saver.rescue(loop.step, loop.epochs_done) if loop.saver and can_save else None
        if loop.states and can_save and loop.updater.is_whole:
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
