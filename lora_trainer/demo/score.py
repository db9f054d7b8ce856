"""How well a checkpoint draws what captions say, read by the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..models import vae
from ..models.conditioning import Conditioning
from ..randomness import rng
from ..sampling import conditioning, samplers
from ..sampling.denoiser import Denoiser
from . import world
from .judge import Judge

if TYPE_CHECKING:
    from ..models import Model

BAR = {"colour": 0.95, "shape": 0.90, "background": 0.95}


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn. Noise depends on (seed, number of the picture) alone."""

    steps: int = 20
    cfg: float = 3.0
    seed: int = 0
    sampler: str = "dpm++_2m"
    batch: int = 50


def held_out_captions(count: int, seed: int = 0) -> list[str]:
    """Return whole captions of triplets that training never saw, as evenly as `count` allows."""
    every = [world.Scene(*triplet, size) for triplet in world.triplets(True) for size in world.SIZES]
    rng(seed, "captions").shuffle(every)
    return [every[index % len(every)].caption() for index in range(count)]


@torch.no_grad()
def pictures(
    model: Model, captions: Sequence[str], how: Sampling, width: int = world.SIDE, height: int = world.SIDE
) -> torch.Tensor:
    """Return one picture [B,3,height,width] in -1..1 for each caption, many captions at a time."""
    sampler = samplers.find(how.sampler)
    sigmas = sampler.spacing(how.steps, model.zero_terminal_snr)
    known = {caption: conditioning.encode(model, caption) for caption in {*captions, ""}}
    shape = (4, height // vae.FACTOR, width // vae.FACTOR)
    drawn = []
    for start in range(0, len(captions), how.batch):
        chunk = captions[start : start + how.batch]
        positive = Conditioning.join([known[caption] for caption in chunk])
        denoiser = Denoiser(model, positive, known[""].expand(len(chunk)), how.cfg)
        seeds = [rng(how.seed, "picture", start + index).getrandbits(63) for index in range(len(chunk))]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def noise(generators: list[torch.Generator] = generators) -> torch.Tensor:
            return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

        x = noise() * sampler.start_scale(sigmas[0])
        function = sampler.function_on(model.zero_terminal_snr)
        latents = function(denoiser, x, sigmas, noise=noise, on_step=lambda _: None)
        drawn.append(vae.decode(model.vae, latents, batch_size=how.batch))
    return torch.cat(drawn)


def score(judge: Judge, drawn: torch.Tensor, captions: Sequence[str]) -> dict[str, float]:
    """Return for each part of the captions the share of pictures in which the judge reads the caption's word."""
    read = judge.read(drawn)
    right: dict[str, list[bool]] = {}
    for seen, caption in zip(read, captions, strict=True):
        for part, word in world.parse(caption).items():
            right.setdefault(part, []).append(seen[part] == word)
    return {part: sum(hits) / len(hits) for part, hits in right.items()}


def confusions(judge: Judge, drawn: torch.Tensor, captions: Sequence[str], part: str) -> dict[str, int]:
    """Return how often a part of the captions was misread, by "asked for > read", the most frequent first."""
    counts: dict[str, int] = {}
    for seen, caption in zip(judge.read(drawn), captions, strict=True):
        wanted = world.parse(caption)[part]
        if seen[part] != wanted:
            key = f"{wanted} > {seen[part]}"
            counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def sheet(drawn: torch.Tensor, path: Path, columns: int = 10, scale: int = 2) -> None:
    """Write the pictures side by side as one PNG."""
    from PIL import Image

    from ..sampling.generate import to_images

    images = to_images(drawn)
    width, height = images[0].width * scale, images[0].height * scale
    whole = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
    for index, image in enumerate(images):
        whole.paste(
            image.resize((width, height), Image.Resampling.NEAREST), (index % columns * width, index // columns * height)
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.save(path)
