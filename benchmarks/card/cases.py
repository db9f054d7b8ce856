"""What benchmarks/gpu.py measures: one training each, as command-line options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

IMAGES = 8


@dataclass(frozen=True)
class Case:
    """One row of the table. `options` are the command line's, beyond those of `arguments`.

    `opponent` also runs the same step as diffusers' own script does it, `reference` the case in a checkout of sd-scripts.
    """

    name: str
    family: str
    batch: int
    options: dict[str, Any] = field(default_factory=dict)
    opponent: bool = False
    reference: bool = False

    def resolution(self, size: str) -> int:
        """Side of the training pictures in pixels."""
        if size == "small":
            return 128
        return 1024 if self.family == "sdxl" else 512

    def arguments(self, model: Path, data: Path, out: Path, size: str) -> dict[str, Any]:
        """The training's options: the UNet alone, rank 16, cached latents and texts, unless `options` say otherwise."""
        chosen: dict[str, Any] = {
            "pretrained_model_name_or_path": str(model),
            "train_data_dir": str(data),
            "output_dir": str(out),
            "output_name": "benchmark",
            "network_module": "networks.lora",
            "network_dim": 16,
            "network_alpha": 16,
            "network_train_unet_only": True,
            "caption_extension": ".txt",
            "resolution": str(self.resolution(size)),
            "train_batch_size": self.batch,
            "max_train_steps": 100_000,
            "learning_rate": 1e-4,
            "cache_latents": True,
            "mixed_precision": "bf16",
            "seed": 1,
        }
        if self.family == "sdxl":
            chosen["cache_text_encoder_outputs"] = True
        chosen.update(self.options)
        return {key: value for key, value in chosen.items() if value is not None}


# The most telling first: what is left when the time is over is not measured.
CASES = [
    Case("SD1.5 512 b1", "sd1", 1, opponent=True, reference=True),
    Case("SDXL 1024 b1, checkpointing", "sdxl", 1, {"gradient_checkpointing": True}, opponent=True, reference=True),
    Case("SDXL 1024 b1", "sdxl", 1, opponent=True, reference=True),
    Case("SD1.5 512 b4", "sd1", 4, opponent=True, reference=True),
    Case("SD1.5 512 b1, fp16", "sd1", 1, {"mixed_precision": "fp16"}),
    Case(
        "SDXL 1024 b1, checkpointing, AdamW8bit",
        "sdxl",
        1,
        {"gradient_checkpointing": True, "optimizer_type": "AdamW8bit"},
    ),
    Case("SD1.5 512 b1, text encoder too", "sd1", 1, {"network_train_unet_only": False}),
    Case("SD1.5 512 b1, AdamW8bit", "sd1", 1, {"optimizer_type": "AdamW8bit"}),
    Case("SD1.5 512 b4, checkpointing", "sd1", 4, {"gradient_checkpointing": True}),
    Case("SD1.5 512 b1, xformers", "sd1", 1, {"xformers": True}),
    Case("SD1.5 512 b4, channels_last", "sd1", 4, {"channels_last": True}),
    Case("SD1.5 512 b4, cuDNN tries", "sd1", 4, {"cuda_cudnn_benchmark": True}),
    Case(
        "SDXL 1024 b1, as few blocks twice as fit",
        "sdxl",
        1,
        {"gradient_checkpointing": True, "gradient_checkpointing_blocks": "auto"},
    ),
]


def by_name(name: str) -> Case:
    """The case of this name. Raises KeyError for another."""
    return {case.name: case for case in CASES}[name]


def write_images(folder: Path, side: int) -> Path:
    """Write IMAGES noise pictures of `side` pixels with captions, each shown very often; return the data folder."""
    inner = folder / "500_sls frog"
    inner.mkdir(parents=True, exist_ok=True)
    for number in range(IMAGES):
        Image.effect_noise((side, side), 60 + 10 * number).convert("RGB").save(inner / f"{number}.png")
        (inner / f"{number}.txt").write_text(f"sls frog {number}", encoding="utf-8")
    return folder
