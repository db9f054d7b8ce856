"""Average loss, speed and memory."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.models import card
from lora_trainer.training import metrics


def test_loss_is_averaged_over_the_last_epoch():
    average = metrics.LossAverage(steps_per_epoch=3)
    assert [average.add(loss) for loss in (1.0, 3.0, 5.0, 7.0)] == pytest.approx([1.0, 2.0, 3.0, 5.0])


def test_speed_leaves_out_pauses_and_a_slow_first_step(monkeypatch):
    clock = iter([0.0, 30.0, 32.0, 34.0, 134.0, 136.0])
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: next(clock))
    speed = metrics.Speed()
    for _ in range(3):
        speed.add(samples=4)  # 30, 2 and 2 seconds
    speed.resume()  # after 100 seconds of saving
    speed.add(samples=4)
    assert speed.seconds_per_step == pytest.approx(2.0)
    assert speed.samples_per_second == pytest.approx(2.0)


def test_peak_memory_of_the_process_is_known_and_grows():
    before = card.peak_memory(torch.device("cpu"))
    if before is None:
        pytest.skip("this system does not tell")
    block = torch.ones(16_000_000)
    assert card.peak_memory(torch.device("cpu")) >= max(before, block.numel() * 4)
