"""Every kind of network on every family: a few steps of training, the file, a fresh process that loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError
from lora_trainer.networks import registry
from lora_trainer.networks.files import save
from lora_trainer.networks.lora import create_network, create_network_from_weights

from . import families
from .conftest import golden, randomize

CASES = [f"{family}-{kind}" for family in families.FAMILIES for kind in families.KINDS]
ROOT = Path(__file__).resolve().parents[2]


def train(kind: str, parts: families.Parts, file: Path) -> dict[str, torch.Tensor]:
    """Train three steps, save to `file`; return the outputs of the model alone and with what was trained."""
    module, arguments = families.KINDS[kind]
    texts, unet = parts
    base = families.outputs(parts).detach()
    network = registry.get(module).create_network(1.0, 4, 2.0, None, texts, unet, seed=7, **arguments)
    network.apply_to(texts, unet)
    network.train()
    optimizer = torch.optim.AdamW(network.parameter_groups(1e-2, 1e-2, None))
    for step in range(1, 4):
        network.start_step(step)
        families.outputs(parts, seed=step).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    network.eval()
    trained = families.outputs(parts).detach()
    network.set_multiplier(0)
    assert torch.equal(families.outputs(parts), base)
    network.restore()
    save(file, network.state_dict(), {"ss_network_module": module})
    return {"base": base, "trained": trained}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """{case: outputs}: of the model alone, in training, and in a fresh process with the file applied and merged."""
    folder = tmp_path_factory.mktemp("families")
    results = {}
    for family in families.FAMILIES:
        parts = families.make(family)
        for kind in families.KINDS:
            case = f"{family}-{kind}"
            results[case] = train(kind, parts, folder / f"{case}.safetensors")
    command = [sys.executable, "-m", "tests.networks.families", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {case: result | load_file(folder / f"{case}.out") for case, result in results.items()}


@pytest.mark.parametrize("case", CASES)
def test_a_fresh_process_puts_out_what_the_training_did_applied_and_merged(found, case):
    result = found[case]
    change = (result["trained"] - result["base"]).abs().max()
    assert change > 1e-3
    assert (result["applied"] - result["trained"]).abs().max() < 1e-5 * max(1.0, change.item())
    assert (result["merged"] - result["trained"]).abs().max() < 1e-3 * change


# ---- SD2 on its true sizes -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["linear", "conv"])
def sd2(request):
    """(form of proj_in and proj_out, text encoder, UNet) of stable-diffusion-2 as diffusers configures it, on no memory.

    Its UNet's configuration has use_linear_projection; kohya's training and old files have 1x1 convolutions there.
    """
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            attention_head_dim=[5, 10, 20, 20],
            cross_attention_dim=1024,
            use_linear_projection=request.param == "linear",
        )
        text = CLIPTextModel(
            CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16)
        )
    return request.param, text, unet


def derived_from_sd1(recorded: dict, form: str) -> dict[str, list[int]]:
    """SD2's UNet is SD1's with a text of 1024 numbers a word, and linear layers around its transformers in one form."""
    derived = {}
    for key, shape in recorded["state_dict"]:
        if not key.startswith("lora_unet_"):
            continue
        if "attn2_to_k.lora_down" in key or "attn2_to_v.lora_down" in key:
            shape = [shape[0], 1024]
        if form == "linear" and ("_proj_in." in key or "_proj_out." in key):
            shape = shape[:2]
        derived[key] = shape
    for layer in range(23):
        sizes = {"mlp_fc1": (1024, 4096), "mlp_fc2": (4096, 1024)}
        sizes |= {f"self_attn_{name}_proj": (1024, 1024) for name in ("k", "q", "v", "out")}
        for name, (wide, out) in sizes.items():
            prefix = f"lora_te_text_model_encoder_layers_{layer}_{name}"
            derived |= {f"{prefix}.alpha": [], f"{prefix}.lora_down.weight": [4, wide], f"{prefix}.lora_up.weight": [out, 4]}
    return derived


@pytest.mark.parametrize("conv", ["", "_conv_dim4_conv_alpha1"])
def test_names_and_shapes_of_sd2_are_those_derived_from_sd1(sd2, conv):
    form, text, unet = sd2
    recorded = golden(f"modules_sd15_lora_dim4_alpha1{conv}.json")
    network = create_network(1.0, 4, 1.0, None, text, unet, **recorded["network_args"])
    state = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    assert state == derived_from_sd1(recorded, form)
    assert len(network.adapters("text_encoder")) == 138


def test_files_of_both_forms_of_sd2_load_on_the_other(tmp_path):
    results = {}
    models = {form: families.make(form) for form in ("sd2-linear", "sd2-conv")}
    for form, other in zip(models, reversed(models), strict=True):
        texts, unet = models[form]
        network = create_network(1.0, 4, 4.0, None, texts, unet, conv_dim="2")
        randomize(network)
        save(tmp_path / "a.safetensors", network.state_dict())
        texts, unet = models[other]
        loaded, weights = create_network_from_weights(1.0, tmp_path / "a.safetensors", None, texts, unet)
        loaded.load_state_dict(weights)
        results[form] = loaded.state_dict()
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor.flatten(), loaded.state_dict()[key].flatten())
    assert results["sd2-linear"].keys() == results["sd2-conv"].keys()
    key = "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"
    assert (results["sd2-linear"][key].ndim, results["sd2-conv"][key].ndim) == (4, 2)


def test_block_counts_belong_to_the_family():
    texts, unet = families.make("sdxl")
    with pytest.raises(InputError, match="block_dims has 25 numbers; expected 23"):
        create_network(1.0, 4, 1.0, None, texts, unet, block_dims=",".join("4" * 25))
    network = create_network(1.0, 4, 1.0, None, texts, unet, mid_lr_weight="0.5", up_lr_weight="zeros")
    groups = {group["name"]: group["lr"] for group in network.parameter_groups((1e-5, 2e-5), 1e-4, None)}
    assert groups["text_encoder1"] == 1e-5 and groups["text_encoder2"] == 2e-5
    assert groups["unet_block11"] == 1e-4 and max(int(name[10:]) for name in groups if "block" in name) <= 12
