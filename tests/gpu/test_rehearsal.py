"""What is measured before a training, on a card: what the training then takes."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.training.distributed import Processes
from lora_trainer.training.rehearsal.measuring import rehearse
from lora_trainer.training.rehearsal.report import report
from lora_trainer.training.train import train
from tests.training.conftest import Recorder


def test_the_peak_that_is_measured_is_that_of_the_training(options_for):
    options = options_for(resolution="128", train_batch_size=4, max_train_steps=6)
    before = torch.cuda.memory_reserved()
    found = report(rehearse(options, reporter=Recorder(), processes=Processes("cuda")), 0.0)
    assert found["on_card"] and found["memory"]["fits"] and found["memory"]["total"] > 1 << 30
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    train(options, reporter=Recorder(), processes=Processes("cuda"))
    assert found["memory"]["needed"] - before == pytest.approx(
        torch.cuda.max_memory_reserved() - before, rel=0.15, abs=64 << 20
    )
