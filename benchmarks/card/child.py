"""What is measured in a process of its own, so that each measurement starts with an empty card: the functions of WHAT."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from lora_trainer.options.resolve import train_options

from . import cases, models, opponent
from .watch import Plan, Watch


def device() -> torch.device:
    """The card, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def make_models(folder: str, families: list[str], size: str) -> dict[str, Any]:
    """Write the checkpoints and the pictures of `families` below `folder`; say what the card is."""
    for family in families:
        models.write(Path(folder) / f"{family}.safetensors", family, size=size, device=device())
        case = cases.Case("", family, 1)
        cases.write_images(Path(folder) / f"data-{family}", case.resolution(size))
    here = device()
    on_card = here.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(here) if on_card else "CPU",
        "memory": torch.cuda.get_device_properties(here).total_memory if on_card else None,
        "torch": torch.__version__,
    }


def matmul(side: int, seconds: float = 1.0) -> dict[str, float]:
    """Return the rate of a bf16 product of two random [side, side] matrices in operations per second (2 side^3 each)."""
    here = device()
    left, right = (torch.randn(side, side, device=here).to(torch.bfloat16) for _ in range(2))
    wait = torch.cuda.synchronize if here.type == "cuda" else (lambda: None)
    torch.matmul(left, right)
    wait()
    started, products = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(10 if here.type == "cuda" else 1):
            torch.matmul(left, right)
            products += 1
        wait()
    return {"flops_per_second": 2 * side**3 * products / (time.perf_counter() - started)}


def ours(name: str, folder: str, size: str, begun: float, seconds: float, steps: int) -> dict[str, Any]:
    """Train the case by the ordinary training, and return what Watch found."""
    from lora_trainer.training.train import train

    case = cases.by_name(name)
    at = Path(folder)
    options = train_options(case.arguments(at / f"{case.family}.safetensors", at / f"data-{case.family}", at / "out", size))
    watch = Watch(Plan(begun, seconds, steps), device(), case.batch)
    try:
        train(options, reporter=watch)
    finally:
        watch.close()
    return watch.found


def against(name: str, size: str, seconds: float, steps: int) -> dict[str, Any]:
    """Measure the opponent's step of the case."""
    return opponent.measure(cases.by_name(name), device(), size=size, seconds=seconds, steps=steps)


WHAT = {"models": make_models, "matmul": matmul, "ours": ours, "opponent": against}
