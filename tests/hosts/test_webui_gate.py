"""While a worker has the card no picture is made, whoever asks and however; before and afterwards the gate is not felt."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest

from lora_trainer.hosts.webui import gate, gpu

from . import webui_stub


@pytest.fixture
def webui(monkeypatch, tmp_path):
    yield webui_stub.install(monkeypatch, tmp_path)
    gate.open_again()


def scripts(webui):
    return list(webui.script_loading.loaded_scripts.values())


def test_scripts_that_hold_the_function_under_their_own_name_are_answered_too(webui):
    gpu.lend(lambda: "training frog")
    for script in scripts(webui):
        with pytest.raises(gate.CardIsTaken, match="training frog"):
            script.draw(SimpleNamespace())
    gpu.reclaim()
    assert [script.draw(SimpleNamespace()) for script in scripts(webui)] == ["picture", "picture"]


def test_scripts_loaded_anew_in_a_training_draw_again_when_it_has_ended(webui):
    """ "Reload UI" in the middle of a training: the new scripts take whatever stands in modules.processing by then."""
    gpu.lend(lambda: "training frog")
    webui_stub.load_scripts(webui.script_loading, webui.processing)
    for script in scripts(webui):
        with pytest.raises(gate.CardIsTaken):
            script.draw(SimpleNamespace())
    gpu.reclaim()
    assert [script.draw(SimpleNamespace()) for script in scripts(webui)] == ["picture", "picture"]


def test_who_hid_the_function_away_meets_the_gate_inside_it_and_loads_no_model(webui):
    kept = SimpleNamespace(draw=webui.processing.process_images)
    gpu.lend(lambda: "training frog")
    with pytest.raises(gate.CardIsTaken):
        kept.draw(SimpleNamespace())
    assert "loaded" not in webui.log
    gpu.reclaim()
    assert kept.draw(SimpleNamespace()) == "picture"


def test_an_extension_that_wrapped_the_function_during_a_training_is_no_way_round_the_next_one(webui):
    gpu.lend(lambda: "one")
    inner = webui.processing.process_images
    webui.processing.process_images = lambda p: inner(p) + " wrapped"
    gpu.reclaim()
    assert webui.processing.process_images(SimpleNamespace()) == "picture wrapped"
    gpu.lend(lambda: "two")
    with pytest.raises(gate.CardIsTaken, match="two"):
        webui.processing.process_images(SimpleNamespace())


def test_another_checkpoint_chosen_in_a_training_is_loaded_by_the_next_picture(webui):
    gpu.lend(lambda: "training")
    webui.sd_models.reload_model_weights()
    assert webui.data.sd_model is None
    gpu.reclaim()
    assert webui.processing.process_images(SimpleNamespace()) == "picture"
    assert webui.log.count("loaded") == 1


def test_another_vae_chosen_in_a_training_waits_for_a_model_to_put_it_into(webui, monkeypatch):
    vae = webui_stub.module("modules.sd_vae", reload_vae_weights=lambda: webui.data.sd_model.device)
    monkeypatch.setitem(sys.modules, "modules.sd_vae", vae)
    gpu.lend(lambda: "training")
    assert vae.reload_vae_weights() is None
    gpu.reclaim()
    webui.sd_models.reload_model_weights()
    assert vae.reload_vae_weights() == "cuda"


@pytest.mark.parametrize("script", [None, lambda p: pytest.fail("a script was started")])
def test_the_page_gets_the_text_without_a_picture_and_the_log_one_line(webui, script, caplog):
    gpu.lend(lambda: "training frog")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="lora_trainer"):
        answer = webui.scripts.ScriptRunner().run(SimpleNamespace(), script)
    assert (answer.images, answer.comments) == ([], "training frog")
    (line,) = caplog.records
    assert "training frog" in line.getMessage() and "\n" not in line.getMessage()


def test_a_picture_that_was_to_be_made_larger_stays_on_the_page(webui):
    gpu.lend(lambda: "training frog")
    answer = webui.scripts.ScriptRunner().run(SimpleNamespace(firstpass_image="first"), None)
    assert answer.images == ["first"]


def test_the_api_is_told_with_its_own_kind_of_error_which_it_does_not_print(webui):
    """The host prints a traceback of every exception but HTTPException, and takes `status_code` and the text from it."""
    gpu.lend(lambda: "training frog")
    asked = SimpleNamespace(is_api=True)
    assert webui.scripts.ScriptRunner().run(asked, None) is None
    with pytest.raises(gate.CardIsTaken) as caught:
        webui.scripts.ScriptRunner().run(asked, webui.processing.process_images)
    from fastapi import HTTPException

    assert isinstance(caught.value, HTTPException) and vars(caught.value)["status_code"] == 503
    assert str(caught.value) == vars(caught.value)["detail"] == "training frog"


def test_without_a_training_scripts_run_as_ever(webui):
    gpu.lend(lambda: "training")
    gpu.reclaim()
    runner = webui.scripts.ScriptRunner()
    assert runner.run(SimpleNamespace(), None) is None
    assert runner.run(SimpleNamespace(), webui.processing.process_images) == "picture"


def test_the_refresh_button_of_the_cards_works_in_a_training(webui, monkeypatch):
    """It lists the embeddings, too, which are compared with the model: there is none now."""

    class EmbeddingDatabase:
        def load_textual_inversion_embeddings(self, force_reload=False):
            return webui.data.sd_model.device

    name = "modules.textual_inversion.textual_inversion"
    monkeypatch.setitem(sys.modules, name, webui_stub.module(name, EmbeddingDatabase=EmbeddingDatabase))
    gpu.lend(lambda: "training")
    assert EmbeddingDatabase().load_textual_inversion_embeddings(force_reload=True) is None
    gpu.reclaim()
    webui.processing.process_images(SimpleNamespace())
    assert EmbeddingDatabase().load_textual_inversion_embeddings() == "cuda"
