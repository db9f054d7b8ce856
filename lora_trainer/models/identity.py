"""Which weights a part of a model has, as a digest: what is kept on the disk of a VAE or a text encoder is of these alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch


def of_module(module: torch.nn.Module) -> str:
    """SHA-256 of a module's weights as it holds them (names, types, shapes, numbers) and of its settings, 64 digits.

    Two copies of one file have the same, also on another device; the same file in another number format has another.
    """
    digest = hashlib.sha256(json.dumps(_settings(module), sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        plain = tensor.detach().to("cpu").contiguous()
        digest.update(memoryview(plain.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def of_vae(vae: Any) -> dict[str, str]:
    """What latents depend on besides the image: the VAE's weights, and the precision it computes in."""
    return {"vae": of_module(vae), "precision": str(vae.dtype).removeprefix("torch.")}


def of_tokenizer(tokenizer: Any) -> str:
    """The same of a tokenizer: of its words and their numbers."""
    words = json.dumps(sorted(tokenizer.get_vocab().items(), key=lambda pair: (pair[1], pair[0])))
    return hashlib.sha256(words.encode()).hexdigest()


def _settings(module: torch.nn.Module) -> dict[str, Any]:
    """What a diffusers or transformers module was made with, without where it came from."""
    config = getattr(module, "config", {})
    table = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {key: value for key, value in table.items() if not key.startswith("_") and key not in _OF_THE_PROGRAM}


_OF_THE_PROGRAM = ("transformers_version", "torch_dtype", "dtype", "scaling_factor", "shift_factor", "force_upcast")
