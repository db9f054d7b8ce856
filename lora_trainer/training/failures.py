"""What went wrong while training, said so that the user can mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import NotFiniteError, OutOfMemoryError, is_out_of_memory
from ..options import TrainOptions
from ..options.network import NetworkOptions
from ..options.trained import MODEL


@contextmanager
def memory_explained(options: TrainOptions, device: torch.device) -> Iterator[None]:
    """Turn torch's own out-of-memory errors into OutOfMemoryError with what to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        place = "graphics card's memory" if device.type == "cuda" else "main memory"
        raise OutOfMemoryError(f"The {place} is full.", advice=what_to_lower(options, device)) from error


def what_to_lower(options: TrainOptions, device: torch.device) -> str:
    """Name what is left to lower, the most helpful with the least harm first."""
    training, advice = options.training, []
    if not training.gradient_checkpointing:
        advice.append("switch gradient_checkpointing on")
    if device.type == "cuda" and training.mixed_precision == "no":
        advice.append("set mixed_precision to fp16 or bf16")
    if not options.dataset.cache_latents:
        advice.append("switch cache_latents on")
    if options.dataset.vae_batch_size > 1:
        advice.append(f"lower vae_batch_size ({options.dataset.vae_batch_size})")
    if not training.split_batch_when_full and options.dataset.train_batch_size > 1:
        advice.append("switch split_batch_when_full on")
    advice.append("lower the batch size (gradient_accumulation_steps makes up for it)")
    advice.append("lower the resolution")
    if options.optimizer.optimizer_type.lower() != "adamw8bit" and device.type == "cuda":
        advice.append("use optimizer_type AdamW8bit")
    advice += _of_whole_models(options) if options.trained.trains == MODEL else _of_networks(options.network)
    closing = " Programs that use the same card take their part, too." if device.type == "cuda" else ""
    return f"In this order: {', '.join(advice)}.{closing}"


def _of_networks(network: NetworkOptions) -> list[str]:
    only = [] if network.network_train_unet_only else ["train the UNet only (network_train_unet_only)"]
    return [*only, f"lower network_dim ({network.network_dim})"]


def _of_whole_models(options: TrainOptions) -> list[str]:
    fused = [] if options.optimizer.fused_backward_pass else ["use optimizer_type AdaFactor with fused_backward_pass"]
    texts = ["leave train_text_encoder out"] if options.trained.train_text_encoder else []
    return [*fused, *texts, "train a LoRA instead"]


def not_finite(error: NotFiniteError, last_saved: Path | None, options: TrainOptions) -> NotFiniteError:
    """Return `error` with what is left, and what to change."""
    kept = f"The last good file is {last_saved}." if last_saved else "No file had been saved before."
    advice = ["lower the learning rate"]
    if options.training.mixed_precision == "fp16":
        advice.append("set mixed_precision to bf16 (or no)")
    if not options.optimizer.max_grad_norm:
        advice.append("set max_grad_norm to 1")
    if not options.training.min_snr_gamma:
        advice.append("set min_snr_gamma to 5")
    return NotFiniteError(f"{error.message} {kept}", advice=f"Try to {', or '.join(advice)}.")
