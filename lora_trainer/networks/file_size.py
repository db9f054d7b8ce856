"""How large a LoRA file will be, to the byte, before there is anything to write."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch

from . import files

_HASHES = {"sshs_model_hash": "0" * 64, "sshs_legacy_hash": "0" * 8}  # as long as those that `files.save` adds


def size_of(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], dtype: str | None = None, suffix: str = ".safetensors"
) -> int:
    """The bytes of what `files.save` would write of these (see there); of metadata the lengths alone count."""
    chosen = getattr(torch, files.PRECISIONS[dtype]) if dtype else None
    kept = {
        name: chosen if chosen is not None and tensor.is_floating_point() else tensor.dtype for name, tensor in tensors.items()
    }
    if suffix != ".safetensors":
        counted = io.BytesIO()
        torch.save({name: torch.empty(tensor.shape, dtype=kept[name]) for name, tensor in tensors.items()}, counted)
        return counted.tell()
    entries = files.layout({name: (kept[name], tensor.shape) for name, tensor in tensors.items()})
    end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    return len(files.header(entries, {**files.fitting(metadata), **_HASHES})) + int(end)
