"""The masked loss: recorded numbers of the reference, all kinds of losses, and whole trainings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lora_trainer.data.masks import Masks
from lora_trainer.data.plan import make_plan
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.training import loss
from lora_trainer.training.noise import DrawnNoise
from lora_trainer.training.objective import Objective
from lora_trainer.training.precision import Precision
from lora_trainer.training.train import train
from tests.given import given

from .conftest import Recorder
from .test_gradients import SPLITTING, full_memory  # noqa: F401 - a fixture
from .test_loss import LATENTS, MADE, NOISE, PREDICTION, _Always

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "noise.safetensors")


def test_masks_weigh_the_loss_as_recorded(tmp_path):
    """From the mask's file to the mean of each sample."""
    kept = []
    for number, values in enumerate(GOLDEN["masked.alpha_mask_small"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        Image.new("RGB", (192, 128)).save(folder / "a.png")
        Image.fromarray(values.numpy()).save(folder / "a-masklabel.png")
        subset = SubsetSpec(image_dir=folder, class_tokens="x")
        plan = make_plan(DataSpec(datasets=(DatasetSpec(resolution=(192, 128), subsets=(subset,)),), masked_loss=True))
        masks = Masks.read(plan, plan.images)
        assert masks is not None
        kept.append(masks.get(plan.images[0]))
    found = loss.per_sample(GOLDEN["loss.l2"], torch.stack(kept))
    torch.testing.assert_close(found, GOLDEN["masked.result"].mean((1, 2, 3)), rtol=1e-5, atol=1e-7)


def masked_losses(prediction: torch.Tensor, masks: torch.Tensor | None, **options: object) -> torch.Tensor:
    cpu = torch.device("cpu")
    objective = Objective.of(given(**options).training, "epsilon", cpu)
    drawn = DrawnNoise(NOISE, NOISE, torch.tensor([20, 500, 900]))
    return objective.losses(_Always(prediction), LATENTS, None, drawn, Precision(cpu, torch.float32), masks)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MADE)
def test_what_the_mask_hides_changes_no_loss_whatever_its_kind_and_weights(name):
    options, _ = MADE[name]
    left = torch.zeros(3, 8, 8)
    left[:, :, :4] = 1
    other = PREDICTION.clone()
    other[..., 4:] += 3.0
    found = masked_losses(PREDICTION, left, **options)
    assert torch.equal(found, masked_losses(other, left, **options))
    assert not torch.allclose(found, masked_losses(PREDICTION, 1 - left, **options))
    halves = found + masked_losses(PREDICTION, 1 - left, **options)
    torch.testing.assert_close(halves, masked_losses(PREDICTION, None, **options), rtol=1e-5, atol=1e-7)
    assert torch.equal(masked_losses(PREDICTION, torch.ones(3, 8, 8), **options), masked_losses(PREDICTION, None, **options))


@pytest.fixture
def masked(pictures, tmp_path):
    """masked(box): the training folder with a mask beside each picture that shows a box of it."""

    def make(box: tuple[int, int, int, int]) -> str:
        folder = tmp_path / "-".join(map(str, box))
        shutil.copytree(pictures, folder)
        for path in folder.rglob("*.png"):
            mask = Image.new("L", (64, 64), 0)
            mask.paste(255, box)
            mask.save(path.with_name(f"{path.stem}-masklabel.png"))
        return str(folder)

    return make


def test_black_masks_teach_nothing_and_the_loss_that_is_measured_counts_what_they_show(options_for, masked):
    heard = Recorder()
    settings = {"max_train_steps": 1, "validation_split": 0.25, "train_batch_size": 2, "masked_loss": True}
    made = train(options_for(train_data_dir=masked((0, 0, 0, 0)), **settings), reporter=heard)
    assert set(heard.losses) == {0.0} and {one["loss"] for one in heard.of("validation")} == {0.0}
    assert all(not tensor.any() for name, tensor in load_file(made.path).items() if "lora_up" in name)
    assert any("all black" in one["message"] for one in heard.of("warning"))


def test_masks_are_split_with_their_batch(options_for, masked, full_memory):  # noqa: F811
    settings = {**SPLITTING, "max_train_steps": 2, "train_data_dir": masked((0, 0, 40, 24)), "masked_loss": True}
    whole, parts = Recorder(), Recorder()
    train(options_for(output_name="whole", **settings), reporter=whole)
    full_memory(1, from_step=2)
    train(options_for(output_name="parts", **settings), reporter=parts)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-4)
