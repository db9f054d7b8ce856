"""Pictures in the middle of a training: each in its turn, with the model brought back; then the card goes back."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lora_trainer.hosts.webui import away, gate, gpu
from lora_trainer.hosts.webui.host import WebuiHost
from lora_trainer.runs.borrowing import borrowed
from lora_trainer.runs.lending import Lending

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
    def __call__(self):
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
    host.share_card(lambda *asked: borrowed(supervisor, *asked))
    monkeypatch.setattr(supervisor.host, "lend_gpu", host.lend_gpu)
    monkeypatch.setattr(supervisor.host, "reclaim_gpu", host.reclaim_gpu)
    submit(supervisor, "step", "wait-for-file", "parks")
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(draw(webui)), daemon=True)
    thread.start()
    until(supervisor, lambda: "leaves the card" in str(sys.modules["modules.shared"].state.textinfo))
    assert not drawn and webui.lock.held
    (supervisor.folder("run-1").path / "go-on").touch()
    until(supervisor, lambda: drawn)
    assert drawn == ["picture"]
    run_until(supervisor, "finished")
    thread.join(10)
    assert draw(webui) == "picture"


@pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")
def test_interrupting_ends_the_waiting(webui, tmp_path):
    supervisor = make(tmp_path)
    submit(supervisor, "step", "wait-for-file")
    until(supervisor, lambda: supervisor.progress("run-1")[0].step)
    with borrowed(supervisor, lambda: True, lambda text: None) as reason:
        assert "frog is being trained on this card" in reason
    (supervisor.folder("run-1").path / "go-on").touch()
    run_until(supervisor, "finished")
    with borrowed(supervisor, lambda: True, lambda text: None) as reason:
        assert reason == "", "no training, no waiting"
