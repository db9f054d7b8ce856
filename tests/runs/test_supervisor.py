"""Queue, worker, result, with real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from lora_trainer.errors import InputError, StoreError
from lora_trainer.runs.store import Store

from . import harness
from .harness import run_until, submit, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


@pytest.fixture
def supervisor(tmp_path):
    made = harness.make(tmp_path)
    yield made
    worker = made.folder("run-1").worker()
    if worker and worker.is_alive():
        os.kill(worker.pid, signal.SIGKILL)


def worker_of(supervisor, run_id="run-1"):
    until(supervisor, lambda: supervisor.folder(run_id).events.exists())
    return supervisor.folder(run_id).worker()


def names(host):
    return [call[0] for call in host.calls]


def test_a_finished_run_gives_a_lora_with_its_card_and_the_card_back(supervisor):
    submit(supervisor, "step", "sample", "step")
    run = run_until(supervisor, "finished")

    lora = supervisor.host.paths().lora_dir / "frog.safetensors"
    assert lora.read_bytes() == b"weights of step 2"
    assert run.result == str(lora)
    card = json.loads(lora.with_suffix(".json").read_text())
    assert card["activation text"] == "sls frog"
    assert card["sd version"] == "SD1"
    assert lora.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert not lora.with_suffix(".txt").exists()
    assert names(supervisor.host)[0] == "lend_gpu"
    assert names(supervisor.host)[-1] == "reclaim_gpu"
    assert ("lora_changed", lora) in supervisor.host.calls
    progress, _ = supervisor.progress("run-1")
    assert (progress.step, progress.total_steps, progress.lr) == (2, 10, 1e-4)


def test_runs_are_trained_one_after_the_other_in_the_order_of_the_queue(supervisor):
    submit(supervisor, "obey", run_id="run-1", name="one")
    submit(supervisor, "step", run_id="run-2", name="two")
    worker_of(supervisor)
    assert supervisor.store.get("run-2").state == "queued"
    supervisor.stop("run-1")
    run_until(supervisor, "stopped")
    run_until(supervisor, "finished", run_id="run-2")
    assert supervisor.store.get("run-2").started >= supervisor.store.get("run-1").ended


def test_the_card_is_kept_from_one_run_of_the_queue_to_the_next(supervisor):
    """Given back in between, the host would load its model to drop it again; its list of LoRAs is renewed meanwhile."""
    submit(supervisor, "step", run_id="run-1", name="one")
    submit(supervisor, "step", run_id="run-2", name="two")
    run_until(supervisor, "finished", run_id="run-2")
    asked = names(supervisor.host)
    assert asked.count("reclaim_gpu") == 1 and asked[-1] == "reclaim_gpu"
    assert asked.count("lora_changed") == 2 and asked.index("lora_changed") > asked.index("lend_gpu")


def test_a_card_kept_for_a_run_that_was_taken_from_the_queue_is_given_back(supervisor):
    submit(supervisor, "obey", run_id="run-1", name="one")
    submit(supervisor, "step", run_id="run-2", name="two")
    worker_of(supervisor)
    supervisor.stop("run-1")
    until(supervisor, lambda: supervisor.store.get("run-1").state == "stopped")
    assert "reclaim_gpu" not in names(supervisor.host)
    supervisor.stop("run-2")
    supervisor.tick()
    assert names(supervisor.host)[-1] == "reclaim_gpu"


def test_a_killed_worker_leaves_a_failed_run_with_its_last_lines(supervisor):
    submit(supervisor, "step", "talk", "die")
    run = run_until(supervisor, "failed")
    assert "killed by signal 9" in run.message
    assert "the last thing it said" in run.message
    assert "It cannot go on: it had saved no state before step 1." in run.advice
    assert names(supervisor.host)[-1] == "reclaim_gpu"


def test_what_a_killed_worker_left_half_written_is_removed(supervisor):
    submit(supervisor, "step", "wait-for-file", "die")
    worker_of(supervisor)
    folder = supervisor.folder("run-1")
    halves = [folder.output / "frog.safetensors.ab12.tmp", folder.samples / "1.png.x.tmp", folder.path / "control.json.y.tmp"]
    for half in halves:
        half.write_bytes(b"half")
    (folder.output / "frog-000001.safetensors").write_bytes(b"whole")
    (folder.path / "go-on").touch()
    run_until(supervisor, "failed")
    assert not any(half.exists() for half in halves) and (folder.output / "frog-000001.safetensors").exists()


def test_a_run_whose_folder_is_deleted_is_ended_before_the_next_one_begins(supervisor):
    submit(supervisor, "step", "obey", run_id="run-1", name="frog")
    submit(supervisor, "step", run_id="run-2", name="two")
    worker = worker_of(supervisor)
    until(supervisor, lambda: supervisor.progress("run-1")[0].step == 1)  # it has read what it is to do
    os.kill(worker.pid, signal.SIGSTOP)  # so that nothing of it comes back while it goes
    supervisor.folder("run-1").config.unlink()
    shutil.rmtree(supervisor.folder("run-1").path, ignore_errors=True)
    os.kill(worker.pid, signal.SIGCONT)
    run = run_until(supervisor, "failed")
    assert not worker.is_alive()
    saved = supervisor.folder("run-1").output / "frog.safetensors"
    assert "was deleted while it was being trained" in run.message and str(saved) in run.message and saved.exists()
    run_until(supervisor, "finished", run_id="run-2")
    assert supervisor.store.get("run-2").started >= run.ended


def test_a_failure_is_told_in_the_words_of_the_worker(supervisor):
    submit(supervisor, "step", "nan")
    run = run_until(supervisor, "failed")
    assert (run.message, run.advice) == ("The loss became NaN.", "Lower it.")
    assert not (supervisor.host.paths().lora_dir / "frog.safetensors").exists()


def test_stop_saves_and_ends_as_stopped(supervisor):
    submit(supervisor, "step", "obey")
    worker_of(supervisor)
    assert supervisor.stop("run-1").state == "stopping"
    run = run_until(supervisor, "stopped")
    assert run.result.endswith("frog.safetensors")


def test_save_now_saves_while_it_goes_on(supervisor):
    submit(supervisor, "step", "obey")
    worker_of(supervisor)
    supervisor.ask("run-1", save=True)
    until(supervisor, lambda: supervisor.progress("run-1")[0].files)
    assert supervisor.store.get("run-1").state == "running"
    saved = supervisor.use("run-1", "saved-1.safetensors")
    assert saved == supervisor.host.paths().lora_dir / "saved-1.safetensors"
    (supervisor.folder("run-1").output / "old.pt").write_bytes(b"of save_model_as pt")
    assert supervisor.use("run-1", "old.pt") == supervisor.host.paths().lora_dir / "old.pt"
    assert ("lora_changed", supervisor.host.paths().lora_dir / "old.pt") in supervisor.host.calls
    supervisor.stop("run-1")
    run_until(supervisor, "stopped")
    with pytest.raises(InputError, match="not training"):
        supervisor.ask("run-1", save=True)


def test_a_worker_that_does_not_stop_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("lora_trainer.runs.supervisor._SOFT_TO_HARD_SECONDS", 0.2)
    supervisor = harness.make(tmp_path, stop_grace=0.3)
    submit(supervisor, "step", "deaf")
    worker = worker_of(supervisor)
    supervisor.stop("run-1")
    run = run_until(supervisor, "stopped")
    assert "ended before it could save" in run.message
    assert not worker.is_alive()


def test_force_does_not_wait(supervisor):
    submit(supervisor, "obey-not", "wait-for-file")
    worker_of(supervisor)
    began = time.monotonic()
    supervisor.stop("run-1", force=True)
    run_until(supervisor, "stopped")
    assert time.monotonic() - began < 60


def test_a_waiting_run_is_stopped_at_once(supervisor):
    submit(supervisor, "step")
    assert supervisor.stop("run-1").state == "stopped"
    supervisor.tick()
    assert supervisor.host.calls == []


def test_a_host_that_cannot_lend_its_card_fails_the_run_with_its_reason(supervisor):
    supervisor.host.refuse_to_lend = "The card is busy."
    submit(supervisor, "step")
    run = run_until(supervisor, "failed")
    assert run.message == "The card is busy."
    assert names(supervisor.host)[-1] == "reclaim_gpu"


def test_an_interpreter_that_is_missing_fails_the_run_and_gives_the_card_back(supervisor):
    supervisor.host.python = "/nowhere/python"
    submit(supervisor, "step")
    run = run_until(supervisor, "failed")
    assert "could not be started" in run.message
    assert names(supervisor.host)[-1] == "reclaim_gpu"


def test_another_lora_of_the_name_is_kept_unless_overwriting_was_asked(supervisor):
    lora_dir = supervisor.host.paths().lora_dir
    lora_dir.mkdir(parents=True)
    (lora_dir / "frog.safetensors").write_bytes(b"of last year")
    submit(supervisor, "step")
    assert run_until(supervisor, "finished").result == str(lora_dir / "frog-2.safetensors")
    assert (lora_dir / "frog.safetensors").read_bytes() == b"of last year"

    submit(supervisor, "step", "step", run_id="run-2", overwrite=True)
    run_until(supervisor, "finished", run_id="run-2")
    assert (lora_dir / "frog.safetensors").read_bytes() == b"weights of step 2"


def test_overwriting_gives_a_later_time_even_over_a_file_from_the_future(supervisor):
    lora = supervisor.host.paths().lora_dir / "frog.safetensors"
    lora.parent.mkdir(parents=True)
    lora.write_bytes(b"x")
    future = time.time() + 10_000
    os.utime(lora, (future, future))
    submit(supervisor, "step", overwrite=True)
    run_until(supervisor, "finished")
    assert lora.stat().st_mtime > future


def test_delete_removes_the_folder_and_keeps_the_lora(supervisor):
    submit(supervisor, "step", "wait-for-file")
    worker_of(supervisor)
    with pytest.raises(InputError, match="Stop it first"):
        supervisor.delete("run-1")
    (supervisor.folder("run-1").path / "go-on").touch()
    run = run_until(supervisor, "finished")
    supervisor.delete("run-1")
    assert not supervisor.folder("run-1").path.exists()
    assert supervisor.store.get("run-1") is None
    assert os.path.exists(run.result)  # noqa: PTH110


def test_a_waiting_run_that_is_deleted_never_begins_and_the_next_one_is_who_was_moved_up(supervisor):
    submit(supervisor, "step", "wait-for-file")
    worker_of(supervisor)
    for run_id in ("run-2", "run-3", "run-4"):
        submit(supervisor, "step", run_id=run_id, name=run_id)
    supervisor.delete("run-2")
    assert supervisor.store.get("run-2") is None and not supervisor.folder("run-2").path.exists()
    supervisor.move("run-4", 1)
    with pytest.raises(InputError, match="does not wait"):
        supervisor.move("run-1", 1)
    (supervisor.folder("run-1").path / "go-on").touch()
    fourth = run_until(supervisor, "finished", run_id="run-4")
    third = run_until(supervisor, "finished", run_id="run-3")
    assert fourth.started < third.started


HOST_PROGRAM = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
from runs.harness import make, submit
supervisor = make(Path({folder!r}))
submit(supervisor, "step", "wait-for-file", "step")
supervisor.start()
while not supervisor.folder("run-1").events.exists():
    time.sleep(0.02)
sys.stdout.write("began"); sys.stdout.flush()
time.sleep(900)
"""


def start_other_host(tmp_path):
    from lora_trainer.paths import ROOT_DIR

    program = textwrap.dedent(HOST_PROGRAM).format(tests=str(ROOT_DIR / "tests"), root=str(ROOT_DIR), folder=str(tmp_path))
    host = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT_DIR)
    assert host.stdout.read(5) == b"began"
    return host


def test_killing_the_host_leaves_the_worker_training_and_the_next_host_adopts_it(tmp_path):
    host = start_other_host(tmp_path)
    try:
        looking = harness.make(tmp_path)
        assert looking.store.get("run-1").state == "running"
        assert str(host.pid) in looking.store.other_owner()
        with pytest.raises(StoreError, match="written by another program"):
            submit(looking, "step", run_id="run-2")
        with pytest.raises(StoreError, match="written by another program"):
            looking.stop("run-1")
        looking.tick()
        assert looking.host.calls == []
    finally:
        host.kill()
        host.wait()
    worker = looking.folder("run-1").worker()
    assert worker.is_alive()

    looking.tick()  # takes over and adopts
    assert looking.store.get("run-1").state == "running"
    assert names(looking.host) == ["lend_gpu"]
    (looking.folder("run-1").path / "go-on").touch()
    run = run_until(looking, "finished")
    assert run.result.endswith("frog.safetensors")
    assert names(looking.host)[-1] == "reclaim_gpu"


def test_a_run_that_ended_while_no_host_ran_is_concluded_by_the_next(tmp_path):
    host = start_other_host(tmp_path)
    host.kill()
    host.wait()
    supervisor = harness.make(tmp_path)
    worker = supervisor.folder("run-1").worker()
    (supervisor.folder("run-1").path / "go-on").touch()
    end = time.monotonic() + 200
    while worker.is_alive() and time.monotonic() < end:
        time.sleep(0.02)
    assert run_until(supervisor, "finished").result


def test_a_run_whose_host_died_before_the_worker_began_is_queued_again(tmp_path):
    supervisor = harness.make(tmp_path)
    submit(supervisor, "step")
    supervisor.store.change("run-1", state="running", started=time.time())
    supervisor.store.release()
    following = harness.make(tmp_path)
    following.tick()
    assert following.store.get("run-1").state == "queued"
    run_until(following, "finished")


def test_a_lost_store_lists_the_runs_found_in_their_folders(tmp_path):
    supervisor = harness.make(tmp_path)
    submit(supervisor, "step")
    run_until(supervisor, "finished")
    submit(supervisor, run_id="run-2", name="toad")
    supervisor.store.close()
    for path in supervisor.store.path.parent.glob("runs.db*"):
        path.unlink()
    following = harness.make(tmp_path)
    until(following, lambda: following.store.get("run-1") and following.store.get("run-1").state == "finished")
    assert following.store.get("run-2").state == "stopped"
    assert following.store.get("run-2").name == "toad"


def test_two_workers_on_one_run_are_refused(supervisor):
    submit(supervisor, "step", "wait-for-file")
    worker_of(supervisor)
    from lora_trainer.runs.events import RunReporter

    with pytest.raises(StoreError, match="Another worker"):
        RunReporter(supervisor.folder("run-1").path)
    (supervisor.folder("run-1").path / "go-on").touch()
    run_until(supervisor, "finished")


def test_the_thread_does_the_same_and_close_lets_another_host_in(tmp_path):
    supervisor = harness.make(tmp_path)
    supervisor.start()
    submit(supervisor, "step")
    end = time.monotonic() + 200
    while supervisor.store.get("run-1").state != "finished":
        assert time.monotonic() < end
        time.sleep(0.02)
    supervisor.close()
    assert Store(supervisor.store.path).other_owner() == ""
