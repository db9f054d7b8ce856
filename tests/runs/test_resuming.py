"""A run that has ended goes on from its last state: in its own row, with its own chart and result."""

import json
import shutil
from pathlib import Path

import pytest

from lora_trainer.errors import InputError
from lora_trainer.runs import control, resuming
from lora_trainer.runs.store import FAILED, FINISHED, QUEUED, RUNNING, STOPPED

from .harness import make, run_until, submit, until


@pytest.fixture
def supervisor(tmp_path):
    return make(tmp_path)


def resumable(supervisor, run_id="run-1"):
    return resuming.last_state(supervisor.folder(run_id), supervisor.progress(run_id)[0])


def test_a_killed_run_goes_on_from_its_last_state_and_finishes(supervisor):
    submit(supervisor, "step", "step", "state", "step", "die", script_resumed=["step", "step"])
    assert run_until(supervisor, FAILED, FINISHED).state == FAILED
    assert resumable(supervisor)["step"] == 2
    assert supervisor.resume("run-1").state == QUEUED
    run = run_until(supervisor, FAILED, FINISHED)
    assert (run.state, run.message, run.advice) == (FINISHED, "", "")
    assert Path(run.result).read_bytes() == b"weights of step 4"
    progress, _ = supervisor.progress("run-1")
    assert progress.curve.steps == [1, 2, 3, 4]
    assert progress.failed is None and progress.finished["reason"] == "done"


def test_a_stopped_run_goes_on_and_is_not_stopped_by_what_was_asked_of_the_worker_before(supervisor):
    submit(supervisor, "step", "state", "obey", script_resumed=["step", "wait-for-file"])
    until(supervisor, lambda: resumable(supervisor))
    supervisor.ask("run-1", save=True, live=True, live_every=7)
    supervisor.stop("run-1")
    stopped = run_until(supervisor, STOPPED)
    assert control.read_control(supervisor.folder("run-1").control).stop
    supervisor.resume("run-1")
    until(supervisor, lambda: supervisor.progress("run-1")[0].step == 2)
    assert control.read_control(supervisor.folder("run-1").control) == control.Control(live_every=7)
    assert supervisor.store.get("run-1").state == RUNNING
    (supervisor.folder("run-1").path / "go-on").touch()
    finished = run_until(supervisor, FINISHED)
    assert finished.result == stopped.result, "the new result takes the place of the run's own earlier one"
    assert Path(finished.result).read_bytes() == b"weights of step 2"
    assert finished.stop_asked is None


def test_an_earlier_result_that_somebody_changed_is_not_replaced(supervisor):
    submit(supervisor, "step", "state", script_resumed=["step"])
    first = Path(run_until(supervisor, FINISHED).result)
    supervisor.resume("run-1")
    first.write_bytes(b"somebody else's")
    second = Path(run_until(supervisor, FINISHED).result)
    assert first.read_bytes() == b"somebody else's" and second.name == "frog-2.safetensors"


def test_a_resumed_run_that_fails_keeps_what_it_had_come_to_and_can_be_resumed_again(supervisor):
    submit(supervisor, "step", "state", script_resumed=["die"])
    first = run_until(supervisor, FINISHED).result
    supervisor.resume("run-1")
    run = run_until(supervisor, FAILED)
    assert run.result == first and resumable(supervisor)["step"] == 1


def test_a_host_that_died_before_the_resumed_worker_began_lets_it_wait_again(supervisor):
    submit(supervisor, "step", "state", "die", script_resumed=["step"])
    run_until(supervisor, FAILED)
    supervisor.resume("run-1")
    supervisor.store.change("run-1", state=RUNNING, started=1.0)  # what the host that died had noted
    supervisor.tick()
    assert supervisor.store.get("run-1").state in (QUEUED, RUNNING)
    assert run_until(supervisor, FAILED, FINISHED).state == FINISHED


def test_a_run_without_a_state_or_at_work_is_not_resumed(supervisor):
    submit(supervisor, "step", "state", "wait-for-file")
    until(supervisor, lambda: resumable(supervisor))
    with pytest.raises(InputError, match="has not ended yet"):
        supervisor.resume("run-1")
    (supervisor.folder("run-1").path / "go-on").touch()
    run_until(supervisor, FINISHED)
    shutil.rmtree(resumable(supervisor)["path"])
    assert resumable(supervisor) is None
    with pytest.raises(InputError, match="nothing to go on from"):
        supervisor.resume("run-1")
    assert supervisor.store.get("run-1").state == FINISHED


def test_a_resumed_run_waits_behind_the_others(supervisor):
    submit(supervisor, "step", "state", "die", script_resumed=["step"])
    run_until(supervisor, FAILED)
    submit(supervisor, "step", run_id="run-2", name="toad")
    supervisor.resume("run-1")
    assert [run.id for run in supervisor.store.queue()] == ["run-2", "run-1"]


def aged(supervisor, run_id="run-1"):
    """As if the run had ended an hour ago."""
    path = supervisor.folder(run_id).events
    events = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**event, "time": event["time"] - 3600}) + "\n" for event in events))
    supervisor._book.forget(path)


@pytest.mark.parametrize("script", [["step", "state"], ["step", "state", "nan"]], ids=["finished", "failed"])
def test_a_worker_that_is_still_loading_is_not_ended_for_the_last_word_of_the_one_before(supervisor, script):
    submit(supervisor, *script, script_resumed=["step"], begins="waits")
    run_until(supervisor, FINISHED, FAILED)
    aged(supervisor)
    supervisor.resume("run-1")
    until(supervisor, lambda: supervisor.store.get("run-1").state == RUNNING and supervisor.folder("run-1").worker().is_alive())
    for _ in range(5):
        supervisor.tick()
    run = supervisor.store.get("run-1")
    assert (run.state, run.message) == (RUNNING, "") and supervisor.folder("run-1").worker().is_alive()
    assert not supervisor.standing(run).is_free, "it is loading onto the card"
    (supervisor.folder("run-1").path / "begin").touch()
    assert Path(run_until(supervisor, FINISHED, FAILED).result).read_bytes() == b"weights of step 2"


def test_a_worker_that_dies_while_loading_is_not_taken_for_the_one_before(supervisor):
    submit(supervisor, "step", "state", script_resumed=["step"], begins="dies")
    run_until(supervisor, FINISHED)
    aged(supervisor)
    supervisor.resume("run-1")
    run = run_until(supervisor, FINISHED, FAILED)
    assert run.state == FAILED and "ended unexpectedly" in run.message
