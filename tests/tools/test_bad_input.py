"""What is wrong with the input of a tool is said before anything is written, and nothing is replaced or dropped in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run

from .conftest import source, toy_checkpoint

LORA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def changed(path: Path, name: str = "a", **changes) -> str:
    """A golden LoRA with some tensors replaced (None: removed), keys given with __ for the dot."""
    tensors = load_file(source(name))
    for key, value in changes.items():
        if value is None:
            del tensors[key.replace("__", ".")]
        else:
            tensors[key.replace("__", ".")] = value
    save_file(tensors, str(path))
    return str(path)


def sdxl_lora(path: Path) -> str:
    tensors = {
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(4, 8),
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(8, 4),
    }
    save_file(tensors, str(path))
    return str(path)


def said(words, capsys, *expected, code=(1, 2)) -> None:
    assert run([str(word) for word in words]) in code
    message = capsys.readouterr().err
    for text in expected:
        assert text in message, message


def merging(tmp_path, *models, ratios=None, tool="merge_lora"):
    ratios = ratios if ratios is not None else ["0.5"] * len(models)
    return [tool, "--models", *models, "--ratios", *ratios, "--save_to", tmp_path / "out.safetensors"]


@pytest.mark.parametrize("tool", ["merge_lora", "svd_merge_lora"])
class TestBothMerges:
    def test_as_many_ratios_as_models(self, tool, tmp_path, capsys):
        said(
            merging(tmp_path, source("a"), source("b"), ratios=["1"], tool=tool), capsys, "2 models, but 1 ratios", "one ratio"
        )

    def test_families_are_not_mixed(self, tool, tmp_path, capsys):
        other = sdxl_lora(tmp_path / "xl.safetensors")
        said(merging(tmp_path, source("a"), other, tool=tool), capsys, "Stable Diffusion 1", "Stable Diffusion XL")

    def test_shapes_of_one_module_must_agree(self, tool, tmp_path, capsys):
        other = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_down__weight": torch.ones(4, 17)})
        said(merging(tmp_path, source("a"), other, tool=tool), capsys, LORA, "[24, 16]", "[24, 17]")

    def test_nan_is_refused(self, tool, tmp_path, capsys):
        other = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_down__weight": torch.full((4, 16), torch.nan)})
        said(merging(tmp_path, other, tool=tool), capsys, "NaN", LORA)

    def test_half_a_pair_is_refused(self, tool, tmp_path, capsys):
        other = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_up__weight": None})
        said(merging(tmp_path, other, tool=tool), capsys, f"{LORA}.lora_up.weight is missing")

    def test_unknown_keys_are_refused(self, tool, tmp_path, capsys):
        other = changed(tmp_path / "o.safetensors", **{f"{LORA}__diff_b": torch.ones(4)})
        said(merging(tmp_path, other, tool=tool), capsys, f"{LORA}.diff_b")

    def test_an_empty_module_and_whole_numbers_are_refused(self, tool, tmp_path, capsys):
        empty = {f"{LORA}__lora_down__weight": torch.ones(0, 16), f"{LORA}__lora_up__weight": torch.ones(24, 0)}
        said(merging(tmp_path, changed(tmp_path / "e.safetensors", **empty), tool=tool), capsys, "is empty", "[0, 16]")
        whole = {f"{LORA}__lora_down__weight": torch.ones(4, 16, dtype=torch.int64)}
        said(merging(tmp_path, changed(tmp_path / "w.safetensors", **whole), tool=tool), capsys, "whole numbers", LORA)

    def test_a_missing_file_and_an_unknown_option_are_told_together(self, tool, tmp_path, capsys):
        said(
            [*merging(tmp_path, "nowhere.safetensors", tool=tool), "--ratio", "1"],
            capsys,
            "nowhere",
            "--ratio:",
            "ratios?",
            code=[2],
        )

    def test_missing_options(self, tool, capsys):
        said([tool], capsys, "--save_to: is missing", "--models: is missing", "--ratios: is missing", code=[2])

    def test_an_input_is_never_replaced(self, tool, tmp_path, capsys):
        mine = changed(tmp_path / "out.safetensors")
        before = Path(mine).read_bytes()
        said([*merging(tmp_path, mine, tool=tool), "--overwrite"], capsys, "is an input")
        assert Path(mine).read_bytes() == before

    def test_a_file_that_is_there_is_replaced_only_when_asked(self, tool, tmp_path, capsys):
        (tmp_path / "out.safetensors").write_bytes(b"old")
        said(merging(tmp_path, source("a"), tool=tool), capsys, "exists already", "--overwrite")
        assert (tmp_path / "out.safetensors").read_bytes() == b"old"
        assert run([str(word) for word in [*merging(tmp_path, source("a"), tool=tool), "--overwrite"]]) == 0

    def test_overflow_in_half_precision_writes_nothing(self, tool, tmp_path, capsys):
        big = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_up__weight": torch.full((24, 4), 3e9)})
        words = [*merging(tmp_path, big, ratios=["100"], tool=tool), "--save_precision", "fp16"]
        said(words, capsys, "too large for", "save_precision")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["o.safetensors"]

    def test_an_odd_ending(self, tool, tmp_path, capsys):
        said(
            [tool, "--models", source("a"), "--ratios", "1", "--save_to", tmp_path / "out.bin"],
            capsys,
            "'.bin'",
            ".safetensors",
        )


def test_a_missing_alpha_is_the_rank(tmp_path):
    assert run([str(word) for word in merging(tmp_path, source("e"), ratios=["1"])]) == 0
    assert {float(t) for k, t in load_file(tmp_path / "out.safetensors").items() if k.endswith("alpha")} == {4.0}


def test_different_ranks_are_sent_to_svd_merge(tmp_path, capsys):
    said(merging(tmp_path, source("a"), source("c")), capsys, "rank 8", "but 4", "svd_merge_lora")


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ([[1] * 17], ["2 models, but 1 lists", "one list for each model"]),
        ([[1] * 17, [1] * 16], ["16 weights per block", "lora_algebra_in_c.safetensors", "17 or 26"]),
        ([[1] * 20, [1] * 17], ["20 weights per block", "lora_algebra_in_a.safetensors"]),
        ([["x", *[1] * 16], [1] * 17], ["'x', number 1"]),
        ([[1] * 17, [*[1] * 16, "nan"]], ["'nan', number 17"]),
    ],
)
def test_weights_per_block(lists, expected, tmp_path, capsys):
    words = merging(tmp_path, source("a"), source("c"), tool="svd_merge_lora")
    said([*words, "--lbws", *("[" + ",".join(map(str, one)) + "]" for one in lists)], capsys, *expected, code=[2])
    assert not (tmp_path / "out.safetensors").exists()


def test_a_lora_of_another_family_is_not_merged_into_a_checkpoint(base, tmp_path, capsys):
    words = [*merging(tmp_path, sdxl_lora(tmp_path / "xl.safetensors")), "--sd_model", base]
    said(words, capsys, "Stable Diffusion XL", "Stable Diffusion 1")


def test_modules_that_fit_no_layer_are_refused(base, tmp_path, capsys):
    lost = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_up__weight": torch.ones(25, 4)})
    said([*merging(tmp_path, lost), "--sd_model", base], capsys, LORA, "[25, 16]", "[24, 16]")
    assert not (tmp_path / "out.safetensors").exists()


def test_v2_is_checked(base, tmp_path, capsys):
    said([*merging(tmp_path, source("a")), "--sd_model", base, "--v2"], capsys, "not for Stable Diffusion 2", "Leave --v2 out")


def test_a_lora_is_no_checkpoint(tmp_path, capsys):
    said([*merging(tmp_path, source("a")), "--sd_model", source("b")], capsys, "a LoRA file, not a checkpoint")


def test_overflow_in_a_checkpoint_is_an_error_and_nothing_is_written(base, tmp_path, capsys):
    big = changed(tmp_path / "o.safetensors", **{f"{LORA}__lora_up__weight": torch.full((24, 4), 1e6)})
    said([*merging(tmp_path, big), "--sd_model", base, "--save_precision", "fp16"], capsys, "too large for float16", "bf16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.safetensors", "o.safetensors"]


def test_a_pickle_with_code_is_not_loaded(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was_run",))

    torch.save({"state_dict": {"a": torch.ones(1)}, "x": Evil()}, tmp_path / "evil.ckpt")
    said([*merging(tmp_path, source("a")), "--sd_model", tmp_path / "evil.ckpt"], capsys, "run code")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dynamic_method", "sv_fro"], ["needs dynamic_param", "0.9"]),
        (["--dynamic_param", "0.9"], ["without dynamic_method"]),
        (["--dynamic_method", "sv_fro", "--dynamic_param", "2"], ["at most 1"]),
        (["--dynamic_method", "sv_ratio", "--dynamic_param", "0.5"], ["at least 1"]),
        (["--dynamic_method", "sv_frob", "--dynamic_param", "0.5"], ["Did you mean sv_fro?"]),
        (["--new_rank", "0"], ["too small"]),
        (["--device", "tpu"], ["'tpu'", "cpu"]),
    ],
)
def test_resize(words, expected, tmp_path, capsys):
    said(["resize_lora", "--model", source("a"), "--save_to", tmp_path / "o.safetensors", *words], capsys, *expected)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["lora_unet_x.hada_w1_a", "lora_unet_x.hada_w1_b"], ["2 of its keys are LoHa's", "1 problem\n"]),
        ([f"transformer.blocks.{n}.lora_A.weight" for n in range(9)], ["blocks.0.lora_A", "4 other keys", "6 problems"]),
    ],
)
def test_check_lora_sums_up_what_it_does_not_know(keys, expected, tmp_path, capsys):
    save_file({**load_file(source("a")), **{key: torch.ones(2, 2) for key in keys}}, tmp_path / "x.safetensors")
    assert run(["check_lora", str(tmp_path / "x.safetensors")]) == 1
    shown = capsys.readouterr().out
    assert all(text in shown for text in expected), shown


def test_extraction_needs_two_models_of_one_kind_that_differ(tmp_path, capsys):
    base = toy_checkpoint(tmp_path / "base.safetensors", "base")
    sdxl = tmp_path / "xl.safetensors"
    save_file(
        {"model.diffusion_model.input_blocks.1.0.x.weight": torch.ones(1), "conditioner.embedders.0.x": torch.ones(1)}, sdxl
    )
    words = ["extract_lora_from_models", "--save_to", tmp_path / "o.safetensors", "--model_org", base, "--model_tuned"]
    said([*words, sdxl], capsys, "a Stable Diffusion 1 model", "a Stable Diffusion XL model")
    said([*words, base], capsys, "equal in every layer")
    said([*words, source("a")], capsys, "not a checkpoint")
    said([*words, base, "--sdxl"], capsys, "--sdxl was given")
    tensors = load_file(base)
    tensors[next(name for name in tensors if "self_attn.q" in name)][0, 0] = torch.nan
    save_file(tensors, tmp_path / "nan.safetensors")
    said([*words, tmp_path / "nan.safetensors"], capsys, "self_attn.q_proj.weight holds NaN")
    del tensors[next(name for name in tensors if "attn2.to_k" in name)]
    save_file(tensors, tmp_path / "less.safetensors")
    said([*words, tmp_path / "less.safetensors"], capsys, "is missing in the tuned model")


def test_a_unit_that_was_not_trained_is_refused(tmp_path, capsys):
    save_file(load_file(source("dy")), tmp_path / "dy.safetensors", {"ss_network_args": '{"unit": "4"}'})
    words = [
        "extract_lora_from_dylora",
        "--model",
        tmp_path / "dy.safetensors",
        "--save_to",
        tmp_path / "o.safetensors",
        "--unit",
    ]
    said([*words, "3"], capsys, "unit 4", "no multiple")
    (tmp_path / "o-0004.safetensors").write_bytes(b"old")
    said([*words, "4"], capsys, "exists already")
    assert run([*map(str, words), "4", "--overwrite"]) == 0


def test_check_lora_does_not_take_another_networks_alpha_for_half_a_lora(tmp_path, capsys):
    tensors = {f"lora_unet_x.hada_w{n}_{half}": torch.ones(2, 2) for n in (1, 2) for half in "ab"}
    save_file(tensors | {"lora_unet_x.alpha": torch.tensor(2.0)}, tmp_path / "loha.safetensors")
    assert run(["check_lora", str(tmp_path / "loha.safetensors")]) == 1
    said = capsys.readouterr().out
    assert "4 of its keys are LoHa's" in said and "1 problem\n" in said and "LoRA-LierLa" not in said
