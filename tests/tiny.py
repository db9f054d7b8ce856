"""A tiny checkpoint of SD1's topology (12/1/12 blocks, real CLIP vocabulary), for tests of all rooms.

    path = make_checkpoint(tmp_path / "tiny.safetensors")             # about 25 MB, loads in a fraction of a second
    webui_files.write(path)  (lora_trainer.demo)                      # name.yaml and name.clip/, for the real Web UI

Nothing in it is zero-initialised, so that a LoRA on any layer changes the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from lora_trainer.models import convert


def make_parts(
    *,
    seed: int = 0,
    model_channels: int = 32,
    channel_mult: Sequence[int] = (1, 1, 2, 2),
    context_dim: int = 64,
    clip_layers: int = 2,
    vae_channels: int = 32,
    vae_mult: Sequence[int] = (1, 1, 1, 1),
    in_channels: int = 4,
):
    """Return (UNet2DConditionModel, AutoencoderKL, CLIPTextModel) in float32 with random weights.

    `model_channels` and `vae_channels` are multiples of 32 (the groups of the norms), `context_dim` a multiple of 64 or
    at most 64 (CLIP's heads are 64 wide).
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    assert len(channel_mult) == len(vae_mult) == 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            in_channels=in_channels,
            block_out_channels=[model_channels * mult for mult in channel_mult],
            cross_attention_dim=context_dim,
            attention_head_dim=8,  # diffusers' name for the number of heads
        )
        vae = AutoencoderKL(
            block_out_channels=[vae_channels * mult for mult in vae_mult],
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            layers_per_block=2,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=context_dim,
                intermediate_size=4 * context_dim,
                num_hidden_layers=clip_layers,
                num_attention_heads=max(1, context_dim // 64),
            )
        )
        with torch.no_grad():  # latents of about unit variance and pictures with contrast, as a trained VAE has
            vae.quant_conv.weight[:4].mul_(20)
            vae.decoder.conv_out.weight.mul_(3)
            # A trained norm has a bias. Without one the mean of the text states can be exactly 0, and hosts divide by it.
            for name, parameter in text_encoder.named_parameters():
                if "norm" in name:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return unet.eval(), vae.eval(), text_encoder.eval()


def make_checkpoint(path: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, **sizes) -> Path:
    """Write a tiny SD1 checkpoint in LDM's names to `path` (.safetensors, else a .ckpt by torch.save) and return `path`.

    `sizes` are make_parts' arguments.
    """
    parts = make_parts(seed=seed, **sizes)
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in convert.checkpoint_tensors(*parts).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, str(path))
    else:
        torch.save({"state_dict": tensors, "global_step": 1}, path)
    return path
