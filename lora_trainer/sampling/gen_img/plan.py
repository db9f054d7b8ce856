"""Which pictures `gen_img_diffusers` draws: from its options and prompt lines to jobs. No torch here."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import InputError, InputErrors
from ...log import logger
from ...options.gen_img import GenImg
from ..request import ImageRequest
from ..samplers import find
from .dynamic import expand
from .lines import GenPrompt, parse_line

STRENGTH = 0.8
SIZES = ("original_width", "original_height", "original_width_negative", "original_height_negative", "crop_top", "crop_left")


@dataclass(frozen=True)
class Job:
    """Pictures of one prompt, of the options that count for it, one for each of `seeds`.

    `raw` is the line as it was written. `width`, `height` None: the start image's or the model's.
    """

    prompt: GenPrompt
    request: ImageRequest
    raw: str
    seeds: tuple[int, ...]
    start: Path | None
    width: int | None
    height: int | None
    strength: float
    negative_scale: float | None
    sizes: dict[str, int]

    def sized(self, width: int, height: int) -> ImageRequest:
        """The request, in this size where none was given."""
        return replace(self.request, width=self.width or width, height=self.height or height)


def plan(
    options: GenImg, lines: Sequence[tuple[str, str]], *, starts: Sequence[Path] = (), networks: int = 0, sdxl: bool = False
) -> list[Job]:
    """Return what is drawn for prompt `lines` (place, text), every round of n_iter, in order.

    Line and start image i belong together; the fewer of them begin again. `networks`: how many there are whose multipliers
    can change. Raises InputErrors with the place of everything that is wrong.
    """
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    chance = random.Random(f"prompts {seed}")
    rounds: list[list[tuple[Job, int]]] = []  # with how many pictures
    errors: dict[str, InputError] = {}
    for _ in range(options.n_iter):
        order = list(range(max(len(lines), len(starts))))
        if options.shuffle_prompts:
            chance.shuffle(order)
        jobs: list[tuple[Job, int]] = []
        for i in order:
            where, line = lines[i % len(lines)]
            start = starts[i % len(starts)] if starts else None
            try:
                jobs += _jobs(options, where, line, start, chance, networks, sdxl)
            except InputErrors as several:
                errors |= {str(error): error for error in several.errors}
            except InputError as error:
                errors[str(error)] = error
        rounds.append(jobs)
    if errors:
        raise InputErrors(errors.values())
    return _seeded(options, rounds, seed)


def _jobs(
    options: GenImg, where: str, line: str, start: Path | None, chance: random.Random, networks: int, sdxl: bool
) -> list[tuple[Job, int]]:
    """The jobs of one line, each with its number of pictures: pictures of equal prompts are one job."""
    jobs: list[tuple[Job, int]] = []
    drawn = 0
    for text in expand(line, chance, options.images_per_prompt):
        prompt = parse_line(text, where)
        if not jobs or jobs[-1][0].prompt != prompt:
            jobs.append((_job(options, prompt, line, start, networks, sdxl), 0))
        job, count = jobs[-1]
        own = prompt.seeds[drawn : drawn + 1]
        jobs[-1] = (replace(job, seeds=job.seeds + own), count + 1)
        drawn += 1
    given = max((len(job.prompt.seeds) for job, _ in jobs), default=0)
    if given > drawn:
        logger.warning("%s: --d gives %d seeds for %d pictures; images_per_prompt draws more.", where, given, drawn)
    return jobs


def _job(options: GenImg, prompt: GenPrompt, raw: str, start: Path | None, networks: int, sdxl: bool) -> Job:
    errors = _unfit(options, prompt, networks, sdxl)
    negative_scale = prompt.negative_scale if prompt.negative_scale is not None else options.negative_scale
    try:
        request = ImageRequest(
            prompt=prompt.prompt,
            negative_prompt=prompt.negative_prompt,
            width=_first(prompt.width, options.W, 512),
            height=_first(prompt.height, options.H, 512),
            steps=_first(prompt.steps, options.steps),
            cfg_scale=_first(prompt.scale, options.scale),
            sampler=find(options.sampler, field="sampler").name,
            batch_size=options.batch_size,
            clip_skip=_first(options.clip_skip, 1),
        )
    except InputErrors as several:
        errors += several.errors
    if errors:
        raise InputErrors(InputError(e.message, field=e.field, where=prompt.where, advice=e.advice) for e in errors)
    sizes = {name: _first(getattr(prompt, name), getattr(options, name)) for name in SIZES}
    return Job(
        prompt=prompt,
        request=request,
        raw=raw,
        seeds=(),
        start=start,
        width=_first(prompt.width, options.W),
        height=_first(prompt.height, options.H),
        strength=_first(prompt.strength, options.strength, STRENGTH),
        negative_scale=None if negative_scale == "none" else negative_scale,
        sizes={name: value for name, value in sizes.items() if value is not None},
    )


def _unfit(options: GenImg, prompt: GenPrompt, networks: int, sdxl: bool) -> list[InputError]:
    """What in a prompt line has nothing that it could change."""
    errors = []
    if prompt.strength is not None and not options.image_path:
        errors.append(InputError("--t has no effect without a start image.", field="prompt", advice="Give --image_path."))
    if len(prompt.multipliers) > networks:
        merged = " (merged ones do not count)" if options.network_weights else ""
        message = f"--am has {len(prompt.multipliers)} multipliers for {networks} networks{merged}."
        errors.append(InputError(message, field="prompt", advice="Give at most one for each of --network_weights."))
    if not sdxl and any(getattr(prompt, name) is not None for name in SIZES):
        message = "--ow, --oh, --nw, --nh, --ct and --cl have an effect on Stable Diffusion XL only."
        errors.append(InputError(message, field="prompt", advice="Leave them out."))
    return errors


def _seeded(options: GenImg, rounds: Iterable[list[tuple[Job, int]]], seed: int) -> list[Job]:
    """Give every picture its seed: the line's own, or else one drawn from `seed`, which a single picture gets itself."""
    rounds = list(rounds)
    pictures = sum(count for jobs in rounds for _, count in jobs)
    source = random.Random(seed)
    single = (len(rounds) if options.iter_same_seed else pictures) == 1

    def another() -> int:
        return seed if single else source.randrange(2**32)

    seeded = []
    for jobs in rounds:
        shared = another() if options.iter_same_seed else None
        for job, count in jobs:
            left = count - len(job.seeds)
            seeds = tuple(another() if shared is None else shared for _ in range(left))
            seeded.append(replace(job, seeds=job.seeds + seeds))
    return seeded


def _first(*values: Any) -> Any:
    """The first that is not None; None when all are."""
    return next((value for value in values if value is not None), None)
