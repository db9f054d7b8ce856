"""What compiling a UNet costs, and what a step gains: as a whole, and block by block.

    python -m benchmarks.compiling                              # SD1.5's structure in a small size, on whatever device there is
    python -m benchmarks.compiling --backend aot_eager --channels 32 --family sdxl --sizes 3

Each way has a process and a compiler's folder of its own, so that nothing is found that another one left. Printed are the
seconds of the first forward and backward pass, which compiles, of later ones (the median), and of the first pass in each
further size of pictures; and how many graphs were compiled. They are the processor's seconds, of this process and of the
compilers that it started, which a busy machine does not change much.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Any

WAYS = ("plain", "blocks", "whole")
SIZES = ((32, 32), (24, 40), (40, 24))  # of the latents


def measure_one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one way, in this process."""
    import torch

    from benchmarks.card import models
    from lora_trainer.models.compiling import Way, compiled
    from lora_trainer.networks.lora import create_network

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    config = dict(models.UNETS[arguments.family])
    widths = tuple(arguments.channels * width // 320 for width in config["block_out_channels"])
    config |= {"block_out_channels": widths, "cross_attention_dim": 64, "attention_head_dim": 4}
    extra: dict[str, Any] = {}
    if arguments.family == "sdxl":
        config["projection_class_embeddings_input_dim"] = 64 + 6 * config["addition_time_embed_dim"]
        extra = {"added_cond_kwargs": {"text_embeds": torch.randn(1, 64), "time_ids": torch.randn(1, 6)}}
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**config).requires_grad_(False).eval().to(device)
    network = create_network(1.0, 16, 8.0, None, [], unet)
    network.apply_to([], unet)
    network.train()
    if arguments.checkpointing:
        from lora_trainer.models.checkpointing import checkpoint_gradients

        checkpoint_gradients(unet)
    if arguments.way != "plain":
        compiled(unet, Way(arguments.backend, regional=arguments.way == "blocks")).on()

    def step(size: tuple[int, int]) -> float:
        began = processor_seconds()
        latents, states = torch.randn(1, 4, *size, device=device), torch.randn(1, 77, 64, device=device)
        loss = unet(latents, torch.tensor([10], device=device), states, **extra).sample.square().mean()
        loss.backward()
        network.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return processor_seconds() - began

    first = step(SIZES[0])
    later = statistics.median(step(SIZES[0]) for _ in range(arguments.steps))
    others = [step(size) for size in SIZES[1 : arguments.sizes]]
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] if arguments.way != "plain" else 0
    return {
        "first": round(first, 1),
        "later": round(later, 4),
        "other sizes": [round(one, 1) for one in others],
        "graphs": graphs,
    }


def processor_seconds() -> float:
    """What this process and its children that have ended took of the processor so far."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--family", default="sd1", choices=("sd1", "sdxl"))
    parser.add_argument("--channels", type=int, default=64, help="of the widest pictures; SD's are 320")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--sizes", type=int, default=1, help="of pictures, at most 3")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--way", choices=WAYS, help="one alone, in this process")
    return parser


def main() -> None:
    """Print a line for each way."""
    arguments = parser().parse_args()
    if arguments.way:
        sys.stdout.write(json.dumps(measure_one(arguments)) + "\n")
        return
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": folder}
            words = [sys.executable, "-m", "benchmarks.compiling", "--way", way, *sys.argv[1:]]
            found = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, text=True)
        sys.stdout.write(f"{way}: {found.stdout}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
