"""Presets of one's own: kept in the host's folder, one file each, none lost."""

from __future__ import annotations

import json

import pytest

from .conftest import get, post

VALUES = {"network_dim": 24, "learning_rate": 2e-4, "caption_source": "words", "num_repeats": 4}


def names(answer):
    return [preset["name"] for preset in answer.json()["own"]]


def test_a_preset_is_kept_renamed_exported_and_deleted(client):
    assert names(post(client, "presets", {"name": "night run", "values": VALUES})) == ["night run"]
    (kept,) = get(client, "presets").json()["own"]
    assert kept["id"] == "own:night run" and {**kept["values"], **VALUES} == kept["values"]
    assert kept["values"]["lr_scheduler"] == "cosine"  # what the page starts with stands below
    assert names(post(client, "presets/rename", {"name": "night run", "to": "Night"})) == ["Night"]
    file = get(client, "presets/file", params={"name": "Night"})
    assert file.json() == {"lora_trainer_preset": 1, "name": "Night", "values": VALUES}
    assert "attachment" in file.headers["content-disposition"]
    assert names(post(client, "presets/delete", {"name": "Night"})) == []


def test_what_is_learned_and_secrets_are_no_part_of_a_preset(client, tmp_path):
    sent = {**VALUES, "image_dir": "/frogs", "identifier": "sls", "output_name": "x", "wandb_api_key": "secret1"}
    post(client, "presets", {"name": "p", "values": sent})
    assert json.loads((tmp_path / "user" / "presets" / "p.json").read_text())["values"] == VALUES


def test_the_default_is_chosen_follows_a_rename_and_goes_with_its_preset(client):
    post(client, "presets", {"name": "a", "values": VALUES})
    assert post(client, "presets/default", {"id": "own:a"}).json()["default"] == "own:a"
    assert post(client, "presets/rename", {"name": "a", "to": "b"}).json()["default"] == "own:b"
    assert post(client, "presets/delete", {"name": "b"}).json()["default"] == ""
    assert post(client, "presets/default", {"id": "style"}).json()["default"] == "style"
    assert post(client, "presets/default", {"id": "own:gone"}).status_code == 400


@pytest.mark.parametrize("name", ["", "..", "../evil", "a/b", "a\\b", "CON", "x" * 300, "a:b"])
def test_a_name_that_is_no_file_name_is_refused(client, name, tmp_path):
    answer = post(client, "presets", {"name": name, "values": VALUES})
    assert answer.status_code == 400 and answer.json()["error"]["field"] == "name"
    assert not (tmp_path / "user" / "presets").exists() and not list(tmp_path.rglob("evil*"))
    assert get(client, "presets/file", params={"name": name}).status_code == 400


def test_another_of_the_same_name_is_kept_unless_asked(client):
    post(client, "presets", {"name": "a", "values": VALUES})
    for name in ("a", "A"):
        refused = post(client, "presets", {"name": name, "values": {"network_dim": 1}})
        assert refused.status_code == 400 and "already" in refused.json()["error"]["message"]
    changed = post(client, "presets", {"name": "A", "values": {"network_dim": 1}, "overwrite": True}).json()
    assert [(one["name"], one["values"]["network_dim"]) for one in changed["own"]] == [("A", 1)]
    post(client, "presets", {"name": "b", "values": VALUES})
    assert post(client, "presets/rename", {"name": "b", "to": "a"}).status_code == 400


@pytest.mark.parametrize("values", [{"network_dim": 0}, {"network_dim": "many"}, {"no_such": 1}, {"output_name": 1, "x": 2}])
def test_values_that_cannot_be_are_refused_at_their_field(client, values):
    refused = post(client, "presets", {"name": "a", "values": values})
    assert refused.status_code == 422 and refused.json()["problems"][0]["field"] in values


def test_a_damaged_file_is_told_and_stays(client, tmp_path):
    post(client, "presets", {"name": "a", "values": VALUES})
    path = tmp_path / "user" / "presets" / "a.json"
    path.write_text("{")
    (one,) = get(client, "presets").json()["own"]
    assert one["problem"] and path.read_text() == "{"
    assert post(client, "presets", {"name": "a", "values": VALUES}).status_code == 400


def test_what_another_version_kept_is_left_out_and_not_lost(client, tmp_path):
    post(client, "presets", {"name": "a", "values": VALUES})
    path = tmp_path / "user" / "presets" / "a.json"
    path.write_text(path.read_text().replace('"network_dim": 24', '"network_dim": 24, "from_the_future": 1'))
    (one,) = get(client, "presets").json()["own"]
    assert one["values"]["network_dim"] == 24 and "from_the_future" not in one["values"]
    assert "from_the_future" in path.read_text()
