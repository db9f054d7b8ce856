"""A LoRA teaches a new subject, keeps the rest, and can be weighed; captions decide what stays free."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.demo import files, trial, world
from lora_trainer.randomness import rng
from lora_trainer.sampling.loras import LoraUse
from tests.outcome.board import reads
from tests.outcome.conftest import JUDGE
from tests.outcome.lab import HEARTS, OTHERS, REGULARISATION, SUBJECT, WORDS, Seen

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(900)]
HEART = reads("shape", "heart")


def test_the_demo_model_is_there():
    """Without it all tests below are skipped."""
    assert files.SHIPPED.is_file() and JUDGE.is_file()


def test_subject(lab, board):
    """A new subject is learnt.

    The base model has never seen a heart. After the training, its pictures of "sks heart" are read as hearts.
    """
    rows = {"before": lab.draw(HEARTS), "after": lab.draw(HEARTS, lab.subject())}
    scores = board(rows, heart=HEART, colour=reads("colour"), background=reads("background"))
    assert scores["before"]["heart"] <= 0.05
    assert scores["after"]["heart"] >= 0.8
    assert scores["after"]["colour"] >= 0.8 and scores["after"]["background"] >= 0.8


def test_class(lab, board):
    """Regularisation images keep what the model knew.

    The base world's own shapes, drawn with the LoRA. Without regularisation images they drift towards the new subject, and
    prior_loss_weight 0 is as good as none.
    """
    twice = {"max_train_steps": 80}  # half of what they show is the subject
    rows = {
        "before": lab.draw(OTHERS),
        "regularisation": lab.draw(OTHERS, lab.train(SUBJECT, REGULARISATION, **twice)),
        "prior_loss_weight 0": lab.draw(OTHERS, lab.train(SUBJECT, REGULARISATION, prior_loss_weight=0.0, **twice)),
        "none": lab.draw(OTHERS, lab.subject()),
    }
    scores = board(rows, shape=reads("shape"), heart=HEART)
    shape = {row: values["shape"] for row, values in scores.items()}
    assert shape["regularisation"] >= shape["before"] - 0.2
    assert shape["none"] <= shape["regularisation"] - 0.2
    assert shape["prior_loss_weight 0"] <= shape["regularisation"] - 0.2
    assert lab.draw(HEARTS, lab.train(SUBJECT, REGULARISATION, **twice)).share("shape", "heart") >= 0.4, "it learnt nothing"


def test_strength(lab, board):
    """The multiplier weighs the effect.

    `<lora:name:0.4>` does less than `<lora:name:0.8>`; 0 changes not one bit.
    """
    path, captions = lab.subject(), HEARTS[:16]
    rows = {f"{strength:g}": lab.draw(captions, LoraUse(path, strength, strength)) for strength in (0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    board(rows, heart=HEART)
    assert torch.equal(rows["0"].pictures, lab.draw(captions).pictures)
    beliefs = [seen.belief("shape", "heart") for seen in rows.values()]
    assert all(after >= before - 0.03 for before, after in zip(beliefs, beliefs[1:], strict=False)), beliefs
    assert beliefs[0] <= 0.1 and beliefs[0] + 0.15 < beliefs[3] < beliefs[5] - 0.1, beliefs


def test_parts(lab, board):
    """Text encoder and UNet can be weighed apart.

    The text encoder's part alone moves the picture, but cannot draw what the UNet has never drawn.
    """
    path = lab.subject()
    parts = {"text encoder": (1.0, 0.0), "UNet": (0.0, 1.0), "both": (1.0, 1.0)}
    rows = {name: lab.draw(HEARTS[:16], LoraUse(path, *weights)) for name, weights in parts.items()}
    scores = board({"before": lab.draw(HEARTS[:16]), **rows}, heart=HEART)
    for name in ("text encoder", "UNet"):
        assert changed(rows[name], lab.draw(HEARTS[:16])) > 0.02 and changed(rows[name], rows["both"]) > 0.02
    assert scores["text encoder"]["heart"] <= 0.3
    assert scores["both"]["heart"] >= scores["text encoder"]["heart"] + 0.4


def changed(seen: Seen, other: Seen) -> float:
    """The mean difference of two rows of pictures; 2 is from black to white."""
    return float((seen.pictures - other.pictures).abs().mean())


def red_hearts(count: int) -> list[trial.Pair]:
    """Pictures of the new subject, every one red."""
    pictures = []
    for index in range(count):
        scene = world.subject(rng(0, "red heart", index), "red")
        pictures.append((world.draw(scene), scene.caption(name=WORDS)))
    return pictures


def test_captions(lab, board):
    """Captions keep the colour free.

    All training pictures are red. Where the captions say so, "a blue sks heart" is blue, and without a word the colour is
    anyone's; where they are the identifier and the class alone, red has become a part of the subject.
    """
    said = [f"a {colour} {WORDS}" for colour in world.COLOURS if colour != "red"] * 3
    unsaid = [f"a large {WORDS} on a black background", f"a {WORDS}"] * 6
    few = {"max_train_steps": 50}
    paths = {
        "captions": lab.train(red_hearts(20), **few),
        "identifier and class": lab.train(red_hearts(20), captions=False, **few),
    }
    scores = board({name: lab.draw(said, path) for name, path in paths.items()}, colour=reads("colour"), heart=HEART)
    assert scores["captions"]["colour"] >= 0.8 and scores["captions"]["heart"] >= 0.25
    assert scores["identifier and class"]["colour"] <= scores["captions"]["colour"] - 0.2
    red = {name: lab.draw(unsaid, path).share("colour", "red") for name, path in paths.items()}
    assert red["captions"] <= 0.4 and red["identifier and class"] >= 0.65, red
