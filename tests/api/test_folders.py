"""Where a host is open to others without a login, its page looks into the host's own folders alone."""

import json

import pytest
import toml

from lora_trainer.apps.arguments import parser
from lora_trainer.apps.standalone import _host
from lora_trainer.hosts.standalone import StandaloneHost
from lora_trainer.hosts.webui import settings
from lora_trainer.hosts.webui.host import WebuiHost

from ..hosts import webui_stub
from .conftest import API, fake_checkpoint, get, picture, post


@pytest.fixture
def open_host(host):
    """The fake host as one that others can use: of the data beside its folders nothing is shown."""
    host.folders = host.paths().all
    return host


@pytest.fixture
def own_images(host):
    folder = host.paths().uploads / "20260101-000000-abcdef"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(picture())
    return folder


def refused(answer):
    return {one["field"]: one for one in answer["problems"] if "may look into" in one["message"]}


def test_folders_outside_are_not_listed_and_their_pictures_not_shown(client, open_host, images, own_images, tmp_path):
    for folder in (images, tmp_path / "nothing", tmp_path, f"{own_images}/../../../frogs", "/", "/etc", str(images) + "/."):
        answer = get(client, "images", params={"folder": str(folder)})
        assert answer.status_code == 400, folder
        error = answer.json()["error"]
        assert "may look into" in error["message"] and open_host.access().how_to_add_folder in error["advice"]
        assert get(client, "images/thumb", params={"folder": str(folder), "name": "0.png"}).status_code == 400
    assert get(client, "images", params={"folder": str(own_images)}).json()["images"][0]["name"] == "0.png"
    assert get(client, "images/thumb", params={"folder": str(own_images), "name": "0.png"}).status_code == 200
    open_host.folders = (*open_host.folders, images)
    assert len(get(client, "images", params={"folder": str(images)}).json()["images"]) == 3


def test_without_a_list_every_folder_is_shown(client, images):
    assert get(client, "images", params={"folder": str(images)}).status_code == 200


FIELDS = ["pretrained_model_name_or_path", "vae", "network_weights", "image_dir", "reg_dir", "dataset_config", "sample_prompts",
          "train_data_dir", "config_file", "console_log_file", "logging_dir", "base_weights"]  # fmt: skip


@pytest.mark.parametrize("form", ["values", "options"])
@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_a_request_names_a_file_outside(client, open_host, values, own_images, tmp_path, form, field):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "x.toml").write_text("password = 'hunter2'\n")
    base = {**values, "image_dir": str(own_images)} if form == "values" else {}
    for place in (secret / "x.toml", secret / "nothing.toml", f'"{secret}/x.toml"', f" {secret} "):
        given = [str(place)] if field == "base_weights" else str(place)
        answer = post(client, "check", {form: {**base, field: given}}).json()
        if form == "options" and field in {"image_dir", "reg_dir"}:
            continue  # no options
        assert field in refused(answer) and not answer["ok"], place
        assert "hunter2" not in json.dumps(answer) and "does not exist" not in json.dumps(answer)
        assert post(client, "runs", {form: {**base, field: given}}).status_code == 422


def test_no_table_of_a_data_set_names_a_folder_outside(client, open_host, values, images):
    tables = {"datasets": [{"resolution": 64, "subsets": [{"image_dir": str(images), "class_tokens": "frog"}]}]}
    answer = post(client, "check", {"options": {"output_name": "x"}, "dataset": tables}).json()
    assert "image_dir" in refused(answer)


def test_a_data_set_file_among_the_hosts_own_leads_to_no_folder_outside(client, open_host, values, images):
    file = open_host.paths().user_dir / "runs" / "old" / "dataset.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f"[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '{images}'\nclass_tokens = 'frog'\n")
    options = {"pretrained_model_name_or_path": values["pretrained_model_name_or_path"], "dataset_config": str(file)}
    answer = post(client, "check", {"options": {**options, "output_name": "x", "network_module": "networks.lora"}}).json()
    assert "image_dir" in refused(answer) and answer["plan"] is None


def test_no_key_of_a_metadata_file_names_a_picture_outside(
    client, open_host, values, own_images, images, tmp_path, monkeypatch
):
    """Not even whether it is there; also not by a name that starts from where the program was started."""
    monkeypatch.chdir(images)
    file = own_images / "m.json"
    subset = {"image_dir": str(own_images), "metadata_file": str(file)}
    tables = {"datasets": [{"resolution": 64, "subsets": [subset]}]}
    options = {"pretrained_model_name_or_path": values["pretrained_model_name_or_path"], "network_module": "networks.lora"}
    body = {"options": {**options, "output_name": "x"}, "dataset": tables}
    inside = "1.png"
    assert (images / inside).exists()
    for key in (str(images / inside), str(tmp_path / "nothing.png"), f"../../../{images.name}/{inside}", inside):
        file.write_text(json.dumps({"0.png": {"caption": "mine"}, key: {"caption": "x"}}))
        answer = post(client, "check", body).json()
        found = refused(answer)["metadata_file"]
        assert "1 images" in found["message"] and answer["plan"] is None, key
    file.write_text(json.dumps({"0": {"caption": "mine"}}))
    answer = post(client, "check", body).json()
    assert not refused(answer) and answer["plan"]["subsets"][0]["captions_found"] == 1


def test_what_the_host_lists_is_trained_also_through_links(client, open_host, values, own_images, tmp_path):
    outside = fake_checkpoint(tmp_path / "drive" / "big.safetensors")
    link = tmp_path / "models" / "link.safetensors"
    link.symlink_to(outside)
    mine = {**values, "image_dir": str(own_images), "pretrained_model_name_or_path": str(link)}
    answer = post(client, "check", {"values": mine}).json()
    assert answer["ok"], answer["problems"]
    hub = post(client, "check", {"values": {**mine, "pretrained_model_name_or_path": "somebody/some-model"}}).json()
    assert not refused(hub)


def test_pictures_are_drawn_with_listed_models_alone(client, open_host, tmp_path):
    outside = fake_checkpoint(tmp_path / "drive" / "big.safetensors")
    for wanted in (str(outside), str(tmp_path / "drive" / "none.safetensors")):
        answer = post(client, "generate", {"request": {"prompt": "a", "checkpoint": wanted}})
        assert answer.status_code == 400 and "may look into" in answer.json()["error"]["message"]


def test_the_endings_that_a_folder_may_have_are_those_that_a_drop_may_have(client, values, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = post(client, "check", {"values": {**values, "image_dir": str(tmp_path / "empty")}}).json()
    dropped = get(client, "form").json()["uploads"]["images"]
    assert f"({', '.join(ending[1:] for ending in dropped)})" in str(answer["problems"])


def test_a_lora_that_is_not_there_is_told_before_a_model_is_loaded(client, service):
    for prompt, said in (("a <lora:nothing:1>", "there is no such LoRA"), ("a <lora:nothing:x>", "nothing")):
        answer = post(client, "generate", {"request": {"prompt": prompt}})
        assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.json()
    assert not service.generation.wants_card()


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "\x00", "a" * 5000, "/" + "a/" * 3000, "//", "C:\\x"])
def test_odd_paths_are_answered_with_words(client, host, values, path, is_open):
    host.folders = host.paths().all if is_open else None
    for field in ("image_dir", "pretrained_model_name_or_path", "network_weights", "vae", "reg_dir"):
        body = json.dumps({"values": {**values, field: path}})  # with escapes, so that anything can be sent
        answer = client.post(API + "check", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, (field, answer.json())
        assert not answer.json()["ok"], field
        assert len(answer.content) < 20_000, "a path is not told whole when it is endless"
    if path != "//":
        assert get(client, "images", params={"folder": path}).status_code == 400


@pytest.mark.parametrize("around", ["{}", " {} ", '"{}"', "'{}'", ' "{}" '])
def test_quotation_marks_and_white_space_round_a_path_are_taken_off(client, values, images, around):
    mine = {name: around.format(values[name]) for name in ("image_dir", "pretrained_model_name_or_path")}
    answer = post(client, "check", {"values": {**values, **mine}}).json()
    assert answer["ok"], answer["problems"]
    assert toml.loads(answer["dataset"])["datasets"][0]["subsets"][0]["image_dir"] == str(images)
    assert f"pretrained_model_name_or_path = '{values['pretrained_model_name_or_path']}'" in answer["config"]
    assert len(get(client, "images", params={"folder": mine["image_dir"]}).json()["images"]) == 3


def parsed(tmp_path, *words):
    return _host(parser().parse_args(["--data-dir", str(tmp_path / "data"), *words]))


def test_standing_alone_an_open_program_without_a_password_shows_its_own_folders_alone(tmp_path):
    own = set(parsed(tmp_path).paths().all)
    assert parsed(tmp_path).access().folders is None
    assert parsed(tmp_path, "--listen", "--auth", "me:secret").access().folders is None
    assert own <= set(parsed(tmp_path, "--listen").access().folders)
    assert own <= set(parsed(tmp_path, "--allow-host", "ai.example.org").access().folders), "a proxy may bring anybody"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    assert pictures in parsed(tmp_path, "--listen", "--allow-folder", str(pictures)).access().folders
    assert pictures in parsed(tmp_path, "--allow-folder", str(pictures)).access().folders, "what is said holds everywhere"
    assert "--allow-folder" in StandaloneHost().access().how_to_add_folder


def test_in_the_web_ui_the_settings_say_which_folders_are_shown(monkeypatch, tmp_path):
    stub = webui_stub.install(monkeypatch, tmp_path)
    stub.shared.cmd_opts.vae_dir = str(tmp_path / "vaes")
    monkeypatch.setattr(WebuiHost, "paths", lambda self: StandaloneHost(data_dir=tmp_path).paths())
    host, options, flags = WebuiHost(), stub.shared.opts.data, stub.shared.cmd_opts
    assert host.access().folders is None
    flags.listen = True
    assert {tmp_path / "models", tmp_path / "vaes", tmp_path / "Lora"} <= set(host.access().folders)
    flags.gradio_auth = "me:secret"
    assert host.access().folders is None
    options[settings.FOLDERS] = f'{tmp_path / "a"}; "{tmp_path / "b"}"\n relative'
    assert set(host.access().folders) >= {tmp_path / "a", tmp_path / "b"}
    assert all(folder.is_absolute() for folder in host.access().folders)
    flags.gradio_auth, options[settings.FOLDERS] = None, 7
    assert tmp_path / "a" not in host.access().folders
    assert settings.FOLDERS_LABEL in host.access().how_to_add_folder
