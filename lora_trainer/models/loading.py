"""Loading a base model from a file, a diffusers folder or the hub."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import modelfile
from ..errors import BaseModelError
from ..foreign.reading import UnreadableError, is_folder, is_there
from .attention import set_attention
from .family import V_PREDICTION, Family, Model
from .folders import fetch_from_hub, is_hub_id
from .prediction import ZERO_TERMINAL_MARK, decide
from .sd1 import SD1
from .sd2 import SD2
from .sdxl import SDXL
from .vae_files import load_vae_file
from .weights import Progress, Target, open_weights

FAMILIES: tuple[Family, ...] = (SD1, SD2, SDXL)


def load(
    path: str | Path,
    *,
    dtype: torch.dtype,
    device: str | torch.device,
    vae: str | Path | None = None,
    vae_dtype: torch.dtype | None = None,
    attention: str = "torch",
    prediction_type: str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a base model, frozen (no gradients) and in eval mode.

    `path` is an LDM-named .safetensors or .ckpt, a diffusers folder, or a hub id (`owner/name`; the only form that may need
    the network). `vae` replaces the model's own VAE: a file (LDM's or diffusers' names), a folder or a hub id. `dtype` is
    the compute precision; `vae_dtype` (default: the same) may be float32 where a half-precision VAE gives NaN. `attention`
    is "torch" or "xformers" (with a warning torch's where xformers is missing). `prediction_type` ("epsilon" or
    "v_prediction") wins over what the model says of itself (prediction.py). Memory: about one copy of the model in `dtype`.

    Raises BaseModelError, naming the file, what was found and what to do.
    """
    target = Target(dtype=dtype, device=torch.device(device), vae_dtype=vae_dtype or dtype, progress=progress)
    source = Path(path).expanduser()
    if not is_there(source) and is_hub_id(str(path)):
        source = fetch_from_hub(str(path))
    info = modelfile.probe(source)
    if info.problem:
        raise BaseModelError(info.problem, advice=info.advice)
    if is_folder(source):
        family = _family(info.kind)
        with _structure_explained(source):
            parts = family.load_folder(source, target, vae is None)
    else:
        with open_weights(source) as weights, _structure_explained(source):
            # Of a pickle, the first look saw the names only; now the shapes are known too.
            kind, channels = modelfile.classify(weights.shapes)
            problem, advice = modelfile.refusal(source, kind, channels)
            if problem:
                raise BaseModelError(problem, advice=advice)
            family = _family(kind)
            parts = family.load_file(weights, target, vae is None)
            parts.zero_terminal_snr = ZERO_TERMINAL_MARK in weights.shapes
    autoencoder = parts.vae if vae is None else _other_vae(Path(vae), target)
    assert autoencoder is not None
    set_attention(parts.unet, autoencoder, attention)
    decided, notes = decide(parts, family.answer, prediction_type, str(path))
    return Model(
        family=family,
        unet=parts.unet,
        vae=autoencoder,
        text_encoders=parts.text_encoders,
        tokenizers=parts.tokenizers,
        prediction_type=decided,
        source=str(path),
        notes=notes,
        zero_terminal_snr=parts.zero_terminal_snr and decided == V_PREDICTION,
    )


def _other_vae(path: Path, target: Target) -> torch.nn.Module:
    with _structure_explained(path):
        return load_vae_file(path.expanduser(), target)


@contextlib.contextmanager
def _structure_explained(path: Path) -> Iterator[None]:
    """A file whose sizes contradict each other fails anywhere in their reading, or in diffusers: say that it is the file."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError) as error:
        if isinstance(error, UnreadableError):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BaseModelError(
            f"{path} is damaged, or built in a way that is not known here: {reason[:300]}", advice=modelfile.FULL_MODEL
        ) from error


def _family(kind: str) -> Family:
    return next(family for family in FAMILIES if family.name == kind)


def load_vae(path: str | Path, *, dtype: torch.dtype, device: str | torch.device) -> torch.nn.Module:
    """Load a VAE alone, as `load` does for its `vae`."""
    return load_vae_file(Path(path).expanduser(), Target(dtype=dtype, device=torch.device(device), vae_dtype=dtype))
