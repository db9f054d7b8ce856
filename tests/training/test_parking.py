"""A training that leaves the card and comes back has lost nothing, and leaves nothing there."""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace

import pytest
import torch

from lora_trainer.models import main_memory
from lora_trainer.models.main_memory import MainMemory, Parked
from lora_trainer.runs.control import Control
from lora_trainer.training import parking
from lora_trainer.training.distributed import Processes
from lora_trainer.training.parking import Parking
from lora_trainer.training.train import train

from .conftest import Recorder
from .test_train import tensors_equal


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
    park.control = lambda: Control(park=(1, 3, 4)[len(recorder.of("parked"))])
    assert not park.obey(7), "nobody asked to stop"
    assert [(event["type"], event.get("park")) for event in recorder.events] == [
        ("parked", 1),
        ("parked", 3),
        ("unparked", None),
    ]
    assert all(event["step"] == 7 for event in recorder.events)
    assert not park.obey(8)


class Borrower:
    """Asks for the card at events of the given kinds and gives it back once the worker has left it."""

    def __init__(self, *at, then=None):
        self.at, self.then, self.now = list(at), then, Control()

    def __call__(self, event):
        if self.at and (event["type"], event.get("step"), event.get("name")) == self.at[0]:
            self.at.pop(0)
            self.now = Control(park=self.now.park + 1)
        elif event["type"] == "parked":
            self.now = self.then or Control(park=self.now.park + 1)
        return self.now


def step(number):
    return "step", number, None


@pytest.mark.parametrize("seed", [0])
def test_a_training_that_lends_the_card_at_any_moment_gives_the_bytes_of_one_left_alone(card, options_for, tmp_path, seed):
    """While encoding the images, after steps of any number, twice in a row, between the steps of a sample picture, and while
    measuring the loss on what is kept aside. (Another `seed`: other steps.)"""
    (tmp_path / "prompts.txt").write_text("a frog --s 2\n", encoding="utf-8")
    settings = {
        "max_train_steps": 8,
        "gradient_accumulation_steps": 2,
        "vae_batch_size": 2,
        "validation_split": 0.25,
        "validate_every_n_steps": 4,
        "sample_prompts": str(tmp_path / "prompts.txt"),
        "sample_every_n_steps": 3,
        "save_every_n_steps": 2,
    }
    alone = Recorder()
    train(options_for(output_name="alone", **settings), reporter=alone)
    drawn = random.Random(seed)
    early, late = drawn.choice([1, 2]), drawn.choice([5, 6])
    phases = {name: ("phase", None, name) for name in ("encoding the images", "drawing samples", "measuring the loss")}
    borrower = Borrower(
        phases["encoding the images"],
        step(early),
        phases["drawing samples"],
        phases["measuring the loss"],
        step(late),
        step(late + 1),
    )
    lending = Recorder(borrower)
    train(options_for(output_name="lent", **settings), reporter=lending)
    assert not borrower.at, "the card was borrowed each time"
    assert [event["step"] for event in lending.of("parked")] == [0, early, 3, 4, late, late + 1]
    assert len(lending.of("unparked")) == 6
    assert lending.losses == alone.losses
    assert [event["loss"] for event in lending.of("validation")] == [event["loss"] for event in alone.of("validation")]
    out = tmp_path / "out"
    for one, other in (("alone", "lent"), ("alone-step00000004", "lent-step00000004")):
        assert tensors_equal(out / f"{one}.safetensors", out / f"{other}.safetensors")
    pictures = [sorted(path.read_bytes() for path in (out / "sample").glob(f"{name}*.png")) for name in ("alone", "lent")]
    assert pictures[0] == pictures[1] and pictures[0]


class Together:
    """Two processes, played by two threads: `add_up` waits for both, as theirs does."""

    def __init__(self):
        self._both, self._given = threading.Barrier(2, timeout=60), [[], []]

    def of(self, rank):
        pair = Processes("cpu")
        pair.rank, pair.world_size = rank, 2

        def add_up(values):
            self._given[rank] = list(values)
            self._both.wait()
            total = [sum(both) for both in zip(*self._given, strict=True)]
            self._both.wait()
            return total

        pair.add_up = add_up
        return pair


def test_both_of_two_processes_leave_the_card_though_one_alone_is_asked_and_come_back_with_the_same_bytes(card):
    together, told = Together(), {}

    def train_in(rank):
        park, base, network, optimizer, extra, recorder = small_training()
        park.processes = together.of(rank)
        before, looks = everything(base, network, optimizer, extra), []
        if rank == 0:  # the other one's reporter is asked nothing
            recorder._control = Control(park=1)
            park.control = lambda: Control(park=1 + (len(looks) > 2))
        stopped = park.together(4, lambda: looks.append(network.weight.data_ptr()))
        same = all(map(torch.equal, everything(base, network, optimizer, extra), before))
        told[rank] = (stopped, same, len(looks), [event["type"] for event in recorder.events])

    threads = [threading.Thread(target=train_in, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told[0] == (False, True, 3, ["parked", "unparked"])
    assert told[1] == (False, True, 3, ["unparked"]), "and nobody asked it"


def test_a_paused_training_holds_nothing_of_the_card(card):
    park, base, network, optimizer, extra, recorder = small_training()

    def held():
        tensors = [*base.state_dict().values(), *network.state_dict().values(), extra["ema"]]
        return {one.data_ptr() for one in tensors + [one for state in optimizer.state.values() for one in state.values()]}

    on_card, seen = held(), []
    recorder._control = Control(paused=True)

    def while_paused():
        seen.append(held() & on_card)
        recorder._control = Control()

    assert not park.obey(3, while_paused)
    assert seen == [set()] and recorder.of("parked")[0]["paused"]


class Locking:
    """CUDA's page-locking, as a machine does it that lets so many bytes be locked. What failed is told to the next kernel."""

    def __init__(self, limit):
        self.limit, self.locked, self.asked, self.last_error = limit, {}, [], 0

    def kernel(self):
        self.last_error, error = 0, self.last_error
        if error:
            raise RuntimeError(f"CUDA error: {error}")

    def cudaHostRegister(self, place, size, flags):
        self.asked.append(size)
        if size > self.limit:
            self.last_error = 2  # cudaErrorMemoryAllocation
            return self.last_error
        self.locked[place] = size
        return 0

    def cudaHostUnregister(self, place):
        del self.locked[place]
        return 0


@pytest.mark.parametrize(("limit", "is_locked"), [(1 << 20, True), (100, False)])
def test_just_what_is_asked_for_is_page_locked_and_without_that_it_is_ordinary_memory(monkeypatch, limit, is_locked):
    """torch's own page-locked memory comes in powers of two: 65 KiB would lock 128."""
    cuda = Locking(limit)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cuda)
    monkeypatch.setattr(main_memory, "_launch", cuda.kernel)
    memory = MainMemory([torch.zeros(65 << 10, dtype=torch.uint8)])
    assert cuda.asked == [memory.bytes] == [65 << 10] and bool(cuda.locked) == is_locked
    cuda.kernel()  # the training's next one knows nothing of it
    memory.tensors[0].fill_(7)
    assert bool((memory.tensors[0] == 7).all())
    memory.free()
    memory.free()
    assert not cuda.locked


@pytest.mark.parametrize("limit", [1 << 20, 0])
def test_weights_that_stay_in_main_memory_settle_in_one_piece_of_it_or_stay_where_they_are(monkeypatch, limit):
    cuda = Locking(limit)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cuda)
    monkeypatch.setattr(main_memory, "_launch", cuda.kernel)
    block = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8))
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    room = main_memory.settle(block)
    assert len(cuda.asked) == 1 and len(cuda.locked) == bool(limit)
    now = block.state_dict()
    assert all(torch.equal(now[name], before[name]) for name in before)
    assert {tensor.untyped_storage().data_ptr() for tensor in now.values()} == {room._piece.data_ptr()}
    monkeypatch.setattr(main_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    assert main_memory.settle(block) is None
    assert [one.data_ptr() for one in block.state_dict().values()] == [one.data_ptr() for one in now.values()]


def test_who_is_stopped_while_off_the_card_saves_without_coming_back(card, options_for, tmp_path, monkeypatch):
    monkeypatch.setattr(Parked, "come_back", lambda self: pytest.fail("the card may be full"))
    reporter = Recorder(Borrower(step(2), then=Control(park=1, stop=True)))
    result = train(options_for(max_train_steps=5), reporter=reporter)
    assert (result.step, result.reason) == (2, "stopped") and result.path.is_file()


def test_a_pause_lasts_until_it_is_ended(card, options_for):
    def user(event):
        if event["type"] == "step" and event["step"] == 1:
            return Control(paused=True)
        return Control() if event["type"] == "parked" else None

    reporter = Recorder(user)
    train(options_for(max_train_steps=3), reporter=reporter)
    kinds = [event["type"] for event in reporter.events if event["type"] in ("step", "parked", "unparked")]
    assert kinds == ["step", "parked", "unparked", "step", "step"]
    assert reporter.of("parked")[0]["paused"]


def test_what_is_to_be_saved_while_it_is_paused_is_saved_at_once_and_changes_nothing(card, options_for, tmp_path):
    """In the middle of an epoch, with an average of the weights: the file, its state and the file to try meanwhile."""
    settings = {"max_train_steps": 4, "ema_decay": 0.9}
    alone = Recorder()
    train(options_for(output_name="alone", save_every_n_steps=2, **settings), reporter=alone)

    def user(event):
        kind, step = event["type"], event.get("step")
        if kind == "step" and step == 2:
            return Control(paused=True)
        if kind == "parked":
            return Control(paused=True, save=1)
        if kind == "saved" and step == 2:
            return Control(paused=True, save=1, live=1)
        return Control(save=1, live=1) if kind == "state" and step == 2 else None

    reporter = Recorder(user)
    train(options_for(output_name="paused", save_state=True, **settings), reporter=reporter)
    kinds = [
        event["type"] for event in reporter.events if event["type"] in ("step", "parked", "saved", "live", "state", "unparked")
    ]
    assert kinds == ["step", "step", "parked", "saved", "live", "state", "unparked", "step", "step", "saved", "state"]
    assert reporter.saved == ["paused-step00000002.safetensors", "paused.safetensors"]
    out = tmp_path / "out"
    for name in ("", "-step00000002"):
        assert tensors_equal(out / f"alone{name}.safetensors", out / f"paused{name}.safetensors"), name
    assert reporter.losses == alone.losses and (out / "paused-step00000002-state").is_dir()


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
