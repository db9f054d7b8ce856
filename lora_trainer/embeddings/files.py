"""Embedding files: their names for the vectors, as the Web UI, sd-scripts and diffusers write and read them.

.safetensors, .pt, .bin   emb_params, or any one tensor [n, width]    SD1 and SD2
                          clip_l [n, 768] and clip_g [n, 1280]        SDXL's first and second text encoder
.pt of the Web UI         string_to_param, a table with the one tensor
.safetensors, .pt         IN01, ... OUT11, each [n, 768]                XTI: others for each cross-attention layer
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import EmbeddingFileError
from ..foreign.reading import errors_as
from ..foreign.tensors import open_weights
from ..modelfile import TITLES, classify

ONE = "emb_params"
TWO = ("clip_l", "clip_g")
# XTI's layers in the order of the computation: blocks by their numbers in the original UNet of SD1 and SD2.
LAYERS = (
    "IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID", "OUT03", "OUT04", "OUT05", "OUT06", "OUT07", "OUT08", "OUT09",
    "OUT10", "OUT11",
)  # fmt: skip
MOST_VECTORS = 75  # more find no place between a start and an end


def names_for(encoders: int) -> tuple[str, ...]:
    """The names of the tensors of a model with so many text encoders."""
    return (ONE,) if encoders == 1 else TWO


def tensors_of(vectors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the file of a word, given for each text encoder of a model, by their names."""
    if vectors[0].dim() == 3:
        return {name: own.contiguous() for name, own in zip(LAYERS, vectors[0], strict=True)}
    return dict(zip(names_for(len(vectors)), vectors, strict=True))


def load(path: Path | str) -> tuple[torch.Tensor, ...]:
    """Return the vectors [n, width], float32, of an embedding file, for each text encoder; [16, n, width] of XTI's.

    Raises EmbeddingFileError when the file is missing, damaged, holds code, is something else, or holds numbers that are none.
    """
    path = Path(path)
    with errors_as(EmbeddingFileError, path), open_weights(path) as weights:
        names = _names_in(path, weights.shapes)
        found = tuple(_vectors(path, name, weights.tensor(name)) for name in names)
    if len({len(vectors) for vectors in found}) != 1:
        counts = " and ".join(str(len(vectors)) for vectors in found)
        raise EmbeddingFileError(f"{path} is damaged: it has {counts} vectors for the parts of the model.")
    return (torch.stack(found),) if names == LAYERS else found


def _names_in(path: Path, shapes: dict[str, tuple[int, ...]]) -> Sequence[str]:
    if set(TWO) <= set(shapes):
        return TWO
    if set(LAYERS) <= set(shapes):
        return LAYERS
    kind, _ = classify(shapes)
    if kind not in ("embedding", "unknown") or len(shapes) != 1:
        what = TITLES[kind] if kind not in ("embedding", "unknown") else f"a file of {len(shapes)} tensors"
        raise EmbeddingFileError(f"{path} is no embedding, but {what}.", advice="Choose a textual inversion embedding.")
    return list(shapes)


def _vectors(path: Path, name: str, tensor: torch.Tensor) -> torch.Tensor:
    vectors = (tensor[None] if tensor.dim() == 1 else tensor).detach().float().clone()
    if not tensor.is_floating_point() or vectors.dim() != 2 or not 0 < len(vectors) <= MOST_VECTORS:
        raise EmbeddingFileError(
            f"{path} is no embedding: {name} is {tensor.dtype} of the shape {list(tensor.shape)}, expected up to "
            f"{MOST_VECTORS} vectors of numbers.",
            advice="Choose a textual inversion embedding.",
        )
    if not torch.isfinite(vectors).all():
        raise EmbeddingFileError(f"{path} is damaged: {name} holds NaN or infinity.", advice="Use another copy of the file.")
    return vectors
