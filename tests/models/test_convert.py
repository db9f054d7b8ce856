"""Names in LDM's form and in diffusers', compared with diffusers' own reader of single files."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders import single_file_utils as theirs

from lora_trainer.models import convert
from tests.tiny import make_parts


@pytest.fixture(scope="module")
def parts():
    return make_parts(channel_mult=(1, 2, 4, 4), vae_mult=(1, 2, 4, 4))


def same(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name].reshape(tensor.shape), tensor) for name, tensor in expected.items())


def test_the_unet_s_names_are_those_that_diffusers_reads(parts):
    unet = parts[0]
    file = convert.checkpoint_tensors(unet, None, None)
    assert len(file) == 686  # as in v1-5-pruned-emaonly.safetensors
    read = theirs.convert_ldm_unet_checkpoint(dict(file), {**unet.config, "layers_per_block": 2})
    same(read, unet.state_dict())


def test_the_vae_s_names_and_convolutions_are_those_that_diffusers_reads(parts):
    vae = parts[1]
    file = convert.checkpoint_tensors(None, vae, None)
    assert len(file) == 248
    assert file["first_stage_model.encoder.mid.attn_1.q.weight"].dim() == 4
    read = theirs.convert_ldm_vae_checkpoint(dict(file), dict(vae.config))
    same(read, vae.state_dict())


def test_the_text_encoder_s_names_are_those_that_diffusers_reads(parts):
    text_encoder = parts[2]
    file = convert.checkpoint_tensors(None, None, text_encoder)
    same(theirs.convert_ldm_clip_checkpoint(dict(file)), text_encoder.state_dict())


def test_three_levels_of_which_the_first_attends_not_are_named_as_sdxl_s():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=[32, 32, 64],
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            cross_attention_dim=32,
            attention_head_dim=8,
        )
    names = convert.unet_names(unet.state_dict())
    assert len(set(names.values())) == len(names)
    assert names["down_blocks.0.downsamplers.0.conv.weight"] == "input_blocks.3.0.op.weight"
    assert names["down_blocks.1.attentions.0.proj_in.weight"] == "input_blocks.4.1.proj_in.weight"
    assert names["up_blocks.1.upsamplers.0.conv.weight"] == "output_blocks.5.2.conv.weight"


def test_only_linear_against_1x1_convolution_is_made_to_fit():
    assert convert.fit(torch.zeros(4, 3, 1, 1), (4, 3)).shape == (4, 3)
    assert convert.fit(torch.zeros(4, 3), (4, 3, 1, 1)).shape == (4, 3, 1, 1)
    assert convert.fit(torch.zeros(3, 4), (4, 3, 1, 1)).shape == (3, 4)
    assert convert.fit(torch.zeros(4, 3, 3, 3), (4, 3)).shape == (4, 3, 3, 3)
