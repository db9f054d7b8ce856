"""Checking, converting and describing files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.networks import files
from lora_trainer.tools import check, convert

from .conftest import GOLDEN, SDXL, close, deltas, golden_names, metadata, source

TRAINED = str(GOLDEN / "lora_sd15_sd_scripts.safetensors")


# ---- check_lora ------------------------------------------------------------------------------------------------------
def test_a_sound_file_is_described(capsys, tmp_path):
    assert run(["check_lora", TRAINED, "--picture", str(tmp_path / "norms.png")]) == 0
    shown = capsys.readouterr().out
    assert "LoRA-LierLa for Stable Diffusion 1: 264 modules, 72 of the text encoder" in shown and "rank 2; alpha 1" in shown
    blocks = [line.split()[0] for line in shown.splitlines() if line.startswith("    ")]
    assert blocks == ["TE", "01", "02", "04", "05", "07", "08", "12", *(f"{n:02d}" for n in range(16, 25))]
    picture = Image.open(tmp_path / "norms.png")
    assert picture.format == "PNG" and picture.width > 17 * 20


def test_the_picture_has_room_for_its_title(tmp_path):
    """A file with one block and one with none: nothing is cut, that is, the last columns are white."""
    for norms in ({"TE": 0.25}, {}):
        check.draw(check.Report(norms=norms), tmp_path / "norms.png")
        picture = np.asarray(Image.open(tmp_path / "norms.png").convert("L"))
        assert (picture[:40, -20:] == 255).all() and (picture[:40, :-20] < 128).any()


def test_the_norms_are_those_of_the_whole_effect(capsys):
    assert run(["check_lora", source("c")]) == 0
    shown = {
        line.split()[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if line.startswith("    ")
    }
    whole = deltas(source("c"))
    text = sum(float(delta.square().sum()) for name, delta in whole.items() if name.startswith("lora_te"))
    assert shown["TE"] == pytest.approx(text**0.5, rel=1e-3)


def test_everything_that_is_wrong_is_listed(tmp_path, capsys):
    tensors = load_file(source("a"))
    names = sorted({name.partition(".")[0] for name in tensors})
    del tensors[f"{names[0]}.lora_up.weight"]
    del tensors[f"{names[1]}.alpha"]
    tensors[f"{names[2]}.lora_down.weight"][0, 0] = torch.nan
    tensors[f"{names[3]}.lora_up.weight"] = torch.ones(16, 5)
    tensors[f"{names[4]}.alpha"] = torch.ones(2)
    tensors["strange.weight"] = torch.ones(1)
    tensors[f"{names[5]}.lora_up.weight"].zero_()
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path)
    assert run(["check_lora", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    problems = "\n".join(line for line in lines if "PROBLEM" in line)
    notes = "\n".join(line for line in lines if "note" in line)
    assert "5 problems" in lines[-1]
    assert f"{names[0]} has no lora_up" in problems and f"{names[2]}.lora_down.weight holds 1 values" in problems
    assert (
        f"{names[3]} has lora_down [4, 16] and lora_up [16, 5]" in problems
        and f"{names[4]} has an alpha of shape [2]" in problems
    )
    assert "strange.weight" in problems
    assert "1 of 13 modules have no alpha" in notes and names[5] in notes and "no metadata" in notes


def test_a_module_that_fits_no_layer_of_a_checkpoint_is_named(base, capsys):
    assert run(["check_lora", source("a"), "--sd_model", str(base)]) == 0
    capsys.readouterr()
    assert run(["check_lora", TRAINED, "--sd_model", str(base)]) == 1
    shown = capsys.readouterr().out
    assert "is no layer of base.safetensors" in shown and "is for a layer of shape" in shown


def test_a_file_that_was_changed_after_its_hash_is_noted(tmp_path, capsys):
    files.save(tmp_path / "a.safetensors", load_file(source("a")), {})
    save_file(load_file(source("b")), tmp_path / "b.safetensors", metadata(tmp_path / "a.safetensors"))
    assert run(["check_lora", str(tmp_path / "b.safetensors")]) == 0
    assert "sshs_model_hash is not the hash" in capsys.readouterr().out


def test_a_merged_checkpoint_keeps_the_configuration_beside_it(base, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(base.read_bytes())
    (tmp_path / "model.yaml").write_text("model: {params: {parameterization: v}}", encoding="utf-8")
    merge = ["merge_lora", "--sd_model", str(tmp_path / "model.safetensors"), "--models", source("a"), "--ratios", "1"]
    assert run([*merge, "--save_to", str(tmp_path / "merged.safetensors")]) == 0
    assert (tmp_path / "merged.yaml").read_bytes() == (tmp_path / "model.yaml").read_bytes()


def test_a_merged_checkpoint_is_not_put_beside_another_configuration(base, tmp_path, capsys):
    """It would be read by it, and be another model."""
    for name in ("plain", "model"):
        (tmp_path / f"{name}.safetensors").write_bytes(base.read_bytes())
    (tmp_path / "model.yaml").write_text("model: {params: {parameterization: v}}", encoding="utf-8")
    (tmp_path / "again.yaml").write_text("mine", encoding="utf-8")
    words = ["merge_lora", "--models", source("a"), "--ratios", "1", "--save_to", str(tmp_path / "again.safetensors")]
    for name, said in (("plain", "plain.safetensors has none"), ("model", "is not model.yaml")):
        assert run([*words, "--sd_model", str(tmp_path / f"{name}.safetensors")]) != 0
        assert said in capsys.readouterr().err
    assert (tmp_path / "again.yaml").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "again.safetensors").exists()
    assert run([*words, "--sd_model", str(tmp_path / "model.safetensors"), "--overwrite"]) == 0
    assert (tmp_path / "again.yaml").read_bytes() == (tmp_path / "model.yaml").read_bytes()


# ---- convert_lora ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "to"), [("a", "webui"), ("c", "peft"), ("c", "webui"), ("trained", "diffusers")])
def test_there_and_back_is_the_same_file(name, to, tmp_path):
    """To the last bit, metadata too: alpha / rank is a power of two here, as nearly everywhere. Only its name is its own."""
    (tmp_path / "back").mkdir()
    path, there, back = (tmp_path / one for one in ("first.safetensors", "there.safetensors", "back/first.safetensors"))
    assert run(["convert_lora", TRAINED if name == "trained" else source(name), "--save_to", str(path)]) == 0
    close(load_file(path), load_file(TRAINED if name == "trained" else source(name)), 0.0)
    assert run(["convert_lora", str(path), "--to", to, "--save_to", str(there)]) == 0
    keys = load_file(there)
    assert not any(key.startswith("lora_") for key in keys)
    assert any(key.endswith("alpha") for key in keys) == (to == "webui")
    assert run(["convert_lora", str(there), "--save_to", str(back)]) == 0
    assert back.read_bytes() == path.read_bytes()
    assert metadata(there).get("ss_output_name") == ("there" if name == "trained" else None)


def test_an_alpha_that_is_no_power_of_two_costs_no_bit_of_a_half_precision_file(tmp_path):
    tensors = {key: value.half() for key, value in load_file(source("a")).items()}
    for key in tensors:
        if key.endswith("alpha"):
            tensors[key] = torch.tensor(3.0).half()
    files.save(tmp_path / "first.safetensors", tensors, {})
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    assert run(["convert_lora", str(tmp_path / "first.safetensors"), "--to", "peft", "--save_to", str(there)]) == 0
    moved = load_file(there)
    assert any(tensor.dtype == torch.float32 for tensor in moved.values())
    for name, delta in deltas(tmp_path / "first.safetensors").items():
        path = convert.dotted(name)
        down, up = moved[f"{path}.lora_A.weight"].float(), moved[f"{path}.lora_B.weight"].float()
        assert torch.allclose(torch.einsum("or,r...->o...", up.flatten(1), down), delta, rtol=1e-5, atol=1e-7)
    assert run(["convert_lora", str(there), "--save_to", str(back)]) == 0
    assert back.read_bytes() == (tmp_path / "first.safetensors").read_bytes()


def test_every_tool_reads_the_names_of_other_programs(base, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    assert run(["convert_lora", source("c"), "--to", "diffusers", "--save_to", str(other)]) == 0
    assert run(["check_lora", str(other), "--sd_model", str(base)]) == 0
    assert "its keys are another program's" in capsys.readouterr().out
    results = []
    for path in (source("c"), str(other)):
        commands = {
            "merged": ["merge_lora", "--sd_model", str(base), "--models", path, "--ratios", "0.5"],
            "svd": ["svd_merge_lora", "--models", path, "--ratios", "0.5", "--new_rank", "4"],
            "resized": ["resize_lora", "--model", path, "--new_rank", "4"],
        }
        for name, words in commands.items():
            assert run([*words, "--save_to", str(tmp_path / f"{name}{len(results)}.safetensors")]) == 0
            results.append(tmp_path / f"{name}{len(results)}.safetensors")
    merged, svd, resized, *theirs = results
    close(load_file(theirs[0]), load_file(merged), 1e-6)
    for one, two in ((svd, theirs[1]), (resized, theirs[2])):
        close(deltas(two), deltas(one), 1e-6)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_every_module_has_its_path(family):
    """Each name goes to the path of a layer of the real UNet and back."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**(SDXL if family == "sdxl" else {"cross_attention_dim": 768, "attention_head_dim": 8}))
    known = {name for name, _ in unet.named_modules()}
    names = {key.partition(".")[0] for key in golden_names(f"modules_{family}_lora_dim4_alpha1_conv_dim4_conv_alpha1.json")}
    for name in names:
        path = convert.dotted(name)
        if path.startswith("unet."):
            assert path.removeprefix("unet.") in known, path


def test_keys_of_other_models_are_refused(tmp_path, capsys):
    for key in ("transformer.blocks.0.attn.lora_A.weight", "unet.conv_in.bias"):
        save_file({key: torch.ones(2, 2), "unet.mid_block.x.lora_A.weight": torch.ones(2, 2)}, tmp_path / "x.safetensors")
        assert run(["convert_lora", str(tmp_path / "x.safetensors"), "--save_to", str(tmp_path / "y.safetensors")]) in (1, 2)
        assert key.partition(".")[0] in capsys.readouterr().err


# ---- metadata --------------------------------------------------------------------------------------------------------
def test_metadata_is_shown_and_edited(tmp_path, capsys):
    path, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    files.save(path, load_file(source("a")), {"ss_dataset_dirs": "{}", "ss_datasets": '[{"n": 1}]', "ss_network_dim": "4"})
    assert run(["show_metadata", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ss_datasets"] == [{"n": 1}]
    words = [
        "edit_metadata",
        str(path),
        "--set",
        "ss_training_comment=a=b c",
        "--remove",
        "ss_dataset*",
        "--save_to",
        str(target),
    ]
    assert run(words) == 0
    assert run(["show_metadata", str(target), "--key", "ss_training_comment"]) == 0
    assert capsys.readouterr().out == "ss_training_comment: a=b c\n"
    expected = files.save(tmp_path / "c.safetensors", load_file(path), {"ss_network_dim": "4", "ss_training_comment": "a=b c"})
    assert metadata(target) == expected and target.read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_the_old_hash_of_a_large_file_is_brought_up_to_date(tmp_path):
    tensors = {"lora_unet_x.lora_down.weight": torch.randn(300_000, generator=torch.manual_seed(0))}
    files.save(tmp_path / "a.safetensors", tensors, {"ss_a": "1"})
    words = ["edit_metadata", str(tmp_path / "a.safetensors"), "--set", "ss_a=22", "--save_to", str(tmp_path / "b.safetensors")]
    assert run(words) == 0
    assert metadata(tmp_path / "b.safetensors") == files.save(tmp_path / "c.safetensors", tensors, {"ss_a": "22"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "novalue"], "is not key=value"),
        (["--remove", "ss_network_dm"], "Did you mean ss_network_dim?"),
        (["--save_precision", "fp16"], "not touched"),
    ],
)
def test_wrong_edits(words, expected, tmp_path, capsys):
    assert run(["edit_metadata", source("a"), *words, "--save_to", str(tmp_path / "b.safetensors")]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "b.safetensors").exists()
