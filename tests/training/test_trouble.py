"""What goes wrong in a training costs as little as can be: what was trained is kept, and what to do is said."""

from __future__ import annotations

import os
import tempfile

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError, InputErrors, LoraFileError, NotFiniteError, OutOfMemoryError, SaveError
from lora_trainer.networks import files
from lora_trainer.training import loop, prepare, previews, saver
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder, make_images


def test_nan_loss_stops_at_its_step_and_keeps_the_last_good_file(options_for, tmp_path, monkeypatch):
    real = Trainee.batch_loss

    def broken(self, batch, *, step, **rest):
        return real(self, batch, step=step, **rest) * (float("nan") if step == 3 else 1.0)

    monkeypatch.setattr(Trainee, "batch_loss", broken)
    with pytest.raises(NotFiniteError, match="at step 3") as error:
        train(options_for(max_train_steps=5, save_every_n_steps=2), reporter=Recorder())
    good = tmp_path / "out" / "x-step00000002.safetensors"
    assert str(good) in str(error.value) and "learning rate" in error.value.advice
    assert [path.name for path in (tmp_path / "out").iterdir()] == [good.name]
    assert all(torch.isfinite(tensor).all() for tensor in load_file(good).values())


def test_weights_that_became_nan_are_never_saved(options_for, tmp_path, monkeypatch):
    real = loop.Loop._report

    def spoil(self, *args):
        real(self, *args)
        if self.step == 2:
            with torch.no_grad():
                self.updater.parameters[0].fill_(float("nan"))

    monkeypatch.setattr(loop.Loop, "_report", spoil)
    with pytest.raises(NotFiniteError, match="weights became NaN or infinite at step 2"):
        train(options_for(max_train_steps=5, save_every_n_steps=2), reporter=Recorder())
    assert not list(tmp_path.glob("out/*"))


def test_out_of_memory_says_what_to_lower_and_saves_what_was_trained(options_for, monkeypatch):
    real = Trainee.batch_loss

    def full(self, batch, *, step, **rest):
        if step == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, batch, step=step, **rest)

    monkeypatch.setattr(Trainee, "batch_loss", full)
    reporter = Recorder()
    with pytest.raises(OutOfMemoryError) as error:
        train(options_for(max_train_steps=5), reporter=reporter)
    advice = error.value.advice
    assert all(word in advice for word in ("gradient_checkpointing", "resolution", "batch size", "network_dim"))
    assert "cache_latents" not in advice  # it is on already
    assert reporter.saved == ["x-step00000002.safetensors"]


def test_another_error_is_not_taken_for_a_full_memory(options_for, monkeypatch):
    monkeypatch.setattr(Trainee, "batch_loss", lambda self, *a, **k: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(options_for(), reporter=Recorder())


def test_a_full_disk_while_saving_between_steps_does_not_end_the_training(options_for, monkeypatch):
    real = files.save

    def full(path, *rest):
        if "step00000003" in path.name:
            raise SaveError(f"{path} could not be written: No space left on device.")
        return real(path, *rest)

    monkeypatch.setattr(saver.files, "save", full)
    reporter = Recorder()
    result = train(options_for(max_train_steps=4, save_every_n_steps=1, save_last_n_steps=1), reporter=reporter)
    assert result.path.is_file()
    assert any("No space left" in event["message"] for event in reporter.of("warning"))
    # the file that the failed one would have replaced is still there
    assert (result.path.parent / "x-step00000001.safetensors").is_file()


def test_a_disk_that_stays_full_at_the_end_loses_nothing(options_for, monkeypatch, tmp_path):
    real = files.save

    def full(path, *rest):
        if path.parent.name == "out":
            raise SaveError(f"{path} could not be written: No space left on device.")
        return real(path, *rest)

    monkeypatch.setattr(saver.files, "save", full)
    monkeypatch.setattr(saver, "_SECONDS_BETWEEN_TRIES", 0.0)
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    for seed in (1, 2):
        with pytest.raises(SaveError, match="saved as") as error:
            train(options_for(seed=seed, max_train_steps=1), reporter=Recorder())
        rescued = {files.read_metadata(path)["ss_seed"]: path for path in (tmp_path / "temp").glob("*/x.safetensors")}
        assert str(rescued[str(seed)]) in str(error.value)
    assert len(rescued) == 2, "the second overwrote the first"
    if os.name == "posix":
        assert all(path.parent.stat().st_mode & 0o077 == 0 for path in rescued.values()), "others may look into it"


def test_a_sample_that_fails_does_not_end_the_training(options_for, tmp_path, monkeypatch):
    (tmp_path / "prompts.txt").write_text("a frog\n", encoding="utf-8")

    def fail(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(previews.preview, "draw", fail)
    reporter = Recorder()
    train(options_for(sample_prompts=str(tmp_path / "prompts.txt"), sample_every_n_steps=1), reporter=reporter)
    assert len(reporter.of("warning")) == 3 and reporter.of("finished")[0]["reason"] == "done"


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_deleted_while_it_is_trained_is_named_once_and_the_training_goes_on(
    options_for, tmp_path, monkeypatch, workers
):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    data = make_images(tmp_path / "data" / "1_frog").parent

    def delete(event):
        if event.get("name") == "loading the model":
            (data / "1_frog" / "2.png").unlink(missing_ok=True)

    options = options_for(train_data_dir=str(data), cache_latents=False, max_data_loader_n_workers=workers, max_train_steps=8)
    reporter = Recorder(delete)
    assert train(options, reporter=reporter).reason == "done" and len(reporter.losses) == 8 and all(reporter.losses)
    (said,) = [event["message"] for event in reporter.of("warning") if "2.png" in event["message"]]
    assert said.startswith(str(data / "1_frog" / "2.png")) and "No such file" in said and "Another image is shown" in said


def test_a_folder_that_is_gone_while_it_is_trained_ends_it_without_a_traceback_and_what_was_trained_is_kept(
    options_for, tmp_path
):
    data = make_images(tmp_path / "data" / "1_frog").parent

    def unplug(event):
        if event["type"] == "step" and event["step"] == 2:
            data.rename(tmp_path / "unplugged")

    options = options_for(train_data_dir=str(data), cache_latents=False, max_data_loader_n_workers=0, max_train_steps=8)
    reporter = Recorder(unplug)
    with pytest.raises(InputError) as error:
        train(options, reporter=reporter)
    said = str(error.value)
    assert error.value.where.startswith(str(data)) and error.value.advice and "Traceback" not in said and "\n" not in said
    assert len(reporter.losses) == 3 and reporter.saved  # the third batch was read while the second step ran


def test_what_cannot_be_meant_is_said_by_the_command_as_by_the_page(options_for):
    recorder = Recorder()
    rates = {"unet_lr": 10.0, "lr_scheduler": "cosine", "lr_warmup_steps": 3}
    train(options_for(max_train_steps=2, **rates), reporter=recorder)
    said = " ".join(event["message"] for event in recorder.of("warning"))
    assert "unet_lr is 10: so large" in said and "warm-up of 3 steps" in said


def test_bad_data_is_refused_before_the_model_is_loaded(options_for, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    (tmp_path / "data" / "1_frog").mkdir(parents=True)
    (tmp_path / "data" / "1_frog" / "a.png").write_bytes(b"")
    with pytest.raises(InputErrors, match=r"a\.png"):
        train(options_for(train_data_dir=str(tmp_path / "data")), reporter=Recorder())


def test_weights_that_do_not_fit_are_refused_before_the_model_is_loaded(options_for, tmp_path, monkeypatch):
    train(options_for(network_dim=2, max_train_steps=1), reporter=Recorder())
    going_on = {"network_weights": str(tmp_path / "out" / "x.safetensors"), "output_name": "y"}
    with pytest.raises(LoraFileError, match="does not fit"):
        train(options_for(network_module="lycoris.kohya", network_args=["algo=loha"], **going_on), reporter=Recorder())
    monkeypatch.setattr(prepare, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    with pytest.raises(InputError, match=r"has rank 2, but network_dim is 3\. Give network_dim 2"):
        train(options_for(network_dim=3, **going_on), reporter=Recorder())
