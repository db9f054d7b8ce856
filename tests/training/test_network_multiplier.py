"""network_multiplier of a data set: how strongly the network acts while that data set is trained, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.sampling import preview
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.fixture
def learned(options_for, pictures, tmp_path):
    """learned(multiplier): what one step makes of `lora_up`, which is 0 before. So large an epsilon follows the gradient."""

    def of(multiplier: float, **changed) -> dict[str, torch.Tensor]:
        text = f"[[datasets]]\nresolution = 64\nnetwork_multiplier = {multiplier}\n[[datasets.subsets]]\n"
        (tmp_path / "data.toml").write_text(text + f"image_dir = '{pictures / '1_sls frog'}'\ncaption_extension = '.txt'\n")
        chosen = {
            "optimizer_args": ["eps=1e4", "weight_decay=0"],
            "max_grad_norm": 0.0,
            "learning_rate": 1.0,
            "max_train_steps": 1,
            **changed,
        }
        options = options_for(train_data_dir=None, dataset_config=str(tmp_path / "data.toml"), **chosen)
        tensors = load_file(train(options, reporter=Recorder()).path)
        return {name: tensor for name, tensor in tensors.items() if "lora_up" in name}

    return of


@pytest.mark.effect("network_multiplier")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_is_learned_first_goes_with_the_strength_of_the_data_set(learned, checkpointing):
    """The gradient of a factor that begins at 0 is the strength times that at strength 1; at -1 it leads away."""
    usual = learned(1.0)
    assert any(tensor.any() for tensor in usual.values())
    for strength in (0.5, -1.0):
        for name, tensor in learned(strength, gradient_checkpointing=checkpointing).items():
            torch.testing.assert_close(tensor, strength * usual[name], rtol=1e-4, atol=1e-9)


def test_the_samples_are_drawn_at_full_strength_and_change_nothing_of_the_training(learned, options_for, tmp_path, monkeypatch):
    prompts = Path(tmp_path / "prompts.txt")
    prompts.write_text("a frog --w 64 --h 64 --s 1\n")
    seen, draw = [], preview.draw

    def spied(*positional, network, **more):
        seen.append(network.multiplier)
        return draw(*positional, network=network, **more)

    monkeypatch.setattr(preview, "draw", spied)
    drawn = {"sample_prompts": str(prompts), "sample_every_n_steps": 1, "max_train_steps": 2}
    again = learned(0.5, **drawn)
    assert seen == [(1.0, 1.0)] * 2
    without = learned(0.5, max_train_steps=2)
    assert all(torch.equal(tensor, without[name]) for name, tensor in again.items())
