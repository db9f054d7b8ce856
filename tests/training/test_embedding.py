"""Training an embedding (textual inversion): what changes, what is saved, what is refused, and that a killed one goes on."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.data.plan import tokens
from lora_trainer.data.plan.word import pattern_of
from lora_trainer.embeddings import files
from lora_trainer.errors import InputError, InputErrors
from lora_trainer.models import load, words
from lora_trainer.networks.files import read_metadata
from lora_trainer.options import cli
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder, make_images, short_training
from .test_resuming import assert_kills_change_nothing

EMBEDDING = {
    "network_module": None,
    "trains": "embedding",
    "token_string": "sls",
    "num_vectors_per_token": 2,
    "learning_rate": 0.1,
}


@pytest.fixture
def embedding_options(options_for):
    return lambda **changed: options_for(**(EMBEDDING | changed))


@pytest.mark.effect("trains", "token_string", "init_word", "num_vectors_per_token")
def test_the_vectors_of_the_word_are_trained_and_nothing_else(embedding_options, tiny_sd1):
    options = embedding_options(init_word="frog", save_every_n_steps=1)
    recorder = Recorder()
    result = train(options, reporter=recorder)
    (vectors,) = files.load(result.path)
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    (start,), _ = words.start_vectors(model, "frog", 2, 0)
    assert vectors.shape == start.shape and not torch.allclose(vectors, start)
    assert recorder.saved == [*(f"x-step0000000{step}.safetensors" for step in (1, 2, 3)), "x.safetensors"]
    metadata = read_metadata(result.path)
    assert metadata["ss_token_string"] == "sls" and metadata["ss_num_vectors_per_token"] == "2"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion"
    assert not [key for key in metadata if key.startswith("ss_network")]
    assert {event["lr"] for event in recorder.of("step")} == {0.1}


def test_an_embedding_of_sdxl_has_vectors_for_both_text_encoders(tiny_model, pictures, tmp_path):
    result = train(short_training(tiny_model("sdxl"), pictures, tmp_path, **EMBEDDING), reporter=Recorder())
    model = load(tiny_model("sdxl"), dtype=torch.float32, device="cpu")
    widths = [encoder.config.hidden_size for encoder in model.text_encoders]
    assert [vectors.shape for vectors in files.load(result.path)] == [(2, width) for width in widths]
    assert set(read_metadata(result.path)) >= {"sshs_model_hash", "ss_token_string"}


def test_a_killed_training_ends_as_one_that_was_not(embedding_options, tmp_path):
    assert_kills_change_nothing(embedding_options, tmp_path, 3, gradient_accumulation_steps=2, shuffle_caption=True)


@pytest.mark.effect("weights")
def test_a_training_goes_on_from_the_vectors_of_a_file(embedding_options, tmp_path):
    first = train(embedding_options(output_name="first", max_train_steps=1), reporter=Recorder())
    before = files.load(first.path)
    again = train(embedding_options(weights=str(first.path), learning_rate=1e-9, max_train_steps=1), reporter=Recorder())
    torch.testing.assert_close(files.load(again.path), before)
    recorder = Recorder()
    with pytest.raises(InputError, match="has 2 vectors, but num_vectors_per_token is 3"):
        train(embedding_options(weights=str(first.path), num_vectors_per_token=3), reporter=recorder)
    assert not recorder.of("phase"), "nothing has begun: pictures may take an hour to encode"


@pytest.mark.effect("use_object_template", "use_style_template")
@pytest.mark.parametrize(("template", "part"), [("use_object_template", "photo of"), ("use_style_template", "style of")])
def test_sentences_with_the_word_stand_in_for_the_captions(embedding_options, monkeypatch, template, part):
    seen = []
    whole = Trainee.batch_loss

    def batch_loss(self, batch, **given):
        seen.extend(batch["captions"])
        return whole(self, batch, **given)

    monkeypatch.setattr(Trainee, "batch_loss", batch_loss)
    train(embedding_options(max_train_steps=8, **{template: True}), reporter=Recorder())
    assert all(caption.endswith("sls") for caption in seen) and any(part in caption for caption in seen)
    assert len(set(seen)) > 4, "they are drawn anew for each showing"


def test_captions_without_the_word_are_told(embedding_options, pictures, tmp_path):
    with pytest.raises(InputErrors, match="no caption holds the word 'sks'"):
        train(embedding_options(token_string="sks"), reporter=Recorder())
    recorder = Recorder()
    train(embedding_options(token_string="colour 1", max_train_steps=1), reporter=recorder)
    assert any("3 of 4 captions lack the word 'colour 1'" in event["message"] for event in recorder.of("warning"))


@pytest.mark.parametrize(
    ("word", "caption", "is_read"),
    [
        ("<cat-toy>", "a photo of <cat-toy> on grass", True),
        ("<cat-toy>", "a photo of <cat-toy>, on grass", False),
        ("<cat-toy>", "(<cat-toy>:1.2) on grass", False),
        ("frog_", "a frog_ here", True),
        ("frog_", "a frog_, here", False),
        ("frog-emb", "(frog-emb:1.2), a photo", True),
        ("frog-emb", "frog-embryo", False),
    ],
)
def test_a_caption_holds_the_word_where_the_model_reads_it(word, caption, is_read):
    """Marks that follow each other are one token or more together, of which the word is none."""
    parts, read = tokens.parts(word), tokens.parts(caption)
    assert any(read[place : place + len(parts)] == parts for place in range(len(read))) is is_read
    assert bool(pattern_of(word).search(caption)) is is_read


def test_where_marks_beside_the_word_hide_it_that_is_told(embedding_options, tmp_path):
    folder = make_images(tmp_path / "data" / "1_x", 2)
    for number, caption in enumerate(("a <cat-toy>, on grass", "a <cat-toy> on grass")):
        (folder / f"{number}.txt").write_text(caption)
    recorder, chosen = Recorder(), {"token_string": "<cat-toy>", "train_data_dir": str(folder.parent), "max_train_steps": 1}
    train(embedding_options(**chosen), reporter=recorder)
    (told,) = [event["message"] for event in recorder.of("warning") if "lack the word" in event["message"]]
    assert "1 of 2 captions" in told and "0.png" in told and "put a space between them" in told


def test_a_common_word_is_told_and_a_rare_one_is_not(embedding_options):
    told = Recorder(), Recorder()
    train(embedding_options(token_string="frog", max_train_steps=1), reporter=told[0])
    train(embedding_options(token_string="sls", max_train_steps=1), reporter=told[1])
    common = [[event for event in one.of("warning") if "is a common one" in event["message"]] for one in told]
    assert [len(one) for one in common] == [1, 0]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"token_string": None}, "token_string"),
        ({"token_string": "  "}, "token_string"),
        ({"use_object_template": True, "use_style_template": True}, "use_style_template"),
        ({"network_args": ["conv_dim=4"]}, "network_args"),
        ({"network_train_unet_only": True}, "network_train_unet_only"),
        ({"unet_lr": 1e-4}, "unet_lr"),
        ({"cache_text_encoder_outputs": True}, "cache_text_encoder_outputs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"trains": "network", "network_module": "networks.lora"}, "token_string"),
        ({"num_vectors_per_token": 76}, "num_vectors_per_token"),
    ],
)
def test_what_means_nothing_to_an_embedding_is_refused_by_name(embedding_options, changed, field):
    with pytest.raises(InputErrors) as raised:
        embedding_options(**changed)
    assert field in {error.field for error in raised.value.errors}


def test_the_command_of_the_documents_trains_an_embedding(tiny_sd1, tiny_model, pictures, tmp_path):
    words = [
        f"--pretrained_model_name_or_path={tiny_sd1}", f"--train_data_dir={pictures}", f"--output_dir={tmp_path}",
        "--output_name=sls", "--resolution=64", "--token_string=sls", "--init_word=frog", "--num_vectors_per_token=4",
        "--max_train_steps=1600", "--learning_rate=1e-6", "--cache_latents", "--caption_extension=.txt",
    ]  # fmt: skip
    options = cli.parse(words, "train_textual_inversion")
    assert options.trained.trains == "embedding" and options.trained.num_vectors_per_token == 4
    with pytest.raises(InputError, match="sdxl_train_textual_inversion is for"):
        cli.parse(words, "sdxl_train_textual_inversion")
