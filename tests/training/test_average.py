"""EMA: the average that is kept, and that it is what is saved, drawn and measured while the training goes on as without it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lora_trainer.networks.files import read_metadata
from lora_trainer.options.training import TrainingOptions
from lora_trainer.sampling import preview
from lora_trainer.training.average import WeightAverage
from lora_trainer.training.train import train

from .conftest import Recorder


def averaged(values: list[torch.Tensor], decay: float) -> torch.Tensor:
    """The average of `values`, the first of which is the beginning, by the formula."""
    average = values[0].double()
    for step, value in enumerate(values[1:], 1):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * value.double()
    return average.float()


@pytest.mark.parametrize("portion", [1 << 26, 4])  # all of it at once, and one tensor after the other
def test_the_average_follows_the_formula_and_goes_on_from_its_state(portion, monkeypatch):
    monkeypatch.setattr("lora_trainer.training.average.NUMBERS", portion)
    trained = nn.Linear(3, 2)
    average = WeightAverage(trained, 0.25)
    average.begin()
    seen = [trained.weight.detach().clone()]
    for step in range(1, 7):
        with torch.no_grad():
            trained.weight.add_(step)
        average.update()
        seen.append(trained.weight.detach().clone())
        if step == 3:
            kept = {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in average.state_dict().items()
            }
            early = trained.weight.detach().clone()
    torch.testing.assert_close(average.weights[0], averaged(seen, 0.25), rtol=1e-6, atol=1e-6)
    again = nn.Linear(3, 2)
    resumed = WeightAverage(again, 0.25)
    resumed.load_state_dict(kept)
    again.load_state_dict({"weight": early, "bias": trained.bias.detach()})
    for step in range(4, 7):
        with torch.no_grad():
            again.weight.add_(step)
        resumed.update()
    assert torch.equal(resumed.weights[0], average.weights[0])


def test_the_weights_are_their_own_again_bit_for_bit_whatever_happens():
    trained = nn.Linear(3, 2).to(torch.bfloat16)
    average = WeightAverage(trained, 0.9)
    average.begin()
    own = trained.weight
    with torch.no_grad():
        own.add_(1)
    average.update()
    before = own.detach().clone()
    with pytest.raises(KeyError), average.in_place(), average.in_place():
        assert own.dtype == torch.float32 and torch.equal(own, average.weights[0])
        raise KeyError
    assert torch.equal(own, before) and own.dtype == torch.bfloat16 and trained.weight is own


def test_it_is_there_only_where_it_is_asked_for():
    assert WeightAverage.of(TrainingOptions(), nn.Linear(3, 2)) is None
    average = WeightAverage.of(TrainingOptions(ema_decay=0.9), nn.Linear(3, 2))
    with average.in_place():
        assert average.decay == 0.9 and not average.weights  # before the first step


KINDS = {
    "lora": {},
    "c3lier": {"network_args": ["conv_dim=2"], "network_train_unet_only": True},
    "dylora": {"network_module": "networks.dylora", "network_args": ["unit=2"]},
}


@pytest.mark.effect("ema_decay")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_and_drawn_is_the_average_of_the_steps(kind, options_for, tmp_path, monkeypatch):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a frog --w 64 --h 64 --s 1\n")
    seen = []

    def spied(*positional, network, **more):
        seen.append({name: tensor.detach().float().clone() for name, tensor in network.state_dict().items()})
        return []

    monkeypatch.setattr(preview, "draw", spied)
    steps = {"max_train_steps": 5, "save_every_n_steps": 1, "learning_rate": 0.01, **KINDS[kind]}
    first = {"sample_prompts": str(prompts), "sample_at_first": True}
    raw = train(options_for(output_name="raw", **steps, **first), reporter=Recorder()).path
    start = seen.pop()
    ema = train(
        options_for(output_name="ema", ema_decay=0.3, sample_every_n_steps=5, **steps, **first), reporter=Recorder()
    ).path
    weights = [load_file(raw.with_name(f"raw-step{step:08d}.safetensors")) for step in range(1, 6)]
    found, drawn, moved = load_file(ema), seen[-1], 0
    for name, tensor in found.items():
        expected = averaged([start[name], *(one[name] for one in weights)], 0.3)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(drawn[name], tensor)
        moved += not torch.equal(tensor, weights[-1][name])
    assert moved and read_metadata(ema)["ss_ema_decay"] == "0.3" and "ss_ema_decay" not in read_metadata(raw)


def test_the_average_is_what_is_measured(options_for):
    """With so slow an average the loss hardly moves, while the training itself goes on."""
    given = {"validation_split": 0.25, "max_train_steps": 4, "learning_rate": 0.05, "validate_every_n_steps": 4}
    plain, slow = Recorder(), Recorder()
    train(options_for(**given), reporter=plain)
    train(options_for(**given, ema_decay=0.01), reporter=slow)
    train(options_for(**given, ema_decay=0.01), reporter=slow)
    first, last, *again = [event["loss"] for event in slow.of("validation")]
    assert [first, last] == again and plain.losses == slow.losses[:4]
    assert last != plain.of("validation")[-1]["loss"] and first == plain.of("validation")[0]["loss"]
