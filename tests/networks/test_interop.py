"""Our files in diffusers: the same LoRA gives the same outputs there."""

from __future__ import annotations

import copy

import pytest
import torch

from lora_trainer.commands import run
from lora_trainer.networks.files import save
from lora_trainer.networks.lora import create_network, create_network_from_weights
from tests.closeness import assert_same_outputs

from .conftest import outputs, randomize


@pytest.mark.parametrize(
    ("arguments", "to"),
    [({}, "kohya"), ({"conv_dim": "2", "conv_alpha": "1"}, "kohya"), ({"conv_dim": "2"}, "peft"), ({}, "diffusers")],
)
def test_our_file_loaded_by_diffusers_gives_the_same_outputs(parts, tmp_path, arguments, to):
    pytest.importorskip("peft", reason="diffusers needs PEFT to load a LoRA")
    from diffusers import StableDiffusionPipeline

    text, unet = parts
    base = outputs(text, unet)
    network = create_network(1.0, 4, 2.0, None, text, unet, **arguments)
    randomize(network)
    save(tmp_path / "ours.safetensors", network.state_dict(), {"ss_network_dim": "4"})
    convert = ["convert_lora", str(tmp_path / "ours.safetensors"), "--to", to]
    assert run([*convert, "--save_to", str(tmp_path / "frog.safetensors")]) == 0
    network.apply_to(text, unet)
    ours = outputs(text, unet)
    network.restore()
    pipe = StableDiffusionPipeline(
        None, text, None, unet, scheduler=None, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipe.load_lora_weights(tmp_path, weight_name="frog.safetensors")
    theirs = outputs(text, unet)
    assert_same_outputs(ours, theirs)
    for one, plain in zip(ours, base, strict=True):
        assert (one - plain).norm() > 0.01 * plain.norm()


def test_a_file_of_diffusers_gives_the_same_outputs_here(parts, tmp_path):
    """Trained with PEFT and an alpha that is not the rank, which diffusers writes into the metadata alone."""
    peft = pytest.importorskip("peft", reason="made with PEFT")
    from diffusers import StableDiffusionPipeline

    text, unet = parts
    base, plain = outputs(text, unet)[1], copy.deepcopy(unet)
    config = peft.LoraConfig(r=4, lora_alpha=10, target_modules=["to_q", "to_out.0", "conv1"], alpha_pattern={"conv1": 3})
    torch.manual_seed(0)
    unet.add_adapter(config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0.0, 0.1, generator=generator)
    with torch.no_grad():
        theirs = outputs(text, unet)[1]
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=peft.get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
    )
    network, weights = create_network_from_weights(1.0, next(tmp_path.glob("*.safetensors")), None, text, plain)
    network.apply_to(text, plain)
    network.load_state_dict(weights)
    ours = outputs(text, plain)[1]
    network.restore()
    assert (theirs - base).norm() > 0.01 * base.norm()
    assert (ours - theirs).norm() < 1e-3 * (theirs - base).norm()  # rounding; a wrong alpha is of order 1


def test_the_documents_example_with_three_networks(parts, tmp_path):
    text, unet = parts
    base = outputs(text, unet)
    networks = []
    for number in range(3):
        made = create_network(1.0, 2 + number, 1.0, None, text, unet)
        randomize(made, number)
        save(tmp_path / f"lora{number}.safetensors", made.state_dict())
    for number, multiplier in enumerate((0.5, 0.7, 0.5)):
        network, weights = create_network_from_weights(multiplier, tmp_path / f"lora{number}.safetensors", None, text, unet)
        network.apply_to(text, unet)
        network.load_state_dict(weights)
        network.to("cpu", dtype=torch.float32)
        networks.append(network)
    together = outputs(text, unet)
    assert not torch.equal(together[1], base[1])
    networks[0].set_multiplier(0.8)
    assert not torch.equal(outputs(text, unet)[1], together[1])
    for network in networks:
        network.restore()
    networks[0].merge_to(text, unet, weights_sd=networks[0].state_dict())
    assert not torch.equal(outputs(text, unet)[1], base[1])
