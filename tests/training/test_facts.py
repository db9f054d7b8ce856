"""What a file tells of its training is never a reason to lose it."""

from __future__ import annotations

import json

import pytest

from lora_trainer.errors import LoraFileError
from lora_trainer.networks import recipe
from lora_trainer.networks.files import read_metadata
from lora_trainer.training import facts
from lora_trainer.training.train import train

from .conftest import Recorder


def test_a_file_tells_settings_data_and_versions(options_for):
    metadata = read_metadata(train(options_for(max_train_steps=1, network_dim=3), reporter=Recorder()).path)
    assert json.loads(metadata[recipe.SETTINGS])["network_dim"] == 3
    assert len(json.loads(metadata[recipe.DATA])["digest"]) == 64
    assert {"torch", "lora_trainer", "device", "threads"} <= json.loads(metadata[recipe.VERSIONS]).keys()


@pytest.mark.parametrize("gone", ["data_record", "file_hashes"])
def test_a_drive_that_is_gone_costs_a_line_of_the_metadata_and_not_the_training(options_for, monkeypatch, gone):
    def fails(*_):
        raise LoraFileError("the drive is gone.")

    monkeypatch.setattr(facts if gone == "data_record" else facts.files, gone, fails)
    result = train(options_for(max_train_steps=1), reporter=Recorder())
    metadata = read_metadata(result.path)
    assert metadata["ss_steps"] == "1"
    assert ("ss_sd_model_hash" in metadata) is (gone == "data_record")
    assert json.loads(metadata[recipe.DATA] or "{}").get("digest", "") == "" or gone == "file_hashes"
