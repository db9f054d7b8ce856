"""What hangs holds up nothing else: lanes by themselves, and the routes on them."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from lora_trainer.api import lanes, service, state
from lora_trainer.api.answers import Refusal
from lora_trainer.api.lanes import Lane
from lora_trainer.api.model_files import lora_files
from lora_trainer.hosts.standalone import StandaloneHost

from .conftest import API, get, post

SOON = 30.0  # seconds; what is waited for takes less than a tenth of it


def finished(coroutine):
    """What `coroutine` returns. In a thread of its own: a browser test of the same process keeps its loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.fixture
def stuck():
    """A function that does not return before the test is over."""
    end = threading.Event()
    yield lambda *_: end.wait(SOON) and None
    end.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lanes, "_BETWEEN_LOOKS", 0.02)


def test_a_call_gives_its_result_and_its_error():
    lane = Lane("test", size=2)
    assert finished(lane.run(max, 3, 5, limit=SOON)) == 5
    with pytest.raises(ZeroDivisionError):
        finished(lane.run(lambda: 1 / 0, limit=SOON))


def test_more_calls_than_places_are_done_one_after_the_other_and_never_more_at_once():
    lane, lock, at_work, seen = Lane("test", size=2), threading.Lock(), [], []

    def call(number):
        with lock:
            at_work.append(number)
            seen.append(len(at_work))
        time.sleep(0.005)
        with lock:
            at_work.remove(number)
        return number

    async def many():
        return await asyncio.gather(*(lane.run(call, number, limit=None) for number in range(40)))

    assert finished(many()) == list(range(40))
    assert max(seen) <= 2


def test_calls_that_hang_lose_their_places(stuck):
    lane = Lane("test", size=2, place_seconds=0.05)
    for _ in range(5):
        lane.start(stuck)
    assert finished(lane.run(lambda: "answered", limit=SOON)) == "answered"


def test_a_look_that_hangs_is_answered_with_what_to_do_and_a_change_is_waited_for():
    lane, go = Lane("test", size=1, place_seconds=0.05), threading.Event()
    with pytest.raises(Refusal) as caught:
        finished(lane.run(go.wait, SOON, limit=0.1))
    assert caught.value.status == 503 and "drive" in caught.value.advice
    threading.Timer(0.3, go.set).start()
    assert finished(lane.run(go.wait, SOON, limit=None)) is True


def test_so_many_hanging_calls_are_borne_and_no_more(stuck):
    lane = Lane("test", size=1, place_seconds=0.0, most=3)
    before = threading.active_count()
    with pytest.raises(Refusal, match="do not answer"):
        for _ in range(50):
            lane.start(stuck)
            time.sleep(0.01)
    assert threading.active_count() - before <= 5


def test_a_call_that_nobody_waits_for_any_more_is_never_begun():
    lane, go, begun = Lane("test", size=1), threading.Event(), []
    lane.start(lambda: go.wait(SOON))
    with pytest.raises(Refusal):
        finished(lane.run(begun.append, 1, limit=0.05))
    go.set()
    finished(lane.run(begun.append, 2, limit=SOON))
    assert begun == [2]


def in_threads(action, count):
    threads = [threading.Thread(target=action, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_runs_are_shown_and_stopped_while_the_models_folder_hangs(app, client, host, values, stuck, monkeypatch):
    run_id = post(client, "runs", {"values": values}).json()["id"]
    monkeypatch.setattr(host, "checkpoints", stuck)
    asked = in_threads(lambda: get(TestClient(app, base_url="http://127.0.0.1:7861"), "form"), 20)
    asked += in_threads(lambda: get(TestClient(app, base_url="http://127.0.0.1:7861"), "tools"), 20)
    time.sleep(0.2)
    assert get(client, "state").json()["runs"][0]["id"] == run_id
    assert get(client, "runs").status_code == 200
    assert post(client, f"runs/{run_id}/stop", {}).json()["run"]["state"] == "stopped"
    assert any(thread.is_alive() for thread in asked), "they hung all the time"


def test_the_page_opens_without_the_list_of_a_drive_that_hangs(client, host, stuck, monkeypatch):
    monkeypatch.setattr(state, "FORM_SECONDS", 0.1)
    monkeypatch.setattr(host, "checkpoints", stuck)
    form = get(client, "form").json()
    assert form["checkpoints"] == [] and form["spec"]["en"]["sections"]
    (problem,) = form["problems"]
    assert "base models" in problem["message"] and "drive" in problem["advice"]


def test_a_check_that_hangs_is_answered_and_another_run_can_be_sent_meanwhile(app, client, values, stuck, monkeypatch):
    from lora_trainer.api import checks

    real = checks._look_at_models

    def look(checked):
        return stuck() if checked.draft.name == "hangs" else real(checked)

    monkeypatch.setattr(checks, "_look_at_models", look)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.2)
    assert post(client, "check", {"values": {**values, "output_name": "hangs"}}).status_code == 503
    monkeypatch.setattr(service, "LOOK_SECONDS", SOON)
    other = TestClient(app, base_url="http://127.0.0.1:7861")
    in_threads(lambda: post(other, "runs", {"values": {**values, "output_name": "hangs"}}), 3)
    time.sleep(0.1)
    assert post(client, "runs", {"values": values}).status_code == 201


def test_runs_that_are_sent_at_once_get_names_of_their_own(app, client, values):
    sent = []

    def send():
        sent.append(post(TestClient(app, base_url="http://127.0.0.1:7861"), "runs", {"values": values}).json()["name"])

    for thread in in_threads(send, 5):
        thread.join(SOON)
    assert sorted(sent) == ["frog", "frog-2", "frog-3", "frog-4", "frog-5"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_among_the_files_is_neither_listed_nor_opened(client, tmp_path):
    data = StandaloneHost(data_dir=tmp_path / "data")
    data.make_folders()
    for folder in (tmp_path / "data" / "models", tmp_path / "data" / "vae", tmp_path / "loras", tmp_path / "loras" / "sub"):
        folder.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / "pipe.safetensors")
        (folder / "nowhere.safetensors").symlink_to(tmp_path / "nothing")
        (folder / "folder.safetensors").mkdir()
    assert [one.path.name for one in data.checkpoints() if one.side == 0] == [] and data.vaes() == []
    assert get(client, "loras").json()["loras"] == [] and get(client, "form").json()["loras"] == []
    assert get(client, "tools").json()["loras"] == []
    query = {"folder": str(tmp_path / "loras"), "name": "pipe.safetensors"}
    assert get(client, "images/thumb", params=query).status_code == 404


def test_files_are_sent_whole_and_by_their_names(client, service, values):
    run_id = post(client, "runs", {"values": values}).json()["id"]
    folder = service.supervisor.folder(run_id)
    data = os.urandom((3 << 20) + 5)
    (folder.output / "a b.safetensors").write_bytes(data)
    sent = client.get(f"{API}runs/{run_id}/file/a b.safetensors")
    assert sent.content == data and sent.headers["content-length"] == str(len(data))
    assert sent.headers["content-disposition"] == "attachment; filename*=utf-8''a%20b.safetensors"
    assert sent.headers["x-content-type-options"] == "nosniff"
    text = client.get(f"{API}runs/{run_id}/file/config.toml")
    assert text.headers["content-type"].startswith("text/plain") and "content-disposition" not in text.headers


def test_what_lies_in_a_hidden_folder_is_not_listed(tmp_path):
    for name in ("a.safetensors", ".replaced/a.safetensors", "sub/b.safetensors", ".c.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in lora_files(tmp_path)] == ["a.safetensors", "b.safetensors"]
