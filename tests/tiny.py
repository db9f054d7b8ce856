"""Tiny checkpoints of SD1's, SD2's and SDXL's topology (real CLIP vocabulary), for tests of all rooms.

    path = make_checkpoint(tmp_path / "tiny.safetensors")             # about 25 MB, loads in a fraction of a second
    path = make_checkpoint(tmp_path / "xl.safetensors", "sdxl")       # FAMILIES
    webui_files.write(path)  (lora_trainer.demo)                      # name.yaml and name.clip/, for the real Web UI

Nothing in them is zero-initialised, so that a LoRA on any layer changes the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from lora_trainer.models import convert

FAMILIES = ("sd1", "sd2-linear", "sd2-conv", "sd2-v", "sdxl")


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
    """Return SD1's (UNet2DConditionModel, AutoencoderKL, CLIPTextModel) in float32 with random weights.

    `model_channels` and `vae_channels` are multiples of 32 (the groups of the norms), `context_dim` a multiple of 64 or
    at most 64 (CLIP's heads are 64 wide).
    """
    from diffusers import UNet2DConditionModel

    assert len(channel_mult) == len(vae_mult) == 4
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            in_channels=in_channels,
            block_out_channels=[model_channels * mult for mult in channel_mult],
            cross_attention_dim=context_dim,
            attention_head_dim=8,  # diffusers' name for the number of heads
        )
        vae = _vae([vae_channels * mult for mult in vae_mult])
        text_encoder = _text_encoder(context_dim, clip_layers)
        _as_if_trained(vae, [text_encoder])
    return unet.eval(), vae.eval(), text_encoder.eval()


def make_sd2_parts(*, seed: int = 0, linear: bool = True, velocity: bool = False):
    """Return SD2's (UNet, VAE, text encoder); `velocity` makes the UNet answer as one that predicts velocity does."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            block_out_channels=[32, 32, 64, 64], attention_head_dim=1, cross_attention_dim=64, use_linear_projection=linear
        )
        vae, text_encoder = _vae([32] * 4), _text_encoder(64, 2, hidden_act="gelu")
        _as_if_trained(vae, [text_encoder])
        if velocity:
            with torch.no_grad():
                unet.conv_out.bias.sub_(3)
    return unet.eval(), vae.eval(), text_encoder.eval()


def make_sdxl_parts(*, seed: int = 0):
    """Return SDXL's (UNet, VAE, CLIP's text encoder, OpenCLIP's)."""
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(32, 64, 128),
            transformer_layers_per_block=(1, 1, 2),
            attention_head_dim=(1, 1, 2),
            cross_attention_dim=64 + 128,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=96 + 6 * 8,
        )
        vae = _vae([32] * 4)
        texts = [_text_encoder(64, 2), _text_encoder(128, 3, hidden_act="gelu", projection_dim=96)]
        _as_if_trained(vae, texts)
    return unet.eval(), vae.eval(), texts[0].eval(), texts[1].eval()


def make_family(family: str, **sizes):
    """Return the parts of one of FAMILIES: the UNet, the VAE, and one or two text encoders."""
    if family == "sdxl":
        return make_sdxl_parts(**sizes)
    if family.startswith("sd2"):
        return make_sd2_parts(linear=family != "sd2-conv", velocity=family == "sd2-v", **sizes)
    return make_parts(**sizes)


def _vae(channels: Sequence[int]):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
    )


def _text_encoder(width: int, layers: int, *, projection_dim: int = 0, **config):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if projection_dim else CLIPTextModel
    return kind(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=max(1, width // 64),
            projection_dim=projection_dim or width,
            **config,
        )
    )


@torch.no_grad()
def _as_if_trained(vae, text_encoders) -> None:
    """Latents of about unit variance and pictures with contrast, as a trained VAE has; norms with a bias.

    Without a bias the mean of the text states can be exactly 0, and hosts divide by it.
    """
    vae.quant_conv.weight[:4].mul_(20)
    vae.decoder.conv_out.weight.mul_(3)
    for text_encoder in text_encoders:
        for name, parameter in text_encoder.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)


def make_checkpoint(path: Path, family: str = "sd1", *, seed: int = 0, dtype: torch.dtype = torch.float32, **sizes) -> Path:
    """Write a tiny checkpoint of one of FAMILIES, in LDM's names, to `path` (.safetensors, else a .ckpt by torch.save).

    `sizes` are make_parts' arguments. Returns `path`.
    """
    unet, vae, text_encoder, *second = make_family(family, seed=seed, **sizes)
    made = convert.checkpoint_tensors(
        unet, vae, text_encoder, family=family.partition("-")[0], text_encoder_2=second[0] if second else None
    )
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in made.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, str(path))
    else:
        torch.save({"state_dict": tensors, "global_step": 1}, path)
    return path
