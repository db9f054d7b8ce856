"""A merged checkpoint is the model that its base is; what a tool leaves out of a model is said."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.models import load

from .conftest import metadata, source, toy_checkpoint

KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
XL_KEY = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
XL_NAME = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
OWN = {
    "modelspec.author": "Ann",
    "modelspec.license": "CreativeML Open RAIL-M",
    "modelspec.prediction_type": "v",
    "modelspec.architecture": "stable-diffusion-v2-768-v",
    "modelspec.hash_sha256": "0xabc",
    "format": "pt",
}


def lora(path, checkpoint, *, xl=False, **said) -> str:
    """A LoRA on one layer of `checkpoint`, whose metadata say `said`."""
    out, width = load_file(checkpoint)[XL_KEY if xl else KEY].shape
    name, draws = XL_NAME if xl else NAME, torch.Generator().manual_seed(0)
    pair = {"lora_down": torch.randn(2, width, generator=draws), "lora_up": torch.randn(out, 2, generator=draws)}
    tensors = {f"{name}.{half}.weight": tensor * 0.1 for half, tensor in pair.items()}
    save_file(tensors | {f"{name}.alpha": torch.tensor(1.0)}, path, metadata=said or None)
    return str(path)


def copy(tiny, path, *, extra=None, own=None):
    save_file({**load_file(tiny), **(extra or {})}, path, metadata=own)
    return path


def merged(base, target, *words, **said):
    one = lora(target.parent / "lora.safetensors", base, **said)
    given = ["--sd_model", base, "--models", one, "--ratios", 0.1, "--save_to", target, *words]
    assert run(["merge_lora", *map(str, given)]) == 0
    return target


def prediction(path) -> str:
    return load(path, dtype=torch.float32, device="cpu").prediction_type


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("words", [[], ["--no_metadata"]], ids=["metadata", "no_metadata"])
@pytest.mark.parametrize("said", [{}, {"ss_base_model_version": "sd_v2", "modelspec.prediction_type": "epsilon"}])
def test_a_model_for_velocity_that_does_not_say_so_stays_one(ending, words, said, tiny_model, tmp_path):
    target = merged(tiny_model("sd2-v"), tmp_path / f"merged.{ending}", *words, **said)
    assert prediction(target) == "v_prediction"
    if ending == "safetensors":
        assert "modelspec.prediction_type" not in metadata(target)  # nothing is claimed that was not known


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("words", [[], ["--no_metadata"]], ids=["metadata", "no_metadata"])
@pytest.mark.parametrize("where", ["metadata", "tensor"])
def test_an_xl_model_for_velocity_stays_one_wherever_that_is_written(ending, words, where, tiny_model, tmp_path):
    mark = {"own": OWN} if where == "metadata" else {"extra": {"v_pred": torch.zeros(0)}}
    base = copy(tiny_model("sdxl"), tmp_path / "base.safetensors", **mark)
    target = merged(base, tmp_path / f"merged.{ending}", *words, xl=True)
    assert prediction(target) == "v_prediction"


def test_the_models_own_metadata_stay_and_only_the_new_files_are_new(tiny_model, tmp_path):
    base = copy(tiny_model("sd2-v"), tmp_path / "base.safetensors", own={**OWN, "modelspec.title": "Base"})
    said = metadata(merged(base, tmp_path / "merged.safetensors", **{"modelspec.author": "Bob"}))
    kept = ("author", "license", "prediction_type", "architecture")
    assert {key: said[f"modelspec.{key}"] for key in kept} == {key: OWN[f"modelspec.{key}"] for key in kept}
    assert (said["modelspec.title"], said["modelspec.merged_from"], said["format"]) == ("merged", "base, lora", "pt")
    assert "modelspec.hash_sha256" not in said  # it was that of other bytes


def test_a_ckpt_that_cannot_hold_the_metadata_says_so(tiny_model, tmp_path, capsys):
    base = copy(tiny_model("sd2-v"), tmp_path / "base.safetensors", own=OWN)
    merged(base, tmp_path / "merged.ckpt")
    assert "has no place for the metadata of base (author, licence, ...)" in capsys.readouterr().err


def test_a_written_mark_against_the_models_own_answer_is_a_warning(tiny_model, tmp_path):
    """The metadata lose, as in the Web UI: tools that merge models often write them wrong."""
    for family, wrong, right in (("sd2-v", "epsilon", "v_prediction"), ("sd2-linear", "v", "epsilon")):
        path = copy(tiny_model(family), tmp_path / f"{family}.safetensors", own={"modelspec.prediction_type": wrong})
        model = load(path, dtype=torch.float32, device="cpu")
        assert model.prediction_type == right
        assert "because of the way it answers" in model.notes[0] and "modelspec.prediction_type" in model.notes[0]
    path = copy(tiny_model("sd2-linear"), tmp_path / "m.safetensors", extra={"v_pred": torch.zeros(0)})
    model = load(path, dtype=torch.float32, device="cpu")
    assert model.prediction_type == "v_prediction" and "the way it answers" in model.notes[0]


# ---- extraction ------------------------------------------------------------------------------------------------------
def extracted(tmp_path, *words, tuned="tuned", change=None, own=None):
    models = [toy_checkpoint(tmp_path / f"{name}.safetensors", name) for name in ("base", tuned)]
    if change or own:
        save_file({**load_file(models[1]), **(change or {})}, models[1], metadata=own)
    given = ["--model_org", models[0], "--model_tuned", models[1], "--save_to", tmp_path / "o.safetensors", *words]
    assert run(["extract_lora_from_models", *map(str, given)]) == 0
    return tmp_path / "o.safetensors"


def test_an_extraction_says_what_it_leaves_out(tmp_path, capsys):
    extracted(tmp_path, "--min_diff", "10")
    said = capsys.readouterr().err
    assert "the text encoders are left out: none of their weights differs by more than" in said and "--min_diff 0" in said
    assert "layers of the resnets and samplers differ, too: --conv_dim" in said
    bias = {"model.diffusion_model.input_blocks.1.0.in_layers.2.bias": torch.ones(24)}
    base = toy_checkpoint(tmp_path / "base.safetensors", "base")
    save_file({**load_file(base), **{key: torch.zeros_like(value) for key, value in bias.items()}}, base)
    (tmp_path / "o.safetensors").unlink()
    tuned = tmp_path / "tuned.safetensors"
    save_file({**load_file(tuned), **bias}, tuned)
    words = ["--model_org", base, "--model_tuned", tuned, "--conv_dim", 4, "--save_to", tmp_path / "o.safetensors"]
    assert run(["extract_lora_from_models", *map(str, words)]) == 0
    said = capsys.readouterr().err
    assert "1 other tensors differ" in said and next(iter(bias)) in said
    assert "left out" not in said and "--conv_dim" not in said


def test_an_extraction_that_leaves_nothing_out_says_nothing(tmp_path, capsys):
    extracted(tmp_path, "--conv_dim", "4", tuned="tuned_unet")
    said = capsys.readouterr().err
    assert "left out" not in said and "differ" not in said


def test_an_extraction_keeps_what_the_models_say_of_themselves(tmp_path):
    said = metadata(extracted(tmp_path, own=OWN))
    assert said["modelspec.author"] == "Ann" and said["modelspec.license"] == OWN["modelspec.license"]
    assert said["modelspec.prediction_type"] == "v" and said["ss_base_model_version"] == "sd_v1_v"


def test_a_difference_of_few_ranks_gives_a_lora_of_few_ranks(tmp_path):
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    base = load_file(toy_checkpoint(tmp_path / "b.safetensors", "base"))[key]
    change = base.clone()
    change[3] += 0.5
    models = toy_checkpoint(tmp_path / "base.safetensors", "base"), tmp_path / "tuned.safetensors"
    save_file({**load_file(models[0]), key: change}, models[1])
    words = ["--model_org", models[0], "--model_tuned", models[1], "--dim", 8, "--save_to", tmp_path / "o.safetensors"]
    assert run(["extract_lora_from_models", *map(str, words)]) == 0
    assert load_file(tmp_path / "o.safetensors")[f"{NAME}.lora_down.weight"].shape[0] == 1


def test_shuffle_without_concat_is_refused(tmp_path, capsys):
    words = ["merge_lora", "--models", source("a"), "--ratios", "1", "--shuffle", "--save_to", str(tmp_path / "o.safetensors")]
    assert run(words) != 0
    assert "shuffle has no effect without concat" in capsys.readouterr().err
