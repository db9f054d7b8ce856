"""Reading tensors one by one out of model files, and filling modules with them. Nothing is unpickled with code."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .. import modelfile
from ..errors import BaseModelError
from .convert import fit


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of an open file: `shapes` by name, and `tensor(name)`, a view of the memory-mapped file in the file's dtype.

    Copy what is to be kept: the view ends with the file. `metadata` is that of a .safetensors file.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    tensor: Callable[[str], torch.Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


Progress = Callable[[str, int, int], None]
"""Called with (part, tensors read, tensors of the part) while a model is loaded; the part is "the UNet", "the VAE", ..."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where, in which precision and under whose eyes modules are made."""

    dtype: torch.dtype
    device: torch.device
    vae_dtype: torch.dtype
    progress: Progress | None = None


@contextlib.contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """Open a .safetensors or torch.save file. Raises BaseModelError when it is damaged or holds more than tensors."""
    if path.suffix.lower() == modelfile.SAFETENSORS:
        from safetensors import SafetensorError, safe_open

        try:
            shapes, metadata = modelfile.read_safetensors_header(path)
            with safe_open(str(path), framework="pt", device="cpu") as file:
                yield Weights(path=path, shapes=shapes, tensor=file.get_tensor, metadata=metadata)
        except modelfile.DamagedFileError as error:
            raise BaseModelError(f"{path} {error}", advice=error.advice) from error
        except SafetensorError as error:
            raise BaseModelError(f"{path} is damaged: {error}.", advice="Download or copy the file again.") from error
    else:
        tensors = _read_pickle(path)
        yield Weights(path=path, shapes={name: tuple(t.shape) for name, t in tensors.items()}, tensor=tensors.__getitem__)


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file made by torch.save, memory-mapped where the format allows it."""
    try:
        modelfile.read_pickle_names(path)
        with _lightning_stand_in():
            content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except modelfile.DamagedFileError as error:
        raise BaseModelError(f"{path} {error}", advice=error.advice) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, AssertionError) as error:
        reason = str(error).strip() or type(error).__name__
        if isinstance(error, pickle.UnpicklingError) and "EOF" not in reason:
            raise BaseModelError(
                f"{path} holds more than tensors, which could run code; it was not loaded. ({reason.splitlines()[-1]})",
                advice="Use a .safetensors version of this model.",
            ) from error
        message = f"{path} is cut short or damaged: {reason.splitlines()[-1]}."
        raise BaseModelError(message, advice="Download or copy the file again.") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise BaseModelError(
            f"{path} holds a {type(content).__name__}, expected a table of tensors.", advice=modelfile.FULL_MODEL
        )
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)}


def _lightning_stand_in() -> contextlib.AbstractContextManager[object]:
    """Let weights_only accept the one class that Stability's first files name (as a key beside the tensors), by an empty one.

    torch can be told so since 2.5; an older one refuses those files, with our message.
    """
    if not hasattr(torch.serialization, "safe_globals"):
        return contextlib.nullcontext()
    empty = type("ModelCheckpoint", (), {"__module__": "pytorch_lightning.callbacks.model_checkpoint"})
    return torch.serialization.safe_globals([empty])


def build(
    make: Callable[[], torch.nn.Module],
    weights: Weights,
    find: Callable[[dict[str, torch.Tensor]], Mapping[str, str]],
    *,
    part: str,
    dtype: torch.dtype,
    target: Target,
    change: Callable[[str, torch.Tensor], torch.Tensor] = lambda _, tensor: tensor,
) -> torch.nn.Module:
    """Return `make()`, an untouched module, filled from `weights`: frozen, in eval mode, in `dtype` on `target.device`.

    The module is made without memory and each tensor goes from the mapped file to its place, so that loading needs about one
    copy of the model. `find(state)` returns {the module's name: the file's name}; `change(the module's name, tensor)` takes
    what is meant of a tensor that the file holds in another form. Raises BaseModelError when tensors are missing or have
    another shape than the sizes read from the others say.
    """
    with torch.device("meta"):
        module = make()
    state = module.state_dict()
    names = find(state)
    missing = [name for name in names.values() if name not in weights.shapes]
    if missing:
        raise BaseModelError(
            f"{weights.path} lacks {len(missing)} of the {len(names)} tensors of {part}, the first is {missing[0]}.",
            advice=f"The file is incomplete or of another kind. {modelfile.FULL_MODEL}",
        )
    filled: dict[str, torch.Tensor] = {}
    for name, stored in names.items():
        tensor = fit(change(name, weights.tensor(stored)), state[name].shape)
        if tensor.shape != state[name].shape:
            raise BaseModelError(
                f"{weights.path}: {stored} has the shape {list(tensor.shape)}, expected {list(state[name].shape)} for {part}.",
                advice=f"The model was changed in a way that is not known here. {modelfile.FULL_MODEL}",
            )
        # Contiguous, and never a view of the mapped file: the file may be replaced or its drive vanish while we train.
        filled[name] = tensor.to(device=target.device, dtype=dtype, copy=True).contiguous()
        if target.progress:
            target.progress(part, len(filled), len(names))
    module.load_state_dict(filled, strict=True, assign=True)
    _fill_buffers(module, target.device)
    return module.requires_grad_(False).eval()


def _fill_buffers(module: torch.nn.Module, device: torch.device) -> None:
    """Make the buffers that no file holds: CLIP's position numbers."""
    for owner in module.modules():
        for name, buffer in owner.named_buffers(recurse=False):
            if buffer.is_meta:
                assert name == "position_ids", f"{type(owner).__name__}.{name} has no value"
                owner.register_buffer(
                    name, torch.arange(buffer.shape[-1], device=device).expand(buffer.shape), persistent=False
                )
