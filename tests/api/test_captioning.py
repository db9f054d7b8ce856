"""Captions from the page: a tagger in a process of its own, what it says, cancelling, undoing, who may name which folder."""

import json
import sys
import time
from urllib.parse import quote

import pytest
import toml

from lora_trainer.data.plan import caption_backup
from tests.captioning.small_tagger import captions, write_pictures, write_tagger

from .conftest import get, post
from .test_tools import problems

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
TOOL = "tag_images_by_wd14_tagger"


@pytest.fixture
def tagger(host, tmp_path):
    host.python = sys.executable
    return write_tagger(tmp_path / "tagger")


def run(client, service, folder, tagger, **values):
    body = {"tool": TOOL, "values": {"train_data_dir": str(folder), "repo_id": str(tagger), **values}}
    answer = post(client, "tools", body)
    assert answer.status_code == 201, answer.text
    service.tools.wait(answer.json()["id"], 300)
    return get(client, f"tools/{answer.json()['id']}").json()


def test_tags_are_written_told_and_brought_back(client, service, tagger, tmp_path):
    folder = write_pictures(tmp_path / "my pictures", "red.png", "blue.png", "green.png")
    (folder / "green.txt").write_text("mine")
    (folder / "broken.png").write_bytes(b"no picture")
    job = run(client, service, folder, tagger, existing_captions="keep", undesired_tags="^_^", remove_underscore=True)
    assert job["state"] == "finished", job
    assert captions(folder) == {"blue.txt": "blue sky\n", "green.txt": "mine", "red.txt": "red hair, rose (coat) (garden)\n"}
    assert [one["message"].partition(" (")[0] for one in job["report"]] == [
        "2 of 4 pictures have new captions.",
        "Pictures whose captions were kept: 1.",
        "Passed over: broken.png",
    ]
    assert caption_backup.backups(folder) == [job["id"]]
    assert job["folder"] == str(folder) and job["can_undo"] and job["writes"] == "captions" and job["done"] == job["total"]
    korean = client.get(f"/lora-trainer/api/tools/{job['id']}", headers={"Accept-Language": "ko"}).json()
    assert korean["report"][0]["message"] == "이미지 4장 중 2장에 새 캡션을 썼습니다."
    assert get(client, f"tools?folder={quote(str(folder))}").json()["captioned"] == job["id"], (
        "also when the page is loaded anew"
    )
    assert get(client, f"tools?folder={quote(str(tmp_path))}").json()["captioned"] is None
    undone = post(client, f"tools/{job['id']}/undo", {}).json()
    assert get(client, f"tools?folder={quote(str(folder))}").json()["captioned"] is None
    assert (undone["restored"], undone["removed"], undone["kept"]) == (0, 2, []) and not undone["job"]["can_undo"]
    assert captions(folder) == {"green.txt": "mine"}
    again = post(client, f"tools/{job['id']}/undo", {})
    assert again.status_code == 400 and "no captions to bring back" in again.text


def test_a_cancelled_job_keeps_what_it_wrote_and_can_be_undone(client, service, tagger, tmp_path):
    folder = write_pictures(tmp_path / "many", *(f"red-{number:03d}.png" for number in range(400)))
    answer = post(client, "tools", {"tool": TOOL, "values": {"train_data_dir": str(folder), "repo_id": str(tagger)}}).json()
    until = time.monotonic() + 60
    while not captions(folder) and time.monotonic() < until:
        time.sleep(0.02)
    post(client, f"tools/{answer['id']}/stop", {})
    service.tools.wait(answer["id"], 60)
    job = get(client, f"tools/{answer['id']}").json()
    written = captions(folder)
    assert job["state"] == "stopped" and 0 < len(written) < 400
    assert job["report"][-1]["message"].startswith(f"Stopped after {max(written).removesuffix('.txt')}.png.")
    assert post(client, f"tools/{answer['id']}/undo", {}).json()["removed"] == len(written) and not captions(folder)


def test_an_error_is_the_jobs_message(client, service, tagger, tmp_path):
    folder = write_pictures(tmp_path / "pictures", "red.png")
    (tagger / "selected_tags.csv").write_text("name,category\nx,0\n")
    job = run(client, service, folder, tagger)
    assert job["state"] == "failed" and "its list of tags" in job["message"] and not job["can_undo"] and not captions(folder)


@pytest.mark.parametrize("field", ["train_data_dir", "repo_id"])
def test_only_folders_that_the_page_may_look_into_are_named(client, service, host, tagger, tmp_path, field):
    inside, outside = write_pictures(tmp_path / "inside", "red.png"), write_pictures(tmp_path / "outside", "red.png")
    host.folders = (inside, tagger)
    values = {"train_data_dir": str(inside), "repo_id": str(tagger), field: str(outside)}
    assert "in no folder" in problems(client, {"tool": TOOL, "values": values})[field]
    assert "in no folder" in problems(client, {"tool": TOOL, "values": {**values, field: "/no/such/place"}})[field]
    assert not service.tools.active() and not captions(outside)


@pytest.mark.parametrize("value", ["", None, 3, ["x"], "/no/such/folder", "gone"])
def test_a_folder_that_is_none_is_told_at_once(client, service, tagger, value):
    assert set(problems(client, {"tool": TOOL, "values": {"train_data_dir": value}})) == {"train_data_dir"}
    assert not list(service.paths.tools.glob("*"))


def test_an_upload_that_a_run_trains_from_is_copied_first(client, service, tagger):
    upload = service.uploads.root / service.uploads.new()
    write_pictures(upload, "red.png")
    naming = service.paths.runs / "20260101-000000-frog"
    naming.mkdir(parents=True)
    (naming / "request.json").write_text(upload.name)
    job = run(client, service, upload, tagger)
    assert job["state"] == "finished", job
    copy = service.uploads.root / job["upload"]
    assert copy != upload and str(copy) == job["folder"]
    assert captions(copy) and not captions(upload)
    (naming / "request.json").write_text(copy.name)
    refused = post(client, f"tools/{job['id']}/undo", {})
    assert refused.status_code == 409 and "trains from these captions" in refused.text and captions(copy)


def test_a_training_waits_for_a_tagger_on_the_card_and_a_tagger_leaves_the_card_to_a_training(service, monkeypatch):
    monkeypatch.setattr(service.tools, "active", lambda: "20260101-000000-abcdef")
    job = service.tools.folder / "20260101-000000-abcdef"
    naming = service.paths.runs / "20260101-000000-frog"
    for path in (job, naming):
        path.mkdir(parents=True)
    (naming / "dataset.toml").write_text(toml.dumps({"datasets": [{"subsets": [{"image_dir": "/pictures/it's"}]}]}))
    waiting = []
    for device, folder in (("auto", "/other"), ("cpu", "/pictures/it's"), ("cpu", "/other")):
        words = ["x", f"--train_data_dir={folder}", "--device", device]
        (job / "job.json").write_text(json.dumps({"writes": "captions", "words": words}))
        waiting.append(service._first(naming))
    assert waiting == ["Waiting for the card: pictures are being captioned.", "Waiting: its pictures are being captioned.", ""]
    (job / "job.json").write_text(json.dumps({"writes": "captions", "words": ["--device", "auto"]}))
    run = service.supervisor.submit("20260101-000001-frog", "frog", lambda path: path.mkdir(parents=True))
    service.supervisor.tick()
    state = service.store.get(run.id)
    assert state.state == "queued" and "being captioned" in state.message
    monkeypatch.setattr(service.tools, "active", lambda: None)
    service.supervisor.tick()
    assert service.store.get(run.id).state != "queued"
    from lora_trainer.api import captioning
    from lora_trainer.options.tool_page import tool_named

    words = captioning.words(service, tool_named(TOOL), job)
    assert words[words.index("--device") + 1] == ("cpu" if service.is_training() else "auto")
