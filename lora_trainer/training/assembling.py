"""The pieces of a training put together, for a whole one (`train`) and for a rehearsal of a few steps (`rehearsal`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..data.cache import LatentsCache
from ..data.latents_store import LatentsStore
from ..data.plan import DataPlan, StepCounts
from ..models import Model
from ..options import TrainOptions
from ..options.trained import MODEL, WITH_NETWORK
from ..runs.events import Reporter
from . import base_weights, kernels, memory, optimizers, prepare, shared
from .conditioning import text_states
from .distributed import Processes
from .encoding import Encoder, cached_latents, latents_store
from .gradients import Gradients
from .interrupt import StopOnSignal
from .loop import Loop
from .noise import NoiseSettings
from .objective import Objective
from .parking import Parking
from .phases import phase
from .picture_losses import PictureLosses
from .precision import Precision
from .recomputing import Recomputing
from .trainee import Trainee
from .update import Updater
from .validation import Validation


@dataclass(frozen=True)
class Setting:
    """Where a training takes place: what was asked for, what is trained on, and who is told of it."""

    options: TrainOptions
    plan: DataPlan
    counts: StepCounts
    seed: int
    computed: Precision
    processes: Processes
    reporter: Reporter
    signals: StopOnSignal


@dataclass(frozen=True)
class Loaded:
    """The base model, and what is made of it before there is a network."""

    model: Model
    objective: Objective
    encoder: Encoder
    store: LatentsStore | None
    parking: Parking

    def bring_unet(self, device: torch.device) -> None:
        """The UNet is needed from now on (it may have waited in main memory)."""
        self.model.unet.to(device)


def load(of: Setting) -> Loaded:
    """Load the base model."""
    chosen, emit = of.options, of.reporter.emit
    held = prepare.held_dtype(chosen, of.computed)
    model = prepare.base_model(chosen.model, of.plan, of.computed, emit, held)
    if chosen.trained.trains in WITH_NETWORK:
        prepare.check_family(chosen.network, model.family.name)
    objective = prepare.objective(chosen.training, model, of.computed.device)
    base_weights.merge(chosen.network, model, emit)
    encoder = Encoder(model, of.seed, of.computed.device, memory.Resting.of(chosen.model, of.computed.device))
    parking = Parking.of(model, of.reporter, of.processes, of.signals)
    return Loaded(model, objective, encoder, latents_store(chosen.dataset, encoder), parking)


def encode(of: Setting, loaded: Loaded) -> LatentsCache | None:
    """Encode the images; None when they are not cached, or it was stopped."""
    return cached_latents(
        of.options.dataset,
        of.plan,
        loaded.encoder,
        of.reporter.emit,
        loaded.parking.while_preparing,
        loaded.store,
        of.processes,
    )


def build(of: Setting, loaded: Loaded, losses_to: Path | None = None) -> tuple[Loop, str]:
    """Build what is trained, its optimizer and the loop; returns it, and how the optimizer is described in files.

    `losses_to` is where the loss of each picture is written.
    """
    options, plan, processes, emit = of.options, of.plan, of.processes, of.reporter.emit
    model, chosen = loaded.model, options.training
    phase(emit, "building what is trained")
    if options.trained.trains == MODEL:
        loaded.bring_unet(of.computed.device)  # an optimizer is made for where its weights are
    network = prepare.trained(options, model, plan, of.seed, of.computed, emit, steps=of.counts.total_steps)
    processes.same_start(network.parameters())
    shards = prepare.shards(chosen, network, processes)
    computed = replace(of.computed, mixed=network.needs_autocast)
    recomputing = Recomputing.of(chosen, model)
    built = optimizers.of(options.optimizer, network, emit)
    updater = Updater.of(options, network, built, of.computed, processes, total_steps=of.counts.total_steps, seed=of.seed)
    text = text_states(options, model, network, plan, computed, processes, emit)
    if not shards:
        loaded.bring_unet(of.computed.device)
    kernels.arrange(chosen, model, computed)
    pictures = PictureLosses(plan, losses_to) if losses_to and processes.is_main else None
    noise = NoiseSettings.of(chosen)
    trainee = Trainee(
        model, text, loaded.encoder, loaded.objective, noise, computed, of.seed, network, pictures, always_computes=bool(shards)
    )
    total, store, shown = of.counts.total_steps, loaded.store, updater.shown
    if shards:
        shown = shared.arrange(shards, updater)
    loop = Loop(
        gradients=Gradients(
            trainee, updater, emit, chosen.split_batch_when_full and not updater.fused, recomputing=recomputing
        ),
        updater=updater,
        plan=plan,
        counts=of.counts,
        accumulation=chosen.gradient_accumulation_steps,
        processes=processes,
        reporter=of.reporter,
        signals=of.signals,
        parking=loaded.parking.with_trained(network, updater.optimizer, updater.remembered),
        shards=shards,
        validation=Validation.of(options.dataset, trainee, plan, total, processes, emit, shown, store),
    )
    return loop, built.description
