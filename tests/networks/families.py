"""Small models of every family, and every kind of network on them; also run as a fresh process that only loads.

python -m tests.networks.families FOLDER         # for each FOLDER/FAMILY-KIND.safetensors, write what the model puts out
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora_trainer.networks import registry
from tests import tiny

Parts = tuple[list[nn.Module], nn.Module]

KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "LierLa": ("networks.lora", {}),
    "C3Lier": ("networks.lora", {"conv_dim": "2", "conv_alpha": "0.5"}),
    "blocks": (
        "networks.lora",
        {"down_lr_weight": "zeros+.5", "mid_lr_weight": "0", "up_lr_weight": "sine+.1", "conv_dim": "2"},
    ),
    "DyLoRA": ("networks.dylora", {"unit": "2", "conv_dim": "4"}),
}
FAMILIES = ("sd1", "sd2-linear", "sd2-conv", "sdxl")


def make(family: str) -> Parts:
    """([text encoders], UNet) with random weights, the same at every call."""
    unet, _, *texts = tiny.make_family(family, seed=11)
    return [text.requires_grad_(False) for text in texts], unet.requires_grad_(False)


def outputs(parts: Parts, seed: int = 1) -> Tensor:
    """The UNet's output for a text that all text encoders read; depends on every layer. With gradients."""
    texts, unet = parts
    ids = torch.tensor([[49406, 320, 1125, 539, 49407]])
    states = torch.cat([text(ids, output_hidden_states=True).hidden_states[-1] for text in texts], dim=-1)
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    extra = {}
    if len(texts) > 1:
        pooled = texts[1](ids).text_embeds
        extra = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]])}}
    return unet(x, torch.tensor([500]), states, **extra).sample


def main(folder: Path) -> None:
    """Load every file on a model made anew, apply it, merge it, and write what comes out."""
    models = {family: make(family) for family in FAMILIES}
    for file in sorted(folder.glob("*.safetensors")):
        texts, unet = parts = models[file.stem.rpartition("-")[0]]
        found = {}
        weights = load_file(file)
        build = registry.for_weights(weights).create_network_from_weights
        network, weights = build(1.0, None, None, texts, unet, weights, True)
        with torch.no_grad():
            network.apply_to(texts, unet)
            network.load_state_dict(weights)
            found["applied"] = outputs(parts)
            network.restore()
            network.merge_to(texts, unet, weights)
            found["merged"] = outputs(parts)
            network.unmerge()
        save_file(found, folder / f"{file.stem}.out")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
