"""A word for what the base model can draw and had no word for (an embedding), or learns together with it (pivotal tuning)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from tests.outcome.board import reads
from tests.outcome.lab import FEW, NONSENSE, WORDS

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


@pytest.mark.long
@pytest.mark.effect("trains", "embedding_lr")
def test_pivotal_tuning(lab, board):
    """A LoRA and its word draw together what a word alone cannot.

    Striped hearts, which the base model cannot draw, are called by a word alone that it has never read: "a large red vrk". The
    word alone can draw nothing that the model does not draw already; learned with the LoRA it calls up what that has learned.
    (In this small world a LoRA alone does as well: its text encoder tells any nonsense from all other words.)
    """
    pictures = [(picture, caption.replace(WORDS, NONSENSE)) for picture, caption in trial.subject_pictures(16)]
    word = {"token_string": NONSENSE, "num_vectors_per_token": 2}
    steps = {"max_train_steps": 60}
    network = {"network_dim": 16, "network_alpha": 16.0, **steps}
    alone = lab.train(pictures, **network)
    both = lab.train(pictures, **network, **word, trains="pivotal", embedding_lr=0.02)
    no_network = dict.fromkeys(["network_module", "network_dim", "network_alpha"])
    embedding = lab.train(pictures, **no_network, **steps, **word, trains="embedding", learning_rate=0.02)
    captions = [caption.replace(WORDS, "heart") for caption in FEW]
    asked = [caption.replace("heart", NONSENSE) for caption in captions]
    rows = {
        "a LoRA": lab.draw(asked, alone),
        "a word": lab.draw(asked, words={NONSENSE: embedding}),
        "both": lab.draw(asked, both),
    }
    rows = {name: replace(seen, captions=captions) for name, seen in rows.items()}
    scores = board(rows, shape=reads("shape"), colour=reads("colour"), belief=lambda seen: seen.belief("shape"))
    lora, words, together = scores.values()
    assert min(together["shape"], together["colour"]) >= 0.7 and together["shape"] >= words["shape"] + 0.5
    assert together["belief"] >= lora["belief"] - 0.2, "the word is in nobody's way"
