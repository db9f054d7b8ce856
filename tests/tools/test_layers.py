"""Which layer a module name means, in files and checkpoints of each family, and what a merge into them takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.tools import block_weights, layers

from .conftest import SDXL, golden_names


def test_the_families_of_golden_names_are_told_apart():
    from lora_trainer.tools.families import family_of

    for name, family in (("modules_sd15_lora_dim4_alpha1.json", "sd1"), ("modules_sdxl_lora_dim4_alpha1.json", "sdxl")):
        keys = golden_names(name)
        modules = {key.partition(".")[0] for key in keys}
        shapes = {m: (keys[f"{m}.lora_up.weight"][0], *keys[f"{m}.lora_down.weight"][1:]) for m in modules}
        assert family_of(shapes, {}) == family
    assert family_of({"lora_unet_x_attn2_to_k": (320, 1024)}, {}) == "sd2" and family_of({}, {}) is None


@pytest.mark.parametrize(
    ("length", "name", "place"),
    [
        (17, "lora_te_text_model_encoder_layers_3_mlp_fc1", 0),
        (17, "lora_unet_down_blocks_0_attentions_0_proj_in", 1),
        (17, "lora_unet_down_blocks_2_attentions_1_proj_in", 6),
        (17, "lora_unet_mid_block_attentions_0_proj_in", 7),
        (17, "lora_unet_up_blocks_1_attentions_0_proj_in", 8),
        (17, "lora_unet_up_blocks_3_attentions_2_proj_in", 16),
        (17, "lora_unet_down_blocks_0_downsamplers_0_conv", None),
        (26, "lora_unet_down_blocks_0_downsamplers_0_conv", 4),
        (26, "lora_unet_up_blocks_0_upsamplers_0_conv", 16),
        (12, "lora_te2_text_model_encoder_layers_3_mlp_fc1", 0),
        (12, "lora_unet_input_blocks_4_1_proj_in", 1),
        (12, "lora_unet_middle_block_1_proj_in", 5),
        (12, "lora_unet_output_blocks_5_1_proj_in", 11),
        (12, "lora_unet_output_blocks_8_0_in_layers_2", None),
        (20, "lora_unet_input_blocks_8_1_proj_in", 9),
        (20, "lora_unet_middle_block_2_in_layers_2", 10),
        (20, "lora_unet_output_blocks_8_0_in_layers_2", 19),
    ],
)
def test_the_number_of_a_block_in_the_extensions_lists(length, name, place):
    weights = dict(zip(("BASE", *block_weights.FORMS[length]), range(2, length + 2), strict=True))
    assert block_weights.weight_of(name, weights) == (1.0 if place is None else place + 2)


def test_the_layers_of_a_checkpoint_are_those_that_kohya_names():
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    found = layers.places({n: tuple(t.shape) for n, t in model_convert.checkpoint_tensors(unet, None, None).items()})
    for file, plain in (("modules_sd15_lora_dim4_alpha1.json", True),
                        ("modules_sd15_lora_dim4_alpha1_conv_dim4_conv_alpha1.json", False)):  # fmt: skip
        expected = {key.partition(".")[0] for key in golden_names(file) if key.startswith("lora_unet")}
        assert {name for name, place in found.items() if place.lierla or (place.c3lier and not plain)} == expected


def test_the_layers_of_an_sdxl_checkpoint_are_those_that_kohya_names():
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert

    with torch.device("meta"):
        state = UNet2DConditionModel(**SDXL).state_dict()
    known = {name: tensor for name, tensor in state.items() if not name.startswith("add_embedding.")}
    ldm = model_convert.unet_names(known)
    shapes = {f"model.diffusion_model.{ldm[name]}": tuple(tensor.shape) for name, tensor in known.items()}
    shapes["model.diffusion_model.label_emb.0.0.weight"] = (1280, 2816)
    for number in range(12):
        for part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"):
            shapes[f"conditioner.embedders.0.transformer.text_model.encoder.layers.{number}.{part}.weight"] = (768, 768)
    for number in range(32):
        for part in ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight", "ln_1.weight"):
            shapes[f"conditioner.embedders.1.model.transformer.resblocks.{number}.{part}"] = (3840, 1280)
    for file, plain in (("modules_sdxl_lora_dim4_alpha1.json", True),
                        ("modules_sdxl_lora_dim4_alpha1_conv_dim4_conv_alpha1.json", False)):  # fmt: skip
        expected = {key.partition(".")[0] for key in golden_names(file)}
        assert {
            name for name, place in layers.places(shapes).items() if place.lierla or (place.c3lier and not plain)
        } == expected


def test_the_layers_of_an_sd2_checkpoint_are_those_of_the_network():
    """SD2's real sizes, without memory: the names are those of a network on diffusers' models."""
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert
    from lora_trainer.networks.targets import find_lierla_names, find_targets

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True, sample_size=96
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in model_convert.checkpoint_tensors(unet, None, None).items()}
    shapes["cond_stage_model.model.ln_final.weight"] = (1024,)
    found = layers.places(shapes)
    assert {name for name, place in found.items() if place.c3lier} == {target.name for target in find_targets(None, unet)}
    assert {name for name, place in found.items() if place.lierla} == find_lierla_names(None, unet)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads /proc")
def test_merging_into_a_checkpoint_needs_the_memory_of_one_tensor(tmp_path):
    from benchmarks.merge import Peak
    from lora_trainer.models.weights import open_weights
    from lora_trainer.tools.lorafile import read
    from lora_trainer.tools.merge import into_checkpoint

    size, count = 1024, 24  # 24 tensors of 4 MiB: 96 MiB
    base = {
        f"model.diffusion_model.input_blocks.1.1.transformer_blocks.{n}.attn1.to_q.weight": torch.zeros(size, size)
        for n in range(count)
    }
    save_file(base, tmp_path / "base.safetensors")
    del base
    start = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_"
    lora = {f"{start}{n}_attn1_to_q.lora_down.weight": torch.ones(2, size) for n in range(count)}
    lora |= {f"{start}{n}_attn1_to_q.lora_up.weight": torch.ones(size, 2) for n in range(count)}
    save_file(lora, tmp_path / "lora.safetensors")
    loras = [read(tmp_path / "lora.safetensors")]
    with open_weights(tmp_path / "base.safetensors") as weights, Peak() as peak:
        into_checkpoint(weights, loras, [1.0], tmp_path / "out.safetensors", torch.float32, torch.float32, {})
    assert peak.mib < 40
    assert float(load_file(tmp_path / "out.safetensors")[next(iter(weights.shapes))][0, 0]) == 2.0
