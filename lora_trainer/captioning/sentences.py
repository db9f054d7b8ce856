"""Models of transformers that describe a picture in a sentence: how they are loaded, and how a sentence is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, LogitsProcessor

from .. import modelfile
from ..data.resize import Pixels
from ..errors import BaseModelError, InputError
from ..foreign.reading import is_file, is_folder
from ..log import logger
from ..paths import user_path
from ..randomness import seed_of
from . import hub


def source_of(name: str, field: str, example: str) -> str:
    """What transformers is to load for `name`: a folder's path, or a name on the hub. Raises InputError for a file."""
    path = Path(user_path(name))
    if is_folder(path):
        return str(path)
    is_address = "://" in name
    if is_address or is_file(path) or path.suffix.lower() in modelfile.SUFFIXES or path.suffix.lower() == ".pth":
        raise InputError(
            f"{name} is {'an address' if is_address else 'one file'}, but the model is read in the form of transformers "
            "(a folder with config.json and model.safetensors).",
            field=field,
            where=f"--{field}",
            advice=f"Give {example}, which holds the same kind of model, or leave the option out.",
        )
    return name


def load(model: type[Any], images: type[Any], source: str, kind: str) -> tuple[Any, Any, Any]:
    """(the model, what prepares its pictures, its tokenizer), from a folder or the hub; safetensors alone: no code is run.

    Raises BaseModelError where it cannot be had, is damaged, or is a model of another kind than `kind`.
    """
    logger.info("Loading %s.", source)
    if is_folder(source):
        return _load(model, images, source, kind)
    return hub.reached(
        lambda: _load(model, images, source, kind), source, "give a folder that holds it in the form of transformers"
    )


def _load(model: type[Any], images: type[Any], source: str, kind: str) -> tuple[Any, Any, Any]:
    again = "Give a folder with config.json, preprocessor_config.json, the tokenizer's files and model.safetensors."
    try:
        found = AutoConfig.from_pretrained(source).model_type
        if found != kind:
            raise BaseModelError(f"{source} is a model of the kind {found}, expected one of the kind {kind}.", advice=again)
        loaded = model.from_pretrained(source, use_safetensors=True).eval()
        return loaded, images.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if not is_folder(source):
            raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BaseModelError(f"{source} cannot be used: {why}", advice=again) from error


def prepared(images: Any, pixels: Pixels) -> NDArray[np.float32]:
    """What the image processor of transformers makes of a picture: [3, H, W]."""
    made: NDArray[np.float32] = images(pixels, return_tensors="np")["pixel_values"][0]
    return made


def stacked(pictures: Sequence[NDArray[np.float32]], device: torch.device) -> Tensor:
    """[pictures, 3, H, W] on the device."""
    return torch.from_numpy(np.stack(pictures)).to(device)


class DrawnByNoise(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """Lets the likeliest word be one that is drawn: Gumbel noise on the logarithms of the shares, then the largest, is the same
    as drawing by the shares (Gumbel-max). So each picture has its own noise, whatever is in its batch.
    """

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self._generators = [torch.Generator("cpu").manual_seed(seed_of(seed, "caption", _number(name))) for name in names]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores [pictures, words]: logarithms of the shares, up to a constant."""
        even = torch.stack([torch.rand(scores.shape[-1], generator=one, dtype=torch.float64) for one in self._generators])
        noise = -torch.log(-torch.log(even.clamp(1e-300, 1 - 1e-16)))
        return scores + noise.to(scores)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def one_line(text: str) -> list[str]:
    """The sentence as a caption has it, or nothing."""
    words = " ".join(text.split())
    return [words] if words else []
