"""Going on with a run over HTTP: what has changed is told before, further steps lengthen it, nothing starts that cannot."""

import json
import os
import re

import pytest
import toml

from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.digest import data_facts
from lora_trainer.grids.grid import Candidate
from lora_trainer.options import config_file
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.options.resolve import train_options
from lora_trainer.runs import states
from lora_trainer.runs.state_findings import settings

from .conftest import get, picture, post
from .test_runs import run_to_end

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake worker is started by a shell script")


@pytest.fixture
def ended(service, client, values):
    """A run that has ended, with a true state of step 20 in its folder."""
    run_id = post(client, "runs", {"values": values}).json()["id"]
    run_to_end(service, client, run_id)
    folder = service.supervisor.folder(run_id)
    options = train_options({}, config_file.read(folder.config))
    plan = make_plan(data_spec(options), seed=42, prior_loss_weight=options.training.prior_loss_weight)
    about = {"step": 20, "epoch": 0, "batch": 20, "seed": 42, "settings": settings(options), "data": data_facts(plan)}
    state = states.write_state(
        states.rolling_folder(folder.output, "frog") / "step00000020-state",
        {"pieces.json": lambda path: path.write_text("{}")},
        about,
    )
    told = {"type": "state", "path": str(state), "step": 20, "epoch": 0, "time": 1.0}
    with folder.events.open("a") as events:
        events.write(json.dumps(told) + "\n")
    return run_id


def look(client, run_id, query=""):
    return get(client, f"runs/{run_id}/resume{query}")


def test_a_run_that_is_as_it_was_goes_on_without_a_question(client, service, ended):
    assert get(client, f"runs/{ended}").json()["run"]["resumable"]["step"] == 20
    answer = look(client, ended).json()
    assert answer["problems"] == [] and answer["state"]["step"] == 20 and answer["replaces"] is None
    before = service.supervisor.folder(ended).config.read_text()
    run = post(client, f"runs/{ended}/resume", {}).json()["run"]
    assert run["state"] == "queued" and service.supervisor.folder(ended).config.read_text() == before


def test_what_a_person_chose_to_use_is_told_before_it_is_replaced(client, ended):
    (file,) = get(client, f"runs/{ended}").json()["run"]["files"]
    post(client, f"runs/{ended}/use", {"file": file["name"], "as_result": True})
    told = {"name": "frog", "file": file["name"], "there": True, "chosen": True}
    assert look(client, ended).json()["replaces"] == told


def test_an_image_that_has_changed_is_told_with_its_folder(client, ended, images):
    (images / "0.png").write_bytes(picture(color="blue"))
    (warning,) = look(client, ended).json()["problems"]
    assert warning["level"] == "warning" and images.name in warning["message"]
    assert post(client, f"runs/{ended}/resume", {}).status_code == 200, "who was asked may go on"


def test_a_setting_changed_by_hand_that_cannot_be_is_an_error(client, service, ended):
    config = service.supervisor.folder(ended).config
    text = config.read_text()
    config.write_text(re.sub(r"(?m)^network_dim = .*\n", "", text).replace("[network]", "[network]\nnetwork_dim = 77"))
    (error, *_) = look(client, ended).json()["problems"]
    assert (error["level"], error["field"]) == ("error", "network_dim")


def test_further_steps_lengthen_the_run_and_say_what_becomes_of_the_rate(client, service, ended):
    (final,) = get(client, f"runs/{ended}").json()["run"]["files"]
    compared = Candidate("frog", service.supervisor.folder(ended).output / final["name"], final["step"])
    assert service._compared(ended, compared) == compared.path
    answer = look(client, ended, "?steps=30").json()
    assert [(one["field"], one["level"]) for one in answer["problems"]] == [("lr_scheduler", "info")], "nothing to be asked"
    run = post(client, f"runs/{ended}/resume", {"steps": 30}).json()["run"]
    assert (run["state"], run["total_steps"]) == ("queued", 50)
    written = toml.load(service.supervisor.folder(ended).config)["training"]
    assert written["max_train_steps"] == 50 and "max_train_epochs" not in written
    now = service._compared(ended, compared)
    assert now.name == f"frog-step{final['step']:08d}.safetensors" and now.is_file(), "not the final file that is to come"
    assert look(client, ended).json()["problems"] == [], "a worker of it that was killed goes on to what was asked for"
    run_to_end(service, client, ended)
    assert post(client, f"runs/{ended}/resume", {}).status_code == 200
    assert look(client, ended).json()["problems"] == [], "and so does the next"


@pytest.mark.parametrize("steps", [0, -1, 1.5, "many", True, 10**9])
def test_what_is_no_number_of_steps_is_refused(client, ended, steps):
    answer = post(client, f"runs/{ended}/resume", {"steps": steps})
    assert answer.status_code == 400 and "number of steps" in answer.json()["error"]["message"]


@pytest.mark.parametrize("steps", ["0", "x", "-3", "1" * 30])
def test_also_in_the_question(client, ended, steps):
    assert look(client, ended, f"?steps={steps}").status_code == 400


def test_a_damaged_state_is_told_and_an_earlier_one_is_taken(client, service, ended):
    folder = service.supervisor.folder(ended)
    rolling = states.rolling_folder(folder.output, "frog")
    newest = rolling / "step00000020-state"
    about = states.read_state(newest).manifest
    kept = {key: about[key] for key in ("seed", "settings", "data")}
    (newest / "pieces.json").write_text("{")
    assert "damaged" in look(client, ended).json()["error"]["message"]
    states.write_state(
        rolling / "step00000010-state",
        {"pieces.json": lambda path: path.write_text("{}")},
        {"step": 10, "epoch": 0, "batch": 10, **kept},
    )
    answer = look(client, ended).json()
    assert answer["state"]["step"] == 10 and answer["problems"] == []


def test_an_active_run_is_not_resumed_and_an_unknown_one_is_none(client, ended):
    assert post(client, f"runs/{ended}/resume", {}).status_code == 200
    assert "has not ended yet" in post(client, f"runs/{ended}/resume", {}).json()["error"]["message"]
    assert post(client, "runs/nothing/resume", {}).status_code == 404
    assert look(client, "nothing").status_code == 404


def test_a_file_to_try_is_asked_of_a_run_at_work_alone(client, ended):
    assert "not training now" in post(client, f"runs/{ended}/live", {"now": True}).json()["error"]["message"]
    for wrong in ({"every": -1}, {"every": 1.5}, {"every": True}, {"keep": "yes"}, {"now": "yes"}):
        assert post(client, f"runs/{ended}/live", wrong).status_code == 400, wrong


def test_a_pause_is_asked_in_the_control_file_and_only_of_a_run_at_work(client, ended):
    assert "not training now" in post(client, f"runs/{ended}/pause", {"paused": True}).json()["error"]["message"]
    assert post(client, f"runs/{ended}/pause", {"paused": "yes"}).status_code == 400
