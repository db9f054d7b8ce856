"""From a sample prompt to what is drawn, and what cannot be drawn. No torch: the page asks it before a run is queued."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError, InputErrors
from ..randomness import seed_of
from . import lora_tags, samplers
from .prompts import DEFAULTS, OTHER_FAMILIES, SamplePrompt
from .request import ImageRequest


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
