"""The file with the weights as they are: renewed under one name, not counted as saved, gone at the end."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.networks.files import read_metadata
from lora_trainer.runs.control import Control, ask, read_control
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.mark.effect("save_live_every_n_steps")
def test_it_holds_the_weights_of_its_step_and_goes_with_the_training(options_for, tmp_path):
    seen = {}

    def look(event):
        if event["type"] == "live":
            seen[event["step"]] = load_file(event["path"]), read_metadata(event["path"])
        return

    reporter = Recorder(look)
    train(options_for(max_train_steps=6, save_live_every_n_steps=2, save_every_n_steps=4), reporter=reporter)
    assert sorted(seen) == [2, 4], "the last step has the file itself"
    assert {event["path"] for event in reporter.of("live")} == {str(tmp_path / "out" / "x-live.safetensors")}
    saved = load_file(tmp_path / "out" / "x-step00000004.safetensors")
    assert all(torch.equal(seen[4][0][name], tensor) for name, tensor in saved.items())
    assert any(not torch.equal(seen[2][0][name], tensor) for name, tensor in saved.items())
    assert seen[2][1]["ss_steps"] == "2" and seen[2][1]["ss_output_name"] == "x-live"
    assert reporter.saved == ["x-step00000004.safetensors", "x.safetensors"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x-step00000004.safetensors", "x.safetensors"]


def test_it_is_asked_for_while_the_training_goes_on(options_for):
    asked = {1: Control(live=1), 3: Control(live=1, live_every=1), 5: Control(live=2, live_every=0)}
    reporter = Recorder(lambda event: asked.get(event["step"]) if event["type"] == "step" else None)
    train(options_for(max_train_steps=8), reporter=reporter)
    assert [event["step"] for event in reporter.of("live")] == [1, 3, 4, 5]


def test_what_is_asked_for_stays_in_the_control_file(tmp_path):
    path = tmp_path / "control.json"
    assert read_control(path).live_every is None
    ask(path, live=True, live_every=25)
    ask(path, live=True, paused=True)
    assert read_control(path) == Control(live=2, live_every=25, paused=True, pauses=1)
    path.write_text('{"live": -3, "live_every": -5}')
    assert read_control(path) == Control(live=0, live_every=0)
