"""Learning rates, ranks and alphas per block, against what the reference recorded; and what is refused."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
import torch

from lora_trainer.errors import InputError, InputErrors, LoraFileError
from lora_trainer.networks.arguments import LoRAArguments
from lora_trainer.networks.blocks import block_of
from lora_trainer.networks.files import save
from lora_trainer.networks.lora import create_network, create_network_from_weights
from lora_trainer.options.block_arguments import BARE, PRESETS, SD, SDXL, preset_curve

from .conftest import golden, outputs, randomize

RECORDED = golden("blocks.json")
WEIGHTS = [*RECORDED["lr_weights"], *RECORDED["lr_weights_sdxl"]]
# The reference stops with an internal error at numbers beyond the last block, unless it is given others, too.
FAILS_THERE_ONLY = {"0,0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1,9,9", "0,0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1,9"}


@pytest.mark.parametrize("record", WEIGHTS, ids=lambda record: str(record["args"]))
def test_weights_equal_the_reference(record):
    args, layout = record["args"], SDXL if record["sdxl"] else SD
    if "error" in record and not FAILS_THERE_ONLY & set(args.values()):
        with pytest.raises(InputErrors):
            LoRAArguments.of(args)
        return
    weights, _ = LoRAArguments.of(args).blocks.weights(layout)
    if "weights" in record:
        assert weights is None
    elif "error" not in record:
        parts = [*record.get("base", []), *record["down"], *record["mid"], *record["up"], *record.get("out", [])]
        assert weights == pytest.approx(parts, rel=1e-6, abs=1e-12)
        assert [weight == 0 for weight in weights] == [part == 0 for part in parts]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_block_numbers_equal_the_reference(family):
    recorded = golden(f"modules_{family}_block_index.json")
    assert {name: block_of(name) for name in recorded["block_index"]} == recorded["block_index"]
    assert recorded["blocks"] == sum(SDXL if family == "sdxl" else SD)
    assert block_of("lora_te_text_model_encoder_layers_0_mlp_fc1") is None


@pytest.mark.parametrize(("family", "layout"), [("sd15", SD), ("sdxl", SDXL)])
def test_the_bare_blocks_are_those_that_the_recorded_networks_lack(family, layout):
    def blocks_with(conv: str, is_conv3x3: bool) -> set:
        recorded = golden(f"modules_{family}_lora_dim4_alpha1{conv}.json")["state_dict"]
        downs = [(name, shape) for name, shape in recorded if "lora_down" in name]
        return {block_of(name) for name, shape in downs if (shape[2:] == [3, 3]) == is_conv3x3}

    found = [blocks_with("", False), *(blocks_with("_conv_dim4_conv_alpha1", conv) for conv in (False, True))]
    assert [set(range(sum(layout))) - blocks for blocks in found] == [set(numbers) for numbers in BARE[layout]]


@pytest.mark.parametrize("record", RECORDED["networks"], ids=lambda record: f"{record['family']} {record['network_args']}")
def test_networks_equal_the_reference(record, request, caplog):
    parts = request.getfixturevalue(record["family"])

    def make():
        return create_network(1.0, record["network_dim"], record["network_alpha"], None, *parts, **record["network_args"])

    if "error" in record:
        with pytest.raises(InputErrors) as caught:
            make()
        assert next(iter(record["network_args"])) in str(caught.value) or "block" in str(caught.value)
        return
    with caplog.at_level(logging.WARNING, logger="lora_trainer"):
        network = make()
    found = {a.lora_name: [a.rank, float(a.alpha)] for a in network.adapters("unet")}
    assert found == record["unet_module_dim_alpha"]
    texts = network.adapters("text_encoder")
    assert len(texts) == record["te_modules"]
    assert [list(shape) for shape in {(a.rank, float(a.alpha)) for a in texts}] == record["te_dim_alpha"]
    assert any(a.lora_down.weight.shape[2:] == (3, 3) for a in network.adapters("unet")) == record["has_3x3"]
    counts = Counter((block_of(a.lora_name), a.rank, float(a.alpha)) for a in network.adapters("unet"))
    assert sorted([*key, count] for key, count in counts.items()) == record["unet_by_block"]
    groups = network.parameter_groups(5e-5, 1e-4, None)
    unet = {group["name"]: (group["lr"], len(group["params"])) for group in groups if group["name"].startswith("unet")}
    assert unet == {name: (rate, count) for name, rate, count in record["param_groups"][1:]}
    warned = "block_alphas has no effect" in caplog.text
    assert warned == (set(record["network_args"]) == {"block_alphas"})


def test_rates_of_the_blocks_are_the_rate_times_the_weight(sd15):
    network = create_network(
        1.0, 2, 1.0, None, *sd15, down_lr_weight="linear+0.5", mid_lr_weight="2", up_lr_weight="1,1,1,1,1,1,1,1,1,1,1,0.25"
    )
    groups = {group["name"]: group["lr"] for group in network.parameter_groups(3e-5, 1e-4, None)}
    assert groups["text_encoder"] == 3e-5 and groups["unet_block12"] == 2e-4 and groups["unet_block24"] == 0.25e-4
    assert groups["unet_block1"] == pytest.approx(1e-4 * (0.5 + 1 / 11)) and groups["unet_block16"] == 1e-4
    assert list(groups)[0] == "text_encoder" and len(groups) == 1 + 16  # without convolutions 16 blocks hold modules


def test_a_block_with_weight_0_is_neither_built_nor_changed_nor_saved(parts):
    base = outputs(*parts)
    inert = parts[1].down_blocks[0].attentions[0].proj_in
    network = create_network(1.0, 4, 4.0, None, *parts, down_lr_weight="zeros", conv_dim="2")
    randomize(network)
    network.apply_to(*parts)
    assert "forward" not in inert.__dict__
    assert not any(name.startswith("lora_unet_down_blocks") for name in network.state_dict())
    assert not torch.equal(outputs(*parts)[1], base[1])


def test_a_file_with_the_blocks_that_are_left_out_can_be_gone_on_from(parts, tmp_path, caplog):
    whole = create_network(1.0, 4, 4.0, None, *parts)
    randomize(whole)
    save(tmp_path / "whole.safetensors", whole.state_dict())
    network = create_network(1.0, 4, 4.0, None, *parts, mid_lr_weight="0")
    with caplog.at_level(logging.WARNING, logger="lora_trainer"):
        report = network.load_weights(tmp_path / "whole.safetensors")
    assert len(report.left_out) == 12 and "12 modules" in caplog.text and not report.fresh
    halves = {f"lora_unet_no.lora_{half}.weight": torch.zeros(4, 4) for half in ("down", "up")}
    with pytest.raises(LoraFileError, match="fits no module"):
        network.load_state_dict(halves)


def test_a_network_from_a_file_keeps_blocks_of_weight_0_and_trains_the_others(parts, tmp_path):
    whole = create_network(1.0, 4, 4.0, None, *parts)
    save(tmp_path / "whole.safetensors", whole.state_dict())
    file = tmp_path / "whole.safetensors"
    network, _ = create_network_from_weights(1.0, file, None, *parts, mid_lr_weight="0", up_lr_weight="linear")
    names = {group["name"] for group in network.parameter_groups(0, 1e-4, None)}
    assert "unet_block12" not in names and "unet_block24" in names and "unet_block1" in names
    middle = [a for a in network.adapters("unet") if block_of(a.lora_name) == 12]
    assert len(middle) == 12 and not any(p.requires_grad for a in middle for p in a.parameters())


def test_blocks_of_different_shapes_are_saved_and_loaded_alike(parts, tmp_path):
    dims = ",".join(str(1 + block % 4) for block in range(25))
    alphas = ",".join(str(0.5 * (1 + block % 3)) for block in range(25))
    arguments = {"block_dims": dims, "block_alphas": alphas, "conv_block_dims": dims, "conv_block_alphas": alphas}
    network = create_network(1.0, 6, 3.0, None, *parts, **arguments)
    randomize(network)
    network.apply_to(*parts)
    expected = outputs(*parts)
    network.restore()
    save(tmp_path / "a.safetensors", network.state_dict())
    again, weights = create_network_from_weights(1.0, tmp_path / "a.safetensors", None, *parts)
    again.apply_to(*parts)
    again.load_state_dict(weights)
    assert all(torch.equal(a, b) for a, b in zip(outputs(*parts), expected, strict=True))
    for adapter in again.adapters("unet"):
        block = block_of(adapter.lora_name)
        assert (adapter.rank, float(adapter.alpha)) == (1 + block % 4, 0.5 * (1 + block % 3))


ONES = ",".join("1" * 25)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"block_dims": ONES[:-2]}, "block_dims has 24 numbers; expected 25 (SD1 and SD2) or 23 (SDXL)"),
        ({"block_dims": ONES[:-4]}, "block_dims has 23 numbers; expected 25, one for each block of this model"),
        ({"block_dims": ONES, "conv_block_dims": ONES + ",1"}, "conv_block_dims has 26 numbers"),
        ({"block_dims": ONES, "block_alphas": "1"}, "block_alphas has 1 number;"),
        ({"block_dims": ONES.replace("1", "a", 1)}, "block_dims, number 1, is 'a'; expected a whole number"),
        ({"block_dims": ONES[:-1] + "2.5"}, "block_dims, number 25, is '2.5'; expected a whole number"),
        ({"block_dims": ONES[:-1] + "-1"}, "is -1; expected a number from 0"),
        ({"block_dims": ONES[:-1]}, "block_dims, number 25, is ''"),
        ({"block_dims": ONES, "block_alphas": ONES[:-1] + "nan"}, "block_alphas, number 25, is nan"),
        ({"block_dims": ONES, "conv_block_alphas": ONES}, "conv_block_alphas is given without conv_block_dims"),
        ({"down_lr_weight": "sin"}, "down_lr_weight is 'sin'; expected one number for each"),
        ({"down_lr_weight": "sine+x"}, "down_lr_weight is 'x'; expected a number"),
        ({"up_lr_weight": "1,x"}, "up_lr_weight is 'x'; expected a number"),
        ({"up_lr_weight": "1,-1"}, "up_lr_weight is -1"),
        ({"mid_lr_weight": "sine"}, "mid_lr_weight is 'sine'; expected a number"),
        ({"mid_lr_weight": "inf"}, "mid_lr_weight is inf"),
        ({"block_lr_zero_threshold": "x", "down_lr_weight": "sine"}, "block_lr_zero_threshold is 'x'"),
        ({"down_lr_weights": "sine"}, "Did you mean down_lr_weight?"),
        ({"block_dims": ",".join("0" * 25), "conv_block_dims": ONES[:-2] + ","}, "conv_block_dims, number 25, is ''"),
    ],
)
def test_wrong_values_name_the_key_and_what_was_expected(parts, arguments, words):
    with pytest.raises((InputError, InputErrors)) as caught:
        create_network(1.0, 4, 1.0, None, *parts, **arguments)
    assert words in str(caught.value)
    assert {error.field for error in getattr(caught.value, "errors", [caught.value])} == {"network_args"}


def test_a_network_without_any_module_is_refused(parts):
    with pytest.raises(InputError, match="every block has rank or weight 0"):
        create_network(1.0, 4, 1.0, None, None, parts[1], down_lr_weight="zeros", mid_lr_weight="0", up_lr_weight="zeros")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [("1,2", "2 of 12 numbers"), (",".join("1" * 13), "the last 1 are left out"), ("sine+0.25+1", "+1 is left out")],
)
def test_other_counts_of_weights_are_filled_or_cut_with_a_warning(parts, caplog, numbers, words):
    with caplog.at_level(logging.WARNING, logger="lora_trainer"):
        create_network(1.0, 1, 1.0, None, None, parts[1], down_lr_weight=numbers)
    assert words in caplog.text


def test_preset_curves_run_from_end_to_end():
    for name in PRESETS:
        curve = preset_curve(name, 9, 0.5)
        assert len(curve) == 9 and min(curve) == 0.5
        assert max(curve) == (0.5 if name == "zeros" else 1.5)
        assert sorted(curve) == (curve if name in ("sine", "linear", "zeros") else curve[::-1])
