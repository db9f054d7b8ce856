"""The LoRA of a running training in the LoRA folder: under one name, whole, gone at the end unless it is kept."""

from __future__ import annotations

import json
import threading

import pytest

from lora_trainer.runs import live
from lora_trainer.runs.store import FAILED, FINISHED

from . import harness


@pytest.fixture
def training(tmp_path):
    supervisor = harness.make(tmp_path)
    yield supervisor
    for step in range(1, 4):
        (supervisor.folder("run-1").path / f"go-on-{step}").touch()
    supervisor.close()


def loras(supervisor):
    folder = supervisor.host.paths().lora_dir
    return {path.name: path.read_bytes().decode() for path in folder.glob("*.safetensors")}


def told(supervisor, path):
    return ("lora_changed", path) in supervisor.host.calls


def at_step(supervisor, step, name="frog-live"):
    """Until the file is that of `step` and the host has been told."""
    path = supervisor.host.paths().lora_dir / f"{name}.safetensors"
    harness.until(supervisor, lambda: loras(supervisor).get(path.name) == f"weights of step {step}" and told(supervisor, path))
    supervisor.host.calls.clear()
    return path


@pytest.mark.parametrize("keep", [False, True])
def test_it_is_renewed_under_one_name_and_goes_with_the_run_unless_it_is_kept(training, keep):
    harness.submit(training, "step", "live", "step", "live", "finish")
    path = at_step(training, 1)
    assert json.loads(path.with_suffix(".json").read_text())["activation text"] == "sls frog"
    folder = training.folder("run-1")
    assert live.standing(folder) == {"name": "frog-live", "step": 1, "every": None, "keep": False}
    training.live.keep(folder, keep)
    (folder.path / "go-on-1").touch()
    at_step(training, 2)
    (folder.path / "go-on-2").touch()
    assert harness.run_until(training, FINISHED).result.endswith("frog.safetensors")
    assert set(loras(training)) == {"frog.safetensors", *(["frog-live.safetensors"] if keep else [])}
    assert path.with_suffix(".json").exists() is keep and not folder.live.exists()
    harness.until(training, lambda: told(training, path))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("end", ["nan", "die"])
def test_it_goes_with_a_run_that_fails_too_even_where_the_host_was_away_at_the_end(training, tmp_path, end, keep):
    harness.submit(training, "step", "live", end)
    path = at_step(training, 1)
    folder = training.folder("run-1")
    training.live.keep(folder, keep)
    training.close()
    (folder.path / "go-on-1").touch()
    worker = folder.worker()
    harness.until(training, lambda: not worker.is_alive(), tick=False)
    other = harness.make(tmp_path)
    try:
        harness.run_until(other, FAILED)
        assert path.exists() is keep and path.with_suffix(".json").exists() is keep and not folder.live.exists()
        harness.until(other, lambda: told(other, path))
    finally:
        other.close()


def test_somebody_s_lora_of_that_name_is_left_alone(training):
    mine = training.host.paths().lora_dir / "frog-live.safetensors"
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    harness.submit(training, "step", "live", "finish")
    at_step(training, 1, "frog-live-2")
    (training.folder("run-1").path / "go-on-1").touch()
    harness.run_until(training, FINISHED)
    assert loras(training)["frog-live.safetensors"] == "mine" and set(loras(training)) == {mine.name, "frog.safetensors"}


def test_a_host_that_takes_its_time_to_see_it_holds_up_nothing(training):
    """It waits for its queue, and a picture in that may wait for the supervisor to lend it the card."""
    gate = threading.Event()
    training.live._tell = lambda path: gate.wait(200)
    harness.submit(training, "step", "live", "step", "live", "finish")
    folder = training.folder("run-1").path
    for step in (1, 2):
        harness.until(training, lambda step=step: f"weights of step {step}" in loras(training).values())
        (folder / f"go-on-{step}").touch()
    harness.run_until(training, FINISHED)
    gate.set()
    assert set(loras(training)) == {"frog.safetensors"}


def test_another_host_goes_on_with_the_same_file(training, tmp_path):
    harness.submit(training, "step", "live", "step", "live", "finish")
    at_step(training, 1)
    training.close()
    other = harness.make(tmp_path)
    try:
        harness.until(other, lambda: other.store.active() is not None)
        assert (
            not other.host.calls
            or ("lora_changed", other.host.paths().lora_dir / "frog-live.safetensors") not in other.host.calls
        )
        (other.folder("run-1").path / "go-on-1").touch()
        at_step(other, 2)
        (other.folder("run-1").path / "go-on-2").touch()
        harness.run_until(other, FINISHED)
        assert set(loras(other)) == {"frog.safetensors"}
    finally:
        other.close()
