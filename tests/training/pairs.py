"""Two processes on the CPU that train together, as `accelerate launch` starts them, but out of a fork server that has the
program loaded: seconds instead of many.

    events = train_in_pair(folder, {"max_train_steps": 3, ...})     # options of the training; what the main process told
    held = held_bytes(folder)                                       # [process 0's, process 1's] bytes_held at the last step
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: F401 - what a training imports late
from torch.distributed import fsdp  # noqa: F401
from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401

from lora_trainer.options.resolve import train_options
from lora_trainer.runs.control import Control
from lora_trainer.runs.events import Event, EventWriter, read_events

_PATIENCE = 300.0  # seconds; such a training takes a few


def train_in_pair(folder: Path, chosen: dict[str, Any], *, count: int = 2, stops_at: int = 0) -> list[Event]:
    """Train in `count` processes; all have to end well, but where the main one is killed when it has told of `stops_at`."""
    events = folder / f"{time.monotonic_ns()}.jsonl"
    run_in_pair(train_one, (chosen, str(folder), str(events), stops_at), count=count, ends_well=not stops_at)
    return read_events(events)[0]


def run_in_pair(work: Callable[..., None], arguments: tuple[Any, ...], *, count: int = 2, ends_well: bool = True) -> None:
    """Let `count` processes do `work(*arguments)`, each with its number in the environment."""
    started = start_pair(work, arguments, count=count)
    end = time.monotonic() + _PATIENCE
    while any(process.is_alive() for process in started):
        failed = any(process.exitcode for process in started)
        if failed or time.monotonic() > end:  # as the launcher does it
            time.sleep(1.0)
            for process in started:
                process.kill()
        time.sleep(0.02)
    assert not ends_well or all(process.exitcode == 0 for process in started), [one.exitcode for one in started]


def start_pair(
    work: Callable[..., None], arguments: tuple[Any, ...], *, count: int = 2
) -> list[multiprocessing.process.BaseProcess]:
    """The same, and nobody waits for them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.pairs", "lora_trainer.training.train"])
    port = free_port()
    started = [context.Process(target=_as_one_of, args=(rank, count, port, work, arguments)) for rank in range(count)]
    for process in started:
        process.start()
    return started


def free_port() -> int:
    """Where the processes may meet."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def held_bytes(folder: Path) -> list[dict[str, int]]:
    """What each process held of what is trained, when its last step was made."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("held-*.json"))]


def _as_one_of(rank: int, count: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    work(*arguments)


class Teller:
    """A reporter that writes what it is told into a file; at step `stops_at` the process ends as if it were killed."""

    def __init__(self, path: Path, stops_at: int = 0) -> None:
        self._file, self._stops_at = EventWriter(path), stops_at

    def emit(self, event: dict[str, Any]) -> None:
        self._file.write(event)
        if event["type"] == "step" and event["step"] == self._stops_at:
            os._exit(9)

    def control(self) -> Control:
        return Control()


def bytes_held(parameters: Iterable[Any], remembered: Iterable[Mapping[Any, Any]]) -> dict[str, int]:
    """The bytes that this process holds of what is trained: "weights", "gradients", and what the "optimizer" `remembered`."""
    from torch import Tensor

    from lora_trainer.checkpoints.sharding import own

    parameters = list(parameters)
    states = [value for state in remembered for value in state.values() if isinstance(value, Tensor)]
    return {
        "weights": sum(own(parameter).nbytes for parameter in parameters),
        "gradients": sum(own(parameter.grad).nbytes for parameter in parameters if parameter.grad is not None),
        "optimizer": sum(own(value).nbytes for value in states),
    }


def train_one(chosen: dict[str, Any], folder: str, events: str, stops_at: int) -> None:
    from lora_trainer.training.distributed import Processes
    from lora_trainer.training.train import train
    from lora_trainer.training.update import Updater

    options = train_options(chosen)
    processes = Processes.of(options.training)
    step = Updater.step

    def watched(self: Updater, *given: Any) -> None:
        held = bytes_held(self.parameters, self.optimizer.state.values())
        Path(folder, f"held-{processes.rank}.json").write_text(json.dumps(held))
        step(self, *given)

    Updater.step = watched
    try:
        train(options, reporter=Teller(Path(events), stops_at), processes=processes)
    finally:
        processes.leave()
