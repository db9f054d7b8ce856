"""A word with vectors for each cross-attention layer (XTI): trained, saved by the reference's names, read, drawn with."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.embeddings import files
from lora_trainer.errors import InputErrors
from lora_trainer.models import layered, load, words
from lora_trainer.options import cli
from lora_trainer.sampling import embeddings
from lora_trainer.sampling.generate import ImageRequest, generate
from lora_trainer.training.train import train

from .conftest import Recorder, short_training

LAYERED = {
    "network_module": None,
    "trains": "embedding",
    "vectors_per_layer": True,
    "token_string": "sls",
    "num_vectors_per_token": 2,
    "learning_rate": 0.1,
}


@pytest.fixture
def model(tiny_sd1):
    return load(tiny_sd1, dtype=torch.float32, device="cpu")


def predicted(model, caption: str, seed: int = 0) -> torch.Tensor:
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.predict(noise, torch.tensor([500]), model.encode([caption]))


def test_each_layer_of_the_unet_reads_the_word_by_its_own_vectors(model):
    (start,), _ = words.start_vectors(model, "frog", 1, 0)
    before = predicted(model, "a frog")
    layers = start.expand(words.layers_of(model), *start.shape).clone()
    words.teach(model, "sls", [layers])
    assert model.encode(["a sls"]).states.shape[1] == 16 * 77
    torch.testing.assert_close(predicted(model, "a sls"), before)  # the same vectors everywhere
    assert len(layered.transformers(model.unet)) == 16
    for place in (0, 6, 15):
        layers[place] += 1.0  # of one layer alone
        assert not torch.allclose(predicted(model, "a sls"), before), place
        layers[place] -= 1.0
    words.forget(model, "sls")
    assert torch.equal(predicted(model, "a frog"), before), "nothing is left on the UNet"


@pytest.mark.effect("vectors_per_layer")
def test_the_vectors_of_each_layer_are_trained_saved_and_gone_on_from(tiny_sd1, pictures, tmp_path, model):
    first = train(short_training(tiny_sd1, pictures, tmp_path, **LAYERED, init_word="frog"), reporter=Recorder())
    tensors = load_file(first.path)
    assert list(files.LAYERS) == sorted(tensors, key=files.LAYERS.index) and tensors["MID"].shape[0] == 2
    (start,), _ = words.start_vectors(model, "frog", 2, 0)
    (found,) = files.load(first.path)
    assert found.shape == (16, *start.shape)
    assert all(not torch.allclose(own, start) for own in found), "every layer learns"
    assert not torch.allclose(found[0], found[1]), "and another thing"
    again = {**LAYERED, "weights": str(first.path), "learning_rate": 1e-9, "max_train_steps": 1, "output_name": "again"}
    second = train(short_training(tiny_sd1, pictures, tmp_path, **again), reporter=Recorder())
    torch.testing.assert_close(files.load(second.path), files.load(first.path))
    with pytest.raises(Exception, match=r"has vectors for each layer of the UNet \(XTI\)"):
        train(short_training(tiny_sd1, pictures, tmp_path, **again | {"vectors_per_layer": False}), reporter=Recorder())

    # Drawn with standing alone: long and short prompts, whose states have other lengths.
    request = ImageRequest(prompt="a sls " + "frog " * 80, negative_prompt="blurry", width=64, height=64, steps=2, seed=1)
    named = {"sls": first.path.rename(first.path.with_name("sls.safetensors"))}
    with_word = generate(model, request, words=named)[0].image.tobytes()
    assert with_word != generate(model, request)[0].image.tobytes() and words.vectors_of(model, "sls") is None
    with embeddings.known(model, named, ["sls"]):
        assert words.vectors_of(model, "sls")[0].shape[0] == 16


def test_the_reference_command_trains_layers_and_xl_is_refused_by_name(tiny_sd1, tiny_model, pictures, tmp_path):
    given = [
        f"--train_data_dir={pictures}",
        f"--output_dir={tmp_path}",
        "--output_name=sls",
        "--token_string=sls",
        "--resolution=64",
    ]
    options = cli.parse([f"--pretrained_model_name_or_path={tiny_sd1}", *given], "train_textual_inversion_XTI")
    assert options.trained.trains == "embedding" and options.trained.vectors_per_layer
    with pytest.raises(InputErrors, match="is for Stable Diffusion 1 and 2"):
        cli.parse([f"--pretrained_model_name_or_path={tiny_model('sdxl')}", *given], "train_textual_inversion_XTI")
