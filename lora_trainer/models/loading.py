"""Loading a base model from a file, a diffusers folder or the hub."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from .. import modelfile
from ..errors import BaseModelError
from ..foreign.reading import UnreadableError, is_folder, is_there
from . import packages
from .attention import set_attention
from .family import UNET, V_PREDICTION, VAE, Family, Model, Parts
from .folders import fetch_from_hub, is_hub_id
from .prediction import ZERO_TERMINAL_MARK, decide
from .sd1 import SD1
from .sd2 import SD2
from .sdxl import SDXL
from .vae_files import load_vae_file
from .weights import Holding, Progress, Target, open_weights

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
    holding: Holding | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a base model, frozen (no gradients) and in eval mode.

    `path` is an LDM-named .safetensors or .ckpt, a diffusers folder, or a hub id (`owner/name`; the only form that may need
    the network). `vae` replaces the model's own VAE: a file (LDM's or diffusers' names), a folder or a hub id. `dtype` is
    the compute precision; `vae_dtype` (default: the same) may be float32 where a half-precision VAE gives NaN. `attention`
    is "torch" or "xformers" (with a warning torch's where xformers is missing). `prediction_type` ("epsilon" or
    "v_prediction") wins over what the model says of itself (prediction.py). `holding` says how it is read and held.
    Memory: about one copy of the model.

    Raises BaseModelError, naming the file, what was found and what to do.
    """
    target = Target(
        dtype=dtype,
        device=torch.device(device),
        vae_dtype=vae_dtype or dtype,
        holding=holding or Holding(),
        progress=progress,
    )
    source = Path(path).expanduser()
    if not is_there(source) and is_hub_id(str(path)):
        source = fetch_from_hub(str(path))
    family, parts = _load_parts(source, target, vae is None)
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
        path=source,
        notes=notes,
        zero_terminal_snr=parts.zero_terminal_snr and decided == V_PREDICTION,
    )


def load_again(model: Model, parts: Collection[str]) -> dict[str, torch.nn.Module]:
    """Read these `parts` (`Model.named`) of a loaded model once more, as exact as its file has them: float32, in main memory.

    Raises BaseModelError when its file has gone or is another one.
    """
    assert model.path is not None
    titles = {UNET: "the UNet", "text_encoder": "the text encoder"}
    titles |= {"text_encoder1": "the first text encoder", "text_encoder2": "the second text encoder"}
    skipped = [title for name, title in titles.items() if name not in parts]
    target = Target(dtype=torch.float32, device=torch.device("cpu"), vae_dtype=torch.float32, skipped=skipped)
    _, found = _load_parts(model.path, target, VAE in parts)
    return {name: module for name, module in found.named.items() if name in parts}


def _load_parts(source: Path, target: Target, with_vae: bool) -> tuple[Family, Parts]:
    """The family of a file or folder, and its parts. Raises BaseModelError for what is none of them."""
    info = modelfile.probe(source)
    packages.bring()
    if info.problem:
        raise BaseModelError(info.problem, advice=info.advice)
    if is_folder(source):
        family = _family(info.kind)
        with _structure_explained(source):
            return family, family.load_folder(source, target, with_vae)
    with open_weights(source, target.holding.mapped) as weights, _structure_explained(source):
        # Of a pickle, the first look saw the names only; now the shapes are known too.
        kind, channels = modelfile.classify(weights.shapes)
        problem, advice = modelfile.refusal(source, kind, channels)
        if problem:
            raise BaseModelError(problem, advice=advice)
        family = _family(kind)
        parts = family.load_file(weights, target, with_vae)
        parts.zero_terminal_snr = ZERO_TERMINAL_MARK in weights.shapes
        return family, parts


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
