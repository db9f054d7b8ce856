"""A network on a whole model: multipliers, several at once, taking off, merging, loading, learning rates."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch

from lora_trainer.errors import InputError, InputErrors, LoraFileError
from lora_trainer.networks.files import save
from lora_trainer.networks.lora import create_network, create_network_from_weights
from lora_trainer.networks.registry import get
from tests.closeness import SIDE, UNET_LAYERS, UNET_TERMS, assert_same_but_for_rounding, assert_same_outputs

from .conftest import GOLDEN, outputs, randomize

FILE = GOLDEN / "lora_sd15_sd_scripts.safetensors"


def make(parts, seed=0, multiplier=1.0, rank=4, **arguments):
    network = create_network(multiplier, rank, float(rank), None, *parts, seed=seed, **arguments)
    randomize(network, seed)
    return network


def equal(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_multiplier_0_and_disabled_give_the_bits_of_the_model_alone(parts):
    base = outputs(*parts)
    network = make(parts)
    network.apply_to(*parts)
    full = outputs(*parts)
    assert not torch.equal(full[0], base[0]) and not torch.equal(full[1], base[1])
    network.set_multiplier(0)
    assert equal(outputs(*parts), base)
    network.set_multiplier(1)
    network.set_enabled(False)
    assert equal(outputs(*parts), base)
    network.set_enabled(True)
    assert equal(outputs(*parts), full)


def test_a_fresh_network_changes_nothing(parts):
    base = outputs(*parts)
    create_network(1.0, 4, 1.0, None, *parts).apply_to(*parts)
    for one, two in zip(outputs(*parts), base, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_text_encoder_and_unet_have_their_own_multipliers(parts):
    base = outputs(*parts)
    network = make(parts)
    network.apply_to(*parts)
    network.set_multiplier(0.7, 0)
    text, unet = outputs(*parts)
    assert not torch.equal(text, base[0]) and torch.equal(unet, base[1])
    network.set_multiplier(0, 0.7)
    text, unet = outputs(*parts)
    assert torch.equal(text, base[0]) and not torch.equal(unet, base[1])


def test_the_effect_on_a_layer_is_proportional_to_the_multiplier(parts):
    network = make(parts)
    network.apply_to(*parts)
    layer = parts[1].mid_block.attentions[0].proj_in
    x = torch.randn(1, layer.in_channels, 4, 4)
    base = layer.forward.__self__.original(x)
    changes = []
    for multiplier in (-1.0, 0.25, 0.5, 1.0, 2.0):
        network.set_multiplier(multiplier)
        changes.append((layer(x) - base) / multiplier)
    for change in changes[1:]:
        torch.testing.assert_close(change, changes[0], rtol=1e-4, atol=1e-5)


def test_the_effect_on_the_picture_grows_with_the_multiplier(parts):
    base = outputs(*parts)
    network = make(parts)
    network.apply_to(*parts)
    sizes = []
    for multiplier in (0.2, 0.4, 0.8, 1.0):
        network.set_multiplier(multiplier)
        sizes.append((outputs(*parts)[1] - base[1]).norm().item())
    assert sizes == sorted(sizes) and sizes[0] > 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_several_networks_add_and_come_off_in_any_order(parts, order):
    base = outputs(*parts)
    layer = parts[1].mid_block.attentions[0].proj_in
    x = torch.randn(1, layer.in_channels, 4, 4)
    plain = layer(x)
    networks = [make(parts, seed, multiplier) for seed, multiplier in enumerate((0.5, -0.3, 0.9))]
    alone = []
    for network in networks:
        network.apply_to(*parts)
        alone.append((layer(x) - plain, outputs(*parts)))
        network.restore()
        assert equal(outputs(*parts), base)
    for network in networks:
        network.apply_to(*parts)
    torch.testing.assert_close(layer(x) - plain, sum(change for change, _ in alone), rtol=1e-4, atol=1e-5)
    for index in order[:2]:
        networks[index].restore()
    assert equal(outputs(*parts), alone[order[2]][1])
    networks[order[2]].restore()
    assert equal(outputs(*parts), base)
    assert not any("forward" in module.__dict__ for part in parts for module in part.modules())


def test_another_programs_hook_on_a_layer_is_kept_and_given_back(parts):
    layer = parts[1].mid_block.attentions[0].proj_in
    original = layer.forward
    layer.forward = hook = lambda x: original(x) + 1
    network = make(parts)
    network.apply_to(*parts)
    network.set_multiplier(0)
    x = torch.randn(1, layer.in_channels, 4, 4)
    assert torch.equal(layer(x), original(x) + 1)
    network.restore()
    assert layer.forward is hook


def test_applying_adds_nothing_to_the_models_state_dict(parts):
    keys = [list(part.state_dict()) for part in parts]
    make(parts).apply_to(*parts)
    assert [list(part.state_dict()) for part in parts] == keys


@pytest.mark.parametrize("conv", [{}, {"conv_dim": "2"}])
def test_merged_weights_give_the_same_outputs_and_unmerge_gives_the_bits_back(parts, conv):
    base, weights = outputs(*parts), [p.clone() for part in parts for p in part.parameters()]
    network = make(parts, multiplier=0.8, **conv)
    network.apply_to(*parts)
    applied = outputs(*parts)
    network.restore()
    network.merge_to(*parts)
    assert_same_outputs(outputs(*parts), applied)
    other = make(parts, seed=7, multiplier=-0.5)
    other.merge_to(*parts)
    network.unmerge()
    other.unmerge()
    assert all(torch.equal(a, b) for a, b in zip(weights, [p for part in parts for p in part.parameters()], strict=True))
    assert equal(outputs(*parts), base)


def test_one_part_alone_is_neither_applied_nor_saved_with_the_other(parts):
    base = outputs(*parts)
    network = make(parts)
    network.apply_to(*parts, apply_text_encoder=False)
    assert all(key.startswith("lora_unet_") for key in network.state_dict())
    text, unet = outputs(*parts)
    assert torch.equal(text, base[0]) and not torch.equal(unet, base[1])
    network.restore()
    with pytest.raises(InputError, match="no part of the network is left"):
        network.apply_to(*parts, apply_unet=False)


def test_saved_and_loaded_network_gives_the_same_bits(parts, tmp_path):
    network = make(parts, conv_dim="2", conv_alpha="0.5")
    network.apply_to(*parts)
    expected = outputs(*parts)
    save(tmp_path / "a.safetensors", network.state_dict())
    network.restore()
    again, weights = create_network_from_weights(1.0, tmp_path / "a.safetensors", None, *parts, for_inference=True)
    again.apply_to(*parts)
    again.load_state_dict(weights)
    assert equal(outputs(*parts), expected)
    assert not any(p.requires_grad for p in again.parameters())
    conv = {a.rank: float(a.alpha) for a in again.adapters() if a.lora_down.weight.shape[2:] == (3, 3)}
    assert conv == {2: 0.5}


# ---- learning rates --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((None, None, 1e-3), [("text_encoder", 1e-3), ("unet", 1e-3)]),
        ((5e-5, 1e-4, 1e-3), [("text_encoder", 5e-5), ("unet", 1e-4)]),
        (((5e-5,), None, 1e-3), [("text_encoder", 5e-5), ("unet", 1e-3)]),
        ((0, None, 1e-3), [("unet", 1e-3)]),
        ((None, 0, 1e-3), [("text_encoder", 1e-3)]),
        ((None, 1e-4, 0), [("unet", 1e-4)]),
    ],
)
def test_parameter_groups_follow_the_rates(parts, rates, expected):
    network = make(parts)
    groups = network.parameter_groups(*rates)
    assert [(group["name"], group["lr"]) for group in groups] == expected
    trained = {id(p) for group in groups for p in group["params"]}
    assert trained == {id(p) for p in network.parameters() if p.requires_grad}
    sizes = {"text_encoder": 2 * 12, "unet": 2 * 192}
    assert [len(group["params"]) for group in groups] == [sizes[name] for name, _ in expected]


@pytest.mark.effect("network_args")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"loraplus_lr_ratio": "16"}, {"text_encoder": 16, "unet": 16}),
        ({"loraplus_unet_lr_ratio": "4"}, {"unet": 4}),
        ({"loraplus_lr_ratio": "16", "loraplus_text_encoder_lr_ratio": "0.5"}, {"text_encoder": 0.5, "unet": 16}),
    ],
)
@pytest.mark.parametrize("module", ["networks.lora", "networks.dylora"])
def test_with_lora_plus_the_second_factors_have_a_rate_of_their_own(parts, module, given, expected):
    network = get(module).create_network(1.0, 4, 1.0, None, *parts, **given)
    groups = {group["name"]: group for group in network.parameter_groups(5e-5, 1e-4, None)}
    rates = {"text_encoder": 5e-5, "unet": 1e-4}
    assert {name: group["lr"] for name, group in groups.items()} == {
        **rates,
        **{f"{part}_plus": pytest.approx(rates[part] * ratio) for part, ratio in expected.items()},
    }
    second = {id(p) for name, p in network.named_parameters() if "lora_up" in name or ".ups." in name}
    for part in expected:
        assert {id(p) for p in groups[f"{part}_plus"]["params"]} <= second
        assert not {id(p) for p in groups[part]["params"]} & second
    assert sum(len(group["params"]) for group in groups.values()) == len(list(network.parameters()))


def test_lora_plus_goes_with_learning_rates_per_block(parts):
    network = make(parts, loraplus_lr_ratio="8", mid_lr_weight="0.5")
    rates = {group["name"]: group["lr"] for group in network.parameter_groups(0, 1e-4, None)}
    plus = {name.removesuffix("_plus"): rate for name, rate in rates.items() if name.endswith("_plus")}
    assert len(plus) > 3 and len(rates) == 2 * len(plus)
    assert all(plus[name] == pytest.approx(8 * rates[name]) for name in plus)


@pytest.mark.parametrize("ratio", ["0", "-1", "many", "1e9"])
def test_a_ratio_of_lora_plus_that_is_none_is_refused(parts, ratio):
    with pytest.raises(InputErrors, match="loraplus_lr_ratio"):
        make(parts, loraplus_lr_ratio=ratio)


def test_all_rates_0_is_refused(parts):
    with pytest.raises(InputError, match="nothing to train"):
        make(parts).parameter_groups(0, 0, 1e-3)


# ---- loading ---------------------------------------------------------------------------------------------------------
def test_file_of_the_reference_loads_and_goes_on(sd15):
    network, weights = create_network_from_weights(1.0, FILE, None, *sd15)
    network.apply_to(*sd15)
    try:
        report = network.load_state_dict(weights)
        assert len(report.loaded) == 264
        state = network.state_dict()
        assert state.keys() == weights.keys()
        assert all(torch.equal(state[key], weights[key].float()) for key in weights)
        assert {(a.rank, a.scale) for a in network.adapters()} == {(2, 0.5)}
    finally:
        network.restore()
    going_on = create_network(1.0, 2, 8.0, None, *sd15)
    going_on.apply_to(*sd15)
    try:
        assert going_on.load_weights(FILE).fresh == ()
        assert {a.scale for a in going_on.adapters()} == {0.5}  # the file's alpha counts, not the option's
        assert len(going_on.parameter_groups(None, None, 1e-4)) == 2
    finally:
        going_on.restore()


def test_file_of_another_rank_says_which_option_to_change(sd15):
    network = create_network(1.0, 4, 1.0, None, *sd15)
    with pytest.raises(LoraFileError) as caught:
        network.load_weights(FILE)
    text = str(caught.value)
    assert "has rank 2, the network has rank 4" in text and "network_dim" in text and "261 more" in text


def test_file_of_another_model_is_refused(parts):
    network = create_network(1.0, 2, 1.0, None, *parts)
    with pytest.raises(LoraFileError, match="fits no module"):
        network.load_weights(FILE)
    with pytest.raises(LoraFileError, match="fit no layer of this model"):
        create_network_from_weights(1.0, FILE, None, *parts)  # twelve text layers, this model has two


def test_file_for_sdxl_says_so(sd15):
    halves = {"lora_down.weight": torch.zeros(4, 640), "lora_up.weight": torch.zeros(640, 4)}
    state = {f"lora_unet_input_blocks_4_1_proj_in.{half}": tensor for half, tensor in halves.items()}
    with pytest.raises(LoraFileError, match="made for SDXL"):
        create_network_from_weights(1.0, None, None, *sd15, weights_sd=state)


def test_training_the_unet_alone_leaves_the_files_text_encoder_out_with_a_warning(sd15, caplog):
    network = create_network(1.0, 2, 1.0, None, *sd15)
    network.apply_to(*sd15, apply_text_encoder=False)
    try:
        with caplog.at_level(logging.WARNING, logger="lora_trainer"):
            report = network.load_weights(FILE)
        assert (len(report.loaded), len(report.left_out)) == (192, 72)
        assert "72 modules" in caplog.text
    finally:
        network.restore()


def test_missing_alpha_is_the_rank_and_a_missing_part_starts_fresh(parts, tmp_path):
    network = make(parts)
    state = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("lora_unet") and not k.endswith("alpha")}
    save(tmp_path / "old.safetensors", state)
    again = create_network(1.0, 4, 1.0, None, *parts)
    report = again.load_weights(tmp_path / "old.safetensors")
    assert len(report.fresh) == 12 and all(name.startswith("lora_te_") for name in report.fresh)
    assert {float(a.alpha) for a in again.adapters("unet")} == {4.0}
    assert {float(a.alpha) for a in again.adapters("text_encoder")} == {1.0}
    with pytest.raises(LoraFileError, match="lacks 12 of the network's modules"):
        again.load_state_dict(state)
    rebuilt, _ = create_network_from_weights(1.0, None, None, *parts, weights_sd=state)
    assert {a.scale for a in rebuilt.adapters()} == {1.0}


PROJ_IN = "lora_unet_mid_block_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({f"{PROJ_IN}.lora_up.weight": None}, f"{PROJ_IN}.lora_up.weight is missing"),
        (
            {"lora_unet_nowhere.lora_up.weight": torch.zeros(4, 4), "lora_unet_nowhere.lora_down.weight": torch.zeros(4, 4)},
            "lora_unet_nowhere fits no module",
        ),
        ({"other.weight": torch.zeros(1)}, "belongs to no LoRA: other.weight"),
        ({"lora_unet_x.hada_w1_a": torch.zeros(1)}, "is LoHa"),
        ({"unet.down_blocks.0.to_q.lora_A.weight": torch.zeros(1)}, "diffusers or PEFT"),
        ({f"{PROJ_IN}.lora_down.weight": torch.zeros(4, 3)}, "has shape (4, 3), the model needs (4, 64, 1, 1)"),
        ({f"{PROJ_IN}.lora_up.weight": torch.zeros(64, 5, 1, 1)}, "rank 4 in lora_down and 5 in lora_up"),
    ],
)
def test_keys_that_do_not_fit_are_named(parts, change, words):
    network = make(parts)
    state = {key: tensor for key, tensor in {**network.state_dict(), **change}.items() if tensor is not None}
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(LoraFileError) as caught:
        network.load_state_dict(state)
    assert words in str(caught.value)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_linear_and_1x1_convolution_shapes_stand_for_each_other(parts):
    network = make(parts)
    state = dict(network.state_dict())
    for key, tensor in state.items():
        if tensor.ndim == 4:
            state[key] = tensor.flatten(1)
        elif tensor.ndim == 2:
            state[key] = tensor[:, :, None, None]
    again = create_network(1.0, 4, 4.0, None, *parts)
    again.load_state_dict(state)
    assert all(torch.equal(t, again.state_dict()[key]) for key, t in network.state_dict().items())


def test_network_for_another_model_cannot_be_applied(parts, sd15):
    with pytest.raises(InputError, match="the model lacks"):
        create_network(1.0, 2, 1.0, None, *sd15).apply_to(*parts)


def test_gradients_reach_all_weights_and_only_the_networks(parts):
    text, unet = parts
    network = make(parts, conv_dim="2")
    network.apply_to(text, unet)
    states = text(torch.tensor([[49406, 320, 49407]])).last_hidden_state
    unet(torch.randn(1, 4, SIDE, SIDE), torch.tensor([3]), states).sample.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert all(p.grad is None for part in parts for p in part.parameters())


def test_gradient_checkpointing_gives_the_same_gradients(parts):
    text, unet = parts
    network = make(parts)
    network.apply_to(text, unet)
    unet.train()
    x, states = torch.randn(1, 4, SIDE, SIDE), torch.randn(1, 7, unet.config.cross_attention_dim)
    gradients = []
    for switch in (unet.disable_gradient_checkpointing, unet.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        unet(x, torch.tensor([3]), states).sample.square().mean().backward()
        gradients.append([a.lora_up.weight.grad.clone() for a in network.adapters("unet")])
    for a, b in zip(*gradients, strict=True):
        assert_same_but_for_rounding(a, b, terms=UNET_TERMS, layers=2 * UNET_LAYERS)  # there and back
