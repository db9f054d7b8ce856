"""A tagger's ONNX file: opened with onnxruntime, its input and output read from the graph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import optional_packages
from ..data.resize import Pixels
from ..errors import BaseModelError, InputError
from ..installing import extras
from ..log import logger

PACKAGE = "onnxruntime"
_SIDE = 448  # pixels, where the graph leaves it open
_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_CARDS = (_CUDA, "ROCMExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider")
_ANOTHER = "Use a tagger of the WD14 family (its ONNX file and its list of tags)."
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


def load_runtime() -> Any:
    """The module onnxruntime. Raises NotInstalledError, which names the ways to get it."""
    try:
        return optional_packages.load(PACKAGE, extras.own_folder(PACKAGE))
    except (ImportError, OSError) as error:
        raise extras.missing(PACKAGE, "the WD14 tagger") from error


def providers(available: Sequence[str], device: str) -> list[str]:
    """What onnxruntime is to compute with, the best first. Raises InputError where a card is asked for that it cannot use."""
    cards = [name for name in _CARDS if name in available]
    if device == "cpu" or (device == "auto" and not cards):
        return [_CPU]
    if not cards:
        raise InputError(
            f"the device {device!r} cannot be used here: this onnxruntime computes on the processor alone.",
            field="device",
            where="--device",
            advice="Use --device cpu, or install the package onnxruntime-gpu yourself.",
        )
    return [cards[0], _CPU]


class Graph:
    """An opened tagger. `batch_size` is the one that the graph demands, or None; `side` the side of its pictures in pixels.

    Pictures go in as its family wants them: blue, green, red; 0..255 where the colours come last (WD14's own taggers), -1..1
    where they come before the rows (newer ones).
    """

    def __init__(self, path: Path, device: str) -> None:
        runtime = load_runtime()
        chosen = providers(runtime.get_available_providers(), device)
        if _CUDA in chosen and hasattr(runtime, "preload_dlls"):
            runtime.preload_dlls()  # torch's CUDA libraries will do
        settings = runtime.SessionOptions()
        settings.log_severity_level = 3
        if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
            settings.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        try:
            self._session = runtime.InferenceSession(str(path), settings, providers=chosen)
        except Exception as error:  # its errors have no common base
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BaseModelError(
                f"{path} is no ONNX model that can be used, or damaged: {why}", advice="Fetch it again."
            ) from error
        logger.info("The tagger computes with %s.", self._session.get_providers()[0].removesuffix("ExecutionProvider"))
        self.path = path
        self.batch_size, self.side = self._read_input()

    def _read_input(self) -> tuple[int | None, int]:
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or inputs[0].type not in _TYPES or 3 not in (shape[1], shape[3]):
            found = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
            raise BaseModelError(
                f"{self.path} is no tagger: it takes {found}, but one picture with three colours is expected.", advice=_ANOTHER
            )
        self._input, self._type = inputs[0].name, _TYPES[inputs[0].type]
        self._is_colours_last = shape[3] == 3
        height, width = shape[1:3] if self._is_colours_last else shape[2:4]
        sides = {side for side in (height, width) if isinstance(side, int) and side > 0}
        if len(sides) > 1:
            raise BaseModelError(f"{self.path} is no tagger: it takes pictures of {width}x{height} pixels.", advice=_ANOTHER)
        batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        return batch, next(iter(sides), _SIDE)

    def check_tags(self, count: int, tags: Path) -> None:
        """Choose the output that has a number for each of `count` tags of the list `tags`. Raises BaseModelError."""
        outputs = self._session.get_outputs()
        known = {one.name: one.shape[-1] for one in outputs if one.shape and isinstance(one.shape[-1], int)}
        fitting = [one.name for one in outputs if known.get(one.name, count) == count]
        if not fitting:
            numbers = " or ".join(str(number) for number in known.values())
            raise self._other_tags(numbers, count, tags)
        named = [name for name in fitting if "pred" in name.lower() or "prob" in name.lower()]
        self._output, self._count, self._tags = (named or fitting)[0], count, tags

    def _other_tags(self, numbers: str, count: int, tags: Path) -> BaseModelError:
        return BaseModelError(
            f"{self.path} says {numbers} numbers of a picture, but its list of tags {tags} has {count}.",
            advice="Take the ONNX file and the list of tags of one and the same tagger.",
        )

    def __call__(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        """How sure the tagger is, [pictures, tags] in 0..1, of pictures uint8 [side, side, 3] (red, green, blue)."""
        pixels = np.stack(pictures)[..., ::-1].astype(np.float32)
        if not self._is_colours_last:
            pixels = pixels.transpose(0, 3, 1, 2) / 127.5 - 1.0
        if self.batch_size and len(pixels) < self.batch_size:
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self.batch_size - len(pixels), 0)])
        given = np.ascontiguousarray(pixels, dtype=self._type)
        found = np.asarray(self._session.run([self._output], {self._input: given})[0], np.float32)[: len(pictures)]
        if found.shape != (len(pictures), self._count):
            raise self._other_tags(str(list(found.shape[1:])), self._count, self._tags)
        if found.min() < 0 or found.max() > 1:  # some end before the sigmoid
            found = 1 / (1 + np.exp(-found))
        return found
