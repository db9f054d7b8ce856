"""From the training's state to the file that ships: LDM's names, half precision, latents of unit variance."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save

from ..errors import InputError
from ..models import convert
from ..paths import write_atomic
from ..randomness import seed_of
from . import parts
from .train_unet import UnetSettings, Words, load_vae, module_of

LARGEST = 40 * 2**20  # bytes


def export(out: Path, path: Path, settings: UnetSettings | None = None) -> Path:
    """Write the averaged parts of `out` (vae.pt, unet.pt, latents.safetensors) as one checkpoint to `path`; return `path`.

    Raises InputError when a part is missing.
    """
    for name, command in (("vae.pt", "vae"), ("latents.safetensors", "text-and-unet"), ("unet.pt", "text-and-unet")):
        if not (out / name).is_file():
            raise InputError(
                f"{name} is missing.", where=str(out), advice=f"Run `python -m lora_trainer.demo {command}` first."
            )
    vae = load_vae(out)
    scale = load_file(out / "latents.safetensors")
    parts.fold_scale(vae, scale["mean"], scale["std"])
    state = torch.load(out / "unet.pt", map_location="cpu", weights_only=True)
    words = Words()
    trained = module_of(settings or UnetSettings(), words)
    trained.load_state_dict(state["average"])
    text_encoder = whole_vocabulary(trained["text"], words)
    tensors = convert.checkpoint_tensors(trained["unet"], vae, text_encoder)
    halves = {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}
    unfit = [name for name, tensor in halves.items() if not tensor.isfinite().all()]
    assert not unfit, f"not finite in half precision: {unfit}"
    about = {"modelspec.title": "LoRA Trainer demo model", "modelspec.architecture": "stable-diffusion-v1", "license": "MIT"}
    data = save(halves, {**about, "vae_steps": str(vae_steps(out)), "unet_steps": str(state["step"])})
    assert len(data) <= LARGEST, f"{len(data) / 2**20:.1f} MiB is more than 40"
    write_atomic(path, lambda file: file.write(data))
    return path


def vae_steps(out: Path) -> int:
    """Return how many steps the VAE of `out` was trained."""
    return int(torch.load(out / "vae.pt", map_location="cpu", weights_only=True)["step"])


def whole_vocabulary(text_encoder: torch.nn.Module, words: Words) -> torch.nn.Module:
    """Return the text encoder with all of CLIP's 49408 tokens.

    The rows that no training saw are random, with the mean and standard deviation that the trained rows have in each column:
    weaker or stronger ones would make a new word (`sks`) hard to teach.
    """
    config = text_encoder.config
    whole = parts.make_text_encoder(0, config.hidden_size, config.num_hidden_layers)
    state = text_encoder.state_dict()
    name = "text_model.embeddings.token_embedding.weight"
    trained = state[name]
    generator = torch.Generator().manual_seed(seed_of(0, "unused tokens") % 2**63)
    rows = torch.randn(whole.state_dict()[name].shape, generator=generator) * trained.std(0) + trained.mean(0)
    rows[words.used] = trained
    whole.load_state_dict({**state, name: rows})
    return whole.eval()
