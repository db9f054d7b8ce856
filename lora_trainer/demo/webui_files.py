"""What the Web UI 1.10.1 needs beside a checkpoint smaller than Stable Diffusion's: its sizes, and a folder for CLIP's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..models import load
from ..paths import ASSETS_DIR, ROOT_DIR
from . import webui_sizes


def write(path: Path) -> Path:
    """Write `NAME.yaml` and the folder `NAME.clip` beside the checkpoint, so that the Web UI 1.10.1 loads it offline.

    Returns the YAML. The sizes are read from the checkpoint.
    """
    model = load(path, dtype=torch.float32, device="cpu")
    text = model.text_encoders[0].config
    clip = path.with_suffix(".clip")
    clip.mkdir(exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(ASSETS_DIR / "clip" / name, clip / name)
    (clip / "config.json").write_text(json.dumps(text.to_dict()), encoding="utf-8")
    (clip / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}), encoding="utf-8"
    )
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
                "unet_config": _unet(model.unet.config),
                "first_stage_config": _vae(model.vae.config),
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


def sizes_module(extension: Path = ROOT_DIR) -> str:
    """The name by which the Web UI can import `webui_sizes`, where it can also while this extension is switched off.

    The Web UI's own folder is on its path, and so everything below `extensions` has a name from there. Where the extension
    lies elsewhere (--data-dir), its package is found while it is on.
    """
    root = extension.parent.parent
    is_inside = extension.parent.name == "extensions" and (root / "launch.py").is_file() and "." not in extension.name
    return ".".join([*(["extensions", extension.name] if is_inside else []), webui_sizes.__name__])


def _unet(sizes: Any) -> dict[str, Any]:
    channels = sizes.block_out_channels
    return {
        "target": f"{sizes_module()}.unet",
        "params": {
            "image_size": 32,
            "in_channels": sizes.in_channels,
            "out_channels": 4,
            "num_res_blocks": 2,
            "model_channels": channels[0],
            "channel_mult": _multiples(channels),
            "num_heads": 8,
            "attention_resolutions": [4, 2, 1],
            "use_spatial_transformer": True,
            "transformer_depth": 1,
            "context_dim": sizes.cross_attention_dim,
            "use_checkpoint": False,
            "legacy": False,
        },
    }


def _vae(sizes: Any) -> dict[str, Any]:
    channels = sizes.block_out_channels
    return {
        "target": f"{sizes_module()}.vae",
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
                "ch": channels[0],
                "ch_mult": _multiples(channels),
                "num_res_blocks": 2,
                "attn_resolutions": [],
                "dropout": 0.0,
            },
        },
    }


def _multiples(channels: Sequence[int]) -> list[float]:
    return [width / channels[0] for width in channels]
