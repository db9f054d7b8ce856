"""Our seconds per step over those of the bare forward, backward and optimizer step, in one run.

    python benchmarks/loop_overhead.py                     # a model made for it, on whatever device there is
    python benchmarks/loop_overhead.py --size full --precision fp16 --resolution 512     # Stable Diffusion 1.5's sizes
    python benchmarks/loop_overhead.py --model v1-5.safetensors

Both train a LoRA of the same layers of the same UNet on batches of one size, and take turns. "Ours" is everything between two
steps of a real run: the data loader, the noise, the loss, clipping, the schedule, the checks and the events written to a run
folder. The bare step is written out here with torch and diffusers alone: no module of ours, no autocast.

A ratio is [median, and the two between which the middle half lies]. On a machine that others keep busy the processor's time
(`cpu_ratio`) says more than the clock's, and the least of each more than the rest; on a card only the clock's says anything.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.printing import measured  # noqa: E402
from lora_trainer.models import load  # noqa: E402
from lora_trainer.options.resolve import train_options  # noqa: E402
from lora_trainer.runs.control import Control  # noqa: E402
from lora_trainer.runs.events import RunReporter  # noqa: E402
from lora_trainer.runs.folder import RunFolder  # noqa: E402
from lora_trainer.training.train import train  # noqa: E402
from tests.tiny import make_checkpoint  # noqa: E402

RANK = 16
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"model_channels": 128, "channel_mult": (1, 2, 4, 4), "context_dim": 256, "clip_layers": 6},
    "full": {"model_channels": 320, "channel_mult": (1, 2, 4, 4), "context_dim": 768, "clip_layers": 12},
}


class BareStep:
    """One optimizer step of a LoRA as one would write it by hand; `down` and `up` of every layer are its `parameters`.

    The UNet has the compute precision; the LoRA is float32 and computed in that precision.
    """

    def __init__(self, model: Path | str, *, precision: str, batch: int, resolution: int, checkpointing: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = DTYPES[precision]
        self.unet = load(str(model), dtype=self.dtype, device=self.device).unet
        self.unet.set_attn_processor(AttnProcessor2_0())  # diffusers' own
        if checkpointing:
            self.unet.enable_gradient_checkpointing()
            self.unet.train()
        self.parameters: list[nn.Parameter] = []
        for block in self.unet.modules():
            if type(block).__name__ == "Transformer2DModel":
                for layer in block.modules():
                    if isinstance(layer, (nn.Linear, nn.Conv2d)):
                        self._add(layer)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-6)
        make = getattr(torch.amp, "GradScaler", torch.cuda.amp.GradScaler)  # torch before 2.3 has the latter alone
        self.scaler = make(enabled=precision == "fp16")
        self.latents = torch.randn(batch, 4, resolution // 8, resolution // 8, device=self.device)
        self.states = torch.randn(batch, 77, self.unet.config.cross_attention_dim, device=self.device, dtype=self.dtype)

    def _add(self, layer: nn.Linear | nn.Conv2d) -> None:
        down = nn.Parameter(torch.randn(RANK, *layer.weight.shape[1:], device=self.device) * 0.01)
        up = nn.Parameter(torch.zeros(layer.weight.shape[0], RANK, *layer.weight.shape[2:], device=self.device))
        self.parameters += [down, up]
        product = nn.functional.linear if isinstance(layer, nn.Linear) else nn.functional.conv2d
        own = layer.forward

        def forward(x: torch.Tensor) -> torch.Tensor:
            return own(x) + product(product(x, down.to(x.dtype)), up.to(x.dtype))

        layer.forward = forward  # type: ignore[method-assign]

    def __call__(self) -> None:
        noise = torch.randn_like(self.latents)
        timesteps = torch.randint(0, 1000, (len(noise),), device=self.device)
        noisy = (self.latents + noise).to(self.dtype)
        prediction = self.unet(noisy, timesteps, self.states, return_dict=False)[0]
        self.scaler.scale(nn.functional.mse_loss(prediction.float(), noise)).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


class Duel:
    """A reporter that hands on to another one, makes a bare step behind each of ours, and keeps both times.

    Each of `ours` lies between two of `bare`, which has one more. A time is (seconds, seconds of this process's processor).
    """

    def __init__(self, reporter: RunReporter, bare: Callable[[], None], *, steps: int, warm: int) -> None:
        self.reporter, self.step, self.steps, self.warm = reporter, bare, steps, warm
        self.ours: list[tuple[float, float]] = []
        self.bare: list[tuple[float, float]] = []
        self._since = (0.0, 0.0)

    def control(self) -> Control:
        """Stop when enough was measured."""
        return dataclasses.replace(self.reporter.control(), stop=len(self.ours) >= self.steps)

    def emit(self, event: Mapping[str, Any]) -> None:
        """Take an event of the training; what lies between two steps is ours."""
        self.reporter.emit(event)
        if event["type"] != "step":
            return
        now, before = self._now(), self._since
        self.step()
        self._since = self._now()
        if event["step"] > self.warm:
            self.ours.append((now[0] - before[0], now[1] - before[1]))
        if event["step"] >= self.warm:
            self.bare.append((self._since[0] - now[0], self._since[1] - now[1]))

    def ratios(self, clock: int) -> list[float]:
        """Each of ours over the mean of the bare steps before and after it, in order of size; `clock` 0 or 1 of a time.

        What slows the machine for longer than a step slows both.
        """
        means = [(one[clock] + two[clock]) / 2 for one, two in pairwise(self.bare)]
        return sorted(ours[clock] / mean for ours, mean in zip(self.ours, means, strict=True))

    @staticmethod
    def _now() -> tuple[float, float]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the duel; return medians in seconds, and those of the ratios with the middle half of them."""
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
            "network_dim": RANK,
            "caption_extension": ".txt",
            "resolution": str(arguments.resolution),
            "train_batch_size": arguments.batch,
            "max_train_steps": 100_000,
            "learning_rate": 1e-6,
            "cache_latents": True,
            "mixed_precision": arguments.precision,
            "network_train_unet_only": True,
            "gradient_checkpointing": arguments.checkpointing,
            "seed": 1,
        }
    )
    bare_step = BareStep(
        model,
        precision=arguments.precision,
        batch=arguments.batch,
        resolution=arguments.resolution,
        checkpointing=arguments.checkpointing,
    )
    RunFolder(folder).config.touch()  # a run's folder without it counts as deleted
    with contextlib.closing(RunReporter(folder)) as reporter:
        duel = Duel(reporter, bare_step, steps=arguments.steps, warm=3)
        train(options, reporter=duel)
    ours, bare = ([statistics.median(times) for times in zip(*side, strict=True)] for side in (duel.ours, duel.bare))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {
        "device": device,
        "torch": torch.__version__,
        "seconds_ours": round(ours[0], 5),
        "seconds_bare": round(bare[0], 5),
        "ratio": _middle(duel.ratios(0)),
        "cpu_ratio": _middle(duel.ratios(1)),
        "cpu_ratio_of_least": round(min(duel.ours, key=_cpu)[1] / min(duel.bare, key=_cpu)[1], 3),
        "cpu_milliseconds_more": round(1000 * (ours[1] - bare[1]), 2),
        **{key: str(value) for key, value in vars(arguments).items() if key != "model"},
    }


def _middle(ratios: list[float]) -> list[float]:
    """[median, first quartile, third quartile] of sorted `ratios`."""
    last = len(ratios) - 1
    return [round(one, 3) for one in (statistics.median(ratios), ratios[round(last / 4)], ratios[round(last * 3 / 4)])]


def _cpu(times: tuple[float, float]) -> float:
    return times[1]


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", help="a checkpoint; by default one with random weights is made")
    result.add_argument("--size", default="small", choices=list(SIZES), help="of the model that is made; full is SD1.5's")
    result.add_argument("--steps", type=int, default=20)
    result.add_argument("--resolution", type=int, default=256)
    result.add_argument("--batch", type=int, default=1)
    result.add_argument("--precision", default="no", choices=("no", "fp16", "bf16"))
    result.add_argument("--checkpointing", action="store_true")
    return result


if __name__ == "__main__":
    measured(parser(), measure)
