"""Processes that wait for the main one before they exchange anything."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch.distributed import HashStore

from lora_trainer.errors import TrainingError
from lora_trainer.training import distributed, meeting
from lora_trainer.training.distributed import Processes
from lora_trainer.training.meeting import Meeting


def test_the_others_begin_when_the_main_process_has_come_however_late_that_is():
    store, told = HashStore(), []
    main, other = Meeting(store, True), Meeting(store, False)
    for _ in range(3):
        main.come()  # it is ahead: nobody waits
        other.come()

    def follow():
        other.come()
        told.append("after")

    waiting = threading.Thread(target=follow, daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive() and not told
    told.append("drawn")
    main.come()
    waiting.join(30)
    assert told == ["drawn", "after"]


def test_signs_are_taken_down_when_all_have_passed_them():
    store = HashStore()
    main = Meeting(store, True)
    for _ in range(1000):
        main.come()
    assert store.num_keys() <= meeting._LEFT_STANDING + 2


def test_patience_ends_where_it_is_limited(monkeypatch):
    now = iter(range(0, 10_000, 30))
    monkeypatch.setattr(meeting.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(meeting.time, "sleep", lambda seconds: None)
    with pytest.raises(TrainingError, match="did not go on within 7 minutes"):
        Meeting(HashStore(), False, 7 * 60.0).come()


def test_processes_meet_before_each_exchange(monkeypatch):
    order = []

    class Watched(Meeting):
        def come(self):
            order.append("meet")

    monkeypatch.setattr(distributed, "Meeting", Watched)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed.distributed_c10d, "_get_default_store", HashStore)
    for name in ("all_reduce", "broadcast", "barrier"):
        monkeypatch.setattr(torch.distributed, name, lambda *_, name=name, **__: order.append(name))
    pair = Processes("cpu")
    pair.world_size = 2
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    pair.add_up([1.0])
    pair.add_up_tensor(torch.ones(1))
    pair.same_start([parameter])
    pair.wait()
    pair.add_up_gradients([parameter])
    assert order[:8] == ["meet", "all_reduce", "meet", "all_reduce", "meet", "broadcast", "meet", "barrier"]
    assert order[8:] == ["meet", "all_reduce", "all_reduce"], "which there are, and their sum"
