"""Uploads that runs train from: they stay as they were queued, and go with the last of these runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import get, post
from .test_uploads import BLUE, RED, kept, send


def queued(client, values, upload, name="frog"):
    """The id of a run that waits to train from an upload."""
    asked = {**values, "image_dir": upload["folder"], "output_name": name}
    answer = post(client, "runs", {"values": asked})
    assert answer.status_code == 201, answer.json()
    return answer.json()["id"]


CHANGES = {
    "drop": lambda client, where: send(client, ("b.png", BLUE), ("a.txt", b"other"), folder=where),
    "caption": lambda client, where: post(client, f"uploads/{where}/caption", {"name": "a.png", "caption": "other"}),
    "blank": lambda client, where: post(client, f"uploads/{where}/caption", {"name": "a.png", "caption": ""}),
    "remove": lambda client, where: post(client, f"uploads/{where}/delete", {"name": "a.png"}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", ["queued", "stopped"])
def test_what_a_run_trains_stays_as_it_was_queued_and_a_change_makes_a_copy(client, values, change, state):
    upload = send(client, ("a.png", RED), ("a.txt", b"words"), ("c.png", BLUE)).json()
    before = kept(upload)
    run = queued(client, values, upload)
    if state == "stopped":
        post(client, f"runs/{run}/stop")
    answer = CHANGES[change](client, upload["id"])
    assert answer.status_code == 200 and answer.json()["id"] != upload["id"]
    pictures_and_captions = {name: data for name, data in kept(upload).items() if not name.startswith(".")}
    assert pictures_and_captions == before
    copy = kept(answer.json())
    assert copy["c.png"] == BLUE and copy.get("a.txt") != b"words"
    assert get(client, f"uploads/{answer.json()['id']}").json()["folder"] == answer.json()["folder"]
    again = (
        CHANGES["caption"](client, answer.json()["id"])
        if change != "remove"
        else send(client, ("d.png", RED), folder=answer.json()["id"])
    )
    assert again.json()["id"] == answer.json()["id"]  # that one nobody trains from


def test_where_no_hard_links_can_be_made_the_files_are_copied(client, values, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    upload = send(client, ("a.png", RED), ("a.txt", b"words")).json()
    queued(client, values, upload)
    assert kept(send(client, ("b.png", BLUE), folder=upload["id"]).json()) == {"a.png": RED, "a.txt": b"words", "b.png": BLUE}


def test_a_copy_that_cannot_be_written_leaves_nothing_half(client, service, values, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    upload = send(client, ("a.png", RED)).json()
    queued(client, values, upload)
    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr("shutil.copy2", refuse)
    answer = send(client, ("b.png", BLUE), folder=upload["id"])
    assert answer.status_code == 507 and "No space left" in answer.json()["error"]["message"]
    assert kept(upload) == {"a.png": RED} and [one.name for one in service.uploads.root.iterdir()] == [upload["id"]]


def test_removed_uploads_go_with_the_last_run_that_trains_from_them(client, service, values):
    upload, shown = send(client, ("a.png", RED)).json(), send(client, ("a.png", RED)).json()
    first, second = (queued(client, values, upload, name) for name in ("one", "two"))
    third = queued(client, values, shown, "three")
    assert post(client, f"uploads/{upload['id']}/delete").json() == {}
    assert post(client, "check", {"values": {**values, "image_dir": upload["folder"]}}).json()["ok"]
    post(client, f"runs/{first}/delete")
    service.uploads.remove_leavings()
    assert (Path(upload["folder"]) / "a.png").is_file()
    assert post(client, f"runs/{second}/delete").json() == {}
    assert not Path(upload["folder"]).exists()
    post(client, f"runs/{third}/delete")
    assert kept(shown) == {"a.png": RED}  # the page still shows it


def test_a_run_whose_data_set_file_lies_elsewhere_keeps_its_upload_too(client, values, tmp_path):
    upload = send(client, ("a.png", RED), ("a.txt", b"words")).json()
    data = tmp_path / "data.toml"
    data.write_text(f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = {upload['folder']!r}\ncaption_extension = '.txt'\n")
    options = {name: values[name] for name in ("pretrained_model_name_or_path", "output_name", "max_train_steps", "resolution")}
    answer = post(client, "runs", {"options": {**options, "network_module": "networks.lora", "dataset_config": str(data)}})
    assert answer.status_code == 201, answer.json()
    assert post(client, f"uploads/{upload['id']}/delete").json() == {}
    assert (Path(upload["folder"]) / "a.png").is_file()
