"""What would need less memory, and how much less: computed from what was measured. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...data.plan.model import DatasetPlan
from ...options import TrainOptions
from ...options.optimizer_kinds import kind_of
from ...options.trained import MODEL, WITH_NETWORK

_ADAM = {"adamw", "adam", "adamw8bit", "adam8bit"}
_SIXTEEN_BITS = 2
_LEAST = 0.01  # of what is needed: less is not worth a change


@dataclass(frozen=True)
class Sizes:
    """Bytes of what a training holds while it makes a step. `model` is the UNet (nothing of it that is trained),
    `working` activations and gradients, `checkpointed` these with gradient checkpointing (None: not known), `chosen` with that
    of as few blocks as fit, `other` the rest of the peak."""

    model: int
    texts: int
    vae: int
    trained: int
    optimizer: int
    working: int
    other: int = 0
    checkpointed: int | None = None
    chosen: int | None = None

    @property
    def step(self) -> int:
        """All of it."""
        return self.model + self.texts + self.vae + self.trained + self.optimizer + self.working + self.other


@dataclass(frozen=True)
class Saving:
    """Setting these options would need `needed` bytes in all; `measured` when that was tried."""

    values: Mapping[str, Any]
    needed: int
    measured: bool = False


def savings(
    options: TrainOptions, sizes: Sizes, peaks: Mapping[str, int], *, on_card: bool, datasets: Sequence[DatasetPlan] = ()
) -> list[Saving]:
    """What would help, the most helpful first. `peaks` are those of all phases.

    What is in force already is left out, and what does not lower the highest peak, and the batch size and resolution of the
    options where one of the `datasets` has its own.
    """
    needed, own = max(peaks.values()), _of_their_own(options, datasets)
    found = []
    for values, phase, less, measured in _possible(options, sizes, on_card):
        if own & values.keys():
            continue
        after = max(max(0, peak - less) if name == phase else peak for name, peak in peaks.items())
        if needed - after >= _LEAST * needed:
            found.append(Saving(values, after, measured))
    return sorted(found, key=lambda one: one.needed)


def _possible(options: TrainOptions, sizes: Sizes, on_card: bool) -> Iterator[tuple[dict[str, Any], str, int, bool]]:
    """(options to set, the phase whose peak they lower, by how many bytes, whether that was measured)."""
    training, dataset, network = options.training, options.dataset, options.network
    batch, side = dataset.train_batch_size, _square(dataset.resolution)
    if sizes.checkpointed is not None and not training.gradient_checkpointing:
        yield {"gradient_checkpointing": True}, "step", sizes.working - sizes.checkpointed, True
    if sizes.chosen is not None and not training.gradient_checkpointing:
        values = {"gradient_checkpointing": True, "gradient_checkpointing_blocks": "auto"}
        yield values, "step", sizes.working - sizes.chosen, True
    if batch > 1:
        yield {"split_batch_when_full": True}, "step", sizes.working * (batch - 1) // batch, False
        half = batch // 2
        yield {"train_batch_size": half}, "step", sizes.working * (batch - half) // batch, False
    if side and side > 256:
        smaller = max(256, side * 3 // 4 // 64 * 64)
        yield {"resolution": str(smaller)}, "step", int(sizes.working * (1 - smaller**2 / side**2)), False
    if on_card and not dataset.cache_latents:
        yield {"cache_latents": True}, "step", sizes.vae, False
    is_whole = options.trained.trains == MODEL
    if on_card and training.mixed_precision == "no":
        copies = sizes.trained // 2 if is_whole else 0  # of the weights, which stay as they are
        yield {"mixed_precision": "bf16"}, "step", (sizes.model + sizes.texts + sizes.working) // 2 - copies, False
    eight = training.mixed_precision != "no" and not (options.model.fp8_base or options.model.fp8_base_unet)
    if is_whole and _can_fuse(options):
        yield {"fused_backward_pass": True}, "step", min(sizes.trained, sizes.working), False
    elif eight and not is_whole:
        yield {"fp8_base": True}, "step", (sizes.model + sizes.texts) // _SIXTEEN_BITS, False
    is_network = options.trained.trains in WITH_NETWORK
    if is_network and not network.network_train_unet_only and sizes.texts:
        yield {"network_train_unet_only": True}, "step", sizes.texts if on_card else 0, False
    if on_card and options.optimizer.optimizer_type.lower() in _ADAM - {"adamw8bit", "adam8bit"}:
        yield {"optimizer_type": "AdamW8bit"}, "step", sizes.optimizer * 3 // 4, False
    rank = network.network_dim or 4
    if is_network and rank > 4 and not network.dim_from_weights:
        yield {"network_dim": rank // 2}, "step", (sizes.trained * 2 + sizes.optimizer) // 2, False
    if dataset.cache_latents and dataset.vae_batch_size > 1:
        yield {"vae_batch_size": 1}, "latents", 1 << 62, False


def _can_fuse(options: TrainOptions) -> bool:
    """Whether each weight may be changed as soon as its gradient is there."""
    whole = kind_of(options.optimizer.optimizer_type).whole or options.optimizer.fused_backward_pass
    training = options.training
    return not whole and training.mixed_precision != "fp16" and training.gradient_accumulation_steps == 1


def _of_their_own(options: TrainOptions, datasets: Sequence[DatasetPlan]) -> set[str]:
    """Which of the options that count for a data set one of them has otherwise."""
    side = _square(options.dataset.resolution)
    batches = {one.spec.batch_size for one in datasets} - {options.dataset.train_batch_size}
    sizes = {one.resolution for one in datasets} - {(side, side)}
    return ({"train_batch_size"} if batches else set()) | ({"resolution"} if sizes else set())


def _square(resolution: str | None) -> int:
    """The side of a square size, 0 for another."""
    sides = [part.strip() for part in (resolution or "").split(",")]
    return int(sides[0]) if len(set(sides)) == 1 and sides[0].isdecimal() else 0
