"""Reading tensors one by one out of model files, and filling modules with them. Nothing is unpickled with code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import modelfile
from ..errors import BaseModelError
from ..foreign import tensors
from ..foreign.reading import errors_as
from ..foreign.tensors import Weights
from ..model_kinds import PLAIN_MODEL
from . import fp8, streaming
from .convert import fit

__all__ = ["TEXT", "UNET", "Holding", "Progress", "Target", "Weights", "build", "count_of", "open_weights"]

Progress = Callable[[str, int, int], None]
"""Called with (part, tensors read, tensors of the part) while a model is loaded; the part is "the UNet", "the VAE", ..."""


UNET, TEXT = "unet", "text_encoder"  # the parts of a model that can be held in 8 bits


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How a model is read and held in memory.

    `eight_bit` names parts (UNET, TEXT) whose weights are held in 8 bits a number (fp8.py). Without `mapped` files are read
    tensor by tensor in place of being mapped into memory. So many of the UNet's blocks as `blocks_to_swap` says stay in main
    memory until they compute (streaming.py). With `unet_waits` the UNet is read into main memory: who loads it brings it to the
    device when the other parts have done their work there.
    """

    eight_bit: Collection[str] = ()
    mapped: bool = True
    blocks_to_swap: int = 0
    unet_waits: bool = False


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where, in which precision, how and under whose eyes modules are made.

    The parts `skipped` ("the UNet", ...) are made without their numbers, on the meta device.
    """

    dtype: torch.dtype
    device: torch.device
    vae_dtype: torch.dtype
    holding: Holding = Holding()
    skipped: Collection[str] = ()
    progress: Progress | None = None


@contextlib.contextmanager
def open_weights(path: Path, mapped: bool = True) -> Iterator[Weights]:
    """Open a .safetensors or torch.save file. Raises BaseModelError when it is damaged, holds more than tensors, or
    numbers that mean something else than they say (quantised weights). `mapped` as in Holding."""
    with errors_as(BaseModelError, path), tensors.open_weights(path, mapped) as weights:
        problem, advice = modelfile.strange_problem(path, weights.shapes, weights.dtypes)
        if problem:
            raise BaseModelError(problem, advice=advice)
        yield weights


def build(
    make: Callable[[], torch.nn.Module],
    weights: Weights,
    find: Callable[[dict[str, torch.Tensor]], Mapping[str, str]],
    *,
    part: str,
    dtype: torch.dtype,
    target: Target,
    change: Callable[[str, torch.Tensor], torch.Tensor] = lambda _, tensor: tensor,
    whole: str = "",
    eight_bit: bool = False,
    streamed: int = 0,
) -> torch.nn.Module:
    """Return `make()`, an untouched module, filled from `weights`: frozen, in eval mode, in `dtype` on `target.device`.

    The module is made without memory and each tensor goes from the mapped file to its place, so that loading needs about one
    copy of the model. `find(state)` returns {the module's name: the file's name}; `change(the module's name, tensor)` takes
    what is meant of a tensor that the file holds in another form. `whole` is a pattern of the file's names which all belong to
    this part: one that the module does not have is refused, because the part is then not what the module computes.
    `eight_bit` holds the weights in 8 bits, as far as that can be (fp8.py); the weights of the `streamed` largest blocks stay
    in main memory (streaming.py). Raises InputError for too many of these, and BaseModelError when tensors are missing,
    have another shape than the sizes read from the others say, are no floating-point numbers, or hold NaN or infinity.
    """
    try:
        with torch.device("meta"):
            module = make()
    except RuntimeError as error:
        raise BaseModelError(f"{weights.path}: {part} has impossible sizes: {error}", advice=modelfile.FULL_MODEL) from error
    if part in target.skipped:
        return module
    state = module.state_dict()
    names = find(state)
    _refuse_missing(weights, list(names.values()), part)
    if whole:
        _refuse_unknown(weights, set(names.values()), whole, part)
    filled: dict[str, torch.Tensor] = {}
    narrowed = fp8.weights_of(module) if eight_bit else {}
    blocks = streaming.largest(module, streamed)
    for done, (name, stored) in enumerate(names.items(), 1):
        tensor = _fitting(weights, stored, state[name].shape, part, lambda raw, name=name: change(name, raw))
        # Contiguous, and never a view of the mapped file: the file may be replaced or its drive vanish while we train.
        device = torch.device("cpu") if streaming.is_in(name, blocks) else target.device
        filled[name] = tensor.to(device=device, dtype=dtype, copy=True).contiguous()
        if not _is_finite(filled[name]):
            raise _not_finite(weights.path, stored, tensor, part, dtype)
        if name in narrowed:
            del filled[name]
            filled |= fp8.stored(name, tensor.to(device))
        if target.progress:
            target.progress(part, done, len(names))
    fp8.narrow(narrowed, dtype)
    module.load_state_dict(filled, strict=True, assign=True)
    _fill_buffers(module, target.device)
    if blocks:
        streaming.Streamed(list(blocks.values()), target.device)
    return module.requires_grad_(False).eval()


def _fitting(
    weights: Weights, stored: str, shape: torch.Size, part: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The file's tensor `stored` as floating-point numbers of this shape. Raises BaseModelError when it is none."""
    raw = weights.tensor(stored)
    if not raw.is_floating_point():
        what = f"{stored} holds numbers of the type {str(raw.dtype).removeprefix('torch.')}, expected floating-point numbers."
        raise BaseModelError(f"{weights.path}: {what}", advice=PLAIN_MODEL)
    tensor = fit(change(raw), shape)
    if tensor.shape != shape:
        raise BaseModelError(
            f"{weights.path}: {stored} has the shape {list(tensor.shape)}, expected {list(shape)} for {part}.",
            advice=f"The model was changed in a way that is not known here. {modelfile.FULL_MODEL}",
        )
    return tensor


def count_of(numbers: Iterable[int], path: Path, what: str) -> int:
    """How many parts there are that are numbered through from 0. Raises BaseModelError when there is none or one is missing:
    what is made is never larger than the file."""
    found = set(numbers)
    if not found or found != set(range(len(found))):
        raise BaseModelError(
            f"{path}: the {what} are not numbered from 0 without gaps ({len(found)} of them, up to {max(found, default=0)}).",
            advice=f"The file is incomplete or of another kind. {modelfile.FULL_MODEL}",
        )
    return len(found)


def _refuse_missing(weights: Weights, wanted: Sequence[str], part: str) -> None:
    missing = [name for name in wanted if name not in weights.shapes]
    if missing:
        raise BaseModelError(
            f"{weights.path} lacks {len(missing)} of the {len(wanted)} tensors of {part}, the first is {missing[0]}.",
            advice=f"The file is incomplete or of another kind. {modelfile.FULL_MODEL}",
        )


def _refuse_unknown(weights: Weights, known: set[str], whole: str, part: str) -> None:
    pattern = re.compile(whole)
    strange = [name for name in weights.shapes if pattern.match(name) and name not in known]
    if strange:
        raise BaseModelError(
            f"{weights.path} has {len(strange)} tensors in {part} that are not understood, the first is {strange[0]}.",
            advice=f"The model was changed in a way that is not known here. {modelfile.FULL_MODEL}",
        )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether there is no NaN and no infinity (True on the meta device). One pass: a sum has them when a number has them, or,
    rarely, when it overflows."""
    if tensor.is_meta:
        return True
    total = torch.sum(tensor, dtype=torch.float64 if tensor.dtype == torch.float64 else torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


def _not_finite(path: Path, stored: str, tensor: torch.Tensor, part: str, dtype: torch.dtype) -> BaseModelError:
    numbers = tensor.float()
    bad = int((~torch.isfinite(numbers)).sum())
    if not bad:
        most, format_name = numbers.abs().max().item(), str(dtype).removeprefix("torch.")
        return BaseModelError(
            f"{path}: {stored} of {part} has values up to {most:.3g}, too large for {format_name}.",
            advice="Set mixed_precision to bf16 or no; for the VAE, no_half_vae.",
        )
    return BaseModelError(
        f"{path}: the base model itself is spoilt: {stored} of {part} holds NaN or infinity "
        f"({bad:,} of {numbers.numel():,} numbers).",
        advice="Choose another copy or version of this model: no setting of the training mends it.",
    )


def _fill_buffers(module: torch.nn.Module, device: torch.device) -> None:
    """Make the buffers that no file holds: CLIP's position numbers."""
    for owner in module.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", f"{type(owner).__name__}.{name} has no value"
                owner.register_buffer(
                    name, torch.arange(buffer.shape[-1], device=device).expand(buffer.shape), persistent=False
                )
