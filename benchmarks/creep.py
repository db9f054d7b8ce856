"""What a long training holds at its end over what it held after its first save.

    python -m benchmarks.creep                     # 2,000 steps of a tiny model, saved and drawn every 100
    python -m benchmarks.creep --steps 300 --every 30

On the CPU the process's memory counts, on a card what PyTorch has reserved of it, too. Everything is in MiB.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from lora_trainer.options.resolve import train_options
from lora_trainer.runs.control import Control
from lora_trainer.training.train import train
from tests.tiny import make_checkpoint

MIB = 2**20


class Watch:
    """A reporter that notes what is held after each save."""

    def __init__(self) -> None:
        self.held: list[dict[str, float]] = []
        self._step = 0

    def control(self) -> Control:
        """Nobody asks for anything."""
        return Control()

    def emit(self, event: Mapping[str, Any]) -> None:
        """Note what is held when a step after a save is told."""
        if event["type"] == "saved":
            self._step = int(event["step"])
        if event["type"] == "step" and event["step"] == self._step + 1 and self._step:
            gc.collect()
            found: dict[str, float] = {"step": self._step, "process": psutil.Process().memory_info().rss / MIB}
            if torch.cuda.is_available():
                found["reserved"] = torch.cuda.memory_reserved() / MIB
            self.held.append({name: round(value, 1) for name, value in found.items()})


def measure(steps: int, every: int, folder: Path) -> dict[str, Any]:
    """Train for so many steps; returns what was held after the first save, at the middle and at the end."""
    images = folder / "data" / "1_sls frog"
    images.mkdir(parents=True)
    for i in range(6):
        Image.effect_noise((64, 64), 60 + i).convert("RGB").save(images / f"{i}.png")
    prompts = folder / "prompts.txt"
    prompts.write_text("sls frog --w 64 --h 64 --s 2\n", encoding="utf-8")
    options = train_options(
        {
            "pretrained_model_name_or_path": str(make_checkpoint(folder / "model.safetensors")),
            "train_data_dir": str(folder / "data"),
            "output_dir": str(folder / "out"),
            "output_name": "creep",
            "network_module": "networks.lora",
            "resolution": "64",
            "max_train_steps": steps + 2,
            "learning_rate": 1e-4,
            "cache_latents": True,
            "save_every_n_steps": every,
            "save_last_n_steps": every,
            "save_state": True,
            "sample_every_n_steps": every,
            "sample_prompts": str(prompts),
            "seed": 1,
        }
    )
    watch = Watch()
    train(options, reporter=watch)
    held = watch.held
    return {"steps": steps, "saved and drawn every": every, "first": held[0], "middle": held[len(held) // 2], "last": held[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--every", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(measure(arguments.steps, arguments.every, Path(folder)), indent=1) + "\n")


if __name__ == "__main__":
    main()
