"""Writing a checkpoint tensor by tensor, so that a merge needs the memory of one tensor and not of two models."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import SaveError
from ..networks import files
from ..paths import write_atomic

Progress = Callable[[int, int], None]
"""Called with (tensors written, all tensors)."""


def write_checkpoint(
    path: Path,
    tensors: Mapping[str, tuple[torch.dtype, Sequence[int]]],
    make: Callable[[str], Tensor],
    metadata: Mapping[str, str],
    progress: Progress | None = None,
    *,
    beside: Mapping[str, int] | None = None,
) -> None:
    """Write a model file atomically. `tensors` says what it will hold, (dtype, shape) by name; `make(name)` gives each when
    its turn comes.

    A .safetensors file is written as the tensors come; a .ckpt by torch.save, which wants all of them at once (one copy of the
    output in memory, no metadata; `beside` are numbers that stand beside them). Raises SaveError when the disk is full and lets
    pass what `make` raises; what was at `path` before then stays.
    """
    if path.suffix.lower() == ".safetensors":
        entries, metadata = files.layout(tensors), files.fitting(metadata)
        write_atomic(path, lambda file: _write(file, entries, make, metadata, progress))
        return
    state = {}
    for number, name in enumerate(tensors, 1):
        state[name] = make(name).clone()
        if progress:
            progress(number, len(tensors))
    write_atomic(path, lambda file: files.write_pickle({"state_dict": state, **(beside or {})}, file))


def _write(
    file: BinaryIO,
    entries: Mapping[str, Mapping[str, object]],
    make: Callable[[str], Tensor],
    metadata: Mapping[str, str],
    progress: Progress | None,
) -> None:
    file.write(files.header(entries, metadata))
    for number, name in enumerate(entries, 1):
        tensor = make(name).contiguous()
        assert list(tensor.shape) == entries[name]["shape"], name
        file.write(files.bytes_of(tensor))
        if progress:
            progress(number, len(entries))


def pickled_size(tensors: Mapping[str, tuple[torch.dtype, Sequence[int]]], beside: Mapping[str, int] | None) -> int:
    """The bytes of what torch.save writes of such tensors: in "state_dict" with `beside`, by themselves where that is None."""
    state = {name: torch.empty(tuple(shape), dtype=dtype) for name, (dtype, shape) in tensors.items()}
    counted = _Counter()
    torch.save(state if beside is None else {"state_dict": state, **beside}, counted)
    return counted.bytes


class _Counter(io.RawIOBase):
    """A file that only counts what is written."""

    bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:  # type: ignore[override]
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        self.bytes += size
        return size


def converted(name: str, tensor: Tensor, dtype: torch.dtype, path: Path) -> Tensor:
    """`tensor` in `dtype` when it is floating. Raises SaveError when its values are too large for `dtype`."""
    if not tensor.is_floating_point() or tensor.dtype == dtype:
        return tensor
    limit = torch.finfo(dtype).max
    if limit < torch.finfo(tensor.dtype).max and math.isfinite(most := largest(tensor)) and most > limit:
        raise SaveError(
            f"{path} was not written: {name} has values up to {most:.3g}, too large for {str(dtype).removeprefix('torch.')}.",
            advice="Use float or bf16 for --precision and --save_precision.",
        )
    return tensor.to(dtype)


def largest(tensor: Tensor) -> float:
    """The largest size of a value; NaN when there is a NaN, 0 when the tensor is empty."""
    if not tensor.numel():
        return 0.0
    low, high = torch.aminmax(tensor.float())
    return float(torch.maximum(-low, high))
