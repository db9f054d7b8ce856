""" "Try it now": who is offered it, and what it queues."""

import io

import pytest
from PIL import Image

from lora_trainer.demo import files, recipe

from .conftest import fake_checkpoint, get, post
from .test_runs import posix, run_to_end


@pytest.fixture
def demo(tmp_path, monkeypatch):
    path = fake_checkpoint(tmp_path / "elsewhere" / "demo.safetensors")
    monkeypatch.setenv(files.VARIABLE, str(path))
    return path


def offered(client):
    return get(client, "state").json()["trial"]


def test_it_is_offered_before_and_after_the_first_run(client, demo):
    assert offered(client)
    assert post(client, "trial").status_code == 201
    assert offered(client)
    assert post(client, "trial").status_code == 201


def test_whoever_names_the_demo_model_for_own_pictures_is_warned(client, demo, values, tmp_path):
    (tmp_path / "link.safetensors").symlink_to(demo)
    further = tmp_path / "models" / "further.safetensors"  # a whole model trained from it: another file of the same widths
    fake_checkpoint(further, width=64)
    for path in (demo, tmp_path / "link.safetensors", further):
        answer = post(client, "check", {"values": {**values, "pretrained_model_name_or_path": str(path)}}).json()
        assert answer["ok"] and answer["base_model"]["is_demo"]
        (said,) = [one for one in answer["problems"] if one["field"] == "pretrained_model_name_or_path"]
        assert said["level"] == "warning" and "no other model" in said["message"]
    assert not post(client, "check", {"values": values}).json()["base_model"]["is_demo"]


def test_it_queues_a_run_with_a_drawn_data_set(client, service, demo):
    answer = post(client, "trial", {"steps": 12})
    assert answer.status_code == 201, answer.text
    run = get(client, f"runs/{answer.json()['id']}").json()["run"]
    assert run["name"] == "sks_heart" and run["values"]["pretrained_model_name_or_path"] == str(demo)
    assert "max_train_steps = 12" in run["config"] and "sample_every_n_steps = 3" in run["config"]
    assert "sks heart" in run["prompts"]
    folders = {is_reg: run["values"][name] for is_reg, name in ((False, "image_dir"), (True, "reg_dir"))}
    for is_reg, folder in folders.items():
        shown = get(client, "images", params={"folder": folder}).json()
        assert len(shown["images"]) + shown["more"] == (recipe.CLASS_PICTURES if is_reg else recipe.SUBJECT_PICTURES)
        assert all(("sks heart" in one["caption"]) != is_reg for one in shown["images"])


@posix
def test_its_lora_comes_with_what_the_generate_page_is_filled_with(client, service, demo):
    run = run_to_end(service, client, post(client, "trial", {"steps": 2}).json()["id"])
    assert run["state"] == "finished", run
    filled = run["lora"]["generate"]
    assert run["lora"]["prompt"] == filled["prompt"] == f"{recipe.subject_prompts()[0]} <lora:sks_heart:0.8>"
    assert (filled["checkpoint"], filled["width"], filled["height"]) == (str(demo), 64, 64)
    again = run_to_end(service, client, post(client, f"runs/{run['id']}/again").json()["id"])
    assert again["name"] == "sks_heart-2"
    assert again["lora"]["generate"]["cfg_scale"] == filled["cfg_scale"], "again is the same in this too"


@posix
def test_any_run_brings_its_base_model_and_size(client, service, values):
    run = run_to_end(service, client, post(client, "runs", {"values": {**values, "resolution": "256,390"}}).json()["id"])
    filled = run["lora"]["generate"]
    assert filled == {"checkpoint": values["pretrained_model_name_or_path"], "width": 256, "height": 384}
    assert run["lora"]["prompt"] == "sls frog <lora:frog:0.8>"


def test_without_the_demo_model_it_is_refused_and_nothing_is_left(client, service, monkeypatch, tmp_path):
    monkeypatch.setenv(files.VARIABLE, str(tmp_path / "none.safetensors"))
    assert not offered(client)
    refused = post(client, "trial")
    assert refused.status_code >= 400 and "demo base model is missing" in refused.json()["error"]["message"]
    assert get(client, "trial/picture").status_code == 404
    assert not list(service.paths.uploads.glob("*"))


def test_the_web_ui_does_not_offer_it(client, service, host, demo):
    host.name = "webui"
    assert not offered(client)
    assert post(client, "trial").status_code == 409
    assert get(client, "trial/picture").status_code == 404


def test_a_demo_model_that_is_broken_is_said_and_the_pictures_go_again(client, service, demo):
    demo.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused = post(client, "trial")
    assert refused.status_code == 422 and refused.json()["problems"][0]["field"] == "pretrained_model_name_or_path"
    assert not list(service.paths.uploads.glob("*"))


@pytest.mark.parametrize("steps", [0, -1, "10", 1.5, True, 10**9, None])
def test_steps_are_checked(client, service, demo, steps):
    assert post(client, "trial", {"steps": steps}).status_code == 400
    assert not list(service.paths.uploads.glob("*"))


def test_a_foreign_page_cannot_start_it(client, demo):
    assert post(client, "trial", headers={"Origin": "http://evil.example"}).status_code == 403
    assert post(client, "trial", headers={"Host": "evil.example"}).status_code == 403
    assert get(client, "runs").json()["runs"] == []


def test_its_picture_is_a_strip_of_drawings(client, demo):
    answer = get(client, "trial/picture")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.height == 96 and picture.width > 4 * 96


@posix
def test_a_lora_is_tried_with_a_caption_where_identifier_and_class_stand_in_none(client, service, values, images):
    for number in range(3):
        (images / f"{number}.txt").write_text(f"a green toad in rain {number}")
    run = run_to_end(service, client, post(client, "runs", {"values": values}).json()["id"])
    assert run["lora"]["prompt"] == "sls frog, a green toad in rain 0 <lora:frog:0.8>"
    only_words = {**values, "caption_source": "words"}
    run = run_to_end(service, client, post(client, "runs", {"values": only_words}).json()["id"])
    assert run["lora"]["prompt"].startswith("sls frog <lora:frog")
