import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lora_trainer.errors import StoreError
from lora_trainer.models import load
from lora_trainer.paths import write_text_atomic
from lora_trainer.runs.folder import RunFolder, WorkerProcess
from lora_trainer.sampling import server as room
from lora_trainer.sampling.server import Server

SMALL = {"width": 64, "height": 64, "steps": 2, "seed": 3, "sampler": "euler", "device": "cpu"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


def ask(server, checkpoint, name="r1", **values):
    path = server.folder / "requests" / f"{name}.json"
    write_text_atomic(path, json.dumps({"model": str(checkpoint), "prompt": "a cat", **SMALL, **values}))
    return path


def status(server, name="r1"):
    return json.loads((server.folder / "results" / name / "status.json").read_text(encoding="utf-8"))


def test_a_request_becomes_pictures_and_is_deleted(server, tiny_sd1, tmp_path, make_lora):
    make_lora(tmp_path / "loras" / "sls.safetensors")
    path = ask(server, tiny_sd1, prompt="a cat <lora:sls:0.8>", lora_dirs=[str(tmp_path / "loras")], batch_count=2)
    server.answer(path)
    found = status(server)
    assert found["state"] == "finished" and (found["done"], found["total"]) == (4, 4) and not found["message"]
    assert [(image["name"], image["seed"]) for image in found["images"]] == [("0.png", 3), ("1.png", 4)]
    picture = Image.open(server.folder / "results" / "r1" / "1.png")
    assert picture.size == (64, 64) and picture.text["parameters"] == found["images"][1]["info"]
    assert not path.exists()


def test_a_word_of_the_embeddings_folder_is_used_and_forgotten(server, tiny_sd1, tmp_path):
    width = load(tiny_sd1, dtype=torch.float32, device="cpu").text_encoders[0].get_input_embeddings().weight.shape[1]
    folder = tmp_path / "embeddings" / "mine"
    folder.mkdir(parents=True)
    save_file({"emb_params": torch.ones(2, width)}, folder / "qqq.safetensors")
    save_file({"emb_params": torch.ones(2, width + 1)}, folder / "misfit.safetensors")
    given = {"prompt": "a QQQ and a misfit", "embeddings_dirs": [str(tmp_path / "embeddings")]}
    drawn = []
    for name, more in {"with": {}, "without": {"embeddings_dirs": []}, "again": {"prompt": "a zzz and a misfit"}}.items():
        server.answer(ask(server, tiny_sd1, name, **(given | more)))
        assert status(server, name)["state"] == "finished", status(server, name)
        drawn.append(Image.open(server.folder / "results" / name / "0.png"))
    assert drawn[0].tobytes() != drawn[1].tobytes()
    assert 'TI hashes: "qqq: ' in drawn[0].text["parameters"] and "TI hashes" not in drawn[2].text["parameters"]


def test_the_model_is_kept_and_loaded_anew_when_its_file_changes(server, tiny_sd1, tmp_path, monkeypatch):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(tiny_sd1.read_bytes())
    loads = []
    from lora_trainer.sampling import session

    load = session.models.load
    monkeypatch.setattr(session.models, "load", lambda *a, **k: loads.append(a) or load(*a, **k))
    for name in ("r1", "r2"):
        server.answer(ask(server, copy, name))
    assert len(loads) == 1
    copy.touch()
    server.answer(ask(server, copy, "r3"))
    assert len(loads) == 2 and status(server, "r3")["state"] == "finished"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 65}, "width is 65"),
        ({"wdith": 64}, "'wdith' is not known"),
        ({"model": ""}, "no base model"),
        ({"model": "/no/such/model.safetensors"}, "such"),
        ({"prompt": "<lora:none:1>"}, "no such LoRA"),
        ({"lora_dirs": "x"}, "expected a list"),
        ({"embeddings_dirs": [1]}, "expected a list"),
        ({"precision": "fp8"}, "'fp8' is not known"),
        ({"device": 3}, "device is 3"),
    ],
)
def test_a_request_that_cannot_be_drawn_fails_with_a_message_and_the_next_one_is_drawn(server, tiny_sd1, values, message):
    path = ask(server, tiny_sd1, **values)
    server.answer(path)
    assert status(server)["state"] == "failed" and message in status(server)["message"]
    assert not path.exists()


def test_a_damaged_request_and_a_mistake_of_ours_do_not_end_the_server(server, tiny_sd1, monkeypatch):
    path = server.folder / "requests" / "r1.json"
    path.write_text("{", encoding="utf-8")
    server.answer(path)
    assert "cannot be read" in status(server)["message"]
    monkeypatch.setattr(room, "draw", lambda *_, **__: 1 / 0)
    server.answer(ask(server, tiny_sd1, "r2"))
    assert "ZeroDivisionError" in status(server, "r2")["message"]


@pytest.mark.parametrize("file", ["results/r1/stop", "quit"])
def test_stop_and_quit_break_a_request_off_and_keep_what_is_finished(server, tiny_sd1, file, monkeypatch):
    draw = room.draw

    def stopped_after_one(*arguments, **named):
        for picture in draw(*arguments, **named):
            yield picture
            (server.folder / file).touch()

    monkeypatch.setattr(room, "draw", stopped_after_one)
    server.answer(ask(server, tiny_sd1, batch_count=5))
    assert status(server)["state"] == "stopped" and len(status(server)["images"]) == 1


def test_a_request_stopped_while_it_waited_loads_no_model(server):
    path = ask(server, "/no/such/model")
    (server.folder / "results" / "r1").mkdir()
    (server.folder / "results" / "r1" / "stop").touch()
    server.answer(path)
    assert status(server)["state"] == "stopped"


def in_a_thread(server, until):
    """Let the server serve until `until()`, then end it."""
    thread = threading.Thread(target=server._serve, daemon=True)
    thread.start()
    end = time.monotonic() + 200
    while not until() and time.monotonic() < end:
        time.sleep(0.02)
    (server.folder / "quit").touch()
    thread.join(200)
    assert not thread.is_alive()
    (server.folder / "quit").unlink()
    return until()


def test_a_card_too_full_beside_a_training_is_waited_for_and_the_pictures_drawn_then(server, tiny_sd1, monkeypatch):
    real, tries = room.draw, []

    def full_at_first(*arguments, **named):
        tries.append(None)
        if len(tries) == 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(*arguments, **named)

    monkeypatch.setattr(room, "draw", full_at_first)
    path = ask(server, tiny_sd1)
    (server.folder / "shared").touch()
    assert in_a_thread(server, (server.folder / "crowded").exists)
    assert status(server)["state"] == "waiting" and path.exists() and len(tries) == 1
    (server.folder / "shared").unlink()
    (server.folder / "wait").touch()
    server._is_crowded()
    assert not (server.folder / "crowded").exists()
    (server.folder / "wait").unlink()
    assert in_a_thread(server, lambda: not path.exists())
    found = status(server)
    assert (found["state"], len(found["images"])) == ("finished", 1) and found["peak_memory"] > 0


def test_a_full_card_without_a_training_beside_is_said(server, tiny_sd1, monkeypatch):
    monkeypatch.setattr(room, "draw", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))
    path = ask(server, tiny_sd1)
    server.answer(path)
    assert status(server)["message"] == "The card is full." and "Lower" in status(server)["advice"] and not path.exists()


def test_nothing_is_begun_while_a_training_has_the_card(server, tiny_sd1, monkeypatch):
    monkeypatch.setattr(server, "answer", lambda path: pytest.fail("it is to wait"))
    looks = []
    monkeypatch.setattr(server, "_is_crowded", lambda: looks.append(None))
    (server.folder / "wait").touch()
    path = ask(server, tiny_sd1)
    assert in_a_thread(server, lambda: len(looks) > 2) and path.exists()


def test_leaves_when_idle_and_beats_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "HEARTBEAT_SECONDS", 0.05)
    server = Server(tmp_path, idle_seconds=0.4)
    thread = threading.Thread(target=server.run)
    thread.start()
    time.sleep(0.2)
    first = (tmp_path / "heartbeat").stat().st_mtime_ns
    thread.join(10)
    assert not thread.is_alive() and (tmp_path / "heartbeat").stat().st_mtime_ns > first


def test_a_request_that_an_earlier_server_began_is_marked_as_failed_and_one_that_waited_is_drawn(tmp_path, tiny_sd1):
    server = Server(tmp_path, idle_seconds=0)
    for name, state in (("r1", "running"), ("r2", "waiting")):
        ask(server, tiny_sd1, name)
        (tmp_path / "results" / name).mkdir()
        (tmp_path / "results" / name / "status.json").write_text(json.dumps({"state": state, "images": []}))
    server.run()
    assert status(server)["state"] == "failed" and "ended while" in status(server)["message"]
    assert status(server, "r2")["state"] == "finished"


def test_a_second_server_in_the_folder_is_refused(server):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
    try:
        RunFolder(server.folder).note_worker(WorkerProcess.of(other.pid))
        with pytest.raises(StoreError, match=str(other.pid)):
            server.run()
    finally:
        other.kill()
        other.wait()


def test_the_real_process_draws_and_leaves_when_told_to(tmp_path, tiny_sd1):
    server = Server(tmp_path)  # only to make the folders
    process = subprocess.Popen([sys.executable, "-m", "lora_trainer", "generate_server", str(tmp_path)], cwd=ROOT)
    try:
        ask(server, tiny_sd1)
        deadline = time.monotonic() + 600
        while not (tmp_path / "results" / "r1" / "status.json").exists() or status(server)["state"] not in room.OVER:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert status(server)["state"] == "finished"
        (tmp_path / "quit").touch()
        assert process.wait(200) == 0
        assert not (tmp_path / "quit").exists()
    finally:
        process.kill()
        process.wait()
