"""cache_latents_to_disk in whole trainings: a second run encodes nothing, and nothing that changed is trained from the disk."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from lora_trainer.models import load, vae
from lora_trainer.training.encoding import Encoder
from lora_trainer.training.train import train

from .conftest import Recorder, make_images
from .test_train import tensors_equal


@pytest.fixture
def encoded(monkeypatch):
    """The number of pictures of each call of the VAE."""
    seen, real = [], vae.posterior
    monkeypatch.setattr(vae, "posterior", lambda model, images: seen.append(len(images)) or real(model, images))
    return seen


@pytest.mark.effect("cache_latents_to_disk", "skip_cache_check")
def test_a_second_run_encodes_nothing_and_what_changed_is_trained_anew(options_for, tmp_path, encoded):
    data = tmp_path / "data"
    folder = make_images(data / "1_sls frog", 4)
    given = {
        "train_data_dir": str(data),
        "cache_latents": None,
        "validation_split": 0.25,
        "max_train_steps": 2,
        "flip_aug": True,
    }

    def trained(name, **more):
        """(pictures that the VAE saw, the file, warnings)."""
        encoded.clear()
        reporter = Recorder()
        result = train(options_for(output_name=name, **{**given, **more}), reporter=reporter)
        return sum(encoded), result.path, [event["message"] for event in reporter.of("warning")]

    kept = {"cache_latents_to_disk": True}
    count, first, _ = trained("first", **kept)
    assert count == 7  # three and their mirror images, and the one kept aside
    count, second, warnings = trained("second", **kept)
    assert count == 0 and tensors_equal(first, second) and not any("cache" in text for text in warnings)

    for number, path in enumerate(sorted(folder.glob("*.png"))):
        Image.new("RGB", (64, 64), (9, 90 + number, 200)).save(path)
    count, trusting, _ = trained("trusting", **kept, skip_cache_check=True)
    assert count == 0 and tensors_equal(first, trusting)
    count, edited, _ = trained("edited", **kept)
    assert count == 7 and not tensors_equal(edited, first)
    count, plain, _ = trained("plain", cache_latents=True)
    assert count == 7 and tensors_equal(edited, plain), "the disk makes no difference"


def test_the_latents_of_another_vae_or_precision_are_others(tiny_sd1):
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    encoder = Encoder(model, 1, torch.device("cpu"))
    first = encoder.made_by()
    assert encoder.made_by() == Encoder(load(tiny_sd1, dtype=torch.float32, device="cpu"), 2, torch.device("cpu")).made_by()
    model.vae.half()
    half = encoder.made_by()
    model.vae.float()
    with torch.no_grad():
        model.vae.quant_conv.bias[0] += 1e-3
    assert first["precision"] == "float32" and half["precision"] == "float16"
    assert len({first["vae"], half["vae"], encoder.made_by()["vae"]}) == 3


def test_latents_on_the_disk_are_told_when_there_is_no_room(options_for, tmp_path, monkeypatch):
    from lora_trainer.data import entries
    from lora_trainer.errors import SaveError

    def full(path, write, **how):
        raise SaveError(f"{path} could not be written: No space left on device.")

    monkeypatch.setattr(entries, "write_atomic", full)
    data = tmp_path / "data"
    make_images(data / "1_sls frog", 2)
    reporter = Recorder()
    train(options_for(train_data_dir=str(data), cache_latents_to_disk=True, max_train_steps=1), reporter=reporter)
    told = [event["message"] for event in reporter.of("warning") if "No space left" in event["message"]]
    assert len(told) == 1 and "goes on with what is in memory" in told[0]
    assert torch.tensor(reporter.losses).isfinite().all()
