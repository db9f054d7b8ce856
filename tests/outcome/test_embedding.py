"""An embedding: a word for what the base model can draw, and had no word for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from tests.outcome.board import reads
from tests.outcome.lab import NONSENSE

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
SHAPE, COLOUR = "star", "magenta"


def stars(count: int) -> list[trial.Pair]:
    """Large magenta stars on every background; the captions call them by a word that the base model has never read."""
    pairs = []
    for index in range(count):
        draw = rng(0, "embedding", index)
        ground = list(world.BACKGROUNDS)[index % len(world.BACKGROUNDS)]
        scene = replace(world.random_scene(draw), shape=SHAPE, colour=COLOUR, background=ground, size="large")
        scene = world.place(scene, draw)
        pairs.append((world.draw(scene), f"a large {NONSENSE} on a {ground} background"))
    return pairs


@pytest.mark.effect("trains")
def test_embedding(lab, board):
    """An embedding is a word for what the model can draw already.

    Two vectors are trained on pictures of magenta stars, which captions call by a nonsense word; not one weight of the model
    changes. The word then draws magenta stars, on the background that the rest of the prompt asks for.
    """
    no_network = dict.fromkeys(["network_module", "network_dim", "network_alpha"])
    how = {"trains": "embedding", "token_string": NONSENSE, "num_vectors_per_token": 2, "learning_rate": 0.02}
    path = lab.train(stars(16), **no_network, **how, max_train_steps=45)
    captions = [f"a large {COLOUR} {SHAPE} on a {ground} background" for ground in world.BACKGROUNDS] * 2
    asked = [caption.replace(f"{COLOUR} {SHAPE}", NONSENSE) for caption in captions]
    rows = {"before": lab.draw(asked), "with the embedding": lab.draw(asked, words={NONSENSE: path})}
    rows = {name: replace(seen, captions=captions) for name, seen in rows.items()}
    scores = board(rows, shape=reads("shape"), colour=reads("colour"), background=reads("background"))
    before, after = scores.values()
    assert after["shape"] >= max(0.8, before["shape"] + 0.4) and after["colour"] >= 0.8 and after["background"] >= 0.8
