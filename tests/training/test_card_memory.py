"""What a training says of the memory it takes: twice a second at most, and once when the driver helps itself to main memory."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.training import card_memory
from lora_trainer.training.card_memory import CardMemory, Peak, Spill
from lora_trainer.training.train import train

from .conftest import Recorder

GIB = 2**30
FULL = CardMemory(taken=7 * GIB, used=int(7.9 * GIB), total=8 * GIB)


def told(spill: Spill, steps: list[tuple[float, int]]) -> list[str]:
    return [message for message in (spill.after_step(*step) for step in steps) if message]


def test_a_run_that_spills_into_main_memory_says_so_once_with_what_to_do():
    (message,) = told(Spill(lambda: FULL), [(0.5, 1)] * 20 + [(6.0, 1)] * 30)
    assert message.startswith("Steps take 12 times as long as before, and the card's memory is full (7.9 of 8.0 GiB)")
    assert "gradient_checkpointing" in message


@pytest.mark.parametrize(
    "steps",
    [
        [(0.5, 1)] * 20 + [(6.0, 1)] * 4 + [(0.5, 1)] * 20,  # another program for a moment
        [(0.5, 1)] * 20 + [(2.0, 4)] * 20,  # larger batches
        [(6.0, 1)] + [(0.5, 1)] * 40,  # the first step compiles
        [(0.5, 1)] * 20 + [(0.9, 1)] * 20,
    ],
)
def test_what_is_no_spill_is_not_told(steps):
    assert told(Spill(lambda: FULL), steps) == []


def test_slow_steps_with_room_on_the_card_are_somebody_elses_doing():
    steps = [(0.5, 1)] * 20 + [(6.0, 1)] * 30
    assert told(Spill(lambda: CardMemory(taken=GIB, used=2 * GIB, total=8 * GIB)), steps) == []
    assert told(Spill(lambda: None), steps) == []


def test_a_training_that_takes_more_than_the_card_has_is_told_of_after_its_first_steps():
    (message,) = told(Spill(lambda: CardMemory(taken=9 * GIB, used=8 * GIB, total=8 * GIB)), [(6.0, 1)] * 30)
    assert message.startswith("This training takes more memory than the card has (9.0 of 8.0 GiB)")


def test_the_memory_is_looked_at_twice_a_second(monkeypatch):
    looks, now = [], [10.0]
    monkeypatch.setattr(card_memory, "peak_memory", lambda device: looks.append(now[0]) or len(looks))
    peak = Peak(torch.device("cpu"), clock=lambda: now[0])
    values = []
    for now[0] in (10.0, 10.1, 10.4, 10.5, 10.9, 11.2):
        values.append(peak())
    assert values == [1, 1, 1, 2, 2, 3]


def test_a_training_tells_it_as_a_warning(options_for, monkeypatch):
    monkeypatch.setattr(CardMemory, "of", classmethod(lambda cls, device: CardMemory(9 * GIB, 8 * GIB, 8 * GIB)))
    reporter = Recorder()
    train(options_for(max_train_steps=7), reporter=reporter)
    assert sum("more memory than the card has" in event["message"] for event in reporter.of("warning")) == 1
    assert all(event["peak_memory"] > 0 for event in reporter.of("step"))
