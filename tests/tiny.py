"""A tiny checkpoint of SD1's topology (12/1/12 blocks, real CLIP vocabulary), for tests of all rooms.

    path = make_checkpoint(tmp_path / "tiny.safetensors")             # about 25 MB, loads in a fraction of a second
    make_webui_files(path)                                            # name.yaml and name.clip/, for the real Web UI

Nothing in it is zero-initialised, so that a LoRA on any layer changes the picture.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from lora_trainer.models import convert
from lora_trainer.paths import ASSETS_DIR


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


def make_webui_files(path: Path) -> Path:
    """Write `NAME.yaml` and the folder `NAME.clip` beside the checkpoint, so that the Web UI 1.10.1 loads it offline.

    Returns the YAML. The sizes are read from the checkpoint.
    """
    from lora_trainer.models import load

    model = load(path, dtype=torch.float32, device="cpu")
    unet, vae, text = model.unet.config, model.vae.config, model.text_encoders[0].config
    clip = path.with_suffix(".clip")
    clip.mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(ASSETS_DIR / "clip" / name, clip / name)
    (clip / "config.json").write_text(json.dumps(text.to_dict()), encoding="utf-8")
    (clip / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}), encoding="utf-8"
    )
    mult = [channels // unet.block_out_channels[0] for channels in unet.block_out_channels]
    vae_mult = [channels // vae.block_out_channels[0] for channels in vae.block_out_channels]
    config = {
        "model": {
            "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
            "params": {
                "linear_start": 0.00085,
                "linear_end": 0.0120,
                "num_timesteps_cond": 1,
                "timesteps": 1000,
                "first_stage_key": "jpg",
                "cond_stage_key": "txt",
                "image_size": 64,
                "channels": 4,
                "log_every_t": 200,
                "cond_stage_trainable": False,
                "conditioning_key": "crossattn",
                "monitor": "val/loss_simple_ema",
                "scale_factor": 0.18215,
                "use_ema": False,
                "unet_config": {
                    "target": "ldm.modules.diffusionmodules.openaimodel.UNetModel",
                    "params": {
                        "image_size": 32,
                        "in_channels": unet.in_channels,
                        "out_channels": 4,
                        "num_res_blocks": 2,
                        "model_channels": unet.block_out_channels[0],
                        "channel_mult": mult,
                        "num_heads": 8,
                        "attention_resolutions": [4, 2, 1],
                        "use_spatial_transformer": True,
                        "transformer_depth": 1,
                        "context_dim": unet.cross_attention_dim,
                        "use_checkpoint": False,
                        "legacy": False,
                    },
                },
                "first_stage_config": {
                    "target": "ldm.models.autoencoder.AutoencoderKL",
                    "params": {
                        "embed_dim": 4,
                        "monitor": "val/rec_loss",
                        "lossconfig": {"target": "torch.nn.Identity"},
                        "ddconfig": {
                            "double_z": True,
                            "z_channels": 4,
                            "resolution": 256,
                            "in_channels": 3,
                            "out_ch": 3,
                            "ch": vae.block_out_channels[0],
                            "ch_mult": vae_mult,
                            "num_res_blocks": 2,
                            "attn_resolutions": [],
                            "dropout": 0.0,
                        },
                    },
                },
                "cond_stage_config": {
                    "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
                    "params": {"version": str(clip.resolve())},
                },
            },
        }
    }
    yaml = path.with_suffix(".yaml")
    yaml.write_text(json.dumps(config, indent=2), encoding="utf-8")  # JSON is YAML
    return yaml
