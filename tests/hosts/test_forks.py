"""The Web UI's forks: the same promises, with what each of them keeps and how it lets go."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lora_trainer.hosts.webui import away, gate, gpu, hotload

from . import fork_stubs


@pytest.fixture(params=[fork_stubs.forge, fork_stubs.reforge, fork_stubs.classic], ids=lambda fork: fork.__name__)
def fork(request, monkeypatch, tmp_path):
    yield request.param(monkeypatch, tmp_path)
    gate.open_again()


@pytest.fixture
def forge(monkeypatch, tmp_path):
    yield fork_stubs.forge(monkeypatch, tmp_path)
    gate.open_again()


def test_the_models_leave_the_card_through_the_hosts_own_manager(fork):
    gpu.lend(lambda: "training")
    assert fork.log == ["unloaded", "gc"] and fork.lock.taken == 1
    with pytest.raises(gate.CardIsTaken):
        fork.processing.process_images(SimpleNamespace())


def test_nothing_of_an_overwritten_file_is_kept(fork, tmp_path):
    file = tmp_path / "frog.safetensors"
    file.write_text("old")
    assert fork.networks.load_lora_state_dict(str(file)) == "old"
    file.write_text("new")
    hotload.forget(file)
    assert fork.networks.load_lora_state_dict(str(file)) == "new"
    assert "frog" not in fork.model.current_lora_hash
    assert fork.processing.StableDiffusionProcessing.cached_c == [None] * 3


def test_forge_merges_an_overwritten_file_anew_into_every_part(forge, tmp_path):
    """Its third cache goes by file name and strength: the picture's text showed the new hash, the picture the old file."""
    file = tmp_path / "frog.safetensors"
    file.write_text("old")
    assert forge.draw(file, 0.8) == ("base+old", "base+old")
    file.write_text("new")
    hotload.forget(file)
    assert forge.draw(file, 0.8) == ("base+new", "base+new")


def test_forge_keeps_its_model_in_main_memory_where_there_is_room(forge, monkeypatch):
    monkeypatch.setattr(away, "_has_room", lambda size: True)
    model = forge.data.sd_model
    gpu.lend(lambda: "training")
    assert forge.data.sd_model is model and forge.data.forge_hash == "demo", "its next picture brings it back by itself"


def test_forge_gives_up_its_main_memory_and_loads_again_by_the_next_picture(forge, tmp_path, monkeypatch):
    monkeypatch.setattr(away, "_has_room", lambda size: False)
    file = tmp_path / "frog.safetensors"
    file.write_text("weights")
    gpu.lend(lambda: "training")
    assert isinstance(forge.data.sd_model, fork_stubs.FakeInitialModel), "held by this name the model stays in main memory"
    gpu.reclaim()
    assert forge.draw(file, 1) == ("base+weights", "base+weights")
    assert forge.log.count("loaded") == 1


def test_before_its_first_picture_forge_has_a_model_of_no_parts(forge, tmp_path):
    forge.data.sd_model, forge.data.forge_hash = fork_stubs.FakeInitialModel(), ""
    hotload.forget(tmp_path / "frog.safetensors")
    gpu.lend(lambda: "training")
    gpu.reclaim()
    assert isinstance(forge.data.sd_model, fork_stubs.FakeInitialModel)


def test_the_lora_page_is_drawn_anew_where_gradio_keeps_a_table_of_functions(forge, tmp_path):
    calls = []

    def refresh():
        calls.append("lora")

    def refresh_other():
        calls.append("other")

    refresh_other.__name__ = "refresh"
    forge.shared.demo.blocks.update(
        {7: SimpleNamespace(elem_id="img2img_lora_extra_refresh_internal"), 8: SimpleNamespace(elem_id="img2img_other")}
    )
    forge.shared.demo.fns.update(
        {
            3: SimpleNamespace(fn=refresh, targets=[(7, "click")]),
            9: SimpleNamespace(fn=refresh_other, targets=[(8, "click")]),
            11: SimpleNamespace(fn=None, targets=[(None, "load")]),
        }
    )
    hotload.forget(tmp_path / "frog.safetensors")
    assert calls == ["lora"]
