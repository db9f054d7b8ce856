"""In which type a training step computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lora_trainer.training.train import train
from tests.training.conftest import Recorder


@pytest.fixture
def seen(monkeypatch):
    """Types of the inputs of all norms of a training, and whether autocast was on there."""
    found = set()
    for kind in (nn.GroupNorm, nn.LayerNorm):

        def watched(self, x, own=kind.forward):
            if torch.is_grad_enabled():
                found.add((x.dtype, torch.is_autocast_enabled("cpu")))
            return own(self, x)

        monkeypatch.setattr(kind, "forward", watched)
    return found


def test_a_step_in_bf16_needs_no_autocast(options_for, seen):
    train(options_for(max_train_steps=2, mixed_precision="bf16", network_train_unet_only=False), reporter=Recorder())
    assert seen == {(torch.bfloat16, False)}


def test_modules_of_another_package_that_mix_types_get_it(options_for, seen):
    pytest.importorskip("lycoris")
    options = options_for(max_train_steps=1, mixed_precision="bf16", network_module="lycoris.kohya", network_args=["algo=loha"])
    train(options, reporter=Recorder())
    assert {autocast for _, autocast in seen} == {True}
