"""A process that is ready before the run is there: it trains it as any worker would, and is gone where nobody needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from lora_trainer.runs import process, worker
from lora_trainer.runs.folder import RunFolder
from lora_trainer.runs.standby import Standby
from lora_trainer.runs.tool_jobs import ToolJobs

from . import harness
from .harness import run_until, submit, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    monkeypatch.delenv("FAKE_STANDBY", raising=False)
    made = harness.make(tmp_path)
    made.standby = Standby(made.host, tmp_path / "standby.txt", is_allowed=lambda: made.host.standby)
    made.host.standby = True
    yield made
    made.standby.end()
    running = made.folder("run-1").worker()
    if running and running.is_alive():
        os.kill(running.pid, signal.SIGKILL)


def ready(supervisor) -> int:
    supervisor.standby.wanted()
    until(supervisor, lambda: supervisor.standby.bytes() is not None)
    return supervisor.standby.process()


def gone(supervisor, pid: int, *, tick: bool = True) -> None:
    until(supervisor, lambda: process.start_mark(pid) is None, tick=tick)


def test_what_is_ready_trains_the_next_run_and_ends_as_a_worker_does(supervisor):
    pid = ready(supervisor)
    assert supervisor.standby.bytes() > 1e6
    submit(supervisor, "step", "save", "step")
    run = run_until(supervisor, "finished")
    assert supervisor.folder("run-1").worker().pid == pid
    assert supervisor.host.paths().lora_dir.joinpath("frog.safetensors").read_bytes() == b"weights of step 2"
    assert worker.exit_code(supervisor.folder("run-1").worker()) == 0 and run.message == ""
    assert supervisor.standby.process() is None, "one run, and no other while nobody asks"


def test_it_is_stopped_killed_and_told_of_as_any_worker(supervisor):
    pid = ready(supervisor)
    submit(supervisor, "obey")
    until(supervisor, lambda: supervisor.folder("run-1").events.exists())
    assert os.getpgid(pid) == pid != os.getpgrp(), "a group of its own"
    os.kill(pid, signal.SIGKILL)
    assert "killed by signal 9" in run_until(supervisor, "failed").message
    second = ready(supervisor)
    submit(supervisor, "obey", run_id="run-2", name="two")
    until(supervisor, lambda: supervisor.folder("run-2").events.exists())
    supervisor.stop("run-2")
    run_until(supervisor, "stopped", run_id="run-2")
    assert supervisor.folder("run-2").worker().pid == second


def test_its_output_is_in_the_runs_log_and_its_keys_in_its_environment(supervisor, tmp_path):
    pid = ready(supervisor)
    folder = supervisor.folder("run-1")
    submit(supervisor, "print")
    supervisor._keys["run-1"] = {"FAKE_KEY": "secret"}
    until(supervisor, lambda: folder.worker() is not None)
    supervisor.host.standby = False  # another one would begin the same file
    run_until(supervisor, "finished")
    assert folder.worker().pid == pid
    log = folder.log.read_text()
    assert "key secret, nothing to read, command worker" in log and "packages say" not in log
    assert "packages say something" in (tmp_path / "standby.txt").read_text()


def test_there_is_none_where_nobody_wants_one_or_the_host_does_not(supervisor):
    supervisor.tick()
    assert supervisor.standby.process() is None
    supervisor.host.standby = False
    supervisor.standby.wanted()
    supervisor.tick()
    assert supervisor.standby.process() is None


def test_it_ends_after_idle_minutes_with_the_setting_and_with_the_host(supervisor):
    pid = ready(supervisor)
    supervisor.standby._wanted_until = 0.0
    gone(supervisor, pid)
    assert supervisor.standby.process() is None
    pid = ready(supervisor)
    supervisor.host.standby = False
    gone(supervisor, pid)
    supervisor.host.standby = True
    pid = ready(supervisor)
    supervisor.close()
    gone(supervisor, pid, tick=False)


def test_it_ends_with_a_host_that_is_killed(supervisor, tmp_path):
    code = textwrap.dedent(f"""
        import pathlib, time
        from tests.runs import harness
        from lora_trainer.runs.standby import Standby
        folder = pathlib.Path({str(tmp_path / "other")!r})
        made = harness.make(folder)
        made.standby = Standby(made.host, folder / "standby.txt", is_allowed=lambda: True)
        made.standby.wanted()
        harness.until(made, lambda: made.standby.bytes())
        print(made.standby.process(), flush=True)
        time.sleep(300)
    """)
    host = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=worker.ROOT_DIR)
    pid = int(host.stdout.readline())
    assert process.start_mark(pid) is not None
    host.kill()
    host.communicate()
    gone(supervisor, pid, tick=False)


def test_a_run_that_finds_none_ready_or_one_of_another_environment_has_a_worker_of_its_own(supervisor, monkeypatch):
    monkeypatch.setenv("FAKE_STANDBY", "slow")
    supervisor.standby.wanted()
    supervisor.tick()
    importing = supervisor.standby.process()
    submit(supervisor, "step")
    supervisor.standby._wanted_until = 0.0
    run_until(supervisor, "finished")
    assert supervisor.folder("run-1").worker().pid != importing
    gone(supervisor, importing)
    monkeypatch.delenv("FAKE_STANDBY")
    pid = ready(supervisor)
    monkeypatch.setenv("LORA_TRAINER_TEST_OF_STANDBY", "another")
    submit(supervisor, "step", run_id="run-2", name="two")
    run_until(supervisor, "finished", run_id="run-2")
    assert supervisor.folder("run-2").worker().pid != pid
    gone(supervisor, pid)


def test_one_that_was_killed_a_moment_ago_costs_no_run(supervisor):
    pid = ready(supervisor)
    os.kill(pid, signal.SIGKILL)
    submit(supervisor, "step")
    run_until(supervisor, "finished")
    assert supervisor.folder("run-1").worker().pid != pid


@pytest.mark.parametrize("way", ["short", "gets short"])
def test_where_main_memory_is_short_there_is_none_and_it_is_not_tried_again_at_once(supervisor, monkeypatch, way):
    monkeypatch.setenv("FAKE_STANDBY", way)
    supervisor.standby.wanted()
    supervisor.tick()
    pid = supervisor.standby.process()
    until(supervisor, lambda: supervisor.standby.process() is None)
    gone(supervisor, pid)
    supervisor.tick()
    assert supervisor.standby.process() is None
    assert supervisor.standby._not_before < float("inf"), "later it is"


def test_one_that_cannot_import_is_not_tried_again(supervisor, monkeypatch):
    monkeypatch.setenv("FAKE_STANDBY", "dies")
    supervisor.standby.wanted()
    supervisor.tick()
    until(supervisor, lambda: supervisor.standby.process() is None)
    supervisor.tick()
    assert supervisor.standby.process() is None and supervisor.standby._not_before == float("inf")


def test_none_is_made_while_a_run_is_at_work(supervisor):
    submit(supervisor, "obey")
    until(supervisor, lambda: supervisor.folder("run-1").events.exists())
    supervisor.standby.wanted()
    supervisor.tick()
    assert supervisor.standby.process() is None
    supervisor.stop("run-1")
    run_until(supervisor, "stopped")
    until(supervisor, lambda: supervisor.standby.process() is not None)


def test_it_measures_a_draft_and_another_is_made_ready_for_its_training(supervisor, tmp_path):
    pid = ready(supervisor)
    jobs = ToolJobs(supervisor.host, tmp_path / "rehearsals", spawn=supervisor.standby.spawn)
    job = jobs.start("rehearse", lambda folder: [str(folder)], tool="rehearsal", writes="", target=None)
    assert RunFolder(tmp_path / "rehearsals" / job).worker().pid == pid
    jobs.wait(job, 200)
    assert jobs.status(job)["state"] == "finished" and "measured" in jobs.status(job)["log"]
    until(supervisor, lambda: supervisor.standby.bytes() is not None)
    assert supervisor.standby.process() != pid


def test_what_was_ended_is_reaped(supervisor):
    pid = ready(supervisor)
    supervisor.standby._wanted_until = 0.0
    until(supervisor, lambda: not supervisor.standby._ending and supervisor.standby.process() is None)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
