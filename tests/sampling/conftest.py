"""One loaded tiny model for the room, and LoRA files with an effect that can be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def loaded(tiny_sd1: Path):
    """The tiny model in float32 on the CPU. Whoever changes it puts it back."""
    from lora_trainer.models import load

    return load(tiny_sd1, dtype=torch.float32, device="cpu")


@pytest.fixture(scope="session")
def make_lora(loaded):
    """make_lora(path, seed=0, strength=0.3, name=None, rank=4): write a LoRA for the tiny model with random weights."""
    from lora_trainer.networks import files, registry

    def make(path: Path, *, seed: int = 0, strength: float = 0.3, name: str | None = None, rank: int = 4) -> Path:
        network = registry.get("networks.lora").create_network(
            1.0, rank, float(rank), None, loaded.text_encoders, loaded.unet, seed=seed
        )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in network.adapters():
                up = module.lora_up.weight
                up.copy_(torch.randn(up.shape, generator=generator) * strength * 0.2)
        files.save(path, network.state_dict(), {"ss_output_name": name} if name else {})
        return path

    return make
