"""Training on a card that somebody else uses, too: it goes on, and where the card gets too full for both, nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_trainer.networks.network import Network
from lora_trainer.runs.control import Control
from lora_trainer.sampling import preview
from lora_trainer.training import parking
from lora_trainer.training.average import WeightAverage
from lora_trainer.training.distributed import Processes
from lora_trainer.training.gradients import Gradients
from lora_trainer.training.parking import Parking
from lora_trainer.training.sharing import Sharing
from lora_trainer.training.train import train
from lora_trainer.training.update import Updater
from lora_trainer.training.validation import Validation

from .conftest import Recorder, short_training
from .test_train import tensors_equal

FULL = "CUDA out of memory. Tried to allocate 20.00 MiB"


class Lender:
    """Shares the card after every step; a training that finds no room gets the whole card, then has it back."""

    def __init__(self, now=None):
        self.now = now or Control()

    def __call__(self, event):
        if event["type"] == "step" and not self.now.is_shared:
            self.now = replace(self.now, share=self.now.share + 1)
        elif event["type"] == "crowded":
            self.now = replace(self.now, share=self.now.share + 1, park=self.now.park + 1)
        elif event["type"] == "parked":
            self.now = replace(self.now, park=self.now.park + 1)
        return self.now


def fails_once(monkeypatch, owner, name, *, at, after=True):
    """Let the call number `at` (from 1) run out of memory, `after` it has done its work or before."""
    real, calls = getattr(owner, name), []

    def full(*arguments, **named):
        calls.append(name)
        done = None if len(calls) == at and not after else real(*arguments, **named)
        if len(calls) == at:
            raise torch.cuda.OutOfMemoryError(FULL)
        return done

    monkeypatch.setattr(owner, name, full)
    return calls


@pytest.fixture(scope="module")
def options_of(tiny_sd1, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "prompts.txt").write_text("a frog --s 2\n", encoding="utf-8")
    settings = {
        "max_train_steps": 7,
        "gradient_accumulation_steps": 2,
        "ema_decay": 0.9,
        "network_dropout": 0.1,
        "lr_scheduler": "cosine",
        "validation_split": 0.25,
        "validate_every_n_steps": 7,
        "sample_prompts": str(folder / "prompts.txt"),
        "sample_every_n_steps": 5,
        "split_batch_when_full": True,
        "mixed_precision": "bf16",  # for which a step makes copies of the weights
    }
    return lambda name, **changed: short_training(tiny_sd1, pictures, folder / name, output_name="x", **(settings | changed))


@pytest.fixture(scope="module")
def alone(options_of):
    recorder = Recorder()
    train(options_of("alone"), reporter=recorder)
    return recorder


def numbers_of(recorder):
    """What was computed, without the seconds that it took."""
    validations = [(event["step"], event["loss"], event["best"]) for event in recorder.of("validation")]
    return recorder.losses, validations, [(event["step"], event["prompt"]) for event in recorder.of("sample")]


def test_a_training_that_shares_the_card_tells_what_room_there_is_and_goes_on(options_of, alone):
    recorder = Recorder(Lender())
    train(options_of("beside"), reporter=recorder)
    (told,) = recorder.of("shared")
    assert (told["share"], told["step"]) == (1, 1) and told["memory"].keys() == {"free", "reserved", "peak"}
    assert 0 < told["memory"]["reserved"] <= told["memory"]["peak"] and told["memory"]["free"] > 0
    assert recorder.of("step")[0]["memory"].keys() == told["memory"].keys(), "before anybody asks, too"
    assert numbers_of(recorder) == numbers_of(alone)
    assert not recorder.of("parked") and not recorder.of("crowded")


@pytest.mark.long
def test_a_card_too_full_for_both_is_left_and_the_work_done_again_with_the_same_bytes(options_of, alone, monkeypatch):
    """In the passes, before and in the middle of the optimizer's step, when all of a step is done, and while drawing or
    measuring; each time what was done is undone, and the batch is not cut."""
    monkeypatch.setattr(parking, "is_on_card", lambda tensor: True)
    full = [
        fails_once(monkeypatch, Gradients, "_add", at=2),
        fails_once(monkeypatch, Updater, "gather", at=3),
        fails_once(monkeypatch, Updater, "_change_weights", at=4),
        fails_once(monkeypatch, WeightAverage, "update", at=5),
        fails_once(monkeypatch, preview, "generate", at=1, after=False),
        fails_once(monkeypatch, Validation, "measure", at=2),
    ]
    ended = []
    real = Network.end_step
    monkeypatch.setattr(Network, "end_step", lambda self: (ended.append(None), real(self))[1])
    recorder = Recorder(Lender())
    result = train(options_of("crowded"), reporter=recorder)
    assert len(ended) == 7 + 4 + 1, "each step, those that broke off, and the one that was done when it did: nothing stays"
    assert result.reason == "done" and all(len(calls) > 1 for calls in full)
    told = [(event["type"], event["step"]) for event in recorder.events if event["type"] in ("crowded", "parked", "unparked")]
    steps = [1, 2, 3, 4, 5, 7]
    assert told == [(kind, step) for step in steps for kind in ("crowded", "parked", "unparked")]
    assert not recorder.of("warning")
    assert numbers_of(recorder) == numbers_of(alone)
    one, other = (options_of(name).saving.output_dir for name in ("alone", "crowded"))
    assert tensors_equal(f"{one}/x.safetensors", f"{other}/x.safetensors")


def crowded(then):
    """Somebody who shares the card, whose training has just found it too full; `then` is what is asked when that is said."""
    recorder = Recorder(lambda event: then(event))
    park = Parking(recorder.control, recorder.emit, Processes("cpu"))
    recorder._control = Control(share=1)
    park.tell_room(3)
    return Sharing(park), park, recorder


def fail():
    raise torch.cuda.OutOfMemoryError(FULL)


def test_who_is_stopped_while_it_waits_for_room_does_nothing_more():
    sharing, _, recorder = crowded(lambda event: Control(stop=True, share=1) if event["type"] == "crowded" else None)
    assert sharing.attempt(fail, 3) is None and sharing.was_stopped
    assert [event["type"] for event in recorder.events] == ["shared", "crowded", "unparked"]


def test_without_room_in_main_memory_it_waits_with_its_weights_where_they_are(monkeypatch):
    sharing, park, recorder = crowded(Lender(Control(share=1)))
    monkeypatch.setattr(park, "leave", lambda: (_ for _ in ()).throw(MemoryError("no room")))
    tries = [fail, lambda: "done"]
    assert sharing.attempt(lambda: tries.pop(0)(), 3) == "done" and not sharing.was_stopped
    assert [event["type"] for event in recorder.events] == ["shared", "crowded", "parked", "unparked"]


def test_another_error_or_a_full_card_that_nobody_shares_is_an_error():
    sharing, _, recorder = crowded(lambda event: None)
    with pytest.raises(RuntimeError, match="shapes"):
        sharing.attempt(lambda: (_ for _ in ()).throw(RuntimeError("shapes differ")), 3)
    recorder._control = Control(share=2)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        sharing.attempt(fail, 3)
    assert not recorder.of("crowded")


def test_several_processes_share_with_nobody():
    recorder = Recorder()
    processes = Processes("cpu")
    processes.world_size = 2
    park = Parking(recorder.control, recorder.emit, processes)
    recorder._control = Control(share=1)
    park.tell_room(3)
    assert recorder.of("shared")[0]["memory"] is None and park.measured()["memory"] is None
