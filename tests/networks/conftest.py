"""Models that the tests of this room share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.closeness import SIDE

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def golden(name: str) -> dict:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def sd15():
    """(text encoder, UNet) of Stable Diffusion 1.5's true sizes, without memory for their weights."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
            )
        )
    return text, unet


@pytest.fixture(scope="session")
def sdxl():
    """(both text encoders, UNet) of Stable Diffusion XL's true sizes, without memory for their weights."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(320, 640, 1280),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
        first = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
        )
        second = CLIPTextModelWithProjection(
            CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20)
        )
    return [first, second], unet


@pytest.fixture
def parts():
    """(text encoder, UNet) of SD1's topology, small, random, fresh for each test."""
    unet, _, text = tiny.make_parts(seed=3)
    return text.requires_grad_(False), unet.requires_grad_(False)


def randomize(network, seed: int = 0, size: float = 0.1) -> None:
    """Give every `up` weights as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for adapter in network.adapters():
            adapter.lora_up.weight.normal_(0.0, size, generator=generator)


def outputs(text, unet) -> tuple[torch.Tensor, torch.Tensor]:
    """(text states, UNet output for a fixed text) of given models on fixed inputs."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, SIDE, SIDE, generator=generator)
    fixed = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    ids = torch.tensor([[49406, 320, 1125, 539, 49407]])
    with torch.no_grad():
        return text(ids).last_hidden_state, unet(x, torch.tensor([10, 700]), fixed).sample
