"""From an ImageRequest to pictures.

for picture in generate(model, ImageRequest(prompt="a frog <lora:sls:0.8>"), loras=LoraFolders([folder])):
    save_png(path, picture)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from ..errors import InputError, OutOfMemoryError
from ..models import vae
from ..paths import write_atomic
from . import conditioning, lora_tags, samplers
from .denoiser import Denoiser
from .loras import LoraFolders, LoraUse, applied, short_hash
from .request import ImageRequest, infotext

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["ImageRequest", "LoraFolders", "LoraUse", "Picture", "draw", "generate", "save_png"]

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
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Picture]:
    """Return the pictures of `request`, fewer when `should_stop` said so; see `draw`."""
    return list(draw(model, request, loras=loras, networks=networks, progress=progress, should_stop=should_stop))


def draw(
    model: Model,
    request: ImageRequest,
    *,
    loras: LoraFolders | None = None,
    networks: Sequence[LoraUse] = (),
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[Picture]:
    """Yield the pictures of `request` batch by batch.

    `<lora:...>` tags of the prompt are looked up in `loras`; `networks` are put on besides. They are taken off when the last
    picture is out or the iterator is closed. A picture depends on its own seed alone, not on the batch it is drawn in (to
    rounding). No global random state is used or changed. `should_stop` is asked before every step.
    Raises InputError, LoraFileError, and OutOfMemoryError when the card is full.
    """
    request = request.with_seed()
    sampler = samplers.find(request.sampler, field="sampler")
    prompt, tags = lora_tags.extract(request.prompt)
    if lora_tags.extract(request.negative_prompt, field="negative_prompt")[1]:
        raise InputError(
            "a <lora:...> stands in the negative prompt.",
            field="negative_prompt",
            advice="Put it into the prompt; a negative multiplier turns its effect round.",
        )
    uses = [*networks, *(loras or LoraFolders()).resolve(tags)]
    hashes = {use.name: short_hash(use.path) for use in uses}
    model_name = Path(model.source).stem
    watch = _Watch(request.steps * request.batch_count, progress, should_stop)
    with applied(model, uses):
        try:
            with torch.no_grad():
                positive = conditioning.encode(model, prompt, request.clip_skip)
                negative = conditioning.encode(model, request.negative_prompt, request.clip_skip, negative=True)
            positive, negative = (part.drawn_at(request.height, request.width) for part in (positive, negative))
            denoiser = Denoiser(model, positive, negative, request.cfg_scale)
            for batch in range(request.batch_count):
                first = request.seed + batch * request.batch_size
                seeds = range(first, first + request.batch_size)
                size = (request.height // vae.FACTOR, request.width // vae.FACTOR)
                latents = _sample(sampler, denoiser, request.steps, seeds, size, model.device, watch)
                drawn = vae.decode(model.vae, latents, scale=model.family.latent_scale)
                for image, seed in zip(to_images(drawn), seeds, strict=True):
                    text = infotext(
                        request, seed, label=sampler.label, schedule=sampler.schedule_label, model=model_name, loras=hashes
                    )
                    yield Picture(image, seed, text)
        except _Stopped:
            return
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemoryError(
                f"The card is full: {request.batch_size} pictures of {request.width}x{request.height} at once do not fit.",
                advice="Lower the batch size or the size, or close other programs that use the card.",
            ) from error


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


@torch.no_grad()
def _sample(
    sampler: samplers.Sampler,
    denoiser: Denoiser,
    steps: int,
    seeds: Sequence[int],
    size: tuple[int, int],
    device: torch.device,
    watch: _Watch,
) -> Tensor:
    """Return scaled latents [B, 4, *size], float32. Each picture draws from a generator of its own, first noise first."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]

    def noise() -> Tensor:
        return torch.stack([torch.randn((4, *size), generator=generator) for generator in generators]).to(device)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        watch.check()
        return denoiser(x, sigma)

    sigmas = sampler.spacing(steps)
    x = noise() * sampler.start_scale(sigmas[0])
    return sampler.function(denoise, x, sigmas, noise=noise, on_step=watch.step)


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Return RGB images of `pixels` [B, 3, H, W] in -1..1."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(level) for level in levels]


def save_png(path: Path, picture: Picture) -> None:
    """Write the picture atomically, with its text as "parameters". Raises SaveError."""
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", picture.info)
    write_atomic(path, lambda file: picture.image.save(file, format="PNG", pnginfo=text))
