"""The card is handed over whole, and generations are answered while it is away."""

from __future__ import annotations

import pytest

from lora_trainer.errors import HostError
from lora_trainer.hosts.webui import gpu

from . import webui_stub


@pytest.fixture
def webui(monkeypatch, tmp_path):
    yield webui_stub.install(monkeypatch, tmp_path)
    gpu.reclaim()


def test_lending_drops_the_model_wholly_and_lets_the_lock_go(webui):
    gpu.lend(lambda: "training")
    assert webui.model.device == "meta"
    assert webui.data.sd_model is None and webui.data.loaded_sd_models == []
    assert webui.lock.taken == 1 and not webui.lock.held
    assert "gc" in webui.log


def test_generating_meanwhile_is_answered_everywhere_the_function_was_imported(webui):
    gpu.lend(lambda: "LoRA Trainer is training frog")
    for where in (webui.processing, webui.img2img):
        with pytest.raises(RuntimeError, match="training frog"):
            where.process_images(object())


def test_the_card_comes_back_also_when_asked_twice(webui):
    gpu.lend(lambda: "training")
    gpu.lend(lambda: "training again")
    gpu.reclaim()
    gpu.reclaim()
    assert webui.processing.process_images(None) == webui.img2img.process_images(None) == "picture"


def test_nobody_loads_the_model_during_the_training_and_anybody_may_afterwards(webui):
    webui.data.was_loaded_at_least_once = False
    gpu.lend(lambda: "training")
    assert webui.data.was_loaded_at_least_once is True
    gpu.reclaim()
    assert webui.data.was_loaded_at_least_once is False


def test_a_failed_hand_over_leaves_generating_as_it_was(webui, monkeypatch):
    def fail(model):
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(webui.sd_models, "send_model_to_trash", fail)
    with pytest.raises(HostError, match="CUDA error"):
        gpu.lend(lambda: "training")
    assert webui.processing.process_images(None) == "picture"
    assert not webui.lock.held
