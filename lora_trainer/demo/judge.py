"""The judge: a small classifier that says what a picture of the demo world shows.

It is trained on drawings (the base world's and the LoRA trials' subjects), whole, blurred, noisy and tinted a little, so that
it also reads what a VAE or a sampler has softened. It knows one shape more than the base model does, the heart.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from ..randomness import rng, seed_of
from . import world
from .train_vae import to_tensor

WORDS: dict[str, list[str]] = {
    "shape": [*world.SHAPES, *world.SUBJECTS],
    "colour": list(world.COLOURS),
    "background": list(world.BACKGROUNDS),
    "size": list(world.SIZES),
    "style": ["flat", "striped"],
}


class Judge(nn.Module):
    """Pictures [B,3,64,64] in -1..1 -> {question: logits [B, len(WORDS[question])]}."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 48, 3, stride=2, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Flatten(), nn.Linear(48 * 64, 64), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ModuleDict({question: nn.Linear(64, len(words)) for question, words in WORDS.items()})

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.features(pictures)
        return {question: head(features) for question, head in self.heads.items()}

    @torch.no_grad()
    def read(self, pictures: torch.Tensor) -> list[dict[str, str]]:
        """Return what each of `pictures` [B,3,64,64] in -1..1 shows: a word for every question."""
        self.eval()
        best = {question: logits.argmax(1).tolist() for question, logits in self(pictures).items()}
        return [{question: WORDS[question][best[question][row]] for question in best} for row in range(len(pictures))]


def random_scene(draw: random.Random) -> world.Scene:
    """Return a scene for the judge: any triplet, at times a heart, at times striped."""
    if draw.random() < 1 / 7:
        scene = world.subject(draw)
        return world.place(world.replace(scene, size=draw.choice(list(world.SIZES)), striped=draw.random() < 0.7), draw)
    scene = world.random_scene(draw, held_out=draw.random() < world.HELD_OUT)
    return world.replace(scene, striped=draw.random() < 0.2)


def answers(scene: world.Scene) -> dict[str, str]:
    """Return the right word for every question."""
    style = "striped" if scene.striped else "flat"
    return {"shape": scene.shape, "colour": scene.colour, "background": scene.background, "size": scene.size, "style": style}


def batch(seed: int, purpose: str, step: int, count: int, *, worn: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return pictures [count,3,64,64] and their answers as indices [count]; `worn` ones are blurred, noisy and tinted."""
    scenes = [random_scene(rng(seed, purpose, step, index)) for index in range(count)]
    pictures = to_tensor(np.stack([world.draw(scene) for scene in scenes]))
    if worn:
        pictures = wear(pictures, torch.Generator().manual_seed(seed_of(seed, purpose, step) % 2**63))
    rows = [answers(scene) for scene in scenes]
    return pictures, {key: torch.tensor([words.index(row[key]) for row in rows]) for key, words in WORDS.items()}


def wear(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the pictures with a blur, a tint, smooth spots and noise, each of a random strength."""
    count = len(pictures)

    def strength(top: float) -> torch.Tensor:
        return top * torch.rand(count, 1, 1, 1, generator=generator) ** 2

    soft = F.interpolate(F.avg_pool2d(pictures, 4), scale_factor=4.0, mode="bilinear")
    mixed = torch.lerp(pictures, soft, strength(1.0))
    spots = F.interpolate(torch.randn(count, 3, 8, 8, generator=generator), scale_factor=8.0, mode="bilinear")
    tint = torch.randn(count, 3, 1, 1, generator=generator)
    noise = torch.randn(pictures.shape, generator=generator)
    return (mixed + strength(0.25) * spots + strength(0.15) * tint + strength(0.2) * noise).clamp(-1, 1)


@dataclass(frozen=True)
class JudgeSettings:
    """How the judge is trained."""

    steps: int = 700
    seed: int = 3
    rate: float = 2e-3
    batch: int = 64


def train(settings: JudgeSettings) -> Judge:
    """Return a trained judge, in eval mode. About a minute on one core."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=settings.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=settings.steps)
    for step in range(settings.steps):
        pictures, wanted = batch(settings.seed, "judge", step, settings.batch, worn=True)
        logits = judge(pictures)
        loss = torch.stack([F.cross_entropy(logits[question], wanted[question]) for question in WORDS]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return judge.eval()


@torch.no_grad()
def accuracy(judge: Judge, *, count: int = 1000, worn: bool = False) -> dict[str, float]:
    """Return the share of right answers to each question, on drawings that no training saw."""
    judge.eval()
    pictures, wanted = batch(0, "judge check", 0, count, worn=worn)
    return {
        question: float((logits.argmax(1) == wanted[question]).float().mean()) for question, logits in judge(pictures).items()
    }


def save(judge: Judge, path: Path) -> None:
    """Write the judge in half precision, about 0.4 MB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in judge.state_dict().items()}, path
    )


def load(path: Path) -> Judge:
    """Read a judge that `save` wrote, in eval mode."""
    judge = Judge()
    judge.load_state_dict(load_file(path))
    return judge.eval()
