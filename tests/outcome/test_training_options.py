"""Buckets, precisions, going on from a LoRA, seeds, rates and ranks: each shows its effect in pictures."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lora_trainer.demo import trial, world
from lora_trainer.randomness import rng
from lora_trainer.sampling.loras import LoraUse
from tests.outcome.board import reads
from tests.outcome.lab import HEARTS, NONSENSE, SUBJECT, WORDS, Seen

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(900)]
HEART = reads("shape", "heart")
WIDE, TALL = (128, 64), (64, 128)


def aside(count: int, size: tuple[int, int]) -> list[trial.Pair]:
    """Wide pictures with the new subject on the left, or tall ones with it at the top."""
    x, y = (-(side - world.SIDE) / 2 for side in size)
    pictures = []
    for index in range(count):
        scene = world.subject(rng(0, "aside", index, *size))
        scene = world.replace(scene, centre=(scene.centre[0] + x, scene.centre[1] + y))
        pictures.append((world.draw(scene, *size), scene.caption(name=WORDS)))
    return pictures


def test_buckets(lab, board):
    """Resolution buckets keep wide and tall pictures whole.

    The subject stands at the left of wide pictures and at the top of tall ones, and is drawn there. Without buckets all
    training pictures are cut to squares, and with them the subject.
    """
    shown = aside(12, WIDE) + aside(12, TALL)
    sizes = {"resolution": "96", "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
    few = {"max_train_steps": 40}
    with_buckets = lab.train(shown, enable_bucket=True, **sizes, **few)
    without = lab.train(shown, **few)
    rows = {
        f"{name}, {shape}": lab.draw(HEARTS[:12], path, size=size)
        for name, path in (("buckets", with_buckets), ("squares", without))
        for shape, size in (("wide", WIDE), ("tall", TALL))
    }
    scores = board(rows, heart=HEART, place=in_place)
    for shape in ("wide", "tall"):
        assert scores[f"buckets, {shape}"]["heart"] >= 0.5 and scores[f"buckets, {shape}"]["place"] >= 0.7
        assert scores[f"squares, {shape}"]["place"] <= 0.3


def in_place(seen: Seen) -> float:
    """The share of pictures whose object has its middle in the first 40 % of the longer side."""
    height, width = seen.pictures.shape[2:]
    ground = seen.pictures[:, :, -8:, -8:].mean((2, 3), keepdim=True)  # the corner where there is nothing
    object_ = ((seen.pictures - ground).abs().amax(1) > 0.4).float()
    along = object_.sum(1 if width > height else 2)  # [B, longer side]
    middle = (along * torch.arange(along.shape[1])).sum(1) / along.sum(1).clamp(min=1)
    return float((middle < 0.4 * along.shape[1]).float().mean())


def kind(path) -> set[torch.dtype]:
    return {tensor.dtype for tensor in load_file(path).values()}


def test_save_precision(lab, board):
    """Files in half precision draw the same.

    The subject's LoRA, saved again as fp16 and as bf16.
    """
    kinds = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    again = {"network_weights": str(lab.subject()), "learning_rate": 1e-9, "max_train_steps": 1}
    paths = {name: lab.train(SUBJECT[:8], save_precision=name, **again) for name in kinds}
    rows = {"before": lab.draw(HEARTS), **{name: lab.draw(HEARTS, path) for name, path in paths.items()}}
    scores = board(rows, heart=HEART, colour=reads("colour"))
    for name, dtype in kinds.items():
        assert kind(paths[name]) == {dtype}
        assert scores[name]["heart"] == pytest.approx(scores["float"]["heart"], abs=0.1)
        assert scores[name]["heart"] >= scores["before"]["heart"] + 0.6


def test_network_weights(lab, board):
    """A training goes on from a LoRA.

    Half of the steps teach half. The same steps once more, from that file (network_weights), teach more than from the start.
    """
    half = {"max_train_steps": 25}
    first = lab.subject(**half)
    paths = {"first": first, "again from the start": lab.subject(seed=2, **half)}
    paths["from the first"] = lab.subject(seed=2, network_weights=str(first), **half)
    rows = {name: lab.draw(HEARTS, path) for name, path in paths.items()}
    scores = board(rows, heart=HEART)
    assert scores["from the first"]["heart"] >= scores["first"]["heart"] + 0.15
    assert scores["from the first"]["heart"] >= scores["again from the start"]["heart"] + 0.15


def model_hash(path) -> str:
    with safe_open(path, "pt") as file:
        return file.metadata()["sshs_model_hash"]


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


def test_rank(lab, board):
    """A rank of 1 learns less.

    The same steps on the same pictures as the whole subject.
    """
    rank_1 = lab.subject(network_dim=1, network_alpha=1)
    rows = {"before": lab.draw(HEARTS), "rank 1": lab.draw(HEARTS, rank_1), "rank 32": lab.draw(HEARTS, lab.subject())}
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
    few = {"max_train_steps": 8}
    asked = [caption.replace(WORDS, NONSENSE) for caption in HEARTS]
    rows = {
        "before": lab.draw(asked),
        "frozen": lab.draw(asked, lab.train(stars, network_train_unet_only=True, **few)),
        "trained": lab.draw(asked, lab.train(stars, **few)),
    }
    scores = board(rows, star=reads("shape", "star"))
    assert scores["trained"]["star"] >= scores["frozen"]["star"] + 0.1
    assert scores["trained"]["star"] >= scores["before"]["star"] + 0.4
