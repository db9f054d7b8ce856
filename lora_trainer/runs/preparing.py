"""How far a training is before its first step, over all that it does until then: one number that never goes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIRST = "loading the program"  # of a worker: another one begins
# What a worker tells of (training.phases), in its order, and where it begins on the way to the first step, on which files of
# models and the pictures of a usual data set take the most. What is not done is passed over.
BEGINS: Mapping[str, float] = {
    FIRST: 0.0,
    "fetching the state from Hugging Face": 0.18,
    "reading the images": 0.2,
    "comparing the images": 0.28,
    "noting which images are trained": 0.28,
    "loading the model": 0.3,
    "merging LoRAs into the base model": 0.5,
    "encoding the images": 0.53,
    "reading the masks": 0.8,
    "building what is trained": 0.82,
    "encoding the captions": 0.84,
    "encoding the images kept aside": 0.9,
    "choosing what is computed twice": 0.92,
    "trying whether compiling pays": 0.93,
    "training": 0.95,
    "measuring the loss": 0.96,
    "drawing samples": 0.97,
}


def reached(before: float, phase: Mapping[str, Any]) -> float:
    """The share of the way (0..1) that is behind a worker which tells `phase`; `before` is what it was until then."""
    name = phase["name"]
    if name == FIRST:
        return 0.0
    if name not in BEGINS:
        return before
    begin = BEGINS[name]
    end = min((one for one in BEGINS.values() if one > begin), default=1.0)
    done = phase.get("share") or (min(1.0, (phase["done"] or 0) / phase["total"]) if phase["total"] else 0.0)
    return max(before, begin + (end - begin) * done)
