"""An embedding from the form to the embeddings folder: what is left out, what is filled in, and what calls it up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import toml

from lora_trainer.api.retraining import further

from .conftest import get, post, problems_of
from .test_runs import posix, run_to_end


@pytest.fixture
def wanted(values):
    """The form's values for an embedding, with those of a network, which it does not show then."""
    return {
        **values,
        "trains": "embedding",
        "identifier": "frog-emb",
        "output_name": "frog-emb",
        "network_dim": 64,
        "network_args": ["conv_dim=4"],
        "unet_lr": 1e-4,
        "learning_rate": 5e-3,
        "caption_source": "words",
    }


@posix
def test_an_embedding_goes_to_the_embeddings_and_is_called_by_its_name(client, service, host, wanted):
    run_id = post(client, "runs", {"values": wanted}).json()["id"]
    waiting = get(client, f"runs/{run_id}").json()["run"]
    config = toml.loads(waiting["config"])
    assert config["trained"]["token_string"] == "frog-emb", "the file's name, by which the Web UI knows it"
    assert "network_args" not in str(config) and "unet_lr" not in str(config) and waiting["trains"] == "embedding"
    run = run_to_end(service, client, run_id)
    assert run["state"] == "finished", run
    assert Path(run["lora"]["path"]) == host.paths().embeddings_dir / "frog-emb.safetensors"
    assert run["lora"]["prompt"] == "frog-emb" and run["lora"]["is_embedding"]
    assert not get(client, "loras").json()["loras"]
    again = post(client, "check", {"values": wanted}).json()
    assert again["output"]["saved_as"] == "frog-emb-2" and again["ok"], "the word is the one in the captions still"
    assert "its file's name: frog-emb-2 in prompts" in str(again["problems"]), "and in the Web UI it is another"
    wrong = problems_of(post(client, "check", {"values": {**wanted, "resolution": "x"}}).json())
    assert set(wrong) == {"resolution"}
    grid = {"files": ["frog-emb.safetensors"], "strengths": [1], "prompts": ["a"]}
    assert "no strength" in str(post(client, f"runs/{run_id}/grids", grid).json())


def test_captions_without_the_word_are_told_before_the_start(client, wanted):
    answer = post(client, "check", {"values": {**wanted, "identifier": "sls", "output_name": "emb"}}).json()
    assert not answer["ok"] and "no caption holds the word 'emb'" in problems_of(answer)["token_string"]
    (fix,) = [one["fix"] for one in answer["problems"] if one.get("code") == "word_missing"]
    assert fix["label"] == "Write 'emb' into Identifier"
    values = {**wanted, "output_name": "emb", **fix["values"]}
    assert post(client, "check", {"values": values}).json()["ok"], "that mends it"


def test_sentences_stand_in_for_the_captions(client, wanted):
    answer = post(client, "check", {"values": {**wanted, "use_style_template": True}}).json()
    assert answer["ok"], answer["problems"]
    assert "style of frog-emb" in answer["plan"]["examples"][0]["caption"]


def test_the_options_of_an_embedding_are_not_sent_for_a_network(client, values):
    answer = post(client, "check", {"values": {**values, "token_string": "x", "init_word": "frog"}}).json()
    assert answer["ok"], "the form does not show them then"
    options = {
        "pretrained_model_name_or_path": values["pretrained_model_name_or_path"],
        "token_string": "x",
        "trains": "network",
    }
    problems = problems_of(post(client, "check", {"options": {**options, "output_name": "x"}}).json())
    assert "has no effect when network is trained" in problems["token_string"]


@posix
def test_a_word_beside_its_lora_is_put_among_the_embeddings_under_its_own_name(client, service, host, wanted):
    both = {"trains": "pivotal", "save_embedding": "beside", "identifier": "sls", "output_name": "frog", "network_dim": 2}
    values = {**wanted, **both, "network_args": None, "learning_rate": 1e-4}
    assert "holds" in str(post(client, "runs", {"values": {**values, "token_string": "../x"}}).json())
    run_id = post(client, "runs", {"values": values}).json()["id"]
    config = toml.loads(get(client, f"runs/{run_id}").json()["run"]["config"])
    assert config["trained"]["token_string"] == "sls", "the identifier, which the captions hold"
    asked = service.supervisor.folder(run_id).request()
    assert Path(asked["word_target"]) == host.paths().embeddings_dir / "sls.safetensors"
    run = run_to_end(service, client, run_id)
    assert Path(run["lora"]["path"]) == host.paths().lora_dir / "frog.safetensors"
    assert run["lora"]["prompt"].endswith("<lora:frog:0.8>") and "sls" in run["lora"]["prompt"]


def test_training_further_begins_with_what_was_learned_not_with_the_words_before():
    dataset = SimpleNamespace(folders=[SimpleNamespace(path=Path("/pictures"), pictures={"0.png": None})])
    pictures = [SimpleNamespace(folder=0, name="0.png")]
    before = {"image_dir": "/pictures", "init_word": "frog", "weights": "older.pt"}
    made = further({**before, "trains": "pivotal"}, dataset, pictures, 1, "frog.safetensors")
    assert (made["network_weights"], made["weights"], "init_word" in made) == ("frog.safetensors", None, False)
    made = further({**before, "trains": "pivotal"}, dataset, pictures, 1, "frog.safetensors", "sls.safetensors")
    assert (made["network_weights"], made["weights"]) == ("frog.safetensors", "sls.safetensors")
    made = further({**before, "trains": "embedding"}, dataset, pictures, 1, "emb.safetensors")
    assert made["weights"] == "emb.safetensors" and "init_word" not in made
