"""The loss on images kept aside: what is measured and when, that training does not notice, and the best file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError
from lora_trainer.networks.files import read_metadata
from lora_trainer.training.train import train
from lora_trainer.training.validation import Schedule, levels

from .conftest import Recorder, make_images


@pytest.fixture(scope="module")
def ten(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ten")
    make_images(root / "1_sls frog", 10)
    return root


@pytest.fixture
def trained(options_for, ten, tmp_path):
    """trained(name, **options): the events of a training with 3 of 10 images kept aside, and its files."""

    def make(name: str = "x", **changed) -> tuple[Recorder, Path]:
        given = {"train_data_dir": str(ten), "validation_split": 0.3, "max_train_steps": 4, "max_data_loader_n_workers": 0}
        options = options_for(**{**given, "output_name": name, "output_dir": str(tmp_path / name), **changed})
        recorder = Recorder()
        train(options, reporter=recorder)
        return recorder, tmp_path / name

    return make


def measured(recorder: Recorder) -> list[tuple[int, float]]:
    return [(event["step"], event["loss"]) for event in recorder.of("validation")]


def same(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.effect("validation_split", "validation_seed", "validate_every_n_steps", "max_validation_steps")
def test_always_the_same_is_measured_whatever_the_training_does(trained):
    """Before the first step the network does nothing: every run measures the same, to the last bit."""
    first, folder = trained("first", validate_every_n_steps=2, validation_seed=7)
    assert [step for step, _ in measured(first)] == [0, 2, 4]
    assert all(event["images"] == 3 and event["loss"] > 0 for event in first.of("validation"))
    again, _ = trained("again", validate_every_n_steps=1, validation_seed=7)
    assert measured(first) == [entry for entry in measured(again) if entry[0] % 2 == 0]
    assert same(folder / "first.safetensors", folder.parent / "again" / "again.safetensors")  # training notices nothing
    settings = {"min_snr_gamma": 1.0, "noise_offset": 0.5, "loss_type": "huber", "flip_aug": True, "shuffle_caption": True}
    other, _ = trained("other", validation_seed=7, seed=99, max_train_steps=1, caption_dropout_rate=0.9, **settings)
    assert other.losses != first.losses[:1] and measured(other)[0][1] == pytest.approx(measured(first)[0][1], rel=1e-5)
    apart, _ = trained("apart", validation_seed=8, max_train_steps=1, train_batch_size=2, max_validation_steps=1)
    assert measured(apart)[0][1] != pytest.approx(measured(first)[0][1], rel=1e-3)
    assert {event["images"] for event in apart.of("validation")} == {2, 1} - {3 - apart.of("validation")[0]["images"]}


@pytest.mark.effect("validate_every_n_epochs")
@pytest.mark.parametrize(("asked", "steps"), [({}, [0, 7, 14, 20]), ({"validate_every_n_epochs": 2}, [0, 14, 20])])
def test_is_measured_at_the_end_of_each_epoch_or_of_some_and_at_the_last_step(trained, asked, steps):
    recorder, _ = trained(max_train_steps=20, **asked)
    assert [step for step, _ in measured(recorder)] == steps


def test_the_network_in_training_is_what_is_measured_without_its_dropouts(trained):
    """In other modes too: no cache, no trained text encoder, a DyLoRA, checkpointing."""
    plain, _ = trained("plain", network_dropout=0.5, learning_rate=0.02, validate_every_n_steps=4)
    again, _ = trained("again", network_dropout=0.5, learning_rate=0.02, validate_every_n_steps=1)
    assert measured(plain)[-1] == measured(again)[-1] and measured(plain)[0][1] != measured(plain)[-1][1]
    for name, more in {
        "uncached": {"cache_latents": False, "random_crop": True},
        "unet": {"network_train_unet_only": True},
        "dylora": {"network_module": "networks.dylora", "network_args": ["unit=2"], "gradient_checkpointing": True},
    }.items():
        recorder, _ = trained(name, learning_rate=0.02, **more)
        assert measured(recorder)[0][1] == pytest.approx(measured(plain)[0][1], rel=1e-5)
        assert measured(recorder)[-1][1] != measured(recorder)[0][1]


@pytest.mark.effect("save_best")
def test_the_best_file_is_the_network_of_the_best_measure(trained):
    recorder, folder = trained(
        save_best=True,
        validate_every_n_steps=1,
        save_every_n_steps=1,
        max_train_steps=6,
        learning_rate=0.3,
        lr_scheduler="cosine",
    )
    losses = measured(recorder)[1:]  # not the one before the first step
    step, loss = min(losses, key=lambda entry: entry[1])
    best = folder / "x-best.safetensors"
    assert step < 6 and same(best, folder / f"x-step{step:08d}.safetensors") and not same(best, folder / "x.safetensors")
    found = read_metadata(best)
    assert (found["ss_steps"], float(found["ss_validation_loss"])) == (str(step), pytest.approx(loss, rel=1e-5))
    assert found["ss_num_validation_images"] == "3" and "ss_validation_loss" not in read_metadata(folder / "x.safetensors")
    flags = [event["best"] for event in recorder.of("validation")]
    assert [event["step"] for event, is_best in zip(recorder.of("validation"), flags, strict=True) if is_best][-1] == step
    without, folder = trained("without", validate_every_n_steps=1)
    assert not (folder / "without-best.safetensors").exists() and without.of("validation")


@pytest.mark.parametrize("name", ["save_best", "validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps"])
def test_what_needs_images_kept_aside_is_refused_without_them(trained, name):
    with pytest.raises(InputError, match=rf"{name} needs images .* none is kept aside") as wrong:
        trained(validation_split=0.0, **{name: 1})
    assert wrong.value.field == name and "validation_split" in wrong.value.advice


def test_the_noise_levels_are_even_in_the_trained_range():
    assert levels(None, None, 1000) == [200, 400, 600, 800]
    assert levels(500, 1000, 1000) == [600, 700, 800, 900]
    schedule = Schedule(every_steps=10, every_epochs=2, total_steps=100)
    assert schedule.times_to_come(20, 1, 6) == 8 + 3
