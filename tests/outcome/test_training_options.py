"""Buckets, precisions, going on from a LoRA, seeds, rates and ranks: each shows its effect in pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from lora_trainer.sampling.loras import LoraUse
from tests.outcome.board import reads
from tests.outcome.lab import FEW, HEARTS, NONSENSE, SUBJECT, WORDS, distance

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
HEART = reads("shape", "heart")


def side_by_side(count: int, axis: int) -> list[trial.Pair]:
    """Wide pictures (axis 1) or tall ones (axis 0), 128x64, of two subjects."""
    return [(np.concatenate([picture] * 2, axis), caption) for picture, caption in trial.subject_pictures(count, axis)]


@pytest.mark.long
def test_buckets(lab, board):
    """Resolution buckets keep wide and tall pictures whole.

    They show two hearts, side by side or one above the other; each half of a drawn picture is read. Without buckets all are cut
    to the square in the middle, which has halves of hearts.
    """
    shown = side_by_side(16, 0) + side_by_side(16, 1)
    buckets = {"enable_bucket": True, "resolution": "96", "min_bucket_reso": 64, "max_bucket_reso": 128}
    few = {"max_train_steps": 56, "train_batch_size": 4}
    paths = {"buckets": lab.train(shown, **buckets, **few), "squares": lab.train(shown, **few)}
    sizes = {"wide": (128, 64), "tall": (64, 128)}
    scores = board(
        {f"{name}, {shape}": lab.draw(FEW[:10], path, size=sizes[shape]) for shape in sizes for name, path in paths.items()},
        heart=HEART,
        background=reads("background"),
    )
    hearts = {name: [scores[f"{name}, {shape}"]["heart"] for shape in sizes] for name in paths}
    assert sum(hearts["buckets"]) / 2 >= 0.4 and min(hearts["buckets"]) >= 0.15, hearts
    assert sum(hearts["squares"]) / 2 <= sum(hearts["buckets"]) / 2 - 0.2, hearts
    assert all(scores[f"buckets, {shape}"]["background"] >= 0.8 for shape in sizes)


def kind(path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(path).values()}


@pytest.mark.effect("save_precision")
@pytest.mark.long
def test_save_precision(lab, board):
    """Files in half precision draw the same.

    The subject's LoRA, saved again as fp16 and as bf16. A weight of 0.9 changes the pictures more than that.
    """
    kinds = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    again = {"network_weights": str(lab.subject()), "learning_rate": 1e-9, "max_train_steps": 1}
    paths = {name: lab.train(SUBJECT[:8], save_precision=name, **again) for name in kinds}
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, path) for name, path in paths.items()}}
    scores = board(rows, heart=HEART, colour=reads("colour"))
    weaker = distance(lab.draw(FEW, LoraUse(paths["float"], 0.9, 0.9)), rows["float"])
    for name, dtype in kinds.items():
        assert kind(paths[name]) == {dtype}
        assert distance(rows[name], rows["float"]) <= weaker / 2
        assert scores[name]["heart"] == pytest.approx(scores["float"]["heart"], abs=0.2)
        assert scores[name]["heart"] >= scores["before"]["heart"] + 0.6


@pytest.mark.long
def test_network_weights(lab, board):
    """A training goes on from a LoRA.

    Half of the steps teach half. The same steps once more, from that file (network_weights), teach more than from the start.
    """
    half = {"max_train_steps": 18}
    first = lab.subject(**half)
    paths = {"first": first, "again from the start": lab.subject(seed=2, **half)}
    paths["from the first"] = lab.subject(seed=2, network_weights=str(first), **half)
    rows = {name: lab.draw(HEARTS, path) for name, path in paths.items()}
    scores = board(rows, heart=HEART)
    assert scores["from the first"]["heart"] >= scores["first"]["heart"] + 0.15
    assert scores["from the first"]["heart"] >= scores["again from the start"]["heart"] + 0.1


def model_hash(path) -> str:
    with safe_open(path, "pt") as file:
        return file.metadata()["sshs_model_hash"]


@pytest.mark.effect("seed")
@pytest.mark.long
def test_seed(lab):
    """The same seed gives the same file and pictures, another seed others."""
    short = {"max_train_steps": 4}
    paths = {
        name: lab.train(SUBJECT, **short, **more)
        for name, more in {"one": {}, "two": {"again": 1}, "other": {"seed": 2}}.items()
    }
    tensors = {name: load_file(path) for name, path in paths.items()}
    assert all(torch.equal(tensor, tensors["two"][name]) for name, tensor in tensors["one"].items())
    assert model_hash(paths["one"]) == model_hash(paths["two"]) != model_hash(paths["other"])
    drawn = {name: lab.draw(HEARTS[:4], path).pictures for name, path in paths.items()}
    assert torch.equal(drawn["one"], drawn["two"]) and not torch.equal(drawn["one"], drawn["other"])


def test_rate_zero(lab):
    """A part with a learning rate of 0 stays as it was, in every bit of every picture; the other part moves.

    (Where all rates are 0 the training is refused.)
    """
    before = lab.draw(HEARTS[:4]).pictures
    for still, rates in (((1.0, 0.0), {"text_encoder_lr": 0.0}), ((0.0, 1.0), {"unet_lr": 0.0})):
        path = lab.subject(max_train_steps=4, **rates)
        assert torch.equal(lab.draw(HEARTS[:4], LoraUse(path, *still)).pictures, before)
        assert not torch.equal(lab.draw(HEARTS[:4], LoraUse(path)).pictures, before)


@pytest.mark.long
def test_rank(lab, board):
    """A rank of 1 learns less.

    The same steps on the same pictures as the whole subject.
    """
    rank_1 = lab.subject(network_dim=1, network_alpha=1)
    rows = {
        "before": lab.draw(FEW),
        "rank 1": lab.draw(FEW, rank_1),
        "rank 32": lab.draw(FEW, lab.subject()),
    }
    scores = board(rows, heart=HEART)
    assert rows["rank 1"].belief("shape", "heart") >= rows["before"].belief("shape", "heart") + 0.05
    assert scores["rank 1"]["heart"] <= scores["rank 32"]["heart"] - 0.1


def test_text_encoder(lab, board):
    """A trained text encoder learns a nonsense word faster than a frozen one.

    "vrk" is to mean star. After a few steps the one knows it, the other does not.
    """
    stars = []
    for index in range(20):
        scene = world.random_scene(rng(0, "vrk", index))
        scene = world.replace(scene, shape="star")
        stars.append((world.draw(scene), scene.caption(name=NONSENSE)))
    few = {"max_train_steps": 12, "unet_lr": 1e-3, "text_encoder_lr": 1e-2}
    asked = [caption.replace(WORDS, NONSENSE) for caption in FEW]
    rows = {
        "before": lab.draw(asked),
        "frozen": lab.draw(asked, lab.train(stars, network_train_unet_only=True, **few)),
        "trained": lab.draw(asked, lab.train(stars, **few)),
    }
    scores = board(rows, star=reads("shape", "star"))
    assert scores["trained"]["star"] >= scores["frozen"]["star"] + 0.1
    assert scores["trained"]["star"] >= scores["before"]["star"] + 0.4
