"""From an ImageRequest to pictures.

for picture in generate(model, ImageRequest(prompt="a frog <lora:sls:0.8>"), loras=LoraFolders([folder])):
    save_png(path, picture)
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor, nn

from ..errors import InputError, OutOfMemoryError, TrainingError, is_out_of_memory
from ..log import logger
from ..models import vae
from ..models.main_memory import free_card
from ..paths import write_atomic
from . import conditioning, embeddings, lora_tags, prompt_parts, prompt_schedule, samplers
from .denoiser import Denoiser
from .lora_folders import LoraFolders, LoraUse
from .loras import applied, short_hash
from .request import Details, ImageRequest, infotext
from .turns import Turns

if TYPE_CHECKING:
    from ..models import Model
    from ..models.conditioning import Conditioning
    from .solvers import SamplerFunction

__all__ = ["Details", "ImageRequest", "LoraFolders", "LoraUse", "Picture", "draw", "generate", "save_png"]

Progress = Callable[[int, int], None]  # (sampler steps done, of how many), over all batches


@dataclass(frozen=True)
class Picture:
    """A finished picture (RGB), its seed, and its text in the Web UI's format."""

    image: Image.Image
    seed: int
    info: str


class _Stopped(Exception):
    pass


def generate(
    model: Model,
    request: ImageRequest,
    *,
    loras: LoraFolders | None = None,
    networks: Sequence[LoraUse] = (),
    words: Mapping[str, Path] | None = None,
    details: Details | None = None,
    turns: Turns | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Picture]:
    """Return the pictures of `request`, fewer when `should_stop` said so; see `draw`."""
    how = {
        "loras": loras,
        "networks": networks,
        "words": words,
        "details": details,
        "turns": turns,
        "progress": progress,
        "should_stop": should_stop,
    }
    return list(draw(model, request, **how))


def draw(
    model: Model,
    request: ImageRequest,
    *,
    loras: LoraFolders | None = None,
    networks: Sequence[LoraUse] = (),
    words: Mapping[str, Path] | None = None,
    details: Details | None = None,
    turns: Turns | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Picture]:
    """Yield the pictures of `request` batch by batch.

    `<lora:...>` tags of the prompt are looked up in `loras`; `networks` are put on besides. They are taken off when the last
    picture is out or the iterator is closed. `words` are embedding files by the words that mean them. A picture depends on its
    own seed alone, not on the batch it is drawn in (to rounding): where a card is too full for a batch, one is drawn after the
    other. No global random state is used or changed. With `turns` text encoders and VAE are on the card for their part alone.
    `should_stop` is asked before every step.
    Raises InputError, LoraFileError, and OutOfMemoryError when the card is full.
    """
    request, details = request.with_seed(), details or Details()
    sampler = samplers.find(request.sampler, field="sampler")
    prompt, tagged = without_tags(request, loras)
    uses = [*networks, *tagged]
    batches = _batches(request, details)
    steps = int(request.steps * details.strength) if details.start else request.steps
    watch = _Watch(steps * len(batches), progress, should_stop)
    about = _about(model, sampler, details, uses)
    with applied(model, uses), embeddings.known(model, words or {}, [prompt, request.negative_prompt]) as about["embeddings"]:
        try:
            sigmas = sampler.spacing(request.steps, model.zero_terminal_snr)[request.steps - steps :]
            with _turn(turns, model.text_encoders):
                denoisers = _denoisers(model, prompt, request, details, steps)
            with _turn(turns, [model.vae] if details.start else []):
                start = _start_latents(model, request, details.start)
            # Pure noise is as strong as the model has seen it at the first level; on a picture it has that level itself.
            level = sigmas[0] if details.start else sampler.start_scale(sigmas[0])
            function = sampler.function_on(model.zero_terminal_snr)

            def make(seeds: Sequence[int]) -> Tensor:
                latents = _sample(function, denoisers, sigmas, seeds, start, level, model.device, watch)
                with _turn(turns, [model.vae]):
                    return _decode(model, latents, _strengths(uses, details), turns.tile if turns else None)

            for seeds, drawn in _made(batches, make, watch, steps):
                for image, seed in zip(to_images(drawn), seeds, strict=True):
                    yield Picture(image, seed, infotext(request, seed, **about))
        except _Stopped:
            return
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"The card is full: {max(map(len, batches))} pictures of {request.width}x{request.height} at once do not fit.",
                advice="Lower the batch size or the size, or close other programs that use the card.",
            ) from error


def _about(model: Model, sampler: samplers.Sampler, details: Details, uses: Sequence[LoraUse]) -> dict[str, Any]:
    """What a picture's text tells besides the request."""
    return {
        "label": sampler.entry.label,
        "schedule": sampler.entry.schedule_label,
        "model": Path(model.source).stem,
        "strength": details.strength if details.start else None,
        "loras": {**details.hashes, **{use.name: short_hash(use.path) for use in uses}},
    }


def _made(
    batches: Sequence[Sequence[int]], make: Callable[[Sequence[int]], Tensor], watch: _Watch, steps: int
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """(the seeds of a batch, what `make` makes of them) of all `batches`; one seed after the other where the memory is too full
    for several."""
    waiting = deque(batches)
    while waiting:
        seeds = waiting.popleft()
        try:
            drawn = make(seeds)
        except (RuntimeError, MemoryError) as error:
            if len(seeds) == 1 or not is_out_of_memory(error):
                raise
        else:
            yield seeds, drawn
            continue
        logger.info("The memory is too full for %d pictures at once: one is drawn after the other.", len(seeds))
        free_card()  # the error is gone by here, and with it what its frames kept
        waiting.extendleft([seed] for seed in reversed(seeds))
        watch.total = watch.done + steps * len(waiting)


def without_tags(request: ImageRequest, loras: LoraFolders | None = None) -> tuple[str, list[LoraUse]]:
    """Return the prompt without its `<lora:...>`, and the files that they name. Raises InputError for what is wrong there."""
    prompt, tags = lora_tags.extract(request.prompt)
    if lora_tags.extract(request.negative_prompt, field="negative_prompt")[1]:
        raise InputError(
            "a <lora:...> stands in the negative prompt.",
            field="negative_prompt",
            advice="Put it into the prompt; a negative multiplier turns its effect round.",
        )
    return prompt, (loras or LoraFolders()).resolve(tags)


@dataclass
class _Watch:
    """Counts steps over all batches, tells, and breaks off."""

    total: int
    progress: Progress | None
    should_stop: Callable[[], bool] | None
    done: int = 0

    def check(self) -> None:
        if self.should_stop and self.should_stop():
            raise _Stopped

    def step(self, _: int) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _batches(request: ImageRequest, details: Details) -> list[Sequence[int]]:
    """The seeds of the pictures, batch by batch."""
    seeds = details.seeds or range(request.seed, request.seed + request.count)
    return [seeds[first : first + request.batch_size] for first in range(0, len(seeds), request.batch_size)]


@torch.no_grad()
def _denoisers(model: Model, prompt: str, request: ImageRequest, details: Details, steps: int) -> list[Denoiser]:
    """For each step the model guided by the prompts: "a AND b" by both, and with a negative_scale from no prompt on."""

    @functools.cache
    def encode(words: str, negative: bool = False) -> Conditioning:
        told = conditioning.encode(model, words, request.clip_skip, negative=negative, max_chunks=details.max_chunks)
        return conditioning.with_sizes(told, request.height, request.width, details.sizes, negative=negative)

    @functools.cache
    def denoiser(without: str, *with_: str) -> Denoiser:
        terms = [(encode(words), request.cfg_scale * weight) for words, weight in zip(with_, weights, strict=True)]
        base = encode(without, True)
        if details.negative_scale is not None:
            terms.append((base, -details.negative_scale))
            base = encode("", True)
        (positive, scale), *more = terms
        return Denoiser(model, positive, base, scale, more)

    parts = prompt_parts.composed(prompt)
    weights = [weight for _, weight in parts]
    changing = [prompt_schedule.texts(words, steps) for words in (request.negative_prompt, *(words for words, _ in parts))]
    return [denoiser(*words) for words in zip(*changing, strict=True)]


def _start_latents(model: Model, request: ImageRequest, start: Image.Image | None) -> Tensor:
    """Scaled latents [1, 4, h, w] of the start image; without one, zeros."""
    if start is None:
        return torch.zeros((1, 4, request.height // vae.FACTOR, request.width // vae.FACTOR), device=model.device)
    pixels = to_pixels(start, request.width, request.height)
    return vae.encode(model.vae, pixels, scale=model.family.latent_scale).to(model.device)


@torch.no_grad()
def _sample(
    sampler: SamplerFunction,
    denoisers: Sequence[Denoiser],
    sigmas: Sequence[float],
    seeds: Sequence[int],
    start: Tensor,
    level: float,
    device: torch.device,
    watch: _Watch,
) -> Tensor:
    """Return scaled latents [B, 4, h, w], float32, drawn from `start` [1, 4, h, w] with `level` times unit noise on it.

    Each picture draws from a generator of its own, first noise first.
    """
    size, step = start.shape[1:], 0
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def noise() -> Tensor:
        return torch.stack([torch.randn(size, generator=generator) for generator in generators]).to(device)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        watch.check()
        return denoisers[step](x, sigma)

    def on_step(i: int) -> None:
        nonlocal step
        step = min(i, len(denoisers) - 1)
        watch.step(i)

    x = start + noise() * level
    return sampler(denoise, x, sigmas, noise=noise, on_step=on_step)


def _strengths(uses: Sequence[LoraUse], details: Details) -> dict[str, float]:
    """{LoRA: the larger of its multipliers}."""
    return {**details.multipliers, **{use.name: max(use.te, use.unet, key=abs) for use in uses}}


def _turn(turns: Turns | None, parts: Sequence[nn.Module]) -> AbstractContextManager[None]:
    return turns.of(parts) if turns and parts else nullcontext()


def _decode(model: Model, latents: Tensor, strengths: Mapping[str, float], tile: int | None) -> Tensor:
    """The pictures of `latents`. Raises TrainingError, which names the strongest LoRA, when they are no numbers."""
    try:
        if not bool(latents.isfinite().all()):
            raise TrainingError("The model gives NaN or infinity.", advice="Use another precision, or another model.")
        return vae.decode(model.vae, latents, scale=model.family.latent_scale, tile=tile)
    except TrainingError as error:
        if not strengths:
            raise
        name = max(strengths, key=lambda name: abs(strengths[name]))
        raise TrainingError(
            f"There is no picture, only NaN or infinity, with the LoRA {name} at {strengths[name]:g}.",
            advice="Give it a smaller multiplier (0.5 to 1 is usual), or leave it out to see whether it is to blame.",
        ) from error


def to_pixels(image: Image.Image, width: int, height: int) -> Tensor:
    """Return float32 [1, 3, height, width] in -1..1 of an image, which is resized where it has another size."""
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    levels = torch.from_numpy(np.array(image.convert("RGB")))
    return levels.permute(2, 0, 1)[None].float() / 127.5 - 1


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Return RGB images of `pixels` [B, 3, H, W] in -1..1."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(level) for level in levels]


def save_png(path: Path, picture: Picture, more: Mapping[str, str] | None = None) -> None:
    """Write the picture atomically, with its text as "parameters" and `more` texts by their keys. Raises SaveError."""
    text = PngImagePlugin.PngInfo()
    for key, value in {"parameters": picture.info, **(more or {})}.items():
        text.add_text(key, value)
    write_atomic(path, lambda file: picture.image.save(file, format="PNG", pnginfo=text))
