"""A LoRA and a word trained together: what changes, is saved, draws with it, and that a killed one goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lora_trainer.embeddings import files as embedding_files
from lora_trainer.errors import InputError, InputErrors
from lora_trainer.models import load, words
from lora_trainer.networks import bundled, files
from lora_trainer.options import cli
from lora_trainer.options.network import NetworkOptions
from lora_trainer.sampling import embeddings
from lora_trainer.sampling.loras import LoraUse, applied
from lora_trainer.training import base_weights, prepare
from lora_trainer.training.train import train

from .conftest import Recorder, short_training
from .test_resuming import assert_kills_change_nothing

PIVOTAL = {"trains": "pivotal", "token_string": "sls", "num_vectors_per_token": 2, "embedding_lr": 0.1}


@pytest.fixture
def pivotal_options(options_for):
    return lambda **changed: options_for(**(PIVOTAL | changed))


def words_in(path: Path) -> dict[str, tuple[torch.Tensor, ...]]:
    return bundled.words_in(files.load(path)[0])


@pytest.mark.effect("trains", "token_string", "embedding_lr", "stop_embedding_training")
def test_network_and_word_are_trained_and_lie_in_one_file(pivotal_options, tiny_sd1):
    recorder = Recorder()
    options = pivotal_options(init_word="frog", save_every_n_steps=1, stop_embedding_training=2, network_train_unet_only=True)
    result = train(options, reporter=recorder)
    tensors, metadata = files.load(result.path)
    network, _ = bundled.split(tensors)
    assert any(bool(tensor.abs().sum()) for name, tensor in network.items() if name.endswith(files.UP)), "the LoRA has learned"
    steps = [words_in(result.path.with_name(f"x-step0000000{step}.safetensors"))["sls"][0] for step in (1, 2, 3)]
    (start,), _ = words.start_vectors(load(tiny_sd1, dtype=torch.float32, device="cpu"), "frog", 2, 0)
    assert not torch.allclose(start, steps[0]) and not torch.allclose(steps[0], steps[1])
    assert torch.equal(steps[1], steps[2]) and torch.equal(steps[2], words_in(result.path)["sls"][0]), "it stays after step 2"
    assert set(bundled.split(tensors)[1]) == {"bundle_emb.sls.string_to_param.*"}, "as the Web UI reads it"
    assert metadata["ss_token_string"] == "sls" and metadata["ss_network_dim"] == "4"
    assert metadata["modelspec.architecture"].endswith("/lora") and metadata["modelspec.trigger_phrase"] == "sls"
    assert recorder.of("step")[0]["rates"]["embedding"] == 0.1


@pytest.mark.effect("save_embedding")
def test_the_word_is_saved_beside_the_lora_where_that_is_asked_for(pivotal_options):
    options = pivotal_options(save_embedding="beside", save_every_n_steps=1, save_last_n_steps=1, max_train_steps=4)
    result = train(options, reporter=Recorder())
    there = sorted(path.name for path in result.path.parent.glob("*.safetensors"))
    stems = ("x", "x-step00000003", "x-step00000004")
    assert there == sorted(f"{stem}{part}.safetensors" for stem in stems for part in ("", "_emb")), "older ones are removed"
    assert not words_in(result.path)
    (vectors,) = embedding_files.load(result.path.with_name("x_emb.safetensors"))
    assert vectors.shape[0] == 2
    assert files.read_metadata(result.path.with_name("x_emb.safetensors"))["ss_token_string"] == "sls"


def test_a_word_of_sdxl_has_vectors_for_both_text_encoders(tiny_model, pictures, tmp_path):
    result = train(short_training(tiny_model("sdxl"), pictures, tmp_path, **PIVOTAL), reporter=Recorder())
    assert [len(vectors) for vectors in words_in(result.path)["sls"]] == [2, 2]
    assert set(bundled.split(files.load(result.path)[0])[1]) == {"bundle_emb.sls.clip_l", "bundle_emb.sls.clip_g"}


@pytest.mark.long
def test_a_killed_training_ends_as_one_that_was_not(pivotal_options, tmp_path):
    chosen = {"save_embedding": "beside", "stop_embedding_training": 0.5, "ema_decay": 0.9}
    assert_kills_change_nothing(pivotal_options, tmp_path, 3, **chosen)


def test_a_training_goes_on_from_the_word_in_the_file(pivotal_options, options_for):
    first = train(pivotal_options(output_name="first", max_train_steps=1), reporter=Recorder())
    again = {"network_weights": str(first.path), "max_train_steps": 1, "learning_rate": 1e-9, "embedding_lr": 1e-9}
    second = train(pivotal_options(output_name="second", **again), reporter=Recorder())
    torch.testing.assert_close(words_in(second.path)["sls"], words_in(first.path)["sls"])
    with pytest.raises(InputError, match="has 2 vectors, but num_vectors_per_token is 3"):
        train(pivotal_options(num_vectors_per_token=3, **again), reporter=Recorder())
    for options in (options_for(network_weights=str(first.path)), pivotal_options(**again | {"token_string": "frog"})):
        with pytest.raises(InputError, match="holds the word sls, which was trained with the LoRA and would be lost"):
            prepare.check(options)
    with pytest.raises(InputError, match="init_word has no effect"):
        prepare.check(pivotal_options(init_word="frog", **again))


def test_the_model_knows_the_word_while_the_lora_is_on_it(pivotal_options, tiny_sd1):
    path = train(pivotal_options(max_train_steps=1), reporter=Recorder()).path
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    before = model.encode(["a sls frog"]).states
    with applied(model, [LoraUse(path, 0.0)]):
        assert torch.equal(words.vectors_of(model, "sls")[0], words_in(path)["sls"][0])
        assert not torch.allclose(model.encode(["a sls frog"]).states, before), "the word means its vectors"
        own, _ = words.start_vectors(model, "frog", 1, 0)
        files.save(path.with_name("sls.safetensors"), {"emb_params": own[0]})
        with embeddings.known(model, {"sls": path.with_name("sls.safetensors")}, ["a sls frog"]):
            assert torch.equal(words.vectors_of(model, "sls")[0], own[0])
        assert len(words.vectors_of(model, "sls")[0]) == 2, "an embedding of that name comes and goes"
    assert words.vectors_of(model, "sls") is None and torch.equal(model.encode(["a sls frog"]).states, before)
    words.teach(model, "sls", own)
    with applied(model, [LoraUse(path)]):
        assert torch.equal(words.vectors_of(model, "sls")[0], own[0]), "a word that is known already stays what it is"
    assert words.vectors_of(model, "sls") is not None
    told = Recorder()
    base_weights.merge(NetworkOptions(base_weights=(str(path),)), model, told.emit)
    assert "the word sls is left out" in told.of("warning")[0]["message"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"token_string": None}, "token_string"),
        ({"token_string": "sls 1.5"}, "token_string"),
        ({"cache_text_encoder_outputs": True}, "cache_text_encoder_outputs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"embedding_lr": 0}, "embedding_lr"),
        ({"trains": "network", "token_string": None, "stop_embedding_training": 0.5}, "embedding_lr"),
        ({"trains": "embedding", "save_embedding": "beside"}, "save_embedding"),
    ],
)
def test_what_does_not_go_with_both_is_refused_by_name(pivotal_options, changed, field):
    with pytest.raises(InputErrors) as raised:
        pivotal_options(**changed)
    assert field in {error.field for error in raised.value.errors}


def test_a_word_given_to_the_lora_training_is_learned_with_it(tiny_sd1, pictures, tmp_path):
    words_ = [
        f"--pretrained_model_name_or_path={tiny_sd1}", f"--train_data_dir={pictures}", f"--output_dir={tmp_path}",
        "--output_name=sls", "--resolution=64", "--network_module=networks.lora", "--token_string=sls",
    ]  # fmt: skip
    options = cli.parse(words_, "train_network")
    assert options.trained.trains == "pivotal"
    assert cli.parse([*words_[:-1], "--caption_extension=.txt"], "train_network").trained.trains == "network"
