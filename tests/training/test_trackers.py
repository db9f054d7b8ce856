"""Logs: TensorBoard's files are read back, Weights & Biases is a stand-in that records what it is told."""

from __future__ import annotations

import re
import struct
import sys
import types
from pathlib import Path

import pytest

from lora_trainer.errors import InputError, InputErrors, NotInstalledError
from lora_trainer.training import tracked, trackers
from lora_trainer.training.train import train

from .conftest import Recorder

KEY = "0123456789abcdef0123456789abcdef01234567"


def events_in(folder: Path):
    """The events in the files of TensorBoard below `folder`: records of length, checksum, message, checksum (TFRecord)."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            yield event_pb2.Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events_in(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


class FakeRun:
    def __init__(self, **how) -> None:
        self.how, self.told, self.finished, self.config = how, [], False, types.SimpleNamespace(update=self._configure)
        self.configuration: dict = {}

    def _configure(self, values, **_) -> None:
        self.configuration |= values

    def log(self, values, step=None, **_) -> None:
        if getattr(self, "fails_at", None) == values.get("global_step"):
            raise ConnectionError("no route to the server\nsecond line")
        self.told.append(dict(values))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package: `runs` are those that were begun."""
    fake = types.ModuleType("wandb")
    fake.runs, fake.keys = [], []

    def init(**how):
        import os

        fake.keys.append(os.environ.get("WANDB_API_KEY"))
        fake.runs.append(FakeRun(**how))
        fake.config = fake.runs[-1].config
        return fake.runs[-1]

    fake.init = init
    fake.Image = lambda path, caption="": ("image", Path(path).name, caption)
    fake.__spec__ = types.SimpleNamespace(name="wandb")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    return fake


@pytest.mark.effect("logging_dir", "log_prefix", "log_tracker_name")
def test_tensorboard_draws_what_the_events_told(options_for, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a frog --w 64 --h 64 --s 1 --d 1\na cat --w 64 --h 64 --s 1 --d 2\n")
    reporter = Recorder()
    options = options_for(
        logging_dir=str(tmp_path / "logs"),
        log_prefix="frog_",
        log_tracker_name="first",
        max_train_steps=5,
        text_encoder_lr=[5e-4],
        lr_scheduler="linear",
        sample_prompts=str(prompts),
        sample_every_n_steps=5,
    )
    train(options, reporter=reporter)
    (dated,) = (tmp_path / "logs").iterdir()
    assert re.fullmatch(r"frog_\d{14}", dated.name) and [path.name for path in dated.iterdir()] == ["first"]
    found, steps = scalars(dated), reporter.of("step")
    assert set(found) == {"loss/current", "loss/average", "loss/epoch_average", "lr/unet", "lr/textencoder"}
    wanted = {
        "loss/current": [event["loss"] for event in steps],
        "loss/average": [event["loss_average"] for event in steps],
        "lr/unet": [event["rates"]["unet"] for event in steps],
        "lr/textencoder": [event["rates"]["text_encoder"] for event in steps],
    }
    for tag, values in wanted.items():
        assert found[tag] == [(number, pytest.approx(value, rel=1e-6)) for number, value in enumerate(values, 1)], tag
    assert found["loss/epoch_average"] == [
        (1, pytest.approx(steps[3]["loss_average"], rel=1e-6)),
        (2, pytest.approx(steps[4]["loss_average"], rel=1e-6)),
    ]
    pictures = [value for event in events_in(dated) for value in event.summary.value if value.WhichOneof("value") == "image"]
    assert sorted(value.tag for value in pictures) == ["sample_0", "sample_1"]
    assert {(value.image.width, value.image.height) for value in pictures} == {(64, 64)}


def test_the_loss_on_images_kept_aside_is_drawn_too(options_for, tmp_path):
    reporter = Recorder()
    given = {"validation_split": 0.25, "validate_every_n_steps": 1, "max_train_steps": 2}
    train(options_for(logging_dir=str(tmp_path / "logs"), **given), reporter=reporter)
    measured = [(event["step"], pytest.approx(event["loss"], rel=1e-6)) for event in reporter.of("validation")]
    assert measured and scalars(tmp_path / "logs")["loss/validation/step_average"] == measured


@pytest.mark.effect("log_with", "wandb_run_name", "wandb_api_key", "log_config")
def test_weights_and_biases_is_told_the_same(options_for, tmp_path, wandb):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a frog --w 64 --h 64 --s 1 --d 1\n")
    reporter = Recorder()
    options = options_for(
        log_with="all",
        logging_dir=str(tmp_path / "logs"),
        wandb_run_name="night",
        wandb_api_key=KEY,
        log_config=True,
        max_train_steps=2,
        sample_prompts=str(prompts),
        sample_every_n_steps=2,
    )
    train(options, reporter=reporter)
    (run,) = wandb.runs
    assert (run.how["project"], run.how["name"], run.finished) == ("network_train", "night", True)
    assert Path(run.how["dir"]).parent == tmp_path / "logs" and wandb.keys == [KEY]
    first = run.told[0]
    assert first["loss/current"] == pytest.approx(reporter.losses[0]) and (first["global_step"], first["epoch"]) == (1, 1)
    assert {"sample_0": ("image", Path(reporter.of("sample")[0]["path"]).name, "a frog"), "global_step": 2} in run.told
    assert run.configuration["max_train_steps"] == 2 and run.configuration["learning_rate"] == 1e-3
    for hidden in ("wandb_api_key", "pretrained_model_name_or_path", "output_dir", "logging_dir"):
        assert hidden not in run.configuration
    assert set(scalars(tmp_path / "logs")) >= {"loss/current", "lr/unet"}, "all: TensorBoard, too"
    assert KEY not in repr(options) + repr(reporter.events)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.effect("log_tracker_config")
def test_a_file_tells_more_of_the_tracker(options_for, tmp_path, wandb):
    config = tmp_path / "trackers.toml"
    config.write_text('[wandb]\nname = "by file"\ngroup = "frogs"\n')
    given = {"log_with": "wandb", "wandb_run_name": "night", "log_tracker_config": str(config), "max_train_steps": 1}
    train(options_for(**given), reporter=Recorder())
    assert (wandb.runs[0].how["name"], wandb.runs[0].how["group"]) == ("by file", "frogs")
    config.write_text('[wandb]\nname = "a"\n\n[mlflow]\nuri = "b"\n')
    with pytest.raises(InputError, match="trackers.toml, line 4: mlflow is no table"):
        train(options_for(**given), reporter=Recorder())


def test_a_tracker_that_fails_costs_no_training(options_for, wandb, monkeypatch):
    monkeypatch.setattr(FakeRun, "fails_at", 2, raising=False)
    reporter = Recorder()
    assert train(options_for(log_with="wandb", max_train_steps=3), reporter=reporter).reason == "done"
    (warning,) = [event["message"] for event in reporter.of("warning")]
    assert warning == "The log for Weights & Biases ends here: no route to the server. The training goes on."
    assert [values["global_step"] for values in wandb.runs[0].told] == [1], "it is left alone from then on"

    def refused(**how):
        raise RuntimeError("api_key not configured (no-tty)")

    wandb.init = refused
    reporter = Recorder()
    assert train(options_for(log_with="wandb", max_train_steps=1, output_name="y"), reporter=reporter).reason == "done"
    assert "api_key not configured" in reporter.of("warning")[0]["message"]


def test_a_missing_package_is_said_before_anything_begins(options_for, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    reporter = Recorder()
    with pytest.raises(NotInstalledError, match="package wandb.* cannot be loaded.*pip install wandb"):
        train(options_for(log_with="wandb"), reporter=reporter)
    assert not reporter.of("phase")


def test_what_means_nothing_is_refused(options_for):
    for given, told in [
        ({"log_with": "tensorboard"}, "has no folder to write into"),
        ({"log_prefix": "a"}, "log_prefix has no effect without logging_dir"),
        ({"log_config": True}, "log_config has no effect without logs"),
    ]:
        with pytest.raises(InputErrors, match=told):
            options_for(**given)


def test_the_tags_are_those_of_sd_scripts():
    names = ["unet", "text_encoder", "text_encoder1", "unet_block12", "unet_plus"]
    assert [tracked.rate_tag(name) for name in names] == [
        "lr/unet", "lr/textencoder", "lr/textencoder 1", "lr/unet block 12", "lr/unet plus",
    ]  # fmt: skip
    (entry,) = tracked.logged({"type": "validation", "step": 7, "epoch": 2, "loss": 0.5, "images": 3, "best": True})
    assert entry.values == {"loss/validation/step_average": 0.5} and (entry.place, entry.epoch) == (7, 2)
    (entry,) = tracked.logged({"type": "step", "step": 1, "epoch": 1, "loss": float("nan"), "loss_average": 0.1, "rates": {}})
    assert entry.values == {"loss/average": 0.1}
    assert tracked.logged({"type": "phase", "name": "training"}) == []
    assert trackers.DEFAULT_NAME == "network_train"
