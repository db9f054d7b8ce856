"""Pictures in the middle of a training: each in its turn, with the model brought back; then the card goes back."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lora_trainer.errors import HostError
from lora_trainer.hosts.webui import away, gate, gpu, measured
from lora_trainer.hosts.webui.host import WebuiHost
from lora_trainer.runs import control
from lora_trainer.runs.borrowing import Borrowing
from lora_trainer.runs.lending import Lending
from lora_trainer.runs.peaks import Peaks

from ..runs.harness import make, run_until, submit, until
from . import webui_stub


@pytest.fixture(params=["kept in main memory", "dropped"])
def webui(request, monkeypatch, tmp_path):
    stub = webui_stub.install(monkeypatch, tmp_path)

    def send(where):
        def move(model):
            assert stub.lock.held or where == "cuda"
            model.device = where

        return move

    stub.sd_models.send_model_to_cpu, stub.sd_models.send_model_to_device = send("cpu"), send("cuda")
    monkeypatch.setattr(away, "_has_room", lambda size: request.param == "kept in main memory")
    stub.is_kept = request.param == "kept in main memory"
    yield stub
    gpu.reclaim()
    assert not stub.lock.held


class Turns:
    """Gives `reason`, and counts who has a turn."""

    def __init__(self, reason=""):
        self.reason, self.taken, self.now = reason, 0, 0

    @contextmanager
    def __call__(self, p):
        self.taken, self.now = self.taken + 1, self.now + 1
        try:
            if not self.reason:
                gpu.take_turn()
            yield self.reason
        finally:
            self.now -= 1


def draw(webui):
    """As the host does: under its queue lock."""
    with webui.lock:
        return webui.processing.process_images(SimpleNamespace(is_api=True))


def test_a_picture_is_drawn_in_its_turn_and_the_model_leaves_the_card_again(webui):
    turns = Turns()
    gpu.lend(lambda: "training", turns)
    assert webui.model.device == ("cpu" if webui.is_kept else "meta")
    assert draw(webui) == "picture" and turns.taken and not turns.now
    assert webui.log.count("loaded") == (0 if webui.is_kept else 1), "from main memory, or from the file"
    assert draw(webui) == "picture", "the card is still here"
    assert gpu.end_turn()
    assert webui.data.sd_model is None or webui.data.sd_model.device == "cpu"
    assert gpu.end_turn(), "harmless when it is away"
    assert draw(webui) == "picture"


def test_every_picture_counts_also_while_the_card_is_here(webui):
    turns = Turns()
    gpu.lend(lambda: "training", turns)
    for number in range(3):
        draw(webui)
        assert turns.taken >= number + 1


def test_the_card_is_not_given_back_while_a_picture_is_drawn(webui):
    gpu.lend(lambda: "training", Turns())
    draw(webui)
    with webui.lock:
        assert not gpu.end_turn()
        assert webui.processing.process_images(SimpleNamespace(is_api=True)) == "picture"
    assert gpu.end_turn()


def test_who_gets_no_turn_is_told_why_and_nothing_is_loaded(webui):
    turns = Turns("The training keeps the card: no room.")
    gpu.lend(lambda: "training", turns)
    with pytest.raises(gate.CardIsTaken, match="no room"):
        draw(webui)
    answer = webui.scripts.ScriptRunner().run(SimpleNamespace())
    assert answer.images == [] and answer.comments == "The training keeps the card: no room."
    assert not gate.is_lent() and "loaded" not in webui.log and not turns.now


def test_a_picture_that_fails_ends_its_turn(webui, monkeypatch):
    turns = Turns()
    gpu.lend(lambda: "training", turns)
    draw(webui)
    webui.data.sd_model = SimpleNamespace(device="broken")
    with pytest.raises(AssertionError):
        draw(webui)
    assert not turns.now
    webui.data.sd_model = None


def test_the_end_of_a_training_leaves_everything_as_before_it(webui):
    for lent in (False, True):
        webui.data.sd_model = webui.model = SimpleNamespace(device="cuda", network_layer_mapping={})
        webui.data.loaded_sd_models[:] = [webui.model]
        turns = Turns()
        gpu.lend(lambda: "training", turns)
        if lent:
            draw(webui)
        gpu.reclaim()
        taken = turns.taken
        assert draw(webui) == "picture" and turns.taken == taken, "nobody asks any more"


@pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")
def test_a_picture_waits_for_a_real_worker_and_nothing_waits_for_ever(webui, tmp_path, monkeypatch):
    """The Web UI's thread holds its queue lock from the first moment on; the supervisor goes on meanwhile."""
    host = WebuiHost()
    supervisor = make(tmp_path, lending=Lending(leave=host.leave_card, idle_seconds=0.2))
    host.share_card(Borrowing(supervisor))
    monkeypatch.setattr(supervisor.host, "lend_gpu", host.lend_gpu)
    monkeypatch.setattr(supervisor.host, "reclaim_gpu", host.reclaim_gpu)
    submit(supervisor, "step", "wait-for-file", "parks")
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(draw(webui)), daemon=True)
    thread.start()
    until(supervisor, lambda: "makes room" in str(sys.modules["modules.shared"].state.textinfo))
    assert not drawn and webui.lock.held
    (supervisor.folder("run-1").path / "go-on").touch()
    until(supervisor, lambda: drawn)
    assert drawn == ["picture"]
    run_until(supervisor, "finished")
    thread.join(10)
    assert draw(webui) == "picture"


@pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")
@pytest.mark.parametrize("webui", ["kept in main memory"], indirect=True)
def test_pictures_are_measured_and_share_the_card_until_one_finds_it_too_full(webui, tmp_path, monkeypatch):
    """The first has a turn, in which it is measured; the next ones are drawn beside the training; one that finds too little
    memory is drawn again in a turn."""
    host = WebuiHost()
    lending = Lending(leave=host.leave_card, policy=host.pictures_policy, idle_seconds=0.2)
    supervisor = make(tmp_path, lending=lending)
    host.share_card(Borrowing(supervisor))
    monkeypatch.setattr(supervisor.host, "lend_gpu", host.lend_gpu)
    monkeypatch.setattr(supervisor.host, "reclaim_gpu", host.reclaim_gpu)
    memory = SimpleNamespace(held=lambda: 1 << 30, begin_peak=lambda: None, peak=lambda: 3 << 30)
    monkeypatch.setattr(measured, "memory", memory)
    monkeypatch.setattr(measured, "_peaks", Peaks())
    fails = []
    inner = webui.processing.process_images_inner

    def process_images_inner(p):
        if fails:
            raise fails.pop()
        return inner(p)

    monkeypatch.setattr(webui.processing, "process_images_inner", process_images_inner)
    submit(supervisor, "step", "parks", memory={"free": 4 << 30, "reserved": 1 << 30, "peak": 1 << 30})
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)

    def drawn(**size):
        answers = []

        def ask():
            with webui.lock:
                p = SimpleNamespace(is_api=True, **{"width": 512, "height": 512, "batch_size": 1, **size})
                answers.append(webui.processing.process_images(p))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        until(supervisor, lambda: not thread.is_alive())
        assert answers == ["picture"]
        until(supervisor, lambda: not supervisor.standing(supervisor.store.get("run-1")).is_asked)
        asked = control.read_control(supervisor.folder("run-1").control)
        return asked.park // 2, asked.share // 2

    assert drawn() == (1, 0), "nobody knows what it takes"
    assert drawn() == (1, 1)
    assert "trains on while you generate" in str(sys.modules["modules.shared"].state.textinfo)
    assert drawn(enable_hr=True, hr_scale=1.5) == (2, 1)
    fails.append(RuntimeError("CUDA out of memory"))
    assert drawn() == (3, 2)
    assert drawn() == (4, 2), "from then on they take turns"
    (supervisor.folder("run-1").path / "go-on").touch()
    run_until(supervisor, "finished")


def test_a_picture_that_finds_too_little_memory_alone_fails_with_the_hosts_own_error(webui):
    gpu.lend(lambda: "training", Turns(), lambda: False)
    with pytest.raises(RuntimeError, match="out of memory"), webui.lock:
        gate._raising(lambda p: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))(SimpleNamespace())


@pytest.mark.parametrize(("free", "device"), [(9, "cpu"), (5, "meta")])
def test_the_model_stays_in_main_memory_only_where_that_holds_it_besides_what_the_training_reads(
    monkeypatch, tmp_path, free, device
):
    """A model of 3 GiB: twice that, and 2 GiB to spare."""
    stub = webui_stub.install(monkeypatch, tmp_path)
    tensor = SimpleNamespace(numel=lambda: 3 << 28, element_size=lambda: 4)
    stub.model.parameters, stub.model.buffers = lambda: [tensor], list
    stub.sd_models.send_model_to_cpu = lambda model: setattr(model, "device", "cpu")
    stub.sd_models.send_model_to_device = lambda model: setattr(model, "device", "cuda")
    psutil = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=free << 30))
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    gpu.lend(lambda: "training")
    assert stub.model.device == device
    gpu.reclaim()


@pytest.mark.parametrize("webui", ["dropped"], indirect=True)
@pytest.mark.parametrize(
    ("kept", "policy"),
    [
        ({}, "automatic"),
        ({"lora_trainer_while_training": "always take turns"}, "hand_over"),
        ({"lora_trainer_while_training": "share"}, "share"),
        ({"lora_trainer_while_training": ["?"]}, "automatic"),
        ({"lora_trainer_pictures": False}, "refuse"),
        ({"lora_trainer_free_card": False}, "share"),
        ({"lora_trainer_free_card": False, "lora_trainer_while_training": "automatic"}, "automatic"),
    ],
)
def test_the_setting_and_the_switches_that_it_replaced_say_what_becomes_of_pictures(webui, kept, policy):
    sys.modules["modules.shared"].opts.data.update(kept)
    assert WebuiHost().pictures_policy() == policy
    with pytest.raises(HostError, match="The Web UI's own settings"):
        WebuiHost().choose_pictures_policy("share")


def test_a_process_is_kept_ready_unless_the_settings_say_no(webui):
    assert WebuiHost().keeps_standby()
    sys.modules["modules.shared"].opts.data["lora_trainer_standby"] = False
    assert not WebuiHost().keeps_standby()


@pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")
def test_interrupting_ends_the_waiting(webui, tmp_path):
    supervisor = make(tmp_path)
    submit(supervisor, "step", "wait-for-file")
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    with Borrowing(supervisor)(lambda: True, lambda text: None) as reason:
        assert "was interrupted while it waited for the training of frog" in reason
    (supervisor.folder("run-1").path / "go-on").touch()
    run_until(supervisor, "finished")
    with Borrowing(supervisor)(lambda: True, lambda text: None) as reason:
        assert reason == "", "no training, no waiting"
