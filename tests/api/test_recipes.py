"""A dropped file fills the form; whether the form is that run again; only what may be looked at is looked at."""

from __future__ import annotations

import json
import struct

import pytest

from lora_trainer.networks import recipe as own
from lora_trainer.networks.files import file_hashes

from .conftest import API, get, post

UPLOAD = {"X-Lora-Trainer": "1"}


def lora_bytes(metadata, *, whole=True) -> bytes:
    """A LoRA file of one module, or its header alone."""
    entries, offset = {}, 0
    for name, shape in (("lora_down.weight", [4, 8]), ("lora_up.weight", [8, 4])):
        size = 2 * shape[0] * shape[1]
        entry = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        entries[f"lora_unet_mid_block_attentions_0_proj_in.{name}"] = entry
        offset += size
    text = json.dumps({"__metadata__": {key: str(value) for key, value in metadata.items()}, **entries}).encode()
    return struct.pack("<Q", len(text)) + text + (b"\0" * offset if whole else b"")


def kohya(tmp_path, **more) -> dict:
    short, whole = file_hashes(tmp_path / "models" / "base.safetensors")
    return {
        "ss_network_module": "networks.lora", "ss_network_dim": "8", "ss_network_alpha": "4.0", "ss_learning_rate": "0.0003",
        "ss_sd_model_name": "other name.safetensors", "ss_sd_model_hash": short, "ss_new_sd_model_hash": whole,
        "ss_dataset_dirs": json.dumps({"7_sls frog": {"n_repeats": 7, "img_count": 3}}), "ss_resolution": "(256, 256)", **more,
    }  # fmt: skip


def send(client, *files):
    return client.post(API + "recipes", files=[("files", file) for file in files], headers=UPLOAD)


@pytest.mark.parametrize("whole", [True, False])
def test_a_dropped_lora_fills_the_form_and_says_what_is_missing(client, tmp_path, whole):
    answer = send(client, ("frog.safetensors", lora_bytes(kohya(tmp_path), whole=whole)))
    assert answer.status_code == 200, answer.text
    recipe = answer.json()
    assert (recipe["kind"], recipe["maker"]) == ("lora", "kohya-ss")
    values = recipe["values"]
    assert values["pretrained_model_name_or_path"] == str(tmp_path / "models" / "base.safetensors")  # by its hash
    assert (values["network_dim"], values["network_alpha"], values["learning_rate"]) == (8, 4.0, 3e-4)
    assert (values["num_repeats"], values["identifier"], values["class_name"]) == (7, "sls", "frog")
    assert values["lr_scheduler"] == "constant"  # what the file does not tell has the command line's default
    (missing,) = recipe["missing"]
    assert missing["field"] == "image_dir" and "7_sls frog" in missing["message"]
    assert "learning_rate = 0.0003" in recipe["config"] and "7_sls frog" in recipe["dataset"]
    assert not list((tmp_path / "user").glob("recipe-*"))  # nothing stays


def test_a_lora_of_the_folder_is_read_by_its_name(client, tmp_path):
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "frog.safetensors").write_bytes(lora_bytes(kohya(tmp_path)))
    assert post(client, "recipes/lora", {"name": "frog"}).json()["values"]["network_dim"] == 8
    assert post(client, "recipes/lora", {"name": "../models/base"}).status_code == 404


def test_the_folder_of_an_earlier_run_is_found(client, service, values, tmp_path, images):
    assert post(client, "runs", {"values": values}).status_code == 201
    told = json.dumps({images.name: {"n_repeats": 7, "img_count": 3}})
    recipe = send(client, ("frog.safetensors", lora_bytes(kohya(tmp_path, ss_dataset_dirs=told)))).json()
    assert recipe["values"]["image_dir"] == str(images) and recipe["missing"] == []


def test_configurations_and_presets_are_read_too(client):
    gui = {"LoRA_type": "Standard", "max_resolution": "512,512", "network_dim": 24, "optimizer": "AdamW", "lr_warmup": 5}
    recipe = send(client, ("gui.json", json.dumps(gui).encode())).json()
    assert recipe["kind"] == "gui" and recipe["values"]["network_dim"] == 24
    assert {"key": "max_resolution", "option": "resolution", "value": "512,512", "message": ""} in recipe["renamed"]
    recipe = send(client, ("run.toml", b"[network]\nnetwork_dim = 12\nno_such = 1\n")).json()
    assert recipe["kind"] == "config" and recipe["values"]["network_dim"] == 12
    assert recipe["dropped"][0]["key"] == "no_such" and "no such option" in recipe["dropped"][0]["message"]
    both = send(
        client,
        ("run.toml", b"network_dim = 12\ndataset_config = '/nowhere/data.toml'\n"),
        ("data.toml", b"[[datasets]]\nresolution = 320\n[[datasets.subsets]]\nimage_dir = '/nowhere/frogs'\nnum_repeats = 3\n"),
        ("prompts.txt", b"a frog\n"),
    ).json()
    assert (both["values"]["resolution"], both["values"]["num_repeats"], both["values"]["prompts"]) == ("320", 3, "a frog")
    preset = {"lora_trainer_preset": 1, "name": "mine", "values": {"network_dim": 6, "num_repeats": 2}}
    recipe = send(client, ("x.json", json.dumps(preset).encode())).json()
    assert (recipe["kind"], recipe["name"]) == ("preset", "mine")
    assert recipe["values"] == {"network_dim": 6, "num_repeats": 2}  # what it does not tell stays


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("x.png", b"x", 400, "Only these are read here"),
        ("x.safetensors", b"x", 400, "cut short"),
        ("x.safetensors", lora_bytes({})[:-5], 400, "cut short"),
        ("x.json", b"[" * 100_000, 400, "nested"),
        ("x.json", b'{"a": 1}', 400, "no settings"),
        ("x.toml", b"a = ", 400, "not valid TOML"),
        ("x.pt", b"\x80\x04no pickle", 400, "x.pt"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(client, name, content, status, said):
    answer = send(client, (name, content))
    assert answer.status_code == status and said in answer.json()["error"]["message"] and "bug" not in answer.text


def test_a_page_open_to_all_does_not_look_where_a_file_points(client, host, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "data.toml").write_text("[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '/hidden place'\n")
    (secret / "prompts.txt").write_text("a hidden word")
    config = f"dataset_config = '{secret / 'data.toml'}'\nsample_prompts = '{secret / 'prompts.txt'}'\nnetwork_dim = 3\n"
    open_to_me = send(client, ("run.toml", config.encode())).text
    assert "hidden place" in open_to_me and "hidden word" in open_to_me
    host.folders = (tmp_path / "user",)
    answer = send(client, ("run.toml", config.encode()))
    assert answer.status_code == 200 and "hidden" not in answer.text


def origin_of(client, values):
    """What a file of the run with these values would tell."""
    from lora_trainer.api import drafts
    from lora_trainer.data.plan import make_plan
    from lora_trainer.data.plan.digest import data_record
    from lora_trainer.options import flat

    made = drafts.files(drafts.read({"values": values}), drafts.Path("/tmp/x"), "frog")
    record = data_record(make_plan(made.data), flat(made.options))
    return {"settings": own.settings(made.options, 42), "data": record, "versions": {}}


def test_the_same_data_and_settings_are_told(client, values, images):
    origin = json.loads(json.dumps(origin_of(client, values)))
    same = post(client, "recipes/same", {"values": {**values, "output_name": "other"}, "origin": origin}).json()
    assert (same["data"], same["settings"]) == (True, [])
    other = post(
        client, "recipes/same", {"values": {**values, "network_dim": 4, "save_every_n_steps": 5}, "origin": origin}
    ).json()
    assert [(one["name"], one["texts"], one["counts"]) for one in other["settings"]] == [
        ("network_dim", ["16", "4"], True), ("save_every_n_steps", ["", "5"], False),
    ]  # fmt: skip
    (images / "1.txt").write_text("a toad")
    assert post(client, "recipes/same", {"values": values, "origin": origin}).json()["data"] is False


def test_a_request_of_another_form_is_refused(client, values):
    assert client.post(API + "recipes", json={}).status_code == 415
    assert post(client, "recipes/same", {"values": values, "origin": {"settings": 1}}).status_code == 400
    assert get(client, "recipes").status_code == 405
