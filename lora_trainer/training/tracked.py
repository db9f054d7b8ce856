"""What the events of a training are called in logs: the tags of sd-scripts. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TITLES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases"}


@dataclass(frozen=True)
class Logged:
    """Numbers by tag, after `step` steps in `epoch`; `place` is where TensorBoard draws them."""

    values: Mapping[str, float]
    step: int
    epoch: int
    place: int

    @classmethod
    def of_epoch(cls, event: Mapping[str, Any]) -> Logged:
        """The mean loss of the epoch that a step belongs to, drawn at the epoch's number."""
        step, epoch = int(event["step"]), int(event["epoch"])
        return cls(_numbers({"loss/epoch_average": event.get("loss_average")}), step, epoch, epoch)


def logged(event: Mapping[str, Any]) -> list[Logged]:
    """What is logged of an event; nothing of most."""
    read = _READ.get(str(event["type"]))
    values = _numbers(read(event)) if read else {}
    step = int(event.get("step") or 0)
    return [Logged(values, step, int(event.get("epoch") or 0), step)] if values else []


def rate_tag(group: str) -> str:
    """The tag of a group's learning rate: text_encoder1 is "lr/textencoder 1", unet_block3 "lr/unet block 3"."""
    words = re.sub(r"(?<=[a-z])(?=\d)", " ", group.replace("text_encoder", "textencoder")).replace("_", " ")
    return f"lr/{words}"


def _of_step(event: Mapping[str, Any]) -> dict[str, Any]:
    rates = {rate_tag(name): rate for name, rate in event.get("rates", {}).items()}
    return {"loss/current": event.get("loss"), "loss/average": event.get("loss_average"), **rates}


def _of_validation(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"loss/validation/step_average": event.get("loss")}


_READ: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"step": _of_step, "validation": _of_validation}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        tag: float(value)
        for tag, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
