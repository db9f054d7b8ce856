"""Our seconds per step over those of the bare forward, backward and optimizer step, in one run.

    python benchmarks/loop_overhead.py                     # a model made for it, on whatever device there is
    python benchmarks/loop_overhead.py --size full --precision fp16 --resolution 512     # Stable Diffusion 1.5's sizes
    python benchmarks/loop_overhead.py --model v1-5.safetensors

Both use the same model, network, optimizer and batch, and take turns; "ours" is everything between two steps of a real run:
the data loader, the noise, the loss, clipping, the schedule, the checks and the events written to a run folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lora_trainer.models import text  # noqa: E402
from lora_trainer.options.resolve import train_options  # noqa: E402
from lora_trainer.runs.events import RunReporter  # noqa: E402
from lora_trainer.training.loop import Loop  # noqa: E402
from lora_trainer.training.train import train  # noqa: E402
from tests.tiny import make_checkpoint  # noqa: E402

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"model_channels": 128, "channel_mult": (1, 2, 4, 4), "context_dim": 256, "clip_layers": 6},
    "full": {"model_channels": 320, "channel_mult": (1, 2, 4, 4), "context_dim": 768, "clip_layers": 12},
}


class Duel:
    """Takes the place of Loop.run: makes a step of ours and a bare one in turns, and keeps both times."""

    def __init__(self, steps: int, warm: int) -> None:
        self.steps, self.warm = steps, warm
        self.ours: list[tuple[float, float]] = []  # (seconds, seconds of this process's CPU)
        self.bare: list[tuple[float, float]] = []

    def run(self, loop: Loop, batches: Iterator[Mapping[str, Any]]) -> None:
        kept: dict[str, Any] = {}

        def keeping() -> Iterator[Mapping[str, Any]]:
            for batch in batches:
                kept["batch"] = batch
                yield batch

        stream = keeping()
        groups = (group for epoch in range(loop.counts.epochs) for group in loop._groups(epoch))
        for number, group in zip(range(self.steps + self.warm), groups, strict=False):
            ours = self._time(lambda group=group: self._our_step(loop, group, stream))
            prepared = self._prepare(loop, kept["batch"])
            bare = self._time(lambda prepared=prepared: self._bare_step(loop, *prepared))
            if number >= self.warm:
                self.ours.append(ours)
                self.bare.append(bare)

    @staticmethod
    def _our_step(loop: Loop, group: Any, stream: Iterator[Mapping[str, Any]]) -> None:
        loss = loop._make_step(group, stream)
        loop._report(loss, loss, 1, len(group[0].images))
        loop._after_step()

    @staticmethod
    def _prepare(loop: Loop, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        latents = batch["latents"].to(loop.processes.device)
        tokens = text.tokenize(loop.trainee.model.tokenizers[0], batch["captions"]).to(latents.device)
        states = None if loop.trainee.text.trained else loop.trainee.text(batch["captions"])
        return torch.randn_like(latents), torch.randint(0, 1000, (len(latents),), device=latents.device), tokens, states

    @staticmethod
    def _bare_step(
        loop: Loop, noisy: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, states: torch.Tensor | None
    ) -> None:
        trainee, updater = loop.trainee, loop.updater
        with trainee.precision.autocast():
            if states is None:
                states = text.encode(trainee.model.text_encoders[0], tokens)
            prediction = trainee.model.predict(noisy.to(trainee.precision.dtype), timesteps, states)
        loss = torch.nn.functional.mse_loss(prediction.float(), noisy)
        updater.scaler.scale(loss).backward()
        updater.scaler.step(updater.optimizer)
        updater.scaler.update()
        updater.optimizer.zero_grad(set_to_none=True)

    @staticmethod
    def _time(step: Any) -> tuple[float, float]:
        wait = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
        wait()
        started, cpu = time.perf_counter(), time.process_time()
        step()
        wait()
        return time.perf_counter() - started, time.process_time() - cpu


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the duel; return medians in seconds and their ratio."""
    model = arguments.model or make_checkpoint(folder / "model.safetensors", **SIZES[arguments.size])
    images = folder / "data" / "1_sls frog"
    images.mkdir(parents=True)
    for i in range(8):
        side = arguments.resolution
        Image.effect_noise((side, side), 60 + 10 * i).convert("RGB").save(images / f"{i}.png")
        (images / f"{i}.txt").write_text(f"sls frog {i}", encoding="utf-8")
    options = train_options(
        {
            "pretrained_model_name_or_path": str(model),
            "train_data_dir": str(folder / "data"),
            "output_dir": str(folder / "out"),
            "output_name": "benchmark",
            "network_module": "networks.lora",
            "network_dim": 16,
            "caption_extension": ".txt",
            "resolution": str(arguments.resolution),
            "train_batch_size": arguments.batch,
            "max_train_steps": 100_000,
            "learning_rate": 1e-6,
            "cache_latents": True,
            "mixed_precision": arguments.precision,
            "network_train_unet_only": arguments.unet_only,
            "gradient_checkpointing": arguments.checkpointing,
            "seed": 1,
        }
    )
    duel = Duel(arguments.steps, warm=3)
    Loop.run = lambda loop, batches: duel.run(loop, batches)  # type: ignore[method-assign]
    reporter = RunReporter(folder)
    with contextlib.closing(reporter):
        train(options, reporter=reporter)
    ours, bare = ([statistics.median(times) for times in zip(*side, strict=True)] for side in (duel.ours, duel.bare))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "device": device,
        "torch": torch.__version__,
        "seconds_ours": round(ours[0], 5),
        "seconds_bare": round(bare[0], 5),
        "ratio": round(ours[0] / bare[0], 4),
        "median_of_ratios": round(statistics.median(a[0] / b[0] for a, b in zip(duel.ours, duel.bare, strict=True)), 4),
        "cpu_milliseconds_more": round(1000 * (ours[1] - bare[1]), 2),
        "cpu_ratio": round(ours[1] / bare[1], 4),
        **{key: str(value) for key, value in vars(arguments).items() if key != "model"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a checkpoint; by default one with random weights is made")
    parser.add_argument("--size", default="small", choices=list(SIZES), help="of the model that is made; full is SD1.5's")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", default="no", choices=("no", "fp16", "bf16"))
    parser.add_argument("--unet-only", action="store_true")
    parser.add_argument("--checkpointing", action="store_true")
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(measure(parser.parse_args(), Path(folder)), indent=1) + "\n")


if __name__ == "__main__":
    main()
