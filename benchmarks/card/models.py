"""Random checkpoints of the released sizes, made on the card itself, for benchmarks that need no trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lora_trainer.models import convert

# The released configurations, as diffusers names them.
UNETS: dict[str, dict[str, Any]] = {
    "sd1": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,  # diffusers' name for the number of heads
    },
    "sdxl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
TEXT_ENCODERS: dict[str, list[dict[str, Any]]] = {
    "sd1": [{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}],
    "sdxl": [
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
        {
            "hidden_size": 1280,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "hidden_act": "gelu",
            "projection_dim": 1280,
        },
    ],
}


def unet(family: str) -> Any:
    """Return the UNet of "sd1" or "sdxl" at its released size, with random weights, on the default device."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**UNETS[family])


def write(path: Path, family: str, *, size: str, device: torch.device) -> Path:
    """Write a random checkpoint of "sd1" or "sdxl" in LDM's names, in float16, to `path`; return `path`.

    `size` is "full" (the released one) or "small" (tests.tiny: the same topology, a few megabytes).
    """
    if size == "small":
        from tests.tiny import make_checkpoint

        return make_checkpoint(path, family)
    with torch.device(device), torch.no_grad():
        torch.manual_seed(0)
        parts = (unet(family), _vae(), *(text_encoder(config) for config in TEXT_ENCODERS[family]))
    made = convert.checkpoint_tensors(*parts[:3], family=family, text_encoder_2=parts[3] if len(parts) > 3 else None)
    tensors = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in made.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path))
    return path


def _vae() -> Any:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
    )
    vae.quant_conv.weight[:4].mul_(20)  # latents of about unit variance, as a trained VAE has
    return vae


def text_encoder(config: dict[str, Any]) -> Any:
    """Return the text encoder of one of TEXT_ENCODERS, with random weights, on the default device."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if "projection_dim" in config else CLIPTextModel
    return kind(CLIPTextConfig(vocab_size=49408, intermediate_size=4 * config["hidden_size"], **config))
