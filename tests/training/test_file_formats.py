"""save_model_as: the same tensors in the formats of old programs, read again by everything of ours."""

from __future__ import annotations

import pytest
import torch

from lora_trainer import modelfile
from lora_trainer.api.model_files import loras_view
from lora_trainer.networks import files
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.mark.effect("save_model_as")
@pytest.mark.parametrize("ending", ["ckpt", "pt"])
def test_torch_files_hold_the_same_plain_tensors(options_for, tmp_path, ending):
    plain = train(options_for(output_name="plain"), reporter=Recorder()).path
    reporter = Recorder()
    old = train(options_for(save_model_as=ending, save_every_n_steps=2), reporter=reporter).path
    assert reporter.saved == [f"x-step00000002.{ending}", f"x.{ending}"] and old == tmp_path / "out" / f"x.{ending}"
    held, wanted = torch.load(old, weights_only=True), files.load(plain)[0]
    assert type(held) is dict and held.keys() == wanted.keys()
    assert all(torch.equal(held[key], wanted[key]) for key in wanted)
    assert modelfile.problem_as("lora", old) == ("", "") and files.load(old)[1] == {}
    shown = {card["path"]: card["problem"] for card in loras_view(tmp_path / "out")}
    assert shown[str(old)] == ""
    further = train(options_for(network_weights=str(old), output_name="further"), reporter=Recorder())
    assert further.step == 3


def test_a_file_of_another_ending_under_the_name_is_kept_apart(options_for, tmp_path):
    """<lora:x> must not mean two files."""
    train(options_for(max_train_steps=1), reporter=Recorder())
    reporter = Recorder()
    train(options_for(max_train_steps=1, save_model_as="pt"), reporter=reporter)
    assert any("x.safetensors" in event["message"] for event in reporter.of("warning"))
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [".replaced", "x.pt"]
    assert [path.name for path in (out / ".replaced").iterdir()] == ["x.safetensors"]
