"""A key that was typed on the page reaches the worker, and nothing else: no file, no answer, no event."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from lora_trainer.api import keys
from lora_trainer.options import OPTIONS, cli, config_file
from lora_trainer.options.form_spec import form_spec
from lora_trainer.options.resolve import train_options
from lora_trainer.runs import worker

from .conftest import get, post
from .test_runs import run_to_end

KEY = "hf_0123456789abcdefTHEKEY"
SECRETS = {option.name: option.secret for option in OPTIONS if option.secret}
WITH = {"wandb_api_key": {"log_with": "wandb"}, "huggingface_token": {"huggingface_repo_id": "me/frogs"}}


def files_with(folder, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.skipif(os.name == "nt", reason="the fake worker is a shell script")
@pytest.mark.parametrize("name", SECRETS)
def test_a_key_reaches_the_worker_and_no_file(client, service, values, tmp_path, monkeypatch, name):
    given, spawn = [], worker.spawn

    def recorded(words, *, env, **rest):
        given.append(env.get(SECRETS[name]))
        return spawn(words, env=env, **rest)

    monkeypatch.setattr(worker, "spawn", recorded)
    monkeypatch.delenv(SECRETS[name], raising=False)
    asked = {"values": {**values, **WITH.get(name, {}), name: f" {KEY} "}}
    checked = post(client, "check", asked)
    assert checked.json()["ok"] and KEY not in checked.text
    run = post(client, "runs", asked).json()
    run_to_end(service, client, run["id"])
    again = post(client, f"runs/{run['id']}/again").json()
    run_to_end(service, client, again["id"])
    assert given == [KEY, KEY]
    for path in ("state", "runs", f"runs/{run['id']}", f"runs/{run['id']}?after=0", "form"):
        assert KEY not in get(client, path).text, path
    assert files_with(tmp_path, KEY) == []


@pytest.mark.parametrize("name", SECRETS)
def test_nothing_that_is_made_of_the_options_shows_a_key(values, tmp_path, name):
    options = train_options(
        {
            "pretrained_model_name_or_path": values["pretrained_model_name_or_path"],
            "train_data_dir": values["image_dir"],
            "network_module": "networks.lora",
            "output_dir": str(tmp_path),
            "output_name": "x",
            "resolution": "64",
            "log_with": "wandb",
            name: KEY,
        },
        check_paths=False,
    )
    assert KEY in (getattr(options.saving, name),)
    assert KEY not in repr(options) + config_file.to_toml(options) + " ".join(config_file.to_arguments(options))
    typed = ["--learning_rate", "1", f"--{name}", KEY, f"--{name}={KEY}", f"--{name.replace('_', '-')}", KEY, "--seed=1"]
    shown = cli.without_secrets(typed)
    assert KEY not in " ".join(shown) and len(shown) == len(typed) and shown[-1] == "--seed=1"
    (control,) = [one for section in form_spec() for one in section["controls"] if one["name"] == name]
    assert control["kind"] == "secret" and control["value"] is None


def test_a_script_may_write_the_option_as_on_the_command_line():
    kept, found = keys.split({"options": {"--wandb-api-key": KEY, "seed": 1}, "overwrite": True})
    assert (kept, found) == ({"options": {"seed": 1}, "overwrite": True}, {"WANDB_API_KEY": KEY})


def test_a_page_that_is_open_to_others_does_not_act_in_its_owners_name(client, host, values, tmp_path, monkeypatch):
    access = host.access()
    monkeypatch.setattr(host, "access", lambda: replace(access, folders=(tmp_path,)))
    answer = post(client, "check", {"values": {**values, "log_with": "wandb"}}).json()
    assert [one["field"] for one in answer["problems"] if one["level"] == "error"] == ["wandb_api_key"]
    assert post(client, "check", {"values": {**values, "log_with": "wandb", "wandb_api_key": KEY}}).json()["ok"]
