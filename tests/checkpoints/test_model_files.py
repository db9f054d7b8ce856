"""Files of a whole model: they load again, hold what was trained, and keep everything else of the base model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_trainer.checkpoints import folders
from lora_trainer.checkpoints.model_files import ModelFiles
from lora_trainer.checkpoints.whole_model import WholeModel
from lora_trainer.errors import SaveError
from lora_trainer.models import load
from lora_trainer.options.saving import SavingOptions, saved_as
from lora_trainer.training.checkpoint import SavePlan

from ..full_disk import needs_limits, room_for

FORMS = {"safetensors": ".safetensors", "ckpt": ".ckpt", "diffusers": "", "diffusers_safetensors": ""}
TOLD = {"modelspec.title": "new", "ss_steps": "1"}


def trained(path: Path, *, text: bool = True, dtype: torch.dtype = torch.float32):
    """The model at `path` with every trained number moved, as a training has it."""
    model = load(path, dtype=torch.float32, device="cpu")
    rates = [1.0 if text else 0.0] * len(model.text_encoders)
    whole = WholeModel(model, unet_lr=1.0, text_lrs=rates, dtype=dtype)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.01)
    return model, whole


def assert_same_model(model, path: Path) -> None:
    again = load(path, dtype=torch.float32, device="cpu")
    assert again.prediction_type == model.prediction_type and again.family == model.family
    for name, module in model.named.items():
        read = again.named[name].state_dict()
        different = [key for key, tensor in module.state_dict().items() if not torch.equal(read[key], tensor.float())]
        assert not different, (name, different[:3])


@pytest.mark.parametrize(
    ("family", "form"),
    [
        ("sd1", "ckpt"),
        ("sd2-conv", "safetensors"),
        ("sd2-v", "diffusers_safetensors"),
        pytest.param("sdxl", "diffusers_safetensors", marks=pytest.mark.long),
    ],
)
def test_a_model_of_every_family_loads_again_from_its_format(tiny_model, tmp_path, family, form):
    model, whole = trained(tiny_model(family))
    written = ModelFiles(model, whole, form)
    path = tmp_path / f"new.v1{FORMS[form]}"
    written.save(path, TOLD, None, step=1, epoch=0)
    if not FORMS[form]:  # a folder takes the place of the one before
        (path / "more.txt").write_text("x")
        written.save(path, TOLD, None, step=1, epoch=0)
    assert_same_model(model, path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    assert written.size(path, TOLD, None) == size
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.fixture
def base(tiny_sd1, tmp_path):
    """A base model in fp16 with metadata, an average of its own, and more that is no part of it."""
    tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in load_file(tiny_sd1).items()}
    tensors |= {"model_ema.decay": torch.tensor(0.9), "alphas_cumprod": torch.arange(4.0), "global_step": torch.tensor(7)}
    path = tmp_path / "base.safetensors"
    save_file(
        tensors, path, {"modelspec.author": "A", "modelspec.title": "old", "own": "x", "ss_steps": "9", "sshs_model_hash": "0"}
    )
    path.with_suffix(".yaml").write_text("model: {}\n")
    return path


def test_everything_of_the_base_model_stays_but_what_was_trained(base, tmp_path):
    model, whole = trained(base, text=False, dtype=torch.bfloat16)
    path = tmp_path / "new.safetensors"
    ModelFiles(model, whole).save(path, TOLD, None, step=1, epoch=0)
    before, after = load_file(base), load_file(path)
    assert after.keys() == before.keys() - {"model_ema.decay"}
    differing = {name for name in after if not torch.equal(before[name], after[name])}
    assert differing == {name for name in after if name.startswith("model.diffusion_model.")}
    assert {after[name].dtype for name in differing} == {torch.float32}
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"modelspec.author": "A", "own": "x", **TOLD}
    assert path.with_suffix(".yaml").read_text() == "model: {}\n"


def test_save_precision_is_for_all_numbers(base, tmp_path):
    model, whole = trained(base)
    path = tmp_path / "new.ckpt"
    ModelFiles(model, whole, "ckpt").save(path, TOLD, "bf16", step=3, epoch=1)
    held = torch.load(path, weights_only=True)
    assert (held["global_step"], held["epoch"]) == (3, 1)
    assert {tensor.dtype for tensor in held["state_dict"].values() if tensor.is_floating_point()} == {torch.bfloat16}
    assert held["state_dict"]["global_step"] == 7


def test_a_base_model_that_is_another_file_by_now_costs_no_training(base, tmp_path):
    model, whole = trained(base, text=False)
    written = ModelFiles(model, whole)
    base.write_bytes(b"another file")
    path = tmp_path / "new.safetensors"
    written.save(path, TOLD, None, step=1, epoch=0)
    assert_same_model(model, path)
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.author"] == "A"


@pytest.mark.effect("use_safetensors")
@pytest.mark.parametrize(
    ("given", "ending"),
    [
        (SavingOptions(), ".safetensors"),
        (SavingOptions(save_model_as="ckpt"), ".ckpt"),
        (SavingOptions(save_model_as="ckpt", use_safetensors=True), ".safetensors"),
        (SavingOptions(save_model_as="diffusers"), ""),
        (SavingOptions(save_model_as="diffusers", use_safetensors=True), ""),
    ],
)
def test_the_format_says_how_results_are_called(given, ending):
    plan = SavePlan.of(replace(given, output_name="frog.v1"), 1)
    assert plan.at_step(3).name == f"frog.v1-step00000003{ending}" and plan.last.name == f"frog.v1{ending}"
    assert plan.is_ours(plan.at_step(3), 2) and not plan.is_ours(plan.at_step(3), 3) and plan.is_ours(plan.last)
    assert not plan.is_ours(Path("frog.v1-step00000003-state")) and not plan.is_ours(Path(f"frog{ending}"))
    assert plan.stem_of(plan.last) == "frog.v1"
    assert (saved_as(given) == "diffusers_safetensors") == (given.use_safetensors and not ending)


@pytest.mark.parametrize("form", [pytest.param("ckpt", marks=pytest.mark.long), "diffusers"])
def test_a_folder_of_diffusers_is_trained_and_written_in_every_format(tiny_sd1, tmp_path, form):
    model, whole = trained(tiny_sd1)
    folder = tmp_path / "base"
    ModelFiles(model, whole, "diffusers_safetensors").save(folder, TOLD, "float", step=1, epoch=0)
    index = json.loads((folder / "model_index.json").read_text())
    assert {name for name, value in index.items() if isinstance(value, list) and value[0]} == {
        path.name for path in folder.iterdir() if path.is_dir()
    }
    exact = load(folder, dtype=torch.float32, device="cpu")
    model, whole = trained(folder, text=False, dtype=torch.bfloat16)
    path = tmp_path / f"new{FORMS[form]}"
    ModelFiles(model, whole, form).save(path, TOLD, None, step=1, epoch=0)
    model.text_encoders[0] = exact.text_encoders[0]  # what was computed in half precision is written as it was
    assert_same_model(model, path)


def test_a_vae_that_was_given_becomes_a_part_of_the_model(tiny_sd1, tiny_model, tmp_path):
    model = load(tiny_sd1, dtype=torch.float32, device="cpu", vae=tiny_model("sdxl"))
    whole = WholeModel(model, unet_lr=1.0, text_lrs=[0.0], dtype=torch.float32)
    path = tmp_path / "new.safetensors"
    ModelFiles(model, whole, other_vae=True).save(path, TOLD, None, step=1, epoch=0)
    assert_same_model(model, path)
    before, after = load_file(tiny_sd1), load_file(path)
    assert any(name.startswith("first_stage_model.") and not torch.equal(before[name], after[name]) for name in after)


@needs_limits
@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_fills_up_leaves_nothing_and_is_told_in_every_format(base, tmp_path, form):
    model, whole = trained(base, text=False)
    with room_for(3 << 20), pytest.raises(SaveError, match="could not be written"):
        ModelFiles(model, whole, form).save(tmp_path / f"new{FORMS[form]}", TOLD, None, step=1, epoch=0)
    assert {one.name for one in tmp_path.iterdir()} == {base.name, base.with_suffix(".yaml").name}


def test_a_folder_that_cannot_be_put_in_place_leaves_the_earlier_one_there(tmp_path, monkeypatch):
    """Where another program holds a file of the new one (Windows refuses to rename it then)."""
    there, made = tmp_path / "x", tmp_path / "x.abc.tmp"
    for folder, text in ((there, "earlier"), (made, "new")):
        folder.mkdir()
        (folder / "model_index.json").write_text(text)

    def held(*_: object) -> None:
        raise PermissionError(13, "The file is in use")

    with monkeypatch.context() as changed, pytest.raises(PermissionError):
        changed.setattr(folders.os, "replace", held)
        folders._put(made, there)
    assert (there / "model_index.json").read_text() == "earlier"
    folders._put(made, there)
    assert (there / "model_index.json").read_text() == "new" and list(tmp_path.iterdir()) == [there]
