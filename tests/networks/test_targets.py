"""Modules, names and shapes are the reference's, on the true sizes of each family."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.networks.lora import create_network
from lora_trainer.networks.targets import find_lierla_names, find_targets

from .conftest import golden


@pytest.mark.parametrize(
    "name", ["modules_sd15_lora_dim4_alpha1.json", "modules_sd15_lora_dim4_alpha1_conv_dim4_conv_alpha1.json"]
)
def test_state_dict_of_sd15_equals_the_reference(sd15, name):
    recorded = golden(name)
    network = create_network(1.0, recorded["network_dim"], recorded["network_alpha"], None, *sd15, **recorded["network_args"])
    network.apply_to(*sd15)
    try:
        state = network.state_dict()
        assert sorted([key, list(tensor.shape)] for key, tensor in state.items()) == recorded["state_dict"]
        assert len(network.adapters("unet")) == recorded["unet_modules_created"]
        assert len(network.adapters("text_encoder")) == recorded["te_modules_created"]
        assert {float(state[key]) for key in state if key.endswith(".alpha")} == {recorded["alpha_of_every_module"]}
        assert {tensor.dtype for tensor in state.values()} == {torch.float32}
        assert sum(p.numel() for p in network.parameters()) == recorded["trainable_parameters"]
    finally:
        network.restore()


@pytest.mark.parametrize(
    "name", ["modules_sdxl_lora_dim4_alpha1.json", "modules_sdxl_lora_dim4_alpha1_conv_dim4_conv_alpha1.json"]
)
def test_names_and_shapes_of_sdxl_equal_the_reference(name, sdxl):
    recorded = golden(name)
    texts, unet = sdxl
    wanted = None if recorded["network_args"] else find_lierla_names(texts, unet)
    found = {
        target.name: list(target.layer.weight.shape)
        for target in find_targets(texts, unet)
        if wanted is None or target.name in wanted
    }
    assert len(found) == recorded["unet_modules_created"] + recorded["te_modules_created"]
    downs = {key.partition(".")[0]: shape[1:] for key, shape in recorded["state_dict"] if key.endswith("lora_down.weight")}
    ups = {key.partition(".")[0]: shape[0] for key, shape in recorded["state_dict"] if key.endswith("lora_up.weight")}
    assert {name: shape[1:] for name, shape in found.items()} == downs
    assert {name: shape[0] for name, shape in found.items()} == ups


def test_module_set_is_the_same_on_a_smaller_model(sd15, parts):
    def unet_names(names):
        return {name for name in names if name.startswith("lora_unet_")}

    assert unet_names(find_lierla_names(*parts)) == unet_names(find_lierla_names(*sd15))
    assert len(find_lierla_names(*parts)) == 192 + 6 * 2  # two text layers
    every = [{target.name for target in find_targets(None, unet)} for unet in (parts[1], sd15[1])]
    # The small model has as many channels at the second level as at the first, so it needs no shortcut there.
    assert every[1] - every[0] == {"lora_unet_down_blocks_1_resnets_0_conv_shortcut"} and every[0] < every[1]


def test_text_encoder_without_the_outer_text_model_gets_the_same_names(parts):
    text, _ = parts
    assert [t.name for t in find_targets(text.text_model, None)] == [t.name for t in find_targets(text, None)]
    assert find_targets(text, None)[0].name.startswith("lora_te_text_model_encoder_layers_0_")


def test_a_network_that_is_applied_already_does_not_change_the_targets(parts):
    before = [(t.name, id(t.layer)) for t in find_targets(*parts)]
    network = create_network(1.0, 4, 1.0, None, *parts)
    network.apply_to(*parts)
    assert [(t.name, id(t.layer)) for t in find_targets(*parts)] == before
