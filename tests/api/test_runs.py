"""Starting, watching and ending a run over HTTP, with the fake worker."""

import json
import os
import time
from pathlib import Path

import pytest
import toml

from .conftest import API, get, picture, post, problems_of

posix = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


def run_to_end(service, client, run_id, seconds=200.0):
    end = time.monotonic() + seconds
    while True:
        service.supervisor.tick()
        run = get(client, f"runs/{run_id}").json()["run"]
        if not run["active"] and run["state"] != "queued":
            return run
        assert time.monotonic() < end
        time.sleep(0.02)


@posix
def test_a_run_from_the_form_to_the_lora(client, service, host, values):
    started = post(client, "runs", {"values": values})
    assert started.status_code == 201
    run_id = started.json()["id"]
    waiting = get(client, f"runs/{run_id}").json()["run"]
    assert (waiting["state"], waiting["queue_position"], waiting["name"]) == ("queued", 1, "frog")

    folder = Path(waiting["folder"])
    config = toml.loads(waiting["config"])
    assert config["network"]["network_module"] == "networks.lora"
    assert config["saving"]["output_dir"] == str(folder / "output")
    assert toml.loads(waiting["dataset"])["datasets"][0]["subsets"][0]["class_tokens"] == "sls frog"
    assert "train_network" in waiting["command"]
    assert waiting["values"]["identifier"] == "sls"

    run = run_to_end(service, client, run_id)
    assert run["state"] == "finished", run
    assert run["lora"]["prompt"] == "sls frog <lora:frog:0.8>"
    assert Path(run["lora"]["path"]) == host.paths().lora_dir / "frog.safetensors"
    listed = get(client, "loras").json()["loras"]
    assert [(one["name"], one["activation"]) for one in listed] == [("frog", "sls frog")]
    assert [one["id"] for one in get(client, "state").json()["runs"]] == [run_id]


@pytest.mark.parametrize(("outlives", "noted"), [(True, "continue"), (False, "stop")])
def test_a_run_knows_whether_it_outlives_its_host(client, service, host, values, outlives, noted):
    host.outlived = outlives
    run_id = post(client, "runs", {"values": values}).json()["id"]
    assert service.supervisor.folder(run_id).request()["when_host_ends"] == noted


@posix
def test_watching_goes_on_from_an_offset(client, service, values):
    run_id = post(client, "runs", {"values": values}).json()["id"]
    first = get(client, f"runs/{run_id}?after=0").json()
    assert (first["events"], first["offset"], first["more"]) == ([], 0, False)
    run_to_end(service, client, run_id)
    second = get(client, f"runs/{run_id}?after=0").json()
    kinds = [event["type"] for event in second["events"]]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    third = get(client, f"runs/{run_id}?after={second['offset']}").json()
    assert third["events"] == []
    assert third["run"]["state"] == "finished"
    assert get(client, f"runs/{run_id}?after=x").status_code == 400


@posix
def test_an_existing_name_gets_a_number_unless_overwriting_is_asked(client, service, host, values):
    (host.paths().lora_dir).mkdir(parents=True)
    (host.paths().lora_dir / "frog.safetensors").write_bytes(b"old")
    answer = post(client, "check", {"values": values}).json()
    assert answer["ok"]
    assert answer["output"] == {"name": "frog", "exists": True, "saved_as": "frog-2"}
    assert "frog-2" in problems_of(answer, "warning")["output_name"]

    numbered = post(client, "runs", {"values": values}).json()
    assert numbered["name"] == "frog-2"
    third = post(client, "runs", {"values": values}).json()
    assert third["name"] == "frog-3", "the waiting run has its name already"
    config = toml.loads(get(client, f"runs/{numbered['id']}").json()["run"]["config"])
    assert config["saving"]["output_name"] == "frog-2"

    over = post(client, "runs", {"values": values, "overwrite": True}).json()
    assert over["name"] == "frog"
    for run in (numbered, third, over):
        assert run_to_end(service, client, run["id"])["state"] == "finished"
    assert (host.paths().lora_dir / "frog.safetensors").read_bytes() != b"old"


@posix
def test_stop_again_delete(client, service, values):
    run_id = post(client, "runs", {"values": values}).json()["id"]
    assert post(client, f"runs/{run_id}/stop").json()["run"]["state"] == "stopped"
    assert post(client, f"runs/{run_id}/save").status_code == 400
    again = post(client, f"runs/{run_id}/again")
    assert again.status_code == 201
    run = run_to_end(service, client, again.json()["id"])
    name = run["files"][0]["name"]
    placed = post(client, f"runs/{run['id']}/use", {"file": name, "overwrite": True})
    assert placed.json()["lora"]["name"] == "frog"
    assert post(client, f"runs/{run['id']}/use", {"file": "nothing.safetensors"}).status_code == 400
    used = {"name": "frog", "file": name, "there": True, "chosen": False}
    assert get(client, f"runs/{run['id']}/use").json() == {"used": used}
    assert post(client, f"runs/{run['id']}/use", {"file": name, "as_result": True}).json()["lora"]["name"] == "frog"
    assert get(client, f"runs/{run['id']}/use").json() == {"used": {**used, "chosen": True}}
    folder = Path(run["folder"])
    assert post(client, f"runs/{run['id']}/delete").json() == {}
    assert not folder.exists()
    assert get(client, f"runs/{run['id']}").status_code == 404


@posix
def test_a_script_may_start_a_run_with_the_options_of_the_command_line(client, service, host, images, values):
    body = {
        "options": {
            "pretrained_model_name_or_path": values["pretrained_model_name_or_path"],
            "output_name": "scripted",
            "network_module": "networks.lora",
            "network_dim": 4,
            "max_train_steps": 5,
        },
        "dataset": {
            "general": {"caption_extension": ".txt"},
            "datasets": [
                {"resolution": 256, "batch_size": 2, "subsets": [{"image_dir": str(images), "class_tokens": "sls frog"}]}
            ],
        },
        "prompts": "sls frog --w 64 --h 64",
    }
    answer = post(client, "check", body).json()
    assert answer["ok"], answer
    assert (answer["plan"]["images"], answer["plan"]["batch_size"]) == (3, 2)
    run_id = post(client, "runs", body).json()["id"]
    detail = get(client, f"runs/{run_id}").json()["run"]
    assert toml.loads(detail["dataset"]) == body["dataset"]
    assert detail["prompts"].strip() == body["prompts"]
    assert detail["values"] is None
    run = run_to_end(service, client, run_id)
    assert run["lora"]["activation"] == "sls frog"

    body["dataset"]["datasets"][0]["subsets"][0]["num_repeat"] = 3
    wrong = post(client, "runs", body)
    assert wrong.status_code == 422
    assert "num_repeats" in json.dumps(wrong.json())


@posix
def test_files_of_a_run_are_served_and_nothing_else(client, service, values):
    run_id = post(client, "runs", {"values": values}).json()["id"]
    run_to_end(service, client, run_id)
    folder = service.supervisor.folder(run_id)
    (folder.samples / "a b.png").write_bytes(picture())
    shown = get(client, f"runs/{run_id}/file/a%20b.png")
    assert shown.headers["content-type"] == "image/png"
    thumb = get(client, f"runs/{run_id}/thumb/a%20b.png")
    assert thumb.headers["content-type"] == "image/jpeg"
    lora = get(client, f"runs/{run_id}/file/frog.safetensors")
    assert "attachment" in lora.headers["content-disposition"]
    assert get(client, f"runs/{run_id}/file/config.toml").status_code == 200
    for name in (
        "request.json",
        "worker.json",
        "..%2f..%2fruns.db",
        "..%5cruns.db",
        "%2e%2e",
        "nothing.png",
        "..%2frequest.json",
    ):
        assert get(client, f"runs/{run_id}/file/{name}").status_code == 404, name
    assert get(client, "runs/..%2f..%2f/file/log.txt").status_code == 404


def test_unknown_runs_are_404(client):
    assert get(client, "runs/nothing").status_code == 404
    for action in ("stop", "save", "sample", "again", "delete"):
        assert post(client, f"runs/nothing/{action}").status_code == 404
    assert post(client, "runs/nothing/move", {"position": 1}).status_code == 404


def test_the_queue_is_reordered_and_a_waiting_run_is_deleted(client, service, values):
    ids = [post(client, "runs", {"values": {**values, "output_name": name}}).json()["id"] for name in "abc"]
    moved = post(client, f"runs/{ids[2]}/move", {"position": 1})
    assert moved.json()["run"]["queue_position"] == 1
    folder = service.supervisor.folder(ids[0]).path
    assert post(client, f"runs/{ids[0]}/delete").json() == {} and not folder.exists()
    positions = {run["name"]: run["queue_position"] for run in get(client, "runs").json()["runs"]}
    assert positions == {"c": 1, "b": 2}
    for bad in (0, -1, 1.5, True, "1", None):
        assert post(client, f"runs/{ids[1]}/move", {"position": bad}).status_code == 400
    post(client, f"runs/{ids[1]}/stop")
    refused = post(client, f"runs/{ids[1]}/move", {"position": 1})
    assert refused.status_code == 400 and "does not wait" in refused.json()["error"]["message"]


def test_a_second_program_on_the_store_may_look_but_not_start(client, host, values):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from lora_trainer.api import routes
    from lora_trainer.api.service import Service

    second = Service(host)
    app = Starlette()
    routes.mount(app, second)
    other = TestClient(app, base_url="http://127.0.0.1:7861")
    assert "Another program" in other.get(API + "state").json()["read_only"]
    assert get(client, "state").json()["read_only"] == ""
    refused = other.post(API + "runs", json={"values": values})
    assert refused.status_code == 409
    assert "written by another program" in refused.json()["error"]["message"]
    assert post(client, "runs", {"values": values}).status_code == 201
    assert len(other.get(API + "runs").json()["runs"]) == 1
    second.close()


def test_a_damaged_store_is_told_on_the_page_and_mended_without_a_restart(tmp_path, host):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from lora_trainer.api import routes
    from lora_trainer.api.service import Service

    store = host.paths().store
    store.parent.mkdir(parents=True)
    store.write_bytes(b"damaged" * 1000)
    service = Service(host)
    app = Starlette()
    routes.mount(app, service)
    client = TestClient(app, base_url="http://localhost")
    state = client.get(API + "state").json()
    assert not state["ready"]
    assert "damaged" in state["problems"][0]["message"]
    assert client.get(API + "runs").status_code == 409
    store.unlink()
    assert client.get(API + "state").json()["ready"]
    service.close()


def test_the_form_has_what_can_be_chosen(client, host):
    form = get(client, "form").json()
    assert [(one["title"], one["is_current"]) for one in form["checkpoints"]] == [("base", True)]
    names = {control["name"] for section in form["spec"]["en"]["sections"] for control in section["controls"]}
    assert {"image_dir", "identifier", "class_name", "output_name", "network_dim"} <= names


def test_what_becomes_of_pictures_during_a_training_is_chosen_at_once(client, host, service):
    assert get(client, "state").json()["pictures_policy"] == "automatic"
    assert post(client, "settings", {"pictures_policy": "hand_over"}).json() == {"pictures_policy": "hand_over"}
    assert get(client, "state").json()["pictures_policy"] == host.pictures_policy() == "hand_over"
    for wrong in ({}, {"pictures_policy": "never"}, {"pictures_policy": 5}):
        answer = post(client, "settings", wrong)
        assert answer.status_code == 400 and "pictures_policy" in answer.json()["error"]["message"]
    assert host.pictures_policy() == "hand_over"


def test_captions_that_are_missing_are_said_at_a_field_of_the_form(client, values, images):
    for path in images.glob("*.txt"):
        path.unlink()
    bare = {**values, "identifier": "", "class_name": ""}
    answer = post(client, "check", {"values": bare}).json()
    form = get(client, "form").json()["spec"]["en"]["sections"]
    known = {control["name"] for section in form for control in section["controls"]}
    assert problems_of(answer).keys() and problems_of(answer).keys() <= known, answer["problems"]


@pytest.mark.parametrize(("family", "version"), [("sdxl", "SDXL"), ("sd2-v", "SD2")])
def test_another_family_is_accepted_with_hints_and_the_card_says_which(client, service, values, tiny_model, family, version):
    changed = {**values, "pretrained_model_name_or_path": str(tiny_model(family)), "clip_skip": 2}
    answer = post(client, "check", {"values": changed}).json()
    assert answer["ok"] and answer["base_model"]["family"] == family.partition("-")[0], answer["problems"]
    hints = [one["field"] for one in answer["problems"] if "Stable Diffusion" in one["message"]]
    assert hints == (["clip_skip", "resolution"] if family == "sdxl" else ["clip_skip"])
    run_id = post(client, "runs", {"values": changed}).json()["id"]
    request = service.supervisor.folder(run_id).request()
    assert request["sd_version"] == version
