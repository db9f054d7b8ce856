"""A model for those who read its tensors one by one by the names of a single file: as such a file, or a folder of diffusers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from ..foreign.reading import is_folder
from ..models import load
from ..models.family import V_PREDICTION
from ..models.prediction import METADATA
from ..models.weights import Weights, open_weights
from .model_files import checkpoint_tensors, marks_of


@contextlib.contextmanager
def open_checkpoint(path: Path) -> Iterator[Weights]:
    """Open a model: of a file each tensor is read when it is asked for, a folder is read whole, in float32.

    Raises BaseModelError for what is damaged, or no model.
    """
    if not is_folder(path):
        with open_weights(path) as weights:
            yield weights
        return
    model = load(path, dtype=torch.float32, device="cpu")
    tensors = checkpoint_tensors(model, model.named) | {mark: torch.zeros(0) for mark in marks_of(model)}
    yield Weights(
        path=path,
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        tensor=tensors.__getitem__,
        metadata={METADATA: "v"} if model.prediction_type == V_PREDICTION else {},
    )
