"""What a draft will need, measured before it is trained: by a process of its own, once while nothing changes."""

import json
import os
import sys
from importlib.util import find_spec

import pytest

from lora_trainer.api import digests
from lora_trainer.runs.tool_jobs import REPORT as REPORT_FILE

from ..runs.harness import measuring, submit
from .conftest import get, post

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="what is measured is the training's own code")
REPORT = {
    "device": "a card",
    "on_card": True,
    "memory": {
        "needed": 8 << 30,
        "free": 4 << 30,
        "fits": False,
        "others": [{"pid": os.getpid(), "name": "python", "bytes": 5}],
    },
    "time": {"total": 600.0},
    "files": {"one": 40 << 20, "state": 90 << 20},
}


@pytest.fixture
def slow(host, tmp_path):
    """The host's worker measures nothing: see `measuring`. The script."""
    host.python = measuring(tmp_path / "bin", REPORT)
    return tmp_path / "bin" / "measures.py"


def started(client, values):
    answer = post(client, "rehearsals", {"values": values})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def finished(service, job_id):
    (service.rehearsals.jobs.folder / job_id / "go").touch()
    service.rehearsals._thread.join(200)
    assert not service.rehearsals.is_at_work()


def check(client, values):
    return post(client, "check", {"values": values}).json()


def test_a_draft_is_measured_once_while_nothing_changes(client, service, host, slow, values, images):
    assert check(client, values)["forecast"] == {"report": None, "hindrance": "", "automatic": digests.has_card()}
    guessed = check(client, values)["disk"]["needed"]
    job_id = started(client, values)
    assert get(client, f"rehearsals/{job_id}").json()["state"] == "running"
    assert "being measured" in post(client, "rehearsals", {"values": values}).json()["error"]["message"]
    assert host.calls == [("lend_gpu",)], "who was refused gives back nothing"
    finished(service, job_id)
    assert host.calls == [("lend_gpu",), ("reclaim_gpu",)]
    told = get(client, f"rehearsals/{job_id}").json()
    assert (told["state"], told["done"], told["total"]) == ("finished", 6, 6) and told["report"]["memory"]["needed"] == 8 << 30
    assert told["report"]["memory"]["others"][0]["who"] == "this program"
    answer = check(client, values)
    assert answer["forecast"]["report"] == told["report"]
    assert answer["disk"]["needed"] == 2 * (40 << 20) + 4 * (90 << 20) != guessed, "what is measured takes the guess's place"

    def is_known(**changed):
        return check(client, {**values, **changed})["forecast"]["report"] is not None

    assert is_known(output_name="another") and not is_known(network_dim=64) and not is_known(resolution="320")
    (images / "0.png").unlink()
    assert not is_known()
    run = post(client, "runs", {"values": {**values, "output_name": "toad"}}).json()["id"]
    assert service.supervisor.folder(run).request()["forecast"] is None, "it was measured with another picture"


def test_what_is_wrong_with_a_draft_is_said_in_place_of_measuring(client, service, slow, values):
    answer = post(client, "rehearsals", {"values": {**values, "resolution": "no"}})
    assert answer.status_code == 422 and answer.json()["problems"][0]["field"] == "resolution"
    assert get(client, "rehearsals/20200101-000000-abcdef").status_code == 400
    assert check(client, {**values, "resolution": "no"})["forecast"] is None


def test_a_training_comes_first(client, service, host, slow, values):
    job_id = started(client, values)
    lent = []
    supervisor = service.supervisor
    with host.borrow(lambda: True, lent.append) as refusal:
        assert "being measured" in refusal, "who draws in the Web UI waits for it"
    assert service._standing().is_free is False
    submit(supervisor, "step", "finish")
    host.python = sys.executable.replace("python", "no-python")
    supervisor.tick()
    assert not service.rehearsals.is_at_work() and get(client, f"rehearsals/{job_id}").json()["state"] == "stopped"
    assert [name for name, *_ in host.calls[:3]] == ["lend_gpu", "reclaim_gpu", "lend_gpu"], "the card was given back before"


def test_who_has_the_card_is_named_and_nothing_is_measured_beside_it(client, service, slow, values):
    submit(service.supervisor, "step", "finish")
    assert check(client, values)["forecast"] == {"report": None, "hindrance": "frog waits to be trained.", "automatic": False}
    korean = post(client, "check", {"values": values}, headers={"Accept-Language": "ko"}).json()["forecast"]
    assert korean["hindrance"] == "frog이(가) 학습을 기다리고 있습니다."
    answer = post(client, "rehearsals", {"values": values})
    assert answer.status_code == 409 and "frog waits to be trained" in answer.json()["error"]["message"]
    assert not list(service.rehearsals.jobs.folder.glob("*/"))


def test_a_process_that_the_system_ended_is_said_to_have_filled_the_memory(client, service, slow, values):
    slow.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    job_id = started(client, values)
    finished(service, job_id)
    told = get(client, f"rehearsals/{job_id}").json()
    assert told["state"] == "failed" and "main memory was full" in told["message"] and told["report"] is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="made by a system call of Linux")
def test_who_is_slow_to_leave_has_not_ended_unexpectedly(client, service, slow, values):
    """Its first thread is gone and others are still freeing memory: a zombie, whose exit code nobody has yet."""
    leaving = (
        "import ctypes, os, platform, threading\n"
        "threading.Thread(target=lambda: (time.sleep(0.7), os._exit(0))).start()\n"
        "ctypes.CDLL(None).syscall(60 if platform.machine() == 'x86_64' else 93, 0)\n"
    )
    slow.write_text(slow.read_text() + leaving)
    job_id = started(client, values)
    finished(service, job_id)
    told = get(client, f"rehearsals/{job_id}").json()
    assert (told["state"], told["message"]) == ("finished", "")


def test_the_next_host_tells_from_the_report_that_measuring_ended(service):
    folder = service.rehearsals.jobs.folder / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    (folder / "worker.json").write_text(json.dumps({"pid": 2**22 + 5, "group": 2**22 + 5, "mark": "ended"}))
    (folder / "job.json").write_text(json.dumps({"tool": "rehearsal", "writes": "", "target": "", "started": 0.0}))
    (folder / "report.json").write_text(json.dumps(REPORT))
    service.rehearsals.status(folder.name)
    service.rehearsals.jobs.wait(folder.name, 300)
    assert service.rehearsals.status(folder.name)["state"] == "finished"


@needs_torch
def test_the_page_gets_what_the_trainings_own_steps_have_measured(client, service, host, values, tiny_sd1):
    host.python = sys.executable
    small = {**values, "pretrained_model_name_or_path": str(tiny_sd1), "resolution": "64", "cache_latents_to_disk": True}
    job_id = started(client, small)
    service.rehearsals._thread.join(300)
    told = get(client, f"rehearsals/{job_id}").json()
    assert told["state"] == "finished", told
    report = told["report"]
    assert report["memory"]["fits"] and report["memory"]["parts"]["working"] > 1 << 20 and report["time"]["steps"] == 20
    files = report["files"]
    assert (files["count"], files["states"]) == (2, 4)
    assert files["needed"] == 2 * files["one"] + 4 * files["state"]
    left = {path.name for path in (service.rehearsals.jobs.folder / job_id).rglob("*")}
    assert not any(name.endswith((".safetensors", ".png")) for name in left)
    assert (REPORT_FILE in left) and check(client, small)["forecast"]["report"] == report
    run = post(client, "runs", {"values": small}).json()["id"]
    assert service.supervisor.folder(run).request()["forecast"] == {
        "needed": report["memory"]["needed"],
        "seconds": report["time"]["total"],
    }
