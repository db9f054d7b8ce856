"""Handing the card from a training to pictures and back: how long that takes, and what it holds meanwhile.

    python benchmarks/handover.py                          # a model made for it, on whatever device there is
    python benchmarks/handover.py --size full --precision fp16       # Stable Diffusion 1.5's sizes
    python benchmarks/handover.py --model sdxl.safetensors --precision bf16

Two opponents, which take turns with ours: a plain `.to("cpu")` of everything that the training holds, into ordinary (pageable)
memory, and back; and a host that drops its model and reads its file anew for the next picture (the file is in the disk's
cache). Without a card both "places" are main memory: the copies are made all the same, and no card's bus is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.loop_overhead import SIZES  # noqa: E402
from benchmarks.printing import measured  # noqa: E402
from lora_trainer.models import load  # noqa: E402
from lora_trainer.models.main_memory import Place, free_card, places  # noqa: E402
from lora_trainer.networks.lora import create_network  # noqa: E402
from lora_trainer.runs.control import Control  # noqa: E402
from lora_trainer.sampling import session  # noqa: E402
from lora_trainer.sampling.generate import draw  # noqa: E402
from lora_trainer.sampling.request import from_mapping  # noqa: E402
from lora_trainer.training import parking  # noqa: E402
from lora_trainer.training.distributed import Processes  # noqa: E402
from tests.tiny import make_checkpoint  # noqa: E402

RANK = 16
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Training:
    """What a training holds on the device: a base model, a LoRA of it, and what AdamW remembers after a step."""

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        base = load(model, dtype=dtype, device=device)
        network = create_network(1.0, RANK, 1.0, None, None, base.unet).to(device)
        self.optimizer = torch.optim.AdamW(network.parameters())
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.modules = [base.unet, base.vae, *base.text_encoders, network]
        self.device = device
        self.parking = parking.Parking(Control, lambda event: None, Processes(device), self.modules, self.optimizer)

    def places(self) -> list[Place]:
        """Where all of its tensors lie."""
        states = [Place(state, key) for state in self.optimizer.state.values() for key in state]
        return [*places(self.modules), *(place for place in states if isinstance(place.tensor, torch.Tensor))]

    def bytes(self) -> int:
        """How much they hold."""
        return sum(place.tensor.numel() * place.tensor.element_size() for place in self.places())

    def move(self, device: torch.device) -> None:
        """The plain way: each tensor by itself, into memory of its own."""
        for place in self.places():
            place.put(place.tensor.to(device, copy=True))
        free_card()


@contextmanager
def everything_moves(device: torch.device) -> Iterator[None]:
    """Without a card, main memory counts as one."""
    kept = parking.is_on_card, session.is_on_card
    if device.type == "cpu":
        parking.is_on_card = session.is_on_card = lambda tensor: True  # type: ignore[assignment]
    try:
        yield
    finally:
        parking.is_on_card, session.is_on_card = kept


def seconds(work: Callable[[], object]) -> float:
    """How long it took, to the end of what the card has to do."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def hand_overs(training: Training, times: int) -> dict[str, Any]:
    """Parking and coming back, ours and the plain way in turns."""
    found: dict[str, list[float]] = {name: [] for name in ("park", "unpark", "plain park", "plain unpark")}
    first = 0.0
    held: dict[str, int] = {}
    for _ in range(times + 1):
        parked: list[Any] = []
        took = seconds(lambda parked=parked: parked.extend(training.parking.leave()))  # type: ignore[misc]
        first = first or took
        found["park"].append(took)
        held = {"MiB parked": sum(one.memory.bytes for one in parked) >> 20, **left_on_card()}
        found["unpark"].append(seconds(lambda parked=parked: training.parking.come_back(parked)))  # type: ignore[misc]
        found["plain park"].append(seconds(lambda: training.move(torch.device("cpu"))))
        found["plain unpark"].append(seconds(lambda: training.move(training.device)))
        del parked
    told: dict[str, Any] = {f"{name}, s": round(statistics.median(took[1:]), 4) for name, took in found.items()}
    ours, plain = (told[f"{way}park, s"] + told[f"{way}unpark, s"] for way in ("", "plain "))
    return {**told, "first park, s": round(first, 4), "ratio": round(ours / plain, 3), **held}


def left_on_card() -> dict[str, int]:
    """What this process still holds of the card."""
    return {"MiB left on the card": torch.cuda.memory_reserved() >> 20} if torch.cuda.is_available() else {}


def first_pictures(model: str, device: torch.device, precision: str, size: int, times: int) -> dict[str, Any]:
    """From "the card is free" to a picture of one step: the model comes from main memory, or is read anew."""
    host = session.Session()
    request = from_mapping({"prompt": "a frog", "width": size, "height": size, "steps": 1, "seed": 1})

    def picture() -> None:
        list(draw(host.model(model, device=str(device), precision=precision), request))

    picture()
    found: dict[str, list[float]] = {"kept": [], "read anew": [], "drawing alone": []}
    for _ in range(times):
        host.leave_card()
        found["kept"].append(seconds(picture))
        found["drawing alone"].append(seconds(picture))
        host.drop()
        found["read anew"].append(seconds(picture))
    told: dict[str, Any] = {f"{name}, s": round(statistics.median(took), 3) for name, took in found.items()}
    return {**told, "ratio": round(told["kept, s"] / told["read anew, s"], 3)}


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians over `times` hand-overs."""
    model = arguments.model or str(make_checkpoint(folder / "model.safetensors", **SIZES[arguments.size]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with everything_moves(device):
        training = Training(model, device, DTYPES[arguments.precision])
        told = {"MiB": training.bytes() >> 20, **hand_overs(training, arguments.times)}
        del training
        free_card()
        precision = {"no": "fp32"}.get(arguments.precision, arguments.precision)
        pictures = first_pictures(model, device, precision, arguments.resolution, arguments.times)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return {"device": name, "training": told, "first picture": pictures}


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", help="a checkpoint; by default one with random weights is made")
    result.add_argument("--size", default="small", choices=list(SIZES), help="of the model that is made; full is SD1.5's")
    result.add_argument("--precision", default="no", choices=list(DTYPES))
    result.add_argument("--resolution", type=int, default=256, help="of the pictures")
    result.add_argument("--times", type=int, default=5)
    return result


if __name__ == "__main__":
    measured(parser(), measure)
