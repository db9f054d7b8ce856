"""The parts that a training is put together from, each made from the options."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..data.cache import LatentsCache
from ..data.dataset import EpochStream, TrainDataset
from ..data.plan import DataPlan, StepCounts, make_plan
from ..data.plan.captions import process_caption
from ..errors import InputError, LoraTrainerError
from ..models import Model, load
from ..models.attention import checkpoint_gradients
from ..networks import registry
from ..networks.arguments import parse_network_args
from ..networks.network import Network
from ..options import TrainOptions
from ..options.dataset_config import data_spec
from ..options.family_checks import hints
from . import long_captions, optimizers, schedulers
from .conditioning import TextStates
from .distributed import Processes
from .encoding import Encoder
from .interrupt import ignore_in_data_worker
from .precision import Precision
from .schedulers import ScheduleSettings
from .trained import Trained
from .update import Updater

Emit = Callable[[dict[str, Any]], object]
_SECONDS_BETWEEN_PHASES = 0.5
_VARYING = ("shuffle_caption", "enable_wildcard", "caption_tag_dropout_rate", "token_warmup_step")


def phase(emit: Emit, name: str) -> Callable[..., None]:
    """Say that `name` begins; the result, called with (..., done, total), says now and then how far it is."""
    emit({"type": "phase", "name": name, "done": 0, "total": 0})
    said = time.monotonic()

    def progress(*place: Any) -> None:
        nonlocal said
        done, total = place[-2:]
        if time.monotonic() - said >= _SECONDS_BETWEEN_PHASES:
            said = time.monotonic()
            emit({"type": "phase", "name": name, "done": done, "total": total})

    return progress


def check(options: TrainOptions) -> None:
    """Raise InputError(s) for what is wrong in the options that only this room and the networks understand."""
    registry.get(options.network.network_module)
    parse_network_args(options.network.network_args)
    optimizers.check_name(options.optimizer.optimizer_type)
    schedulers.parse_arguments(options.optimizer.optimizer_args or (), option="optimizer_args")
    schedulers.factor(ScheduleSettings.of(options.optimizer), total_steps=max(1, options.training.max_train_steps), rate=1e-4)


def data_plan(options: TrainOptions, seed: int, processes: Processes, emit: Emit) -> DataPlan:
    """Look at the images. Findings become warnings; raises InputErrors for those that keep the training from starting."""
    phase(emit, "reading the images")
    plan = make_plan(
        data_spec(options),
        seed=seed,
        prior_loss_weight=options.training.prior_loss_weight,
        world_size=processes.world_size,
    )
    for finding in plan.findings:
        if finding.level == "warning":
            emit({"type": "warning", "message": f"{finding.where}: {finding.message}" if finding.where else finding.message})
    plan.raise_errors()
    if options.dataset.cache_text_encoder_outputs and constant_captions(plan) is None:
        varying = ", ".join(name for name in _VARYING if any(getattr(subset.spec, name) for subset in plan.subsets))
        raise InputError(
            f"the captions change at each use because of {varying}, so that the text encoders' outputs cannot be cached.",
            field="cache_text_encoder_outputs",
            advice="Leave cache_text_encoder_outputs or these settings out.",
        )
    return plan


def base_model(options: TrainOptions, plan: DataPlan, precision: Precision, emit: Emit) -> Model:
    """Load the base model, frozen, in the compute precision; the VAE in float32 unless that is fp16."""
    half_vae = precision.dtype == torch.float16 and not options.model.no_half_vae
    model = load(
        options.model.pretrained_model_name_or_path or "",
        dtype=precision.dtype,
        device=precision.device,
        vae=options.model.vae,
        vae_dtype=precision.dtype if half_vae else torch.float32,
        attention="xformers" if options.model.xformers else "torch",
        prediction_type="v_prediction" if options.model.v_parameterization else None,
        progress=phase(emit, "loading the model"),
    )
    sizes = [dataset.resolution for dataset in plan.datasets]
    found = hints(model.family.name, clip_skip=options.model.clip_skip, sizes=sizes)
    for note in (*model.notes, *(message for _, message in found)):
        emit({"type": "warning", "message": note})
    return model


def cached_latents(
    options: TrainOptions, plan: DataPlan, encoder: Encoder, emit: Emit, should_stop: Callable[[], bool]
) -> LatentsCache | None:
    """Encode all images once and free the VAE's memory; None when it is not wanted, or was stopped."""
    if not options.dataset.cache_latents:
        return None
    cache = LatentsCache.build(
        plan,
        encoder,
        batch_size=options.dataset.vae_batch_size,
        progress=phase(emit, "encoding the images"),
        should_stop=should_stop,
    )
    encoder.free()
    return cache


def network(options: TrainOptions, model: Model, seed: int, device: torch.device) -> Network:
    """Build the network, put it on the model, and load `network_weights` into it."""
    chosen = options.network
    builder = registry.get(chosen.network_module)
    arguments: dict[str, Any] = {"neuron_dropout": chosen.network_dropout, **parse_network_args(chosen.network_args)}
    arguments["seed"] = seed
    if chosen.dim_from_weights and chosen.network_weights:
        built, _ = builder.create_network_from_weights(
            1.0, chosen.network_weights, model.vae, model.text_encoders, model.unet, **arguments
        )
    else:
        built = builder.create_network(
            1.0, chosen.network_dim, chosen.network_alpha, model.vae, model.text_encoders, model.unet, **arguments
        )
    built.apply_to(
        model.text_encoders,
        model.unet,
        apply_text_encoder=not chosen.network_train_unet_only,
        apply_unet=not chosen.network_train_text_encoder_only,
    )
    if chosen.network_weights:
        built.load_weights(chosen.network_weights)
    return built.to(device).train()


def save_memory(options: TrainOptions, model: Model) -> None:
    """Compute the forward pass of UNet and text encoders twice instead of keeping it, if the options say so."""
    if options.training.gradient_checkpointing:
        checkpoint_gradients(model.unet, model.text_encoders)


def updater(
    options: TrainOptions,
    trained: Trained,
    counts: StepCounts,
    precision: Precision,
    processes: Processes,
    seed: int,
    emit: Emit,
) -> tuple[Updater, str]:
    """Return the updater, and the optimizer's description for the metadata. Parts with a rate of 0 are not trained."""
    chosen = options.optimizer
    groups = trained.parameter_groups(chosen.text_encoder_lr, chosen.unet_lr, chosen.learning_rate)
    made = optimizers.create(
        "AdamW8bit" if chosen.use_8bit_adam else chosen.optimizer_type,
        groups,
        learning_rate=chosen.learning_rate,
        args=schedulers.parse_arguments(chosen.optimizer_args or (), option="optimizer_args"),
    )
    if made.warning:
        emit({"type": "warning", "message": made.warning})
    return (
        Updater(
            trained=trained,
            optimizer=made.optimizer,
            schedule=schedulers.create(made.optimizer, ScheduleSettings.of(chosen), total_steps=counts.total_steps),
            scaler=precision.scaler(),
            processes=processes,
            max_grad_norm=chosen.max_grad_norm,
            max_weight_norm=options.network.scale_weight_norms,
            seed=seed,
        ),
        made.description,
    )


def text_states(
    options: TrainOptions, model: Model, is_trained: bool, plan: DataPlan, precision: Precision, emit: Emit
) -> TextStates:
    """Return the text states; where no encoder is trained and the captions stay the same, they are computed now."""
    states = TextStates(
        model,
        precision,
        is_trained,
        max_token_length=options.model.max_token_length or 75,
        clip_skip=options.model.clip_skip or 1,
        weighted=options.model.weighted_captions,
    )
    for message in long_captions.warnings(
        plan, model.tokenizers[0], max_token_length=states.max_token_length, weighted=states.weighted
    ):
        emit({"type": "warning", "message": message})
    captions = constant_captions(plan)
    if not is_trained and captions is not None:
        states.prepare(captions, phase(emit, "encoding the captions"))
    return states


def constant_captions(plan: DataPlan) -> list[str] | None:
    """All captions that the training will show, or None where they are drawn anew each time."""
    captions = []
    for image in plan.images:
        spec = plan.subsets[image.subset].spec
        if any(getattr(spec, option) for option in _VARYING):
            return None
        if not image.repeats:
            continue
        shown = replace(spec, caption_dropout_rate=0.0, caption_dropout_every_n_epochs=0)
        captions.append(process_caption(image.caption, shown, random.Random(0), epoch=1))
        if shown != spec:  # now and then it is left out
            captions.append("")
    return captions


def batches(
    options: TrainOptions, plan: DataPlan, counts: StepCounts, latents: LatentsCache | None, processes: Processes
) -> Iterator[Mapping[str, Any]]:
    """Yield this process's share of every batch of all epochs, without a pause between epochs.

    Latents from memory need no processes to read them.
    """
    dataset = TrainDataset(
        plan,
        rank=processes.rank,
        world_size=processes.world_size,
        latents=latents,
        gradient_accumulation_steps=options.training.gradient_accumulation_steps,
        max_train_steps=counts.total_steps,
    )
    workers = 0 if latents is not None else options.training.max_data_loader_n_workers
    loader = DataLoader(
        _ErrorsAsBatches(dataset),
        batch_size=None,
        sampler=EpochStream(plan, counts.epochs),
        num_workers=min(workers, os.cpu_count() or 1, plan.batches_per_epoch * counts.epochs),
        pin_memory=processes.device.type == "cuda",
        worker_init_fn=ignore_in_data_worker,
    )
    for batch in loader:
        if isinstance(batch, LoraTrainerError):
            raise batch
        yield batch


class _ErrorsAsBatches(Dataset[Any]):
    """Gives our errors in place of a batch: torch would put the traceback of its process into their message."""

    def __init__(self, batches: TrainDataset) -> None:
        self._batches = batches

    def __getitem__(self, key: tuple[int, int]) -> Any:
        try:
            return self._batches[key]
        except LoraTrainerError as error:
            return error

    def __len__(self) -> int:
        return len(self._batches)
