"""A page that asks every few seconds is sent what has changed, and all of it when it knows nothing."""

import json

import pytest

from lora_trainer.api.changes import Changes, changed_parts
from lora_trainer.runs import folder as run_folder
from lora_trainer.runs.events import EventWriter

from .conftest import get, post

PROMPT = "a photo of sls frog on a leaf, " * 20


def add_run(service, number, samples=0):
    folder = service.supervisor.folder(f"run-{number}")
    request = {"name": f"frog-{number}", "target": "/loras/x.safetensors", "activation": "sls frog"}
    run_folder.create(folder.path, config="", dataset="", prompts="", request=request)
    service.store.add(f"run-{number}", f"frog-{number}")
    for step in range(samples):
        tell(service, number, type="sample", path=str(folder.samples / f"{step}.png"), step=step, prompt=PROMPT, seed=1)
    return folder


def tell(service, number, **event):
    writer = EventWriter(service.supervisor.folder(f"run-{number}").events)
    writer.write(event)
    writer.close()


def ids(answer):
    return [run["id"] for run in answer["runs"]]


@pytest.mark.parametrize("path", ["state", "runs"])
def test_lists_of_runs_hold_no_samples_and_then_only_what_has_changed(client, service, path):
    for number in range(7):
        add_run(service, number, samples=30)
    whole = get(client, path)
    assert len(whole.content) < 7 * 1500 and PROMPT not in whole.text
    first = whole.json()
    assert ids(first) == first["order"] == [f"run-{number}" for number in reversed(range(7))]
    assert first["runs"][0]["picture"] == "runs/run-6/thumb/29.png"
    again = get(client, path, params={"since": first["token"]})
    assert again.json()["runs"] == [] and again.json()["order"] == first["order"]
    tell(service, 3, type="step", step=1, loss=0.5)
    changed = get(client, path, params={"since": first["token"]}).json()
    assert ids(changed) == ["run-3"] and changed["runs"][0]["step"] == 1
    # another page, which has asked before, is sent the same, and this one nothing more
    assert ids(get(client, path, params={"since": again.json()["token"]}).json()) == ["run-3"]
    assert get(client, path, params={"since": changed["token"]}).json()["runs"] == []


@pytest.mark.parametrize("token", ["", "nothing", "0000.5", "a.b", "9" * 500, "."])
def test_who_has_a_token_of_another_process_is_sent_everything(client, service, token):
    add_run(service, 1)
    get(client, "runs")
    assert ids(get(client, "runs", params={"since": token}).json()) == ["run-1"]


def test_a_run_that_was_deleted_is_no_longer_in_the_order(client, service):
    add_run(service, 1), add_run(service, 2)
    token = get(client, "runs").json()["token"]
    post(client, "runs/run-1/stop")
    post(client, "runs/run-1/delete")
    answer = get(client, "runs", params={"since": token}).json()
    assert answer["order"] == ["run-2"]


def test_who_watches_a_run_is_sent_its_samples_files_and_log_when_they_change(client, service):
    folder = add_run(service, 1, samples=3)
    folder.log.write_text("one line\n")
    whole = get(client, "runs/run-1").json()
    first = get(client, "runs/run-1", params={"after": whole["offset"]}).json()
    assert first["run"]["samples"] == whole["run"]["samples"] and first["log"] == "one line"
    ask = {"after": whole["offset"], "have": first["have"]}
    second = get(client, "runs/run-1", params=ask)
    assert not {"samples", "files", "warnings", "lora"} & second.json()["run"].keys()
    assert second.json()["log"] is None and PROMPT not in second.text and second.json()["have"] == first["have"]
    (folder.output / "frog.safetensors").write_bytes(b"weights")
    tell(service, 1, type="saved", path=str(folder.output / "frog.safetensors"), step=2, epoch=1, final=False)
    third = get(client, "runs/run-1", params=ask).json()
    assert [one["name"] for one in third["run"]["files"]] == ["frog.safetensors"] and "samples" not in third["run"]
    (folder.output / "frog.safetensors").unlink()  # as the settings say: only the newest are kept
    fourth = get(client, "runs/run-1", params={"after": third["offset"], "have": third["have"]}).json()
    assert fourth["run"]["files"] == []


def test_parts_are_compared_one_by_one():
    parts, have = changed_parts({"a": [1], "b": "x"}, "")
    assert parts == {"a": [1], "b": "x"}
    assert changed_parts({"a": [1], "b": "x"}, have) == ({}, have)
    assert changed_parts({"a": [1], "b": "y"}, have)[0] == {"b": "y"}
    for other in ("x.y.z", "x", ".", "1.2"):
        assert changed_parts({"a": [1], "b": "x"}, other)[0] == {"a": [1], "b": "x"}


def test_changes_that_are_forgotten_are_sent_again():
    changes = Changes(kept=2)
    _, token = changes.news({"a": 1, "b": 1}, "")
    changes.news({"c": 1}, "")
    assert changes.news({"a": 1, "b": 1}, token)[0] == ["a"]


def test_numbers_that_no_machine_has_are_refused(client, service):
    add_run(service, 1)
    for after in ("9" * 400, "-1", "٣", "1.5"):
        assert get(client, "runs/run-1", params={"after": after}).status_code in {200, 400}, after
    assert json.loads(get(client, "runs/run-1", params={"after": "9" * 15}).text)["events"] == []
