"""Sums of LoRAs are the sums of their effects, whatever their alphas, ratios, ranks and layers are."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.networks.files import load

from .conftest import close, deltas, metadata

LINEAR = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
ONE_CHANNEL = "lora_unet_down_blocks_1_resnets_0_conv1"  # 3x3 of one channel: its matrix has rank 9, not 1
NARROW = "lora_unet_down_blocks_1_attentions_0_proj_in"
LAYERS = {LINEAR: (24, 16), CONV: (8, 6, 3, 3), ONE_CHANNEL: (12, 1, 3, 3), NARROW: (1, 20)}


def lora(path: Path, seed: int, *, rank: int = 4, layers=LAYERS, alpha=lambda name: 2.0, dtype=torch.float32, **said) -> str:
    """A LoRA of `rank` on `layers`, above what some of them can have."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (out, *rest) in layers.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, *rest, generator=generator).to(dtype)
        tensors[f"{name}.lora_up.weight"] = torch.randn(out, rank, *[1] * (len(rest) - 1), generator=generator).to(dtype)
        tensors[f"{name}.alpha"] = torch.tensor(alpha(name))
    save_file(tensors, path, metadata=said or None)
    return str(path)


def tool(*words) -> int:
    return run([str(word) for word in words])


def summed(paths, ratios) -> dict[str, torch.Tensor]:
    total: dict[str, torch.Tensor] = {}
    for path, ratio in zip(paths, ratios, strict=True):
        for name, delta in deltas(Path(path)).items():
            total[name] = total.get(name, torch.zeros_like(delta)) + ratio * delta
    return total


WAYS = {
    "concat": ["merge_lora", "--concat"],
    "shuffled": ["merge_lora", "--concat", "--shuffle"],
    "svd": ["svd_merge_lora", "--new_rank", "64"],
    "energy": ["svd_merge_lora", "--kept_energy", "1"],
}
ALPHAS = {"ordinary": 2.0, "zero": 0.0, "negative": -3.0}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "second"), itertools.product(ALPHAS, repeat=2))
def test_the_sum_is_that_of_the_effects(way, first, second, tmp_path):
    """For alphas of either sign and 0, and a negative ratio, in layers that have fewer ranks than the files."""
    paths = [
        lora(tmp_path / "a.safetensors", 1, alpha=lambda name: ALPHAS[first] if name != CONV else 1.0),
        lora(tmp_path / "b.safetensors", 2, rank=6, alpha=lambda name: ALPHAS[second]),
    ]
    target, ratios = tmp_path / "sum.safetensors", (0.7, -0.4)
    assert tool(*WAYS[way], "--models", *paths, "--ratios", *ratios, "--save_to", target) == 0
    close(deltas(target), summed(paths, ratios), 2e-5)
    load(target)  # it is a sound file


@pytest.mark.parametrize("order", [("off", "on"), ("on", "off")])
@pytest.mark.parametrize("way", [["merge_lora"], *WAYS.values()], ids=["added", *WAYS])
def test_a_block_that_is_switched_off_in_one_file_keeps_the_effect_of_the_other(way, order, tmp_path):
    files = {
        "off": lora(tmp_path / "off.safetensors", 1, alpha=lambda name: 0.0),
        "on": lora(tmp_path / "on.safetensors", 2),
    }
    target = tmp_path / "sum.safetensors"
    assert tool(*way, "--models", *(files[name] for name in order), "--ratios", 1, 1, "--save_to", target) == 0
    close(deltas(target), deltas(Path(files["on"])), 1e-5)


def test_a_file_without_effect_adds_no_ranks_and_need_not_fit(tmp_path):
    on, off = lora(tmp_path / "on.safetensors", 1), lora(tmp_path / "off.safetensors", 2, rank=8)
    for number, words in enumerate((["merge_lora"], ["merge_lora", "--concat"], ["svd_merge_lora", "--new_rank", 32])):
        target = tmp_path / f"{number}.safetensors"
        assert tool(*words, "--models", off, on, "--ratios", 0, 0.5, "--save_to", target) == 0
        ranks = {t.shape[0] for name, t in load_file(target).items() if name.endswith("lora_down.weight")}
        assert max(ranks) == 4
        close(deltas(target), summed([on], [0.5]), 1e-5)


def test_nothing_but_files_without_effect_is_a_file_without_effect(tmp_path):
    paths = [lora(tmp_path / f"{seed}.safetensors", seed, alpha=lambda name: 0.0) for seed in (1, 2)]
    for number, words in enumerate((["merge_lora"], *WAYS.values())):
        target = tmp_path / f"sum{number}.safetensors"
        assert tool(*words, "--models", *paths, "--ratios", 1, 1, "--save_to", target) == 0
        assert all(not delta.any() for delta in deltas(target).values()) and len(deltas(target)) == len(LAYERS)


def test_side_by_side_no_layer_gets_more_ranks_than_it_can_have(tmp_path):
    paths = [lora(tmp_path / f"{seed}.safetensors", seed, rank=6) for seed in (1, 2, 3)]
    target = tmp_path / "sum.safetensors"
    assert tool("merge_lora", "--concat", "--models", *paths, "--ratios", 1, 1, 1, "--save_to", target) == 0
    ranks = {k.partition(".")[0]: t.shape[0] for k, t in load_file(target).items() if k.endswith("lora_down.weight")}
    assert ranks == {LINEAR: 16, CONV: 8, ONE_CHANNEL: 9, NARROW: 1}


def test_an_svd_merge_to_more_ranks_than_there_are_says_so_and_does_not_grow(tmp_path, capsys):
    paths = [lora(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    target = tmp_path / "sum.safetensors"
    assert tool("svd_merge_lora", "--new_rank", 64, "--models", *paths, "--ratios", 1, 1, "--save_to", target) == 0
    assert "--new_rank 64: no layer's sum has a rank above 8" in capsys.readouterr().err
    assert load_file(target)[f"{LINEAR}.lora_down.weight"].shape[0] == 8
    assert metadata(target)["ss_network_dim"] == metadata(target)["ss_network_alpha"] == "8"


@pytest.mark.parametrize("method", ["sv_ratio", "sv_fro", "sv_cumulative"])
def test_a_dynamic_resize_adds_no_rank_without_effect(method, tmp_path):
    path, target = lora(tmp_path / "a.safetensors", 1), tmp_path / "o.safetensors"
    parameter = 1e6 if method == "sv_ratio" else 1
    words = ["--dynamic_method", method, "--dynamic_param", parameter, "--new_rank", 32]
    assert tool("resize_lora", "--model", path, *words, "--save_to", target) == 0
    ranks = {k.partition(".")[0]: t.shape[0] for k, t in load_file(target).items() if k.endswith("lora_down.weight")}
    assert ranks == {LINEAR: 4, CONV: 4, ONE_CHANNEL: 4, NARROW: 1}
    close(deltas(target), deltas(Path(path)), 1e-5)


@pytest.mark.parametrize("alpha", [0.0, -3.0])
def test_resizing_and_converting_keep_the_effect_of_odd_alphas(alpha, tmp_path):
    path = lora(tmp_path / "a.safetensors", 1, rank=12, alpha=lambda name: alpha)
    expected = deltas(Path(path))
    made = tmp_path / "resized.safetensors"
    assert tool("resize_lora", "--model", path, "--new_rank", 12, "--save_to", made) == 0
    close(deltas(made), expected, 1e-5)
    for style in ("peft", "diffusers", "webui"):
        there, back = tmp_path / f"{style}.safetensors", tmp_path / f"{style}_back.safetensors"
        assert tool("convert_lora", path, "--to", style, "--save_to", there) == 0
        assert tool("convert_lora", there, "--save_to", back) == 0
        close(deltas(back), expected, 1e-5)


def test_a_block_weight_of_zero_or_below_counts_in_the_sum(tmp_path):
    paths = [lora(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2)]
    target = tmp_path / "sum.safetensors"
    lists = ["[" + ",".join(["1", weight, *["1"] * 15]) + "]" for weight in ("0", "-2")]  # IN01 holds the first linear layer
    words = ["svd_merge_lora", "--kept_energy", 1, "--models", *paths, "--ratios", 1, 1, "--save_to", target]
    assert tool(*words, "--lbws", *lists) == 0
    a, b = (deltas(Path(path)) for path in paths)
    close(deltas(target), {n: a[n] + b[n] if n not in (LINEAR, CONV) else -2 * b[n] for n in LAYERS}, 2e-5)


def test_the_sign_of_a_negative_ratio_stands_in_lora_down_as_the_reference_has_it(tmp_path):
    path, target = lora(tmp_path / "a.safetensors", 1), tmp_path / "o.safetensors"
    for words in (["merge_lora", "--overwrite"], ["merge_lora", "--concat", "--overwrite"]):
        assert tool(*words, "--models", path, "--ratios", -0.25, "--save_to", target) == 0
        given, made = load_file(path), load_file(target)
        for name in LAYERS:
            torch.testing.assert_close(made[f"{name}.lora_up.weight"], given[f"{name}.lora_up.weight"] * 0.5)
            torch.testing.assert_close(made[f"{name}.lora_down.weight"], given[f"{name}.lora_down.weight"] * -0.5)


def test_float8_files_are_read_by_every_tool(tmp_path):
    """Nothing can be computed with such numbers; the results are fp16, which holds all of them."""
    path = lora(tmp_path / "fp8.safetensors", 1, dtype=torch.float8_e4m3fn)
    whole = lora(tmp_path / "whole.safetensors", 1, dtype=torch.float8_e4m3fn)
    save_file({k: t.float() for k, t in load_file(path).items()}, whole)
    expected = deltas(Path(whole))
    made = tmp_path / "o.safetensors"
    for words in (
        ["convert_lora", path],
        ["convert_lora", path, "--to", "webui"],
        ["resize_lora", "--model", path, "--new_rank", 4],
        ["merge_lora", "--models", path, "--ratios", 1],
        ["svd_merge_lora", "--models", path, "--ratios", 1],
    ):
        assert tool(*words, "--save_to", made, "--overwrite") == 0
        if "webui" not in words:
            close(deltas(made), expected, 0.02)
    assert tool("convert_lora", path, "--to", "peft", "--save_to", made, "--overwrite") == 0
    assert tool("convert_lora", made, "--save_to", tmp_path / "back.safetensors") == 0
    close(deltas(tmp_path / "back.safetensors"), expected, 0.0)
    assert tool("check_lora", path) == 0


XL = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
SELF = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"
OTHERS = {
    "names": ({XL: (640, 640)}, {}),
    "unet's text states": ({"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_v": (640, 1024)}, {}),
    "text encoder's width": ({"lora_te_text_model_encoder_layers_0_mlp_fc2": (1024, 4096)}, {}),
    "text encoder's depth": ({"lora_te_text_model_encoder_layers_20_mlp_fc1": (64, 16)}, {}),
    "metadata": ({SELF: (320, 320)}, {"ss_base_model_version": "sd_v2"}),
}


@pytest.mark.parametrize("tool_name", ["merge_lora", "svd_merge_lora"])
@pytest.mark.parametrize("kind", OTHERS)
def test_files_of_two_families_without_a_layer_in_common_are_not_merged(tool_name, kind, tmp_path, capsys):
    one = lora(tmp_path / "one.safetensors", 1, layers={"lora_te_text_model_encoder_layers_0_self_attn_k_proj": (768, 768)})
    layers, said = OTHERS[kind]
    other = lora(tmp_path / "other.safetensors", 2, layers=layers, **said)
    for pair in ((one, other), (other, one)):
        assert tool(tool_name, "--models", *pair, "--ratios", 1, 1, "--save_to", tmp_path / "o.safetensors") != 0
        assert "they cannot be merged" in capsys.readouterr().err


def test_rights_and_use_of_all_files_are_in_the_merged_one(tmp_path):
    one = lora(tmp_path / "a.safetensors", 1, **{"modelspec.author": "Ann", "modelspec.license": "MIT"})
    two = lora(tmp_path / "b.safetensors", 2, **{"modelspec.author": "Bob", "modelspec.license": "MIT", "ss_v2": "False"})
    for tool_name in ("merge_lora", "svd_merge_lora"):
        target = tmp_path / f"{tool_name}.safetensors"
        assert tool(tool_name, "--models", one, two, "--ratios", 1, 1, "--save_to", target) == 0
        said = metadata(target)
        assert (said["modelspec.author"], said["modelspec.license"]) == ("Ann; Bob", "MIT")
        assert "modelspec.trigger_phrase" not in said and json.loads(said.get("ss_network_args", "{}")) is not None


def test_a_written_family_that_the_layers_contradict_is_neither_believed_nor_passed_on(tmp_path, capsys):
    layers = {"lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (640, 1024)}
    path = lora(tmp_path / "a.safetensors", 1, layers=layers, ss_base_model_version="sd_v1")
    assert tool("check_lora", path) == 0
    assert "ss_base_model_version says sd_v1, but the layers are those of Stable Diffusion 2" in capsys.readouterr().out
    target = tmp_path / "o.safetensors"
    assert tool("merge_lora", "--models", path, "--ratios", 1, "--save_to", target) == 0
    assert metadata(target)["ss_base_model_version"] == "sd_v2" and metadata(target)["ss_v2"] == "True"


def test_a_resize_above_what_a_layer_can_have_says_so(tmp_path, capsys):
    path = lora(tmp_path / "a.safetensors", 1)
    assert tool("resize_lora", "--model", path, "--new_rank", 12, "--save_to", tmp_path / "o.safetensors") == 0
    said = capsys.readouterr().err
    assert "the file has rank 4" in said and "3 of 4 layers can have less" in said
