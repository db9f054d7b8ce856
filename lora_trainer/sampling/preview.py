"""Sample pictures during a training. Drawing them changes nothing of it: no random state, no weight, no mode."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from ..errors import InputError, InputErrors
from ..randomness import seed_of
from . import lora_tags, samplers
from .generate import Progress, generate, save_png
from .prompts import DEFAULTS, OTHER_FAMILIES, SamplePrompt
from .request import ImageRequest

if TYPE_CHECKING:
    from ..models import Model


@dataclass(frozen=True)
class Sample:
    """A sample picture that was drawn."""

    path: Path
    prompt: str
    seed: int


def check(prompts: Sequence[SamplePrompt], sampler: str = "ddim") -> None:
    """Raise InputErrors for everything that `draw` could not draw; ask before the training starts."""
    errors: list[InputError] = []
    for prompt in prompts:
        try:
            request_of(prompt, sampler=sampler)
        except InputErrors as several:
            errors += [
                InputError(one.message, field="sample_prompts", where=prompt.where, advice=one.advice) for one in several.errors
            ]
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)


def request_of(
    prompt: SamplePrompt, *, seed: int = 0, sampler: str = "ddim", clip_skip: int = 1, size: tuple[int, int] = (512, 512)
) -> ImageRequest:
    """Return what is drawn for a sample prompt. Width and height are rounded down to multiples of 8, at least 64.

    Where the prompt does not give them they are those of `size`.

    Without a seed of its own the prompt gets one that depends on `seed` and its number: the same at every step, so that the
    pictures of a training can be compared. Raises InputError or InputErrors for what cannot be drawn.
    """
    for name in OTHER_FAMILIES:
        if getattr(prompt, name) is not None:
            raise InputError(
                f"{name} has no effect on Stable Diffusion.",
                field="sample_prompts",
                where=prompt.where,
                advice="Leave it out.",
            )
    if any(lora_tags.extract(text, field="sample_prompts")[1] for text in (prompt.prompt, prompt.negative_prompt or "")):
        raise InputError(
            "a sample prompt cannot load LoRA files: it shows the one in training.",
            field="sample_prompts",
            where=prompt.where,
            advice="Take the <lora:...> out.",
        )
    name = samplers.find(prompt.sample_sampler or sampler, field="sample_sampler", where=prompt.where).name
    defaults = {**DEFAULTS, "width": size[0], "height": size[1]}
    given = {key: getattr(prompt, key) if getattr(prompt, key) is not None else default for key, default in defaults.items()}
    own_seed = prompt.seed if prompt.seed is not None else seed_of(seed, "sample", prompt.enum or 0) % 2**32
    return ImageRequest(
        prompt=prompt.prompt,
        negative_prompt=given["negative_prompt"],
        width=max(64, given["width"] // 8 * 8),
        height=max(64, given["height"] // 8 * 8),
        steps=given["sample_steps"],
        cfg_scale=given["scale"],
        seed=own_seed,
        sampler=name,
        clip_skip=clip_skip,
    )


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
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Sample]:
    """Draw every prompt with the model as it is, the network in training on it; return the pictures that were saved.

    All parts of `model` are on one device; call it inside the training's autocast. `network` (for its dropouts) and the model
    are in evaluation mode meanwhile, and in the mode they had afterwards. `epoch` is given when it is an epoch that ended.
    A prompt that gives no size is drawn at `size` (width, height), by default the square that the family was made for.
    `progress(done, total)` counts sampler steps over all prompts. Fewer pictures come back when `should_stop` said so.
    """
    size = size or (model.family.size, model.family.size)
    requests = [request_of(prompt, seed=seed, sampler=sampler, clip_skip=clip_skip, size=size) for prompt in prompts]
    total = sum(request.steps for request in requests)
    samples: list[Sample] = []
    modules = [model.unet, model.vae, *model.text_encoders, *([network] if network is not None else [])]
    before = 0
    with _evaluating(modules):
        for number, (prompt, request) in enumerate(zip(prompts, requests, strict=True)):

            def told(done: int, _: int, before: int = before) -> None:
                if progress:
                    progress(before + done, total)

            pictures = generate(model, request, progress=told, should_stop=should_stop)
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
def _evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put `modules` into evaluation mode; give every submodule back the mode that it had."""
    training = [part for module in modules for part in module.modules() if part.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
