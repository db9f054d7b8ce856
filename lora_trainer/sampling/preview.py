"""Sample pictures during a training. Drawing them changes nothing of it: no random state, no weight, no mode."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from .generate import Progress, generate, save_png
from .prompts import SamplePrompt
from .sample_requests import request_of
from .turns import Turns

if TYPE_CHECKING:
    from ..models import Model


@dataclass(frozen=True)
class Sample:
    """A sample picture that was drawn."""

    path: Path
    prompt: str
    seed: int


def draw(
    model: Model,
    prompts: Sequence[SamplePrompt],
    folder: Path,
    *,
    name: str = "",
    step: int = 0,
    epoch: int | None = None,
    seed: int = 0,
    sampler: str = "ddim",
    clip_skip: int = 1,
    size: tuple[int, int] | None = None,
    network: nn.Module | None = None,
    turns: Turns | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Sample]:
    """Draw every prompt with the model as it is, the network in training on it; return the pictures that were saved.

    All parts of `model` are on one device, or come there when it is their turn (`turns`); call it inside the training's
    autocast. `network` (for its dropouts) and the model are in evaluation mode meanwhile, and in the mode they had afterwards.
    `epoch` is given when it is an epoch that ended.
    A prompt that gives no size is drawn at `size` (width, height), by default the square that the family was made for.
    `progress(done, total)` counts sampler steps over all prompts. Fewer pictures come back when `should_stop` said so.
    """
    size = size or (model.family.size, model.family.size)
    requests = [request_of(prompt, seed=seed, sampler=sampler, clip_skip=clip_skip, size=size) for prompt in prompts]
    total = sum(request.steps for request in requests)
    samples: list[Sample] = []
    modules = [model.unet, model.vae, *model.text_encoders, *([network] if network is not None else [])]
    before = 0
    with evaluating(modules):
        for number, (prompt, request) in enumerate(zip(prompts, requests, strict=True)):

            def told(done: int, _: int, before: int = before) -> None:
                if progress:
                    progress(before + done, total)

            pictures = generate(model, request, turns=turns, progress=told, should_stop=should_stop)
            if not pictures:
                break
            enum = number if prompt.enum is None else prompt.enum
            path = folder / file_name(name, step=step, epoch=epoch, enum=enum, seed=prompt.seed)
            save_png(path, pictures[0])
            samples.append(Sample(path, prompt.prompt, request.seed))
            before += request.steps
    return samples


def file_name(name: str, *, step: int, epoch: int | None, enum: int, seed: int | None, now: float | None = None) -> str:
    """Return the reference's name: [NAME_]STEP_NN_TIME[_SEED].png, with eEPOCH in place of STEP when an epoch ended.

    `seed` is that of the prompt line, None when it has none; `now` is a time in seconds (default: this moment).
    """
    when = time.strftime("%Y%m%d%H%M%S", time.localtime(now))
    place = f"{step:06d}" if epoch is None else f"e{epoch:06d}"
    parts = [name, place, f"{enum:02d}", when, "" if seed is None else str(seed)]
    return "_".join(part for part in parts if part) + ".png"


@contextlib.contextmanager
def evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put `modules` into evaluation mode; give every submodule back the mode that it had."""
    training = [part for module in modules for part in module.modules() if part.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
