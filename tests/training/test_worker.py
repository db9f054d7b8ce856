"""The worker process: what it tells in the run's folder, how it ends, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lora_trainer import optional_packages
from lora_trainer.errors import InputError, InputErrors, NotFiniteError, StoreError
from lora_trainer.options import config_file
from lora_trainer.runs import events
from lora_trainer.runs import folder as run_folder
from lora_trainer.runs.events import RunReporter, read_events
from lora_trainer.runs.folder import RunFolder, WorkerProcess
from lora_trainer.training import session, worker

from .conftest import Recorder

ROOT = Path(__file__).resolve().parents[2]
# Of a plain LoRA training: what only other options use, other commands, the page, or packages that happen to be installed.
# (PyTorch's compiler itself is there: transformers, diffusers and each optimizer of PyTorch import it.)
_NAMES = """
    IPython bitsandbytes cv2 dadaptation fastapi gradio jax lion_pytorch lycoris matplotlib onnx onnxruntime opentelemetry
    pandas peft prodigyopt pydantic pytest schedulefree scipy sklearn starlette tensorboard tensorboardX
    tensorflow torchvision uvicorn wandb xformers
    torch._inductor.codegen torch._inductor.compile_fx torch.utils.tensorboard
    diffusers.pipelines accelerate.test_utils transformers.models.llama transformers.models.t5 transformers.pipelines
    lora_trainer.api lora_trainer.apps lora_trainer.captioning lora_trainer.datasets lora_trainer.demo lora_trainer.grids
    lora_trainer.hosts lora_trainer.recipes lora_trainer.tools lora_trainer.ui
"""
NOT_NEEDED = _NAMES.split()


@pytest.fixture
def run(options_for, tmp_path) -> RunFolder:
    """A run's folder, ready to be trained for many steps with a file after each."""
    options = options_for(output_dir=str(tmp_path / "run" / "output"), max_train_steps=500, save_every_n_steps=1)
    return run_folder.create(tmp_path / "run", config=config_file.to_toml(options), dataset="", prompts="", request={})


def start(run: RunFolder, *flags: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with run.log.open("wb") as log:
        words = [sys.executable, *flags, "-m", "lora_trainer", "worker", str(run.path)]
        return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)


def wait_for(run: RunFolder, kind: str, process: subprocess.Popen, count: int = 1) -> list[dict]:
    for _ in range(6000):
        events = [event for event in read_events(run.events)[0] if event["type"] == kind]
        if len(events) >= count:
            return events
        assert process.poll() is None, run.log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"no {kind} event: {run.log.read_text()}")


def test_a_killed_worker_leaves_its_last_file_whole_and_a_second_one_is_refused_while_it_lives(run):
    process = start(run)
    try:
        wait_for(run, "saved", process, count=2)
        assert time.time() - run.heartbeat.stat().st_mtime < 30
        assert run.worker().pid == process.pid and run.worker().is_alive()
        second = subprocess.run(
            [sys.executable, "-m", "lora_trainer", "worker", str(run.path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert second.returncode == 1 and f"process {process.pid}" in second.stderr
    finally:
        process.kill()
        process.wait()
    assert not run.worker().is_alive()
    saved = [event for event in read_events(run.events)[0] if event["type"] == "saved"]
    for event in saved:
        assert load_file(event["path"])
    assert not any(event["type"] in {"finished", "failed"} for event in read_events(run.events)[0])


@pytest.mark.skipif(os.name != "posix", reason="Windows has no polite signal")
def test_a_terminated_worker_stops_cleanly_and_has_imported_only_what_a_training_needs(run):
    process = start(run, "-X", "importtime")
    wait_for(run, "step", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0, run.log.read_text()
    finished = [event for event in read_events(run.events)[0] if event["type"] == "finished"]
    assert finished[0]["reason"] == "stopped" and Path(finished[0]["path"]).name == "x.safetensors"
    imported = set(re.findall(r"^import time:.*\| *(\S+)$", run.log.read_text("utf-8"), flags=re.MULTILINE))
    imported -= optional_packages.HIDDEN  # asked for in vain: what is there brings more than its own name
    assert {"torch", "lora_trainer.training.loop", "diffusers.models.unets.unet_2d_condition"} <= imported
    assert sorted(name for name in imported if any(f"{name}.".startswith(f"{one}.") for one in NOT_NEEDED)) == []


def test_the_worker_trains_in_process_and_says_so(options_for, tmp_path):
    options = options_for(max_train_steps=1)
    run = run_folder.create(tmp_path / "run", config=config_file.to_toml(options), dataset="", prompts="", request={})
    assert worker.main([str(run.path)]) == 0
    kinds = [event["type"] for event in read_events(run.events)[0]]
    assert kinds[-1] == "finished" and {"started", "step", "saved"} <= set(kinds)


def test_a_bad_configuration_is_told_as_a_failure(options_for, tmp_path):
    config = config_file.to_toml(options_for()).replace("networks.lora", "networks.nothing")
    run = run_folder.create(tmp_path / "run", config=config, dataset="", prompts="", request={})
    assert worker.main([str(run.path)]) == 2
    event = read_events(run.events)[0][-1]
    assert event["type"] == "failed" and "networks.nothing" in event["message"]
    assert event["errors"][0]["field"] == "network_module"


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run"):
        worker.main([str(tmp_path)])
    with pytest.raises(InputError, match="RUN_FOLDER"):
        worker.main([])


def test_a_run_of_another_living_worker_is_refused(run):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
    try:
        run.note_worker(WorkerProcess.of(other.pid))
        with pytest.raises(StoreError, match=str(other.pid)):
            worker.main([str(run.path)])
    finally:
        other.kill()
        other.wait()


def test_a_run_whose_folder_is_deleted_stops_and_saves_what_was_trained(run, monkeypatch):
    """In process, so that nothing has to be waited for: the folder goes after the second step."""
    monkeypatch.setattr(events, "_SECONDS_BETWEEN_LOOKS", 0.0)
    emit = RunReporter.emit

    def delete(self, event):
        emit(self, event)
        if event["type"] == "step" and event["step"] == 2:
            shutil.rmtree(run.path)

    monkeypatch.setattr(RunReporter, "emit", delete)
    assert worker.main([str(run.path)]) == 0
    assert load_file(run.output / "x.safetensors")
    assert not run.config.exists()


def test_a_heartbeat_that_cannot_be_written_costs_no_training(options_for, tmp_path, monkeypatch):
    monkeypatch.setattr(events, "_SECONDS_BETWEEN_LOOKS", 0.0)
    config = config_file.to_toml(options_for(max_train_steps=1))
    run = run_folder.create(tmp_path / "run", config=config, dataset="", prompts="", request={})
    touch = Path.touch

    def full(self, *rest):
        if self == run.heartbeat:
            raise OSError(28, "No space left on device")
        return touch(self, *rest)

    monkeypatch.setattr(Path, "touch", full)
    assert worker.main([str(run.path)]) == 0
    assert read_events(run.events)[0][-1]["type"] == "finished"


class Raising(Recorder):
    """A reporter whose events cannot be written."""

    def emit(self, event):
        raise OSError(28, "No space left on device")


def test_events_that_cannot_be_written_cost_no_training(options_for):
    assert session.run(lambda: options_for(max_train_steps=1), Raising()) == 0


def test_failures_carry_kind_message_advice_and_step():
    event = session.failed(NotFiniteError("The loss became NaN at step 7.", advice="Lower it."), 7)
    assert event == {
        "type": "failed",
        "kind": "NotFiniteError",
        "message": "The loss became NaN at step 7.",
        "advice": "Lower it.",
        "step": 7,
    }
    several = session.failed(InputErrors([InputError("a is wrong.", field="a"), InputError("b is wrong.", field="b")]), 0)
    assert [error["field"] for error in several["errors"]] == ["a", "b"] and "b is wrong" in several["message"]
    bug = session.failed(KeyError("x"), 1)
    assert bug["kind"] == "KeyError" and "report" in bug["advice"]
    assert json.dumps([event, several, bug])


def test_a_mistake_of_the_program_ends_as_a_failed_run(options_for, monkeypatch):
    def broken():
        raise ZeroDivisionError("division by zero")

    reporter = Recorder()
    assert session.run(broken, reporter) == 1
    assert reporter.events[-1]["kind"] == "ZeroDivisionError"
