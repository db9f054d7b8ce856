"""How little memory a training takes: how the model is held, and where its parts rest. (`recomputing`: what it keeps.)"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import InputError
from ..models.compiling import backends
from ..models.weights import TEXT, UNET, Holding
from ..options.model import ModelOptions
from ..options.training import TrainingOptions

_REST = torch.device("cpu")


@dataclass(frozen=True)
class Resting:
    """Where the VAE and the text encoders are while nobody needs them: in main memory, or (`stays`) on the `device`.

    `keeps` leaves the card's spare memory with this program in place of giving it back after each piece of work.
    """

    device: torch.device
    stays: bool = False
    keeps: bool = False

    @classmethod
    def of(cls, options: ModelOptions, device: torch.device) -> Resting:
        """With lowram nothing of the model goes to main memory, with highvram nothing has to leave the card."""
        lowram, highvram = options.lowram, options.highvram
        return cls(device, stays=lowram or highvram, keeps=highvram)

    def put_away(self, *parts: nn.Module) -> None:
        """These parts are not needed for now."""
        if not self.stays:
            for part in parts:
                part.to(_REST)
        self.give_back()

    def give_back(self) -> None:
        """Let other programs have the card's memory that is not used."""
        if self.device.type == "cuda" and not self.keeps:
            torch.cuda.empty_cache()


def check(options: TrainingOptions) -> None:
    """Raise InputError for a way of compiling that there is not here."""
    wanted, backend = options.torch_compile, options.dynamo_backend
    if not wanted:
        return
    there = backends()
    if backend not in there:
        problem = f"dynamo_backend {backend} is not part of this PyTorch ({torch.__version__})."
        advice = f"There are: {', '.join(there)}."
    elif backend == "inductor" and torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        problem = "dynamo_backend inductor needs the package triton on a graphics card, which is not installed."
        advice = "Leave torch_compile out, or install triton (on Windows: triton-windows) in the training environment."
    else:
        return
    raise InputError(problem, field="dynamo_backend", advice=advice)


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
        blocks_to_swap=options.blocks_to_swap,
    )
