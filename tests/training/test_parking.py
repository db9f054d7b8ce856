"""A training that leaves the card and comes back has lost nothing, and leaves nothing there."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.models import main_memory
from lora_trainer.models.main_memory import MainMemory, Parked
from lora_trainer.runs.control import Control
from lora_trainer.training import parking
from lora_trainer.training.distributed import Processes
from lora_trainer.training.parking import Parking

from .conftest import Recorder


@pytest.fixture
def card(monkeypatch):
    """Every tensor counts as one of the card: on this machine leaving it copies from main memory to main memory."""
    monkeypatch.setattr(parking, "is_on_card", lambda tensor: True)


def small_training():
    base = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).requires_grad_(False)
    base[0].weight.data = base[0].weight.data.to(memory_format=torch.channels_last)
    network = torch.nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    extra = {"ema": torch.arange(3.0), "count": 5}
    recorder = Recorder()
    park = Parking(recorder.control, recorder.emit, Processes("cpu"), [base, network], optimizer, [extra])
    return park, base, network, optimizer, extra, recorder


def everything(base, network, optimizer, extra):
    tensors = [*base.state_dict().values(), *network.state_dict().values(), extra["ema"]]
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.clone() for tensor in tensors]


def test_leaving_and_coming_back_gives_the_same_bytes_shapes_and_orders_in_other_places(card):
    park, base, network, optimizer, extra, _ = small_training()
    before, weight, moment = everything(base, network, optimizer, extra), network.weight, optimizer.state[network.weight]
    on_card = network.weight.data_ptr(), moment["exp_avg"].data_ptr(), base[0].weight.data_ptr(), extra["ema"].data_ptr()
    parked = park.leave()
    away = network.weight.data_ptr(), moment["exp_avg"].data_ptr(), base[0].weight.data_ptr(), extra["ema"].data_ptr()
    assert not set(away) & set(on_card), "nothing refers to the card any more"
    assert all(map(torch.equal, everything(base, network, optimizer, extra), before))
    park.come_back(parked)
    assert all(map(torch.equal, everything(base, network, optimizer, extra), before))
    assert network.weight is weight and extra["count"] == 5
    assert base[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not {network.weight.data_ptr(), base[0].weight.data_ptr()} & set(away)


def test_the_base_model_is_copied_from_the_card_once_and_what_is_trained_each_time(card, monkeypatch):
    copied = []
    real = Parked.copy
    monkeypatch.setattr(Parked, "copy", lambda self: (copied.append(len(self.memory.tensors)), real(self))[1])
    park, _, network, *_ = small_training()
    for _ in range(3):
        park.come_back(park.leave())
        with torch.no_grad():
            network.weight.add_(1.0)
    assert copied == [12, 4, 12, 12], "4 weights of the base once; its 3 buffers, the 2 trained, 6 of AdamW and 1 other"


def test_a_card_that_is_full_when_coming_back_leaves_everything_in_main_memory_until_there_is_room(card, monkeypatch):
    park, base, network, optimizer, extra, recorder = small_training()
    before, fails = everything(base, network, optimizer, extra), [True, True, False]
    real = Parked.come_back

    def full(self):
        if len(self.memory.tensors) == 12 and fails.pop(0):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        real(self)

    monkeypatch.setattr(Parked, "come_back", full)
    monkeypatch.setattr(parking, "_SECONDS_BETWEEN_TRIES", 0.0)
    park._come_back(park.leave())
    assert all(map(torch.equal, everything(base, network, optimizer, extra), before))
    assert [event["message"] for event in recorder.of("warning")] == [
        "The card is still full of somebody else's: waiting to go on."
    ]


def test_who_asked_is_answered_and_another_request_while_away_too():
    park, *_, recorder = small_training()
    asked = iter([Control(park=1), Control(park=1), Control(park=1), Control(park=3), Control(park=3), Control(park=4)])
    last = Control()

    def control():
        nonlocal last
        last = next(asked, Control(park=4))
        return last

    park.control = control
    assert park.obey(7)
    assert [(event["type"], event.get("park")) for event in recorder.events] == [
        ("parked", 1),
        ("parked", 3),
        ("unparked", None),
    ]
    assert all(event["step"] == 7 for event in recorder.events)
    assert not park.obey(8)


def test_short_main_memory_keeps_the_training_on_the_card_and_says_so_once(card, monkeypatch):
    monkeypatch.setattr(main_memory.psutil, "virtual_memory", lambda: type("M", (), {"available": 100})())
    park, _, network, *_, recorder = small_training()
    place = network.weight.data_ptr()
    park.control = lambda: Control(park=1)
    assert not park.obey(3) and network.weight.data_ptr() == place
    (told,) = recorder.of("not_parked")
    assert told["park"] == 1 and "GiB" in told["message"]
    assert not park.is_asked(), "not again for the same request"
    park.control = lambda: Control(park=3)
    assert park.is_asked()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 5)])
def test_main_memory_holds_tensors_of_every_kind(dtype, shape):
    tensor = torch.arange(max(1, torch.Size(shape).numel())).to(dtype)[: torch.Size(shape).numel()].reshape(shape)
    first, second = MainMemory([tensor, torch.ones(3)]).tensors
    first.copy_(tensor)
    second.fill_(2.0)
    assert torch.equal(first, tensor) and first.dtype == dtype and first.shape == tensor.shape
