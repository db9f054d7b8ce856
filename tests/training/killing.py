"""Trainings that are killed and go on, in this process: quick, and at exactly the place that a test wants.

A real kill -9 of a real process is in test_kill.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lora_trainer.networks import files
from lora_trainer.options import TrainOptions
from lora_trainer.training.train import train

from .conftest import Recorder

# What says when a file was written, or is worked out from that.
TIMES = {"ss_training_started_at", "ss_training_finished_at", "ss_session_id", "modelspec.date", "sshs_legacy_hash"}
LIKELY = ("step", "saved", "state")  # events that are near the places where a kill could do harm


class Killed(BaseException):
    """Not an Exception, so that nothing of the program gets to tidy up."""


def killed_at(number: int) -> Recorder:
    """A reporter at whose `number`-th event of those that are LIKELY the training ends as if it were killed."""
    left = number

    def kill(event: dict[str, Any]) -> None:
        nonlocal left
        left -= event["type"] in LIKELY
        if left <= 0:
            raise Killed

    return Recorder(kill)


def train_with_kills(make: Callable[..., TrainOptions], kills: int, seed: int, **chosen: Any) -> tuple[list[Recorder], Path]:
    """Train until it is done, killed `kills` times at random events and each time resumed; all reporters, and the file."""
    draw, recorders = random.Random(seed), []
    resume: dict[str, Any] = {}
    for _ in range(kills):
        recorders.append(killed_at(draw.randrange(4, 8)))
        try:
            train(make(**chosen, **resume), reporter=recorders[-1])
            raise AssertionError("the training ended before it was to be killed")
        except Killed:
            resume = {"resume": "latest"}
    recorders.append(Recorder())
    result = train(make(**chosen, **resume), reporter=recorders[-1])
    assert result.path is not None and result.reason == "done"
    return recorders, result.path


def losses(recorders: list[Recorder]) -> dict[int, tuple[float, float, float]]:
    """What the runs told of each step, the last that told it: (loss, its average, rate)."""
    told = [event for recorder in recorders for event in recorder.of("step")]
    return {event["step"]: (event["loss"], event["loss_average"], event["lr"]) for event in told}


def assert_same_file(first: Path, second: Path) -> None:
    """The same bytes of all tensors, the same metadata but for times and the session."""
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    different = [name for name in a if a[name].dtype != b[name].dtype or not torch.equal(a[name], b[name])]
    assert not different, f"{len(different)} of {len(a)} tensors differ, for example {different[0]}"
    one, two = (
        {key: value for key, value in files.read_metadata(path).items() if key not in TIMES} for path in (first, second)
    )
    assert one == two
