"""How little memory a training takes: how the model is held, and what it keeps for the backward pass."""

from __future__ import annotations

import torch

from ..errors import InputError
from ..models import Model
from ..models.checkpointing import checkpoint_gradients
from ..models.weights import TEXT, UNET, Holding
from ..options.model import ModelOptions
from ..options.training import TrainingOptions


def holding(options: ModelOptions, device: torch.device) -> Holding:
    """How the base model is read and held, by the options. Raises InputError for what `device` cannot hold."""
    if device.type == "mps" and (options.fp8_base or options.fp8_base_unet):
        raise InputError(
            "Apple's graphics processors cannot hold a model in 8 bits a number.",
            field="fp8_base_unet" if options.fp8_base_unet else "fp8_base",
            advice="Leave it out.",
        )
    texts = (TEXT,) if options.fp8_base and not options.fp8_base_unet else ()
    return Holding(
        eight_bit=(UNET, *texts) if options.fp8_base or options.fp8_base_unet else (),
        mapped=not options.disable_mmap_load_safetensors,
    )


def save(options: TrainingOptions, model: Model) -> None:
    """Let the model keep less for the backward pass, where the options say so."""
    if options.gradient_checkpointing:  # computes the forward pass twice instead of keeping it
        checkpoint_gradients(model.unet, model.text_encoders, offload=options.cpu_offload_checkpointing)
