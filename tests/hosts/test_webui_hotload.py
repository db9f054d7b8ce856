"""What the Web UI caches of a LoRA file is forgotten, in every version by what it has."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from lora_trainer.hosts.webui import away, gpu, hotload
from lora_trainer.hosts.webui.host import WebuiHost

from . import webui_stub


@pytest.fixture
def webui(monkeypatch, tmp_path):
    return webui_stub.install(monkeypatch, tmp_path)


def network(path):
    return SimpleNamespace(network_on_disk=SimpleNamespace(filename=str(path)), mtime=5)


def test_only_the_written_file_is_read_again(webui, tmp_path):
    frog, other = network(tmp_path / "frog.safetensors"), network(tmp_path / "other.safetensors")
    in_memory = network(tmp_path / "sub" / ".." / "frog.safetensors")
    webui.networks.loaded_networks += [frog, other]
    webui.networks.networks_in_memory["frog"] = in_memory
    hotload.forget(tmp_path / "frog.safetensors")
    assert (frog.mtime, in_memory.mtime, other.mtime) == (0, 0, 5)
    assert webui.networks.loaded_networks == [frog, other], "bundled embeddings are unregistered by walking this list"
    assert webui.log == ["listed"] and webui.lock.taken == 1


def test_layers_with_a_lora_are_applied_anew_and_others_are_left_alone(webui, tmp_path):
    applied = SimpleNamespace(network_current_names=(("frog", 1.0, 1.0, None),), network_weights_backup="backup")
    plain = SimpleNamespace(network_current_names=())
    webui.model.network_layer_mapping = {"a": applied, "b": plain}
    hotload.forget(tmp_path / "frog.safetensors")
    assert applied.network_current_names and applied.network_current_names[0][0] != "frog"
    assert applied.network_weights_backup == "backup", "dropping the backup would bake the LoRA in"
    assert plain.network_current_names == ()


def test_conditioning_caches_are_emptied_in_place_and_keep_their_length(webui, tmp_path):
    base, txt2img = webui.processing.StableDiffusionProcessing, webui.processing.StableDiffusionProcessingTxt2Img
    base.cached_c = [1, 2, 3]
    caches = [base.cached_c, base.cached_uc, txt2img.cached_hr_c, txt2img.cached_hr_uc]
    hotload.forget(tmp_path / "frog.safetensors")
    assert caches == [[None] * 3, [None] * 2, [None] * 2, [None] * 2]


def test_the_old_hash_is_forgotten_also_when_the_file_is_older(webui, tmp_path):
    for cache in webui.caches.values():
        cache.update({"lora/frog": {"mtime": 9e9}, "lora/other": {"mtime": 1}})
    hotload.forget(tmp_path / "frog.safetensors")
    assert all(set(cache) == {"lora/other"} for cache in webui.caches.values())


def test_a_fork_with_a_file_cache_and_one_hash_for_the_model(webui, tmp_path):
    cleared = []
    webui.networks.load_lora_state_dict = SimpleNamespace(cache_clear=lambda: cleared.append(True))
    webui.model.current_lora_hash = "[['frog', 1.0]]"
    del webui.model.network_layer_mapping
    hotload.forget(tmp_path / "frog.safetensors")
    assert cleared and "frog" not in webui.model.current_lora_hash


def test_the_page_of_cards_that_the_file_belongs_to_is_drawn_anew(webui, monkeypatch, tmp_path):
    monkeypatch.setattr(webui.sd_models, "list_models", lambda: calls.append("listed"), raising=False)
    calls = []

    def refresh():
        calls.append("lora")

    def refresh_checkpoints():
        calls.append("checkpoints")

    refresh_checkpoints.__name__ = "refresh"

    def refresh_other():
        calls.append("other")

    refresh_other.__name__ = "refresh"
    webui.shared.demo = SimpleNamespace(
        blocks={
            7: SimpleNamespace(elem_id="txt2img_lora_extra_refresh_internal"),
            8: SimpleNamespace(elem_id="txt2img_other"),
            9: SimpleNamespace(elem_id="txt2img_checkpoints_extra_refresh_internal"),
        },
        dependencies=[{"targets": [(number, "click")]} for number in (7, 8, 9)],
        fns=[SimpleNamespace(fn=one) for one in (refresh, refresh_other, refresh_checkpoints)],
    )
    hotload.forget(tmp_path / "frog.safetensors")
    assert calls == ["lora"]
    WebuiHost().checkpoints_changed(tmp_path / "mine.safetensors")
    assert calls == ["lora", "listed", "checkpoints"]


def test_a_host_without_its_lora_extension_is_left_alone(webui, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "networks")
    hotload.forget(tmp_path / "frog.safetensors")
    assert webui.lock.taken == 0


def test_a_new_checkpoint_is_listed_and_one_that_is_written_over_read_anew(webui, monkeypatch, tmp_path):
    """The host knows a model by the name of its file: it would draw with the old one until another was chosen."""
    listed, path = [], tmp_path / "mine.safetensors"
    monkeypatch.setattr(webui.sd_models, "list_models", lambda: listed.append(True), raising=False)
    mine, other = (SimpleNamespace(filename=str(one)) for one in (path, tmp_path / "other.safetensors"))
    webui.sd_models.checkpoints_loaded = {"other": 1}
    webui.model.sd_checkpoint_info = other
    WebuiHost().checkpoints_changed(path)
    assert listed == [True] and webui.data.sd_model is webui.model and webui.model.device == "cuda"
    webui.model.sd_checkpoint_info = mine
    WebuiHost().checkpoints_changed(path)
    assert webui.model.device == "meta" and webui.data.sd_model is None and webui.data.loaded_sd_models == []
    assert webui.data.was_loaded_at_least_once is False, "who asks next loads it"
    assert webui.processing.process_images(None) == "picture" and "loaded" in webui.log


@pytest.mark.parametrize("name", ["mine", "other"])
def test_a_chosen_checkpoint_that_is_written_over_stays_chosen(webui, monkeypatch, tmp_path, name):
    """Its name ended in the hash of the old bytes, which no checkpoint has any more."""
    files = {one: str(tmp_path / f"{one}.safetensors") for one in ("first", "mine", "other")}
    known = webui.sd_models.checkpoint_aliases = {}

    def list_models():
        known.clear()
        for one, file in files.items():
            title = f"{one}.safetensors" + ("" if one == "mine" and known_anew else " [0123456789]")
            known[title] = SimpleNamespace(filename=file, title=title)

    known_anew = False
    monkeypatch.setattr(webui.sd_models, "list_models", list_models, raising=False)
    list_models()
    webui.shared.opts.data["sd_model_checkpoint"] = f"{name}.safetensors [0123456789]"
    known_anew = True
    WebuiHost().checkpoints_changed(tmp_path / "mine.safetensors")
    expected = "mine.safetensors" if name == "mine" else "other.safetensors [0123456789]"
    assert webui.shared.opts.data["sd_model_checkpoint"] == expected


def test_a_checkpoint_that_its_own_training_writes_over_is_not_loaded_before_the_card_is_back(webui, monkeypatch, tmp_path):
    monkeypatch.setattr(webui.sd_models, "list_models", lambda: None, raising=False)
    monkeypatch.setattr(webui.sd_models, "send_model_to_cpu", lambda model: None, raising=False)
    monkeypatch.setattr(away, "_has_room", lambda size: True)
    webui.model.sd_checkpoint_info = SimpleNamespace(filename=str(tmp_path / "mine.safetensors"))
    gpu.lend(lambda: "training")
    assert webui.data.sd_model is webui.model, "kept in main memory"
    WebuiHost().checkpoints_changed(tmp_path / "mine.safetensors")
    assert webui.data.sd_model is None and webui.data.was_loaded_at_least_once is True
    gpu.reclaim()
    assert webui.data.sd_model is None and webui.data.was_loaded_at_least_once is False


def test_the_cards_are_drawn_without_a_model_and_without_loading_one(webui, tmp_path, monkeypatch):
    """Between a training and the next picture there is none: the page of the embeddings fails then, that of LoRAs loads one."""

    class Page:
        def refresh(self):
            raise AttributeError("'NoneType' object has no attribute 'cond_stage_model'")

    pages = [Page(), Page()]
    monkeypatch.setitem(
        sys.modules, "modules.ui_extra_networks", webui_stub.module("modules.ui_extra_networks", extra_pages=pages)
    )
    webui.data.sd_model, webui.data.was_loaded_at_least_once = None, False
    drawn = []

    def refresh():
        for page in pages:
            page.refresh()
        drawn.append("loads a model" if not webui.data.was_loaded_at_least_once else "without")

    webui.shared.demo = SimpleNamespace(
        blocks={7: SimpleNamespace(elem_id="txt2img_lora_extra_refresh_internal")},
        dependencies=[{"targets": [(7, "click")]}],
        fns=[SimpleNamespace(fn=refresh)],
    )
    hotload.forget(tmp_path / "frog.safetensors")
    assert drawn == ["without"]
    assert webui.data.was_loaded_at_least_once is False, "whoever asks next loads it"
    with pytest.raises(AttributeError):
        pages[0].refresh()
