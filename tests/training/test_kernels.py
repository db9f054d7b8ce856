"""What a step is computed with: chosen, said, and as it was before when the training has ended."""

from __future__ import annotations

import logging
import re

import pytest
import torch

from lora_trainer.errors import InputErrors
from lora_trainer.models import attention, load
from lora_trainer.options.training import TrainingOptions
from lora_trainer.training import kernels
from lora_trainer.training.objective import Objective
from lora_trainer.training.precision import Precision
from lora_trainer.training.train import train

from .conftest import Recorder


def settings():
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark


@pytest.mark.effect("cuda_allow_tf32", "cuda_cudnn_benchmark")
@pytest.mark.parametrize(
    ("chosen", "inside"),
    [
        ({}, (False, True, False)),
        ({"cuda_allow_tf32": True}, (True, True, False)),
        ({"cuda_cudnn_benchmark": True}, (False, True, True)),
    ],
)
def test_the_libraries_compute_as_chosen_while_a_training_runs(chosen, inside):
    before = settings()
    assert before == (False, True, False), "PyTorch's own"
    with kernels.chosen(TrainingOptions(**chosen)):
        assert settings() == inside
    assert settings() == before


def test_the_flash_attention_of_older_pytorch_is_not_used_where_it_writes_beyond_its_memory(tiny_sd1, monkeypatch):
    cpu, card = torch.device("cpu"), torch.device("cuda")
    assert kernels.flash_is_broken(cpu, torch.bfloat16, "2.1.2+cu121")
    assert not kernels.flash_is_broken(cpu, torch.float32, "2.1.2+cu121")
    assert not kernels.flash_is_broken(card, torch.bfloat16, "2.1.2+cu121")
    assert not kernels.flash_is_broken(cpu, torch.bfloat16, "2.13.0")
    model, before = load(tiny_sd1, dtype=torch.float32, device="cpu"), torch.backends.cuda.flash_sdp_enabled()
    monkeypatch.setattr(kernels, "flash_is_broken", lambda *asked: asked[:2] == (cpu, torch.bfloat16))
    with kernels.chosen(TrainingOptions()):
        kernels.arrange(TrainingOptions(), model, Precision(cpu, torch.bfloat16))
        assert not torch.backends.cuda.flash_sdp_enabled()
        assert "flash" not in attention.told(model.unet, cpu, torch.bfloat16)
    assert torch.backends.cuda.flash_sdp_enabled() == before


@pytest.mark.effect("channels_last")
def test_channels_may_be_last_and_the_losses_are_the_same_but_for_rounding(options_for, monkeypatch, caplog):
    losses, found, orders = Objective.losses, {}, []

    def watched(self, model, *args):
        orders.append(model.unet.conv_out.weight.is_contiguous(memory_format=torch.channels_last))
        return losses(self, model, *args)

    monkeypatch.setattr(Objective, "losses", watched)
    for last in (False, True):
        reporter = Recorder()
        with caplog.at_level(logging.INFO, logger="lora_trainer"):
            train(options_for(max_train_steps=1, network_args=["conv_dim=2"], channels_last=last), reporter=reporter)
        found[last] = reporter.losses
    assert orders == [False, True]
    assert found[True] == pytest.approx(found[False], rel=1e-4)
    said = [line for line in caplog.messages if line.startswith("A step is computed")]
    assert len(said) == 2 and "channels_last off" in said[0] and "channels_last on" in said[1]
    assert re.search(r"in float32; attention by PyTorch: (flash|math) \(heads of \d+", said[0]), said


def test_a_card_says_more(tiny_sd1, monkeypatch):
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    said = kernels.told(model, Precision(torch.device("cuda"), torch.bfloat16), channels_last=False)
    assert (
        "in bfloat16" in said and "TF32 for float32 products off, for convolutions on; cuDNN tries its algorithms: off" in said
    )
    monkeypatch.setattr(torch, "_fused_sdp_choice", None)
    assert "does not tell" in attention.told(model.unet, torch.device("cpu"), torch.bfloat16)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"deterministic": True, "cuda_cudnn_benchmark": True}, "nothing could be repeated exactly"),
        ({"channels_last": True, "gradient_checkpointing": True, "blocks_to_swap": 2}, "does not go with blocks_to_swap"),
    ],
)
def test_what_does_not_go_together_is_refused(options_for, chosen, message):
    with pytest.raises(InputErrors, match=message):
        options_for(**chosen)
