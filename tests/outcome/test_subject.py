"""A LoRA teaches a new subject, keeps the rest, and can be weighed; captions decide what stays free."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_trainer.demo import files, trial, world
from lora_trainer.randomness import rng
from lora_trainer.sampling.loras import LoraUse
from tests.outcome.board import reads
from tests.outcome.conftest import JUDGE
from tests.outcome.lab import FEW, HEARTS, OTHERS, REGULARISATION, STYLE, SUBJECT, WORDS, Seen, distance

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
HEART = reads("shape", "heart")
VIOLET = (110, 50, 190)  # no background of the base world


def test_the_demo_model_is_there():
    """Without it all tests below are skipped."""
    assert files.SHIPPED.is_file() and JUDGE.is_file()


def test_subject(lab, board):
    """A new subject is learnt.

    The base model has never seen a heart. After the training, its pictures of "sks heart" are read as hearts. A training whose
    learning rate is next to nothing teaches nothing.
    """
    idle = lab.draw(HEARTS[:8], lab.subject(learning_rate=1e-8, max_train_steps=5))
    rows = {"before": lab.draw(HEARTS), "after": lab.draw(HEARTS, lab.subject()), "next to no learning rate": idle}
    scores = board(rows, heart=HEART, colour=reads("colour"), background=reads("background"))
    assert scores["before"]["heart"] <= 0.05 and scores["next to no learning rate"]["heart"] <= 0.05
    assert scores["after"]["heart"] >= 0.8
    assert scores["after"]["colour"] >= 0.8 and scores["after"]["background"] >= 0.8


@pytest.mark.long
def test_class(lab, board):
    """Regularisation images keep what the model knew.

    The base world's own shapes, drawn with LoRAs that have learnt the subject. Without regularisation images they drift towards
    it, and prior_loss_weight 0 is as good as none.
    """
    both = {"max_train_steps": 50, "train_batch_size": 16}  # half of each batch is the subject
    paths = {
        "regularisation": lab.train(SUBJECT, REGULARISATION, **both),
        "prior_loss_weight 0": lab.train(SUBJECT, REGULARISATION, prior_loss_weight=0.0, **both),
        "none": lab.subject(),
    }
    rows = {"before": lab.draw(OTHERS), **{name: lab.draw(OTHERS, path) for name, path in paths.items()}}
    scores = board(rows, shape=reads("shape"), heart=HEART)
    shape = {row: values["shape"] for row, values in scores.items()}
    assert shape["regularisation"] >= shape["before"] - 0.15
    assert shape["none"] <= shape["regularisation"] - 0.2
    assert shape["prior_loss_weight 0"] <= shape["regularisation"] - 0.2
    assert lab.draw(HEARTS, paths["regularisation"]).share("shape", "heart") >= 0.6, "it learnt too little"


def test_strength(lab, board):
    """The multiplier weighs the effect.

    `<lora:name:0.4>` does less than `<lora:name:0.8>`; 0 changes not one bit.
    """
    path, captions = lab.subject(), FEW
    rows = {f"{strength:g}": lab.draw(captions, LoraUse(path, strength, strength)) for strength in (0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    board(rows, heart=HEART)
    assert torch.equal(rows["0"].pictures, lab.draw(captions).pictures)
    beliefs = [seen.belief("shape", "heart") for seen in rows.values()]
    assert all(after >= before - 0.05 for before, after in zip(beliefs, beliefs[1:], strict=False)), beliefs
    assert beliefs[0] <= 0.1 and beliefs[2] <= beliefs[5] - 0.3, beliefs


def test_parts(lab, board):
    """Text encoder and UNet can be weighed apart.

    The text encoder's part alone moves the picture, but cannot draw what the UNet has never drawn.
    """
    path, captions = lab.subject(), FEW
    parts = {"text encoder": (1.0, 0.0), "UNet": (0.0, 1.0), "both": (1.0, 1.0)}
    rows = {name: lab.draw(captions, LoraUse(path, *weights)) for name, weights in parts.items()}
    before = lab.draw(captions)
    scores = board({"before": before, **rows}, heart=HEART)
    for name in ("text encoder", "UNet"):
        assert distance(rows[name], before) > 0.02 and distance(rows[name], rows["both"]) > 0.02
    assert scores["text encoder"]["heart"] <= 0.3
    assert scores["both"]["heart"] >= scores["text encoder"]["heart"] + 0.4


def evenings(count: int) -> list[trial.Pair]:
    """Pictures of the base world in the new style: against a violet sky."""
    pictures = []
    for index in range(count):
        scene = world.random_scene(rng(0, "evening", index))
        paint = np.broadcast_to(np.asarray(world.COLOURS[scene.colour], np.float32), (world.SIDE, world.SIDE, 3))
        cover = world.coverage(world.SHAPES[scene.shape], scene)
        sky = np.asarray(VIOLET, np.float32)
        pictures.append((world.compose(paint, sky, cover), f"{scene.caption(background=False)} {STYLE}"))
    return pictures


def dusky(seen: Seen) -> float:
    """The share of pictures with the style: most of the border is nearer to violet than to any of the world's backgrounds."""
    grounds = torch.tensor([*world.BACKGROUNDS.values(), VIOLET]) / 127.5 - 1
    pictures = seen.pictures
    border = torch.cat([pictures[:, :, :6].flatten(2), pictures[:, :, -6:].flatten(2)], 2)
    nearest = torch.cdist(border.transpose(1, 2), grounds[None].expand(len(border), -1, -1)).argmin(2)
    return float(((nearest == len(grounds) - 1).float().mean(1) > 0.5).float().mean())


@pytest.mark.long
def test_two_loras(lab, board):
    """Two LoRAs show both: a subject and a style.

    "at dusk" was taught with shapes of the base world against a violet sky. A LoRA alone does not bring what the other was
    taught, and a weight of 0 takes one away and leaves the other as it was.
    """
    captions = [f"a large {colour} {WORDS} {STYLE}" for colour in world.COLOURS] * 2
    subject, style = lab.subject(), lab.train(evenings(24), max_train_steps=45, network_train_unet_only=True)
    chosen = {
        "neither": [],
        "subject": [subject],
        "style": [style],
        "both": [subject, style],
        "both at 0.8": [LoraUse(subject, 0.8, 0.8), LoraUse(style, 0.8, 0.8)],
    }
    scores = board({name: lab.draw(captions, *loras) for name, loras in chosen.items()}, heart=HEART, dusk=dusky)
    together = {part: (scores["both"][part] + scores["both at 0.8"][part]) / 2 for part in ("heart", "dusk")}
    assert together["heart"] >= 0.2 and together["dusk"] >= 0.3, together
    assert scores["subject"]["heart"] >= 0.4 and scores["style"]["dusk"] >= 0.6
    for name, part in (("neither", "heart"), ("neither", "dusk"), ("subject", "dusk"), ("style", "heart")):
        assert scores[name][part] <= 0.05
    few = captions[:2]
    for one, other in ((subject, style), (style, subject)):
        assert torch.equal(lab.draw(few, one, LoraUse(other, 0.0, 0.0)).pictures, lab.draw(few, one).pictures)


def red_hearts(count: int) -> list[trial.Pair]:
    """Pictures of the new subject, every one red."""
    pictures = []
    for index in range(count):
        scene = world.subject(rng(0, "red heart", index), "red")
        pictures.append((world.draw(scene), scene.caption(name=WORDS)))
    return pictures


@pytest.mark.long
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
    assert scores["captions"]["colour"] >= 0.8 and scores["captions"]["heart"] >= 0.15
    assert scores["identifier and class"]["colour"] <= scores["captions"]["colour"] - 0.2
    red = {name: lab.draw(unsaid, path).share("colour", "red") for name, path in paths.items()}
    assert red["captions"] <= 0.4 and red["identifier and class"] >= 0.65, red
