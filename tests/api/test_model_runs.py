"""A whole model from the form to the checkpoints: what is left out, what is refused, and what calls it up."""

from __future__ import annotations

from pathlib import Path

import pytest
import toml

from .conftest import get, post, problems_of
from .test_runs import posix, run_to_end


@pytest.fixture
def wanted(values):
    """The form's values for a whole model, with those of a network, which it does not show then."""
    return {
        **values,
        "trains": "model",
        "network_dim": 64,
        "network_args": ["conv_dim=4"],
        "unet_lr": 1e-4,
        "learning_rate": 1e-5,
    }


@posix
def test_a_model_goes_to_the_checkpoints_and_is_drawn_with_by_itself(client, service, host, wanted):
    run_id = post(client, "runs", {"values": {**wanted, "train_text_encoder": True}}).json()["id"]
    waiting = get(client, f"runs/{run_id}").json()["run"]
    config = toml.loads(waiting["config"])
    assert config["trained"]["train_text_encoder"] is True and waiting["trains"] == "model" and waiting["live"] is None
    assert "network_args" not in str(config) and "unet_lr" not in str(config)
    refused = post(client, f"runs/{run_id}/live", {"now": True})
    assert refused.status_code == 400 and "whole checkpoint" in str(refused.json())
    run = run_to_end(service, client, run_id)
    assert run["state"] == "finished", run
    placed = host.paths().checkpoint_dirs[0] / f"{wanted['output_name']}.safetensors"
    assert Path(run["lora"]["path"]) == placed and placed.is_file() and ("checkpoints_changed", placed) in host.calls
    assert run["lora"]["is_model"] and "<lora:" not in run["lora"]["prompt"]
    assert run["lora"]["generate"]["checkpoint"] == str(placed)
    assert not get(client, "loras").json()["loras"] and not placed.with_suffix(".json").read_text().count("preferred weight")
    grid = {"files": [placed.name], "strengths": [1], "prompts": ["a"]}
    assert "no strength" in str(post(client, f"runs/{run_id}/grids", grid).json())


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_the_base_model_keeps_its_place_also_where_its_name_may_be_overwritten(client, host, wanted, ending):
    """Whatever its ending: of two files of one name the host would know one alone, so that the older one goes."""
    base = host.paths().checkpoint_dirs[0] / f"base{ending}"
    Path(wanted["pretrained_model_name_or_path"]).rename(base)
    draft = {"values": {**wanted, "pretrained_model_name_or_path": str(base), "output_name": "base"}}
    refused = post(client, "runs", {**draft, "overwrite": True})
    assert refused.status_code == 422 and "take the place of the base model" in str(refused.json())
    assert post(client, "check", draft).json()["output"]["saved_as"] == "base-2"


def test_what_no_host_could_show_is_refused_at_its_field(client, wanted):
    assert post(client, "check", {"values": wanted}).json()["ok"]
    answer = post(client, "check", {"values": {**wanted, "save_model_as": "diffusers"}}).json()
    assert not answer["ok"] and "cannot be chosen" not in str(answer) and "save_model_as" in problems_of(answer)
    answer = post(client, "check", {"values": {**wanted, "fp8_base": True, "mixed_precision": "bf16"}}).json()
    assert answer["ok"], "the form does not show it for a model"
