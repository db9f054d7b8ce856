"""Steps for some of the weights at a time, where these are in bf16: the same bytes, and not all of them in float32 at once."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.training import optimizers, parts, schedulers
from lora_trainer.training.distributed import Processes
from lora_trainer.training.narrow import WeightPrecision
from lora_trainer.training.precision import Precision
from lora_trainer.training.schedulers import ScheduleSettings
from lora_trainer.training.update import Updater
from tests.counting import Bytes
from tests.given import given

from .test_optimizer_steps import HERE, _Nothing, rate_of, same

SHAPES = [(64, 64)] * 20 + [(7,), (200, 64)]
PART = 3 * 64 * 64


def updater_of(kind, limit: float = 1.0) -> Updater:
    """Two groups of weights in bf16, which are many where PART is."""
    draw = torch.Generator().manual_seed(1)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]
    rate = rate_of(kind)
    groups = [
        {"params": weights[:9], "lr": rate, "name": "unet"},
        {"params": weights[9:], "lr": rate / 2, "name": "text_encoder"},
    ]
    built, processes = optimizers.create(kind.name, groups, learning_rate=rate, args={}), Processes("cpu")
    narrow = WeightPrecision.of(given(full_bf16=True, mixed_precision="bf16").training, torch.bfloat16, weights, 5)
    return Updater(
        trained=_Nothing(),
        optimizer=built.optimizer,
        schedule=schedulers.create(built.optimizer, ScheduleSettings(), total_steps=9),
        scaler=Precision(torch.device("cpu"), torch.float32).scaler(),
        processes=processes,
        max_grad_norm=limit,
        weights=narrow,
        parts=parts.of(built, narrow, processes, limit, is_alone=True),
    )


def train(updater: Updater, steps: int, gradients: float = 1.0) -> list[torch.Tensor]:
    draw, norms = torch.Generator().manual_seed(2), []
    for _ in range(steps):
        updater.start()
        for number, weight in enumerate(updater.parameters):
            if number != 4:  # one that takes no part
                weight.grad = (gradients * torch.randn(weight.shape, generator=draw)).bfloat16()
        norms.append(updater.gather())
        updater.step()
    assert {weight.dtype for weight in updater.parameters} == {torch.bfloat16}
    return [*norms, *(weight.detach().clone() for weight in updater.parameters)]


@pytest.mark.effect("full_bf16", "max_grad_norm")
@pytest.mark.parametrize("kind", [kind for kind in HERE if not kind.whole and kind.name != "Muon"], ids=lambda kind: kind.name)
@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_in_parts_the_same_bytes_come_out(kind, limit, monkeypatch):
    at_once = updater_of(kind, limit)
    assert at_once.parts is None, "few weights"
    monkeypatch.setattr(parts, "NUMBERS", PART)
    in_parts = updater_of(kind, limit)
    assert in_parts.parts is not None
    assert same(train(in_parts, 3), train(at_once, 3)) and in_parts.rates == at_once.rates
    assert same(train(in_parts, 1, 1e-5), train(at_once, 1, 1e-5)), "below the limit"


@pytest.mark.effect("full_bf16")
def test_a_step_in_parts_takes_little_more_than_what_is_there_between_steps(monkeypatch):
    """What AdamW remembers is there after the first step; the second is measured."""
    more = []
    for part in (parts.NUMBERS, PART):
        monkeypatch.setattr(parts, "NUMBERS", part)
        kind = next(kind for kind in HERE if kind.name == "AdamW")
        with Bytes() as held:
            updater = updater_of(kind)
            train(updater, 1)
            for weight in updater.parameters:
                weight.grad = torch.ones_like(weight)
            before, held.most = held.now, 0
            updater.start()
            updater.gather()
            updater.step()
        more.append(held.most - before)
    at_once, in_parts = more
    count = sum(weight.numel() for weight in updater.parameters)
    assert at_once >= 4 * count, "weights and gradients that were 2 bytes are 4"
    assert in_parts <= 6 * PART * 4, "those of a part, and what its step works with"


@pytest.mark.parametrize("kind", [kind for kind in HERE if kind.whole][:1], ids=lambda kind: kind.name)
def test_an_optimizer_that_needs_all_gradients_or_is_not_known_makes_its_step_at_once(kind, monkeypatch):
    monkeypatch.setattr(parts, "NUMBERS", PART)
    assert updater_of(kind).parts is None
    built = optimizers.create(
        "torch.optim.AdamW", [{"params": [torch.nn.Parameter(torch.ones(PART, 2))], "lr": 1.0}], learning_rate=1.0, args={}
    )
    weights = WeightPrecision(torch.bfloat16)
    assert parts.of(built, weights, Processes("cpu"), 1.0, is_alone=True) is not None
    assert parts.of(built, weights, Processes("cpu"), 1.0, is_alone=False) is None
    assert parts.of(built, WeightPrecision(), Processes("cpu"), 1.0, is_alone=True) is None
    unknown = optimizers.BuiltOptimizer(built.optimizer, "", optimizers.kind_of("some.Optimizer"))
    assert parts.of(unknown, weights, Processes("cpu"), 1.0, is_alone=True) is None
