"""Pictures with captions as files: of the base world, of a trial's new subject, and for its regularisation."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..paths import write_atomic, write_text_atomic
from ..randomness import rng
from . import world

IDENTIFIER = "sks"
# Options of a training that teaches the new subject in 60 to 100 steps. Below timestep 300 outlines are settled already.
TEACHES: dict[str, Any] = {
    "network_dim": 16,
    "network_alpha": 16.0,
    "learning_rate": 5e-3,
    "lr_scheduler": "cosine",
    "min_timestep": 300,
    "train_batch_size": 8,
}
Pair = tuple[np.ndarray, str]  # picture uint8 [H,W,3], caption


def base_pictures(count: int, seed: int = 0) -> list[Pair]:
    """Return pictures of the base world. With their captions they serve as regularisation images too."""
    found = []
    for index in range(count):
        draw = rng(seed, "base picture", index)
        scene = world.random_scene(draw)
        found.append((world.draw(scene), scene.caption()))
    return found


def subject_pictures(count: int, seed: int = 0, *, width: int = world.SIDE, height: int = world.SIDE) -> list[Pair]:
    """Return pictures of the new subject, a striped heart: "a large red sks heart on a white background".

    Colours and backgrounds take turns, so that a few pictures show many of them.
    """
    pairs = [(colour, background) for background in world.BACKGROUNDS for colour in world.COLOURS]
    random.Random(0).shuffle(pairs)
    found = []
    for index in range(count):
        scene = world.subject(rng(seed, "subject picture", index), *pairs[index % len(pairs)])
        found.append((world.draw(scene, width, height), scene.caption(name=f"{IDENTIFIER} {scene.shape}")))
    return found


def write(pairs: Iterable[Pair], folder: Path) -> int:
    """Write pictures as 0000.png with their captions as 0000.txt beside them; return how many there are."""
    count = 0
    for picture, caption in pairs:
        image = Image.fromarray(picture)
        write_atomic(folder / f"{count:04}.png", lambda file, image=image: image.save(file, format="PNG"))
        write_text_atomic(folder / f"{count:04}.txt", caption + "\n")
        count += 1
    return count
