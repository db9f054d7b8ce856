"""The training as a whole, on the tiny checkpoint: what it writes, what it tells, and how it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.networks import files
from lora_trainer.runs.control import Control
from lora_trainer.training import previews
from lora_trainer.training.conditioning import TextStates
from lora_trainer.training.train import train

from .conftest import Recorder, make_images


def tensors_equal(first: Path, second: Path) -> bool:
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.effect("output_dir", "output_name", "save_every_n_steps", "save_every_n_epochs", "save_precision")
def test_files_have_the_names_and_counts_of_the_reference(options_for, tmp_path):
    reporter = Recorder()
    result = train(
        options_for(max_train_steps=6, save_every_n_steps=2, save_every_n_epochs=1, save_precision="fp16"), reporter=reporter
    )
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "x-000001.safetensors",
        "x-step00000002.safetensors",
        "x-step00000004.safetensors",
        "x-step00000006.safetensors",
        "x.safetensors",
    ]
    assert (result.path, result.step, result.reason) == (out / "x.safetensors", 6, "done")
    found = {path.name: files.read_metadata(path) for path in out.iterdir()}
    counts = {name: (values["ss_steps"], values["ss_epoch"]) for name, values in found.items()}
    assert counts == {  # as in golden/resume.json: a step's file counts the epochs that are over, the last file all of them
        "x-step00000002.safetensors": ("2", "0"),
        "x-step00000004.safetensors": ("4", "0"),
        "x-000001.safetensors": ("4", "1"),
        "x-step00000006.safetensors": ("6", "1"),
        "x.safetensors": ("6", "2"),
    }
    last = found["x.safetensors"]
    assert (last["ss_num_epochs"], last["ss_max_train_steps"], last["ss_seed"]) == ("2", "6", "5")
    assert last["ss_optimizer"] == "torch.optim.adamw.AdamW" and len(last["ss_new_sd_model_hash"]) == 64
    assert {tensor.dtype for tensor in load_file(out / "x.safetensors").values()} == {torch.float16}


@pytest.mark.effect("max_train_steps")
def test_events_tell_the_whole_story_in_order(options_for):
    reporter = Recorder()
    train(options_for(max_train_steps=2), reporter=reporter)
    kinds = [event["type"] for event in reporter.events if event["type"] != "phase"]
    assert kinds == ["started", "step", "step", "saved", "finished"]
    started, step = reporter.of("started")[0], reporter.of("step")[-1]
    assert (started["total_steps"], started["steps_per_epoch"], started["epochs"]) == (2, 4, 1)
    assert step["step"] == 2 and step["epoch"] == 1 and step["lr"] == 1e-3
    assert step["seconds_per_step"] > 0 and step["samples_per_second"] > 0 and step["seconds_left"] == 0
    assert step["loss_average"] == pytest.approx(sum(reporter.losses) / 2)
    assert reporter.of("finished")[0]["reason"] == "done" and reporter.of("saved")[0]["final"]
    aside = [event["name"] for event in reporter.of("phase") if event.get("aside")]
    assert aside == ["saving x.safetensors", ""], "what is done is named, and that it is done"
    phases = [event["name"] for event in reporter.of("phase")]
    for earlier, later in zip(["reading the images", "loading the model"], ["loading the model", "training"], strict=True):
        assert phases.index(earlier) < phases.index(later)


@pytest.mark.parametrize("cached", [True, False])
def test_data_loader_workers_change_no_byte(options_for, tmp_path, cached, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    runs = {}
    for workers in (0, 1, 2) if not cached else (0, 2):
        reporter = Recorder()
        name = f"w{workers}"
        options = options_for(output_name=name, max_data_loader_n_workers=workers, cache_latents=cached, max_train_steps=5)
        train(options, reporter=reporter)
        runs[name] = reporter.losses
    assert len(runs["w0"]) == 5 and all(losses == runs["w0"] for losses in runs.values())
    assert all(tensors_equal(tmp_path / "out" / f"{name}.safetensors", tmp_path / "out" / "w0.safetensors") for name in runs)


def test_stop_ends_after_the_step_and_saves_what_was_trained(options_for, tmp_path):
    reporter = Recorder(lambda event: Control(stop=True) if event.get("step") == 2 else None)
    result = train(options_for(max_train_steps=50), reporter=reporter)
    assert (result.step, result.reason) == (3, "stopped")
    assert files.read_metadata(tmp_path / "out" / "x.safetensors")["ss_steps"] == "3"
    assert reporter.of("finished")[0]["reason"] == "stopped"


@pytest.mark.parametrize("asked_at", [2, 3])
def test_a_stop_asked_in_the_last_step_is_no_stop(options_for, asked_at):
    """Asked for while step 3 of 3 is made, or after it."""
    reporter = Recorder(lambda event: Control(stop=True) if event.get("step") == asked_at else None)
    assert train(options_for(max_train_steps=3), reporter=reporter).reason == "done"
    assert reporter.of("finished")[0]["reason"] == "done" and reporter.of("saved")[-1]["final"]
    assert files.read_metadata(reporter.of("saved")[-1]["path"])["ss_epoch"] == "1"


def test_stop_before_the_first_step_writes_no_file(options_for, tmp_path):
    reporter = Recorder(lambda event: Control(stop=True) if event.get("name") == "encoding the images" else None)
    result = train(options_for(), reporter=reporter)
    assert (result.path, result.reason) == (None, "stopped") and not list(tmp_path.glob("out/*.safetensors"))


def test_ctrl_c_is_a_clean_stop(options_for):
    before = signal.getsignal(signal.SIGINT)
    reporter = Recorder(lambda event: os.kill(os.getpid(), signal.SIGINT) if event.get("step") == 1 else None)
    result = train(options_for(max_train_steps=50), reporter=reporter)
    assert result.reason == "stopped" and result.path.is_file() and result.step == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_save_now_saves_once(options_for):
    reporter = Recorder(lambda event: Control(save=1) if event.get("step") == 2 else None)
    train(options_for(max_train_steps=4), reporter=reporter)
    assert reporter.saved in (["x-step00000002.safetensors", "x.safetensors"], ["x-step00000003.safetensors", "x.safetensors"])


@pytest.mark.effect("save_last_n_steps")
def test_older_files_are_removed(options_for, tmp_path):
    train(options_for(max_train_steps=5, save_every_n_steps=1, save_last_n_steps=2), reporter=Recorder())
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == [
        "x", "x-step00000003", "x-step00000004", "x-step00000005",
    ]  # fmt: skip


def test_the_files_of_an_earlier_training_of_the_same_name_are_kept(options_for, tmp_path):
    out, first = tmp_path / "out", Recorder()
    train(options_for(seed=1, max_train_steps=2, save_every_n_steps=2), reporter=first)
    (out / "x-mine.safetensors").write_bytes(b"not of a training")
    (out / "x-step00000001.safetensors.ab12.tmp").write_bytes(b"half of it")  # killed before its first state was whole
    assert not first.of("warning")
    for seed in (2, 3):
        again = Recorder()
        train(options_for(seed=seed, max_train_steps=2, save_every_n_steps=1, save_last_n_steps=1), reporter=again)
        said = again.of("warning")[0]["message"]
        assert "x-step00000002.safetensors" in said and "x.safetensors" in said and "x-mine" not in said
        assert again.events.index(again.of("warning")[0]) < again.events.index(again.of("step")[0])
    seeds = {path.name: files.read_metadata(path)["ss_seed"] for path in (out / ".replaced").iterdir()}
    assert seeds == {
        "x.safetensors": "1", "x-2.safetensors": "2",
        "x-step00000002.safetensors": "1", "x-step00000002-2.safetensors": "2", "x-step00000001.safetensors": "2",
    }  # fmt: skip
    assert files.read_metadata(out / "x.safetensors")["ss_seed"] == "3" and (out / "x-mine.safetensors").is_file()
    assert not list(out.glob("*.tmp"))


def test_weights_are_on_the_disk_before_a_sample_is_drawn(options_for, tmp_path):
    (tmp_path / "prompts.txt").write_text("a frog --w 64 --h 64 --s 1 --d 7\n", encoding="utf-8")
    reporter = Recorder()
    train(
        options_for(
            max_train_steps=2, sample_prompts=str(tmp_path / "prompts.txt"), sample_every_n_steps=1, save_every_n_steps=1
        ),
        reporter=reporter,
    )
    order = [(event["type"], event["step"]) for event in reporter.events if event["type"] in {"saved", "sample"}]
    assert order == [("saved", 1), ("sample", 1), ("saved", 2), ("sample", 2), ("saved", 2)]
    picture = Path(reporter.of("sample")[0]["path"])
    assert picture.parent == tmp_path / "out" / "sample" and picture.name.startswith("x_000001_00_")


def test_what_is_saved_before_a_sample_does_not_take_the_final_name(options_for, tmp_path, monkeypatch):
    (tmp_path / "prompts.txt").write_text("a frog --w 64 --h 64 --s 1 --d 7\n", encoding="utf-8")
    there: list[list[str]] = []
    monkeypatch.setattr(previews.preview, "draw", lambda *_, **__: there.append(names(tmp_path / "out")) or [])
    chosen = {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 1, "save_every_n_steps": 2}
    train(options_for(max_train_steps=3, **chosen), reporter=Recorder())
    assert there == [["x-unfinished"], ["x-step00000002"], ["x-step00000002", "x-unfinished"]]
    assert names(tmp_path / "out") == ["x", "x-step00000002"]


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir() if path.is_file())


def test_drawing_samples_changes_nothing_of_the_training(options_for, tmp_path):
    (tmp_path / "prompts.txt").write_text("a frog --w 64 --h 64 --s 2\n", encoding="utf-8")
    without, drawing = Recorder(), Recorder()
    train(options_for(output_name="without"), reporter=without)
    prompts = str(tmp_path / "prompts.txt")
    train(
        options_for(output_name="with", sample_prompts=prompts, sample_every_n_steps=1, sample_at_first=True), reporter=drawing
    )
    assert len(drawing.of("sample")) == 4 and drawing.losses == without.losses
    assert tensors_equal(tmp_path / "out" / "with.safetensors", tmp_path / "out" / "without.safetensors")


def test_a_text_encoder_that_is_not_trained_runs_once_per_caption(options_for, monkeypatch):
    encoded = []
    real = TextStates._encode
    monkeypatch.setattr(TextStates, "_encode", lambda self, c: encoded.extend(c) or real(self, c))
    train(options_for(network_train_unet_only=True, max_train_steps=9), reporter=Recorder())
    assert sorted(encoded) == [f"sls frog, colour {i}" for i in range(4)]
    encoded.clear()
    train(options_for(max_train_steps=3), reporter=Recorder())
    assert len(encoded) == 3  # trained: at every step


def test_a_caption_that_is_cut_is_named(options_for, tmp_path):
    (tmp_path / "long").mkdir()
    folder = make_images(tmp_path / "long" / "1_sls frog", 2)
    (folder / "0.txt").write_text("frog, " * 40, encoding="utf-8")
    reporter = Recorder()
    train(options_for(train_data_dir=str(tmp_path / "long"), max_train_steps=1), reporter=reporter)
    (warning,) = [event["message"] for event in reporter.of("warning") if "tokens" in event["message"]]
    assert "more than 75 tokens" in warning and "0.png" in warning and "1.png" not in warning
    assert "max_token_length" in warning


def test_shuffled_captions_are_encoded_when_they_come_up(options_for):
    reporter = Recorder()
    train(options_for(network_train_unet_only=True, shuffle_caption=True, max_train_steps=5), reporter=reporter)
    assert len(reporter.losses) == 5


@pytest.mark.effect("mixed_precision")
def test_precision_on_the_cpu(options_for):
    reporter = Recorder()
    train(options_for(mixed_precision="bf16", max_train_steps=1), reporter=reporter)
    assert reporter.of("started")[0]["precision"] == "bfloat16" and not reporter.of("warning")
    reporter = Recorder()
    train(options_for(mixed_precision="fp16", max_train_steps=1), reporter=reporter)
    assert reporter.of("started")[0]["precision"] == "float32" and "fp16" in reporter.of("warning")[0]["message"]


@pytest.mark.effect("max_train_epochs")
def test_epochs_win_over_steps(options_for):
    reporter = Recorder()
    train(options_for(max_train_epochs=1, max_train_steps=7, gradient_accumulation_steps=3), reporter=reporter)
    assert reporter.of("started")[0]["total_steps"] == 2 and len(reporter.losses) == 2  # 4 batches: 3 and 1


@pytest.mark.effect("learning_rate", "unet_lr")
def test_learning_rates_follow_the_schedule(options_for):
    reporter = Recorder()
    train(options_for(max_train_steps=4, lr_scheduler="linear", unet_lr=1e-3, learning_rate=5e-4), reporter=reporter)
    assert [event["lr"] for event in reporter.of("step")] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert reporter.of("step")[0]["rates"] == {"text_encoder": 5e-4, "unet": 1e-3}


@pytest.mark.effect("scale_weight_norms")
def test_weight_norms_are_limited(options_for, tmp_path):
    train(options_for(scale_weight_norms=0.01, learning_rate=0.05, network_alpha=4), reporter=Recorder())
    tensors = load_file(tmp_path / "out" / "x.safetensors")
    for name in {key.split(".")[0] for key in tensors}:
        up, down = (tensors[f"{name}.lora_{half}.weight"].flatten(1) for half in ("up", "down"))
        assert torch.linalg.norm(up @ down) * tensors[f"{name}.alpha"] / 4 <= 0.0101
