"""Masks: what they hide is not learned."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from tests.outcome.board import reads
from tests.outcome.held_out import HeldOut, surely
from tests.outcome.lab import FEW

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
GROUND = "brown"  # of every picture, named by no caption, and asked for by none
MARGIN = 9  # pixels across: one mask value stands for 8 of them


def on_one_ground(count: int) -> tuple[list[trial.Pair], list[np.ndarray]]:
    """(pictures of the subject in all colours on one background, a mask of each that shows the subject)."""
    pairs, masks = [], []
    for index in range(count):
        colour = list(world.COLOURS)[index % len(world.COLOURS)]
        scene = world.subject(rng(0, "masked", index), colour, GROUND)
        picture = world.draw(scene)
        pairs.append((picture, scene.caption(name=f"{trial.IDENTIFIER} {scene.shape}", background=False)))
        subject = (np.abs(picture.astype(int) - picture[0, 0]).max(-1) > 24).astype(np.uint8) * 255
        masks.append(np.array(Image.fromarray(subject).filter(ImageFilter.MaxFilter(MARGIN))))
    return pairs, masks


@pytest.mark.long
@pytest.mark.effect("masked_loss")
def test_masked_loss(lab, board):
    """A subject is learned without its background where a mask hides that.

    Every picture has the same brown background, which no caption names: it becomes part of the subject, and comes out where
    white and black are asked for. With masks the loss counts the subject alone.
    """
    pictures, masks = on_one_ground(16)
    settings = {"max_train_steps": 40, "train_batch_size": 4}
    loras = {
        "without masks": lab.train(pictures, **settings),
        "with masks": lab.train(pictures, masks=masks, masked_loss=True, **settings),
    }
    rows = {"before": lab.draw(FEW)} | {name: lab.draw(FEW, lora) for name, lora in loras.items()}
    scores = board(rows, heart=reads("shape", "heart"), brown=reads("background", GROUND))
    assert scores["without masks"]["brown"] >= 0.8 and scores["with masks"]["brown"] <= 0.6
    assert scores["before"]["heart"] == 0.0 and scores["with masks"]["heart"] >= 0.25
    elsewhere = [pair for pair in trial.subject_pictures(30, seed=1) if "white" in pair[1] or "black" in pair[1]]
    held_out = HeldOut(lab, elsewhere)
    learned = held_out.errors(loras["with masks"])
    assert surely(learned, held_out.errors(loras["without masks"]))
    assert surely(learned, held_out.errors())
