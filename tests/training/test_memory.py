"""What a training keeps where: gradient checkpointing in main memory."""

from __future__ import annotations

import weakref

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputErrors
from lora_trainer.models import checkpointing
from lora_trainer.training.objective import Objective
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.fixture
def alive(monkeypatch):
    """alive() are the inputs of the UNet's blocks that were still there after the forward passes, and how many there were."""
    counts = [0, 0]
    losses = Objective.losses

    def watched(self, model, *args, **kwargs):
        inputs = []
        blocks = [m for m in model.unet.modules() if type(m).__name__ in ("ResnetBlock2D", "BasicTransformerBlock")]
        hooks = [block.register_forward_pre_hook(lambda _, given: inputs.append(weakref.ref(given[0]))) for block in blocks]
        found = losses(self, model, *args, **kwargs)
        for hook in hooks:
            hook.remove()
        counts[0] += sum(one() is not None for one in inputs)
        counts[1] += len(inputs)
        return found

    monkeypatch.setattr(Objective, "losses", watched)
    return lambda: tuple(counts)


@pytest.mark.effect("cpu_offload_checkpointing")
def test_what_checkpointing_keeps_is_a_copy_in_main_memory_and_trains_the_same_bytes(options_for, alive, monkeypatch):
    copied = []
    copy = checkpointing.to_main_memory
    monkeypatch.setattr(checkpointing, "to_main_memory", lambda tensor: copied.append(tensor.nbytes) or copy(tensor))
    found = {}
    for offload in (False, True):
        reporter = Recorder()
        before = alive()
        options = options_for(
            output_name=f"o{offload}", gradient_checkpointing=True, cpu_offload_checkpointing=offload, max_train_steps=2
        )
        path = train(options, reporter=reporter).path
        there, all_of_them = (after - first for after, first in zip(alive(), before, strict=True))
        found[offload] = (reporter.losses, load_file(path), there / all_of_them, sum(copied))
    plain, offloaded = found[False], found[True]
    assert plain[0] == offloaded[0] and all(torch.equal(plain[1][name], offloaded[1][name]) for name in plain[1])
    assert plain[2] > 0.9 and plain[3] == 0, "without it the inputs themselves stay where they were made"
    assert offloaded[2] < 0.1 and offloaded[3] > 0, "with it they are gone: their copies are kept"


def test_it_means_nothing_without_checkpointing(options_for):
    with pytest.raises(InputErrors, match="cpu_offload_checkpointing has no effect without gradient_checkpointing"):
        options_for(cpu_offload_checkpointing=True)
