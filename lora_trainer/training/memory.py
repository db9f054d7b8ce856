"""How little memory a training takes: how the model is held, and where its parts rest. (`recomputing`: what it keeps.)"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn

from .. import modelfile
from ..errors import InputError
from ..models.compiling import Way, backends, shares_blocks
from ..models.weights import TEXT, UNET, Holding
from ..options.model import ModelOptions
from ..options.training import TrainingOptions

_REST = torch.device("cpu")
_PLENTY = 2.5  # times the model's file: its weights, and what encoding images takes beside them
_SHARE = 0.8  # of the free main memory


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


def compile_way(options: TrainingOptions) -> Way:
    """How the UNet is compiled, where it is. Blocks one by one only where PyTorch uses one's result for the others."""
    regional = options.dynamo_use_regional_compilation and shares_blocks()
    return Way(options.dynamo_backend, options.dynamo_mode, regional)


def check(options: TrainingOptions) -> None:
    """Raise InputError for a way of compiling that there is not here."""
    backend = compile_way(options).backend
    if not options.torch_compile:
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
        unet_waits=unet_waits(options, device),
    )


def unet_waits(options: ModelOptions, device: torch.device) -> bool:
    """Whether the UNet comes to the card last, when images and captions are encoded: where the card has not plenty of room for
    all of the model at once, and main memory has room for the UNet meanwhile.

    Not where it is small there by other means, nor where it is asked a question first (SD2's, what it predicts).
    """
    held = options.fp8_base or options.fp8_base_unet or options.blocks_to_swap
    if device.type != "cuda" or options.lowram or options.highvram or held:
        return False
    path = Path(options.pretrained_model_name_or_path or "").expanduser()
    size = _file_size(path)
    if not size or modelfile.probe(path).kind not in ("sd1", "sdxl"):
        return False
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)  # as many processes on this machine do the same
    return torch.cuda.mem_get_info(device)[0] < _PLENTY * size and here * size < _SHARE * psutil.virtual_memory().available


def _file_size(path: Path) -> int:
    """Bytes of a model's file or folder; 0 where there is none."""
    try:
        return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*.safetensors")))
    except OSError:
        return 0
