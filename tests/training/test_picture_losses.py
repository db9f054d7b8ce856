"""The loss of each picture is told apart from that of its noise levels, and a training that was killed goes on with it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from lora_trainer.training import picture_losses
from lora_trainer.training.picture_losses import PictureLosses, compared
from lora_trainer.training.train import train

from .conftest import Recorder
from .killing import Killed, killed_at


def plan_of(count, reg=()):
    images = [SimpleNamespace(id=i, path=f"/x/{i}.png", caption=f"number {i}", is_reg=i in reg) for i in range(count)]
    return SimpleNamespace(images=images)


def test_a_picture_is_compared_at_its_own_noise_levels(tmp_path):
    """The third picture has half as much loss again as the others, but was seen where there is little loss."""
    found = PictureLosses(plan_of(3), tmp_path / "losses.json")
    generator = torch.Generator().manual_seed(3)
    for step in range(600):
        timesteps = torch.randint(0, 1000, (3,), generator=generator)
        timesteps[2] = timesteps[2] // 4 + 750
        usual = 1.0 - 0.9 * (timesteps // 25 * 25) / 1000
        found.add(step, torch.arange(3), timesteps, usual * torch.tensor([1.0, 1.0, 1.5]))
        found.after_step(step)
    rows = found.rows()
    assert [row["path"] for row in rows[:1]] == ["/x/2.png"] and rows[0]["loss"] < rows[1]["loss"]
    relative = {row["path"]: row["relative"] for row in rows}
    assert relative["/x/2.png"] / relative["/x/0.png"] > 1.1
    assert [row["seen"] for row in rows] == [600] * 3


def test_the_comparison_is_the_mean_of_shares_over_the_upper_half_of_what_was_trained():
    sums = torch.tensor([[9.0, 0, 4.0, 0.0, 0], [1.0, 0, 2.0, 1.0, 0], [5.0, 0, 0.0, 0.0, 0]]).double()
    counts = torch.tensor([[1, 0, 2, 0, 0], [1, 0, 2, 1, 0], [1, 0, 0, 0, 0]]).double()
    assert compared(sums, counts).tolist() == pytest.approx([4 / 3, (2 / 1.5 + 1) / 3, 1])
    assert compared(sums * 0, counts * 0).tolist() == [1, 1, 1]


def test_what_was_seen_long_ago_counts_less(tmp_path):
    found = PictureLosses(plan_of(2), tmp_path / "losses.json")
    for step in range(60):
        worst = 0 if step < 30 else 1
        found.add(step, torch.arange(2), torch.tensor([700, 700]), torch.tensor([2.0, 1.0] if worst == 0 else [1.0, 2.0]))
    assert [row["path"] for row in found.rows()] == ["/x/1.png", "/x/0.png"]


def test_nothing_is_fetched_until_some_batches_have_come_together(tmp_path, monkeypatch):
    found = PictureLosses(plan_of(2), tmp_path / "losses.json")
    fetched = []
    real = found._fetch
    monkeypatch.setattr(found, "_fetch", lambda: fetched.append(len(found._pending)) or real())
    for step in range(130):
        found.add(step, torch.tensor([step % 2]), torch.tensor([5]), torch.tensor([1.0]))
        found.after_step(step)
    assert fetched == [64, 64]


def test_what_a_mask_hides_and_what_is_computed_anew_does_not_count_and_regularisation_is_not_told(tmp_path):
    found = PictureLosses(plan_of(2, reg={1}), tmp_path / "losses.json")
    masks = torch.zeros(2, 1, 4, 4)
    masks[0, :, :1], masks[1] = 1.0, 1.0
    found.add(1, torch.tensor([0, 1]), torch.tensor([3, 3]), torch.tensor([9.0, 9.0]))
    found.forget(1)
    found.add(1, torch.tensor([0, 1]), torch.tensor([3, 3]), torch.tensor([0.25, 1.0]), masks)
    (row,) = found.rows()
    assert (row["path"], row["loss"], row["relative"]) == ("/x/0.png", 1.0, 1.0)


@pytest.mark.effect("save_picture_losses")
def test_a_training_that_was_killed_tells_the_same_losses(options_for, tmp_path, monkeypatch):
    """In the file that its caller wants, or beside its LoRA where the options ask for one."""
    monkeypatch.setattr(picture_losses, "_BATCHES", 2)
    chosen = {"max_train_steps": 4, "save_state": True, "save_every_n_steps": 1, "save_last_n_steps": 1, "train_batch_size": 2}
    whole = Recorder()
    train(options_for(output_dir=str(tmp_path / "whole"), save_picture_losses=True, **chosen), reporter=whole)
    with pytest.raises(Killed):
        train(options_for(**chosen), reporter=killed_at(6), losses_to=tmp_path / "killed.json")
    resumed = Recorder()
    train(options_for(**chosen, resume="latest"), reporter=resumed, losses_to=tmp_path / "killed.json")
    assert resumed.of("resumed")
    (beside,) = (tmp_path / "whole").glob("*-losses.json")
    assert beside.with_name(f"{beside.stem.removesuffix('-losses')}.safetensors").is_file()
    told = json.loads(beside.read_text())
    assert not list((tmp_path / "out").glob("*-losses.json")), "nobody asked for it there"
    assert told == json.loads((tmp_path / "killed.json").read_text())
    assert (told["step"], sum(row["seen"] for row in told["pictures"])) == (4, 8)
    steps = len({event["step"] for event in whole.of("step")})
    mean = sum(row["loss"] * row["seen"] for row in told["pictures"]) / 8
    assert mean == pytest.approx(sum(whole.losses) / steps, rel=1e-5), "the losses of the steps, by picture"


def test_a_file_that_cannot_be_written_costs_no_training(tmp_path):
    (tmp_path / "file").write_text("")
    PictureLosses(plan_of(1), tmp_path / "file" / "losses.json").write(3)
