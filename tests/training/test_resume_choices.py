"""Which state a training goes on from, what it refuses, and what becomes of the states and files of others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lora_trainer.errors import InputError, InputErrors, OutOfMemoryError, SaveError
from lora_trainer.networks import files
from lora_trainer.options import config_file
from lora_trainer.runs import folder as run_folder
from lora_trainer.runs import states
from lora_trainer.runs.control import Control
from lora_trainer.runs.events import read_events
from lora_trainer.training import worker
from lora_trainer.training.checkpoint import SavePlan
from lora_trainer.training.position import Position
from lora_trainer.training.state_saver import StateSaver
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder, short_training
from .killing import assert_same_file, losses

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "resume.json"


@pytest.fixture(scope="module")
def done(tiny_sd1, pictures, tmp_path_factory) -> Path:
    """The folder of a training of 3 steps with a state after each. Nothing may be changed in it."""
    folder = tmp_path_factory.mktemp("done")
    options = short_training(tiny_sd1, pictures, folder, save_state=True, save_every_n_steps=1)
    train(options, reporter=Recorder())
    return folder


@pytest.fixture
def copied(done, tmp_path) -> Path:
    """A copy of it where a test's trainings write to."""
    return Path(shutil.copytree(done, tmp_path / "out"))


def test_the_newest_whole_state_is_taken_and_a_damaged_one_said(options_for, copied):
    shutil.rmtree(copied / "x-state")
    (copied / "x-step00000003-state" / "optimizer.safetensors").write_bytes(b"cut")
    for resume in ("latest", str(copied)):
        reporter = Recorder()
        train(options_for(resume=resume, output_name="x"), reporter=reporter)
        assert reporter.of("resumed")[0]["path"] == str(copied / "x-step00000002-state")
        assert any("optimizer.safetensors has 3 bytes" in event["message"] for event in reporter.of("warning"))
        assert [event["step"] for event in reporter.of("step")] == [3]


def test_a_damaged_state_that_was_named_is_refused_with_the_newest_whole_one(options_for, copied):
    (copied / "x-state" / "network.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="network.safetensors has 3 bytes") as error:
        train(options_for(resume=str(copied / "x-state")), reporter=Recorder())
    assert str(copied / "x-step00000003-state") in error.value.advice
    for state in states.states_of(copied, "x"):
        (state / "network.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="every state of x in .* is damaged"):
        train(options_for(resume="latest"), reporter=Recorder())


def test_without_any_state_latest_begins_at_the_beginning_and_says_so(options_for):
    reporter = Recorder()
    train(options_for(resume="latest", max_train_steps=1), reporter=reporter)
    assert "begins at the beginning" in reporter.of("warning")[0]["message"] and len(reporter.of("step")) == 1


def test_a_state_of_sd_scripts_is_refused_with_what_to_do(options_for, tmp_path):
    folder = tmp_path / "x-state"
    folder.mkdir()
    (folder / "train_state.json").write_text("{}")
    (folder / "optimizer.bin").write_bytes(b"pickled")
    with pytest.raises(InputError, match="is a state of sd-scripts .* network_weights"):
        train(options_for(resume=str(folder)), reporter=Recorder())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"network_dim": 8}, "network_dim was 4 when the state was saved and is 8 now; that cannot be changed"),
        ({"optimizer_type": "SGD"}, "optimizer_type was AdamW"),
        ({"unet_lr": 0.0}, "other groups of parameters: text_encoder, unet; now they are text_encoder"),
        ({"max_train_steps": 2}, "the state is of step 3, but the training has only 2 steps"),
    ],
    ids=["rank", "optimizer", "parts", "steps"],
)
def test_what_a_state_cannot_go_on_as_is_refused(options_for, done, tmp_path, changed, said):
    with pytest.raises((InputError, InputErrors), match=said):
        train(options_for(resume=str(done / "x-state"), **{"max_train_steps": 5} | changed), reporter=Recorder())
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_changed_settings_are_told_count_and_leave_the_files_of_before(options_for, copied):
    """Twice the rate from step 3 on: the rates are the new ones, and what was trained with the old ones is kept."""
    reporter = Recorder()
    options = options_for(resume=str(copied / "x-step00000002-state"), learning_rate=2e-3, save_every_n_steps=1)
    train(options, reporter=reporter)
    said = [event["message"] for event in reporter.of("warning")]
    assert any("learning_rate was 0.001 when the state was saved and is 0.002 now" in text for text in said)
    assert [event["lr"] for event in reporter.of("step")] == [2e-3]
    kept = sorted(path.name for path in (copied / ".replaced").iterdir())
    assert kept == ["x-step00000003.safetensors", "x.safetensors"]
    before, after = (
        files.read_metadata(path)["ss_session_id"]
        for path in (copied / ".replaced" / "x.safetensors", copied / "x.safetensors")
    )
    assert before != after


def test_what_a_run_wrote_stays_its_own_when_its_worker_goes_on_with_other_settings(options_for, done, tmp_path):
    folder = tmp_path / "run"
    options = options_for(
        output_dir=str(folder / "output"), learning_rate=2e-3, max_train_steps=4, save_state_every_n_minutes=5
    )
    run = run_folder.create(folder, config=config_file.to_toml(options), dataset="", prompts="", request={})
    shutil.copytree(done, run.output, dirs_exist_ok=True)
    shutil.copytree(run.output / "x-state", states.rolling_folder(run.output, "x") / "step00000003-state")
    shutil.copy(run.output / "x.safetensors", run.output / "x-live.safetensors")
    run.resume.write_text('{"asked": 1}')
    assert worker.main([str(run.path)]) == 0
    events = read_events(run.events)[0]
    said = [event["message"] for event in events if event["type"] == "warning"]
    assert any("learning_rate was 0.001" in text for text in said)
    assert not any("an earlier training" in text for text in said) and not (run.output / ".replaced").exists()
    assert [event["step"] for event in events if event["type"] == "step"] == [4]


def test_from_the_last_state_only_the_file_is_written_again(options_for, done, copied):
    (copied / "x.safetensors").unlink()
    reporter = Recorder()
    result = train(options_for(resume="latest", save_every_n_steps=1), reporter=reporter)
    assert (result.step, result.reason, reporter.of("step")) == (3, "done", [])
    assert_same_file(done / "x.safetensors", copied / "x.safetensors")
    assert not (copied / ".replaced").exists()


@pytest.mark.parametrize("epochs", [False, True])
def test_further_steps_are_those_of_a_longer_training(options_for, tmp_path, epochs):
    """With a constant rate: 6 steps in an epoch and a half (or 2 epochs), then to 12."""
    short, long = (
        ({"max_train_epochs": 1}, {"max_train_epochs": 3}) if epochs else ({"max_train_steps": 6}, {"max_train_steps": 12})
    )
    whole, first, second = Recorder(), Recorder(), Recorder()
    train(options_for(output_dir=str(tmp_path / "whole"), **long), reporter=whole)
    train(options_for(save_state_on_train_end=True, **short), reporter=first)
    result = train(options_for(resume=str(tmp_path / "out" / "x-state"), **long), reporter=second)
    assert losses([first, second]) == losses([whole]) and result.step == 12
    told = "".join(event["message"] for event in second.of("warning"))
    assert "max_train" not in told, "it was wanted"
    assert "schedule" not in told, "the rate stays"
    assert_same_file(tmp_path / "whole" / "x.safetensors", result.path)


def test_further_steps_say_what_they_do_to_a_rate_that_changes(options_for, copied):
    reporter = Recorder()
    train(options_for(resume="latest", max_train_steps=4, lr_scheduler="cosine"), reporter=reporter)
    told = "".join(event["message"] for event in reporter.of("warning"))
    assert "follows its schedule (cosine) over all 4 steps" in told and "max_train" not in told


@pytest.mark.parametrize("at", [3, 4])
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(options_for, tmp_path, at):
    """Stopped within an epoch, and at its end, before what its end brings: that is done when it goes on."""
    chosen = {"max_train_steps": 10, "save_every_n_epochs": 1}
    whole, first, second = (
        Recorder(),
        Recorder(lambda event: Control(stop=True) if event.get("step") == at - 1 else None),
        Recorder(),
    )
    train(options_for(output_dir=str(tmp_path / "whole"), **chosen), reporter=whole)
    stopped = train(options_for(save_state_every_n_minutes=60, **chosen), reporter=first)
    assert (stopped.step, stopped.reason) == (at, "stopped")
    result = train(options_for(resume="latest", save_state_every_n_minutes=60, **chosen), reporter=second)
    assert losses([first, second]) == losses([whole])
    assert_same_file(tmp_path / "whole" / "x.safetensors", result.path)
    assert_same_file(tmp_path / "whole" / "x-000001.safetensors", tmp_path / "out" / "x-000001.safetensors")


def test_what_is_asked_of_a_resumed_worker_before_it_has_loaded_its_state_is_done(options_for, tmp_path):
    """Its control file was begun anew: all that is in it was asked of this worker, however often the one before was asked."""
    first = Recorder(lambda event: Control(save=1, sample=1, live=1) if event.get("step") == 1 else None)
    train(options_for(save_state_on_train_end=True, max_train_steps=3), reporter=first)
    assert sum("step0000" in name for name in first.saved) == 1
    for control, count in ((Control(save=1, live=1), 1), (Control(), 0)):
        again = Recorder(lambda event, control=control: control)
        chosen = {"resume": str(tmp_path / "out" / "x-state"), "max_train_steps": 5, "output_dir": str(tmp_path / str(count))}
        train(options_for(**chosen), reporter=again)
        assert sum("step0000" in name for name in again.saved) == count
        assert len(again.of("live")) == count


def test_the_rates_and_steps_are_the_rest_of_the_references_training_that_was_never_stopped(options_for, pictures, tmp_path):
    """golden/resume.json: 3 pictures, 8 steps, a linear schedule. Its own resumed run trains 6 batches more."""
    cases = {case["name"]: case for case in json.loads(GOLDEN.read_text())["cases"]}
    never, resumed = cases["never stopped, 8 steps"], cases["resumed from step 4"]
    data = tmp_path / "three"
    shutil.copytree(pictures, data)
    for name in ("3.png", "3.txt"):
        (data / "1_sls frog" / name).unlink()
    chosen = {
        "train_data_dir": str(data),
        "max_train_steps": 8,
        "lr_scheduler": "linear",
        "save_every_n_steps": 2,
        "save_state": True,
    }
    first, second = Recorder(), Recorder()
    train(options_for(output_name="r", **chosen), reporter=first)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(never["output_dir"])
    train(options_for(output_name="r", **chosen, resume=str(out / "r-step00000004-state")), reporter=second)
    rates = [event["lr"] for event in second.of("step")]
    assert rates == pytest.approx(never["learning_rate_of_each_optimizer_step"][4:])
    assert len(rates) == 4 < resumed["batches_trained"]
    found = {path.name: files.read_metadata(path) for path in out.glob("*.safetensors")}
    assert {name: {key: values[key] for key in never["files"][name]} for name, values in found.items()} == never["files"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """A piece that takes so many seconds to be saved."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def state_dict(self) -> dict:
        self.clock.now += self.seconds
        return {}

    def load_state_dict(self, state) -> None:
        """Nothing."""


def saver(folder: Path, seconds: float, *, minutes: float = 5, session: int = 1) -> tuple[StateSaver, Clock, Recorder]:
    clock, reporter = Clock(), Recorder()
    facts = {"session": {"id": session}}
    made = StateSaver(
        SavePlan(folder=folder, name="x"), {"slow": Slow(clock, seconds)}, facts, reporter.emit, minutes=minutes, clock=clock
    )
    made.begin(0)
    return made, clock, reporter


@pytest.mark.parametrize(("seconds", "apart"), [(0.5, 300), (6.0, 600)], ids=["quick", "slow"])
@pytest.mark.parametrize("at_save", [False, True])
def test_rolling_states_take_one_percent_of_the_time_at_most(tmp_path, seconds, apart, at_save):
    """Steps of a second: every five minutes, where a state takes six seconds every ten; at a save when the share allows."""
    made, clock, reporter = saver(tmp_path, seconds)
    at = []
    for step in range(1, 3001):
        clock.now += 1.0
        before = len(reporter.of("state"))
        made.after(step, Position(0, step), [tmp_path / "x.safetensors"] if at_save else [])
        at += [clock.now] if len(reporter.of("state")) > before else []
    gaps = [later - earlier for earlier, later in zip(at[1:], at[2:], strict=False)]
    wanted = seconds * 100 if at_save else apart
    assert all(wanted <= gap - seconds <= wanted + 1.5 for gap in gaps), gaps
    assert len(at) * seconds <= 0.011 * clock.now + 2 * seconds
    kept = states.states_in(made.folder)
    assert [states.read_state(path).step for path in kept] == [event["step"] for event in reporter.of("state")][:-3:-1]


def test_the_states_of_an_earlier_training_are_said_and_put_away(tmp_path):
    earlier, clock, _ = saver(tmp_path, 0.0, session=1)
    clock.now += 1000
    earlier.after(7, Position(0, 7), [])
    made, clock, reporter = saver(tmp_path, 0.0, session=2)
    (said,) = reporter.of("warning")
    assert "after step 7" in said["message"] and "resume=latest" in said["message"]
    clock.now += 1000
    made.after(3, Position(0, 3), [])
    assert [states.read_state(path).step for path in states.states_in(made.folder)] == [3]
    assert states.read_state(tmp_path / ".replaced" / "x-step00000007-state").step == 7
    made.remove_rolling()
    assert [path.name for path in tmp_path.iterdir()] == [".replaced"]


def test_a_state_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch):
    made, clock, reporter = saver(tmp_path, 0.0)

    def full(*_):
        raise SaveError("the training state could not be written: No space left on device.")

    monkeypatch.setattr(states, "write_state", full)
    clock.now += 1000
    made.after(3, Position(0, 3), [])
    assert not reporter.of("state") and "No space left on device. Training goes on." in reporter.of("warning")[0]["message"]


def test_a_training_whose_memory_was_full_goes_on_from_its_last_whole_step(options_for, tmp_path, monkeypatch):
    chosen, real = {"max_train_steps": 5, "ema_decay": 0.5}, Trainee.batch_loss

    def full(self, batch, *, step, **rest):
        if step == 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, step=step, **rest)

    whole, first, second = Recorder(), Recorder(), Recorder()
    train(options_for(output_dir=str(tmp_path / "whole"), **chosen), reporter=whole)
    with monkeypatch.context() as patch, pytest.raises(OutOfMemoryError):
        patch.setattr(Trainee, "batch_loss", full)
        train(options_for(save_state_every_n_minutes=60, **chosen), reporter=first)
    result = train(options_for(resume="latest", save_state_every_n_minutes=60, **chosen), reporter=second)
    assert [event["step"] for event in second.of("step")] == [4, 5]
    assert losses([first, second]) == losses([whole])
    assert_same_file(tmp_path / "whole" / "x.safetensors", result.path)
