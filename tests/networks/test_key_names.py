"""The key names of other programs: each spelling is the module that kohya's files name, and back."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from lora_trainer.errors import LoraFileError
from lora_trainer.networks import files, key_names

from .conftest import golden

UNET = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
TEXT = "lora_te_text_model_encoder_layers_3_"
XL_UNET = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"


def modules(name: str) -> dict[str, tuple[int, ...]]:
    """{kohya's module: shape of its `down`} of a recorded network."""
    keys = dict(golden(name)["state_dict"])
    return {key.removesuffix(".lora_down.weight"): tuple(s) for key, s in keys.items() if key.endswith(".lora_down.weight")}


SD1 = modules("modules_sd15_lora_dim4_alpha1_conv_dim4_conv_alpha1.json")
SDXL = modules("modules_sdxl_lora_dim4_alpha1_conv_dim4_conv_alpha1.json")


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        # diffusers, as its versions wrote it, and PEFT
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora.down.weight", UNET),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight", UNET),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight", UNET),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", UNET),
        ("base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.default.weight", UNET),
        ("unet.base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight", UNET),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.down.weight",
         "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0"),
        ("unet.up_blocks.1.resnets.2.conv1.lora_A.weight", "lora_unet_up_blocks_1_resnets_2_conv1"),
        ("text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.down.weight", TEXT + "self_attn_q_proj"),
        ("text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.down.weight", TEXT + "self_attn_out_proj"),
        ("text_encoder.encoder.layers.3.mlp.fc1.lora_A.weight", TEXT + "mlp_fc1"),
        ("base_model.model.text_model.encoder.layers.3.mlp.fc2.lora_A.weight", TEXT + "mlp_fc2"),
        # OneTrainer's own form
        ("lora_unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_down.weight", UNET),
        ("lora_te.text_model.encoder.layers.3.mlp.fc1.lora_down.weight", TEXT + "mlp_fc1"),
        # the original code's words: Web UI, ComfyUI, OneTrainer's "original"
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight", UNET),
        ("diffusion_model_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight", UNET),
        ("diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.lora_A.weight", UNET),
        ("input_blocks.4.1.transformer_blocks.0.attn2.to_k.lora_A.weight", UNET),
        ("diffusion_model.output_blocks.2.1.conv.lora_up.weight", "lora_unet_up_blocks_0_upsamplers_0_conv"),
        ("diffusion_model.output_blocks.5.2.conv.lora_up.weight", "lora_unet_up_blocks_1_upsamplers_0_conv"),
        ("diffusion_model.input_blocks.3.0.op.lora_up.weight", "lora_unet_down_blocks_0_downsamplers_0_conv"),
        ("diffusion_model.input_blocks.0.0.lora_down.weight", "lora_unet_conv_in"),
        ("diffusion_model.time_embed.2.lora_down.weight", "lora_unet_time_embedding_linear_2"),
        ("transformer_text_model_encoder_layers_3_mlp_fc1.lora_down.weight", TEXT + "mlp_fc1"),
        ("text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc1.lora_up.weight", TEXT + "mlp_fc1"),
        ("text_encoders.clip_h.transformer.text_model.encoder.layers.3.mlp.fc1.lora_up.weight", TEXT + "mlp_fc1"),
        ("model_transformer_resblocks_3_mlp_c_proj.lora_down.weight", TEXT + "mlp_fc2"),
        ("model_transformer_resblocks_3_attn_out_proj.lora_down.weight", TEXT + "self_attn_out_proj"),
        ("lora_te1_text_model_encoder_layers_3_mlp_fc1.lora_down.weight", TEXT + "mlp_fc1"),
    ],
)  # fmt: skip
def test_the_spellings_of_a_file_for_stable_diffusion_1(key, ours):
    sure = "lora_unet_down_blocks_0_attentions_0_proj_in.alpha"  # a layer that XL does not have
    found = key_names.kohya_keys({key: (4, 320), sure: ()})
    half = "up" if "up" in key.rsplit(".", 2)[1] + key.rsplit(".", 3)[1] else "down"
    assert found == {key: f"{ours}.lora_{half}.weight", sure: sure}


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k.lora_A.weight", XL_UNET),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_k.lora_down.weight", XL_UNET),
        ("diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_k.lora_down.weight", XL_UNET),
        ("unet.up_blocks.0.upsamplers.0.conv.lora.down.weight", "lora_unet_output_blocks_2_2_conv"),
        ("unet.mid_block.resnets.1.conv2.lora.down.weight", "lora_unet_middle_block_2_out_layers_3"),
        ("unet.add_embedding.linear_2.lora.down.weight", "lora_unet_label_emb_0_2"),
        ("text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_A.weight", "lora_te1_text_model_encoder_layers_3_mlp_fc1"),
        ("0_transformer_text_model_encoder_layers_3_mlp_fc1.lora_down.weight", "lora_te1_text_model_encoder_layers_3_mlp_fc1"),
        ("1_model_transformer_resblocks_3_attn_q_proj.lora_down.weight",
         "lora_te2_text_model_encoder_layers_3_self_attn_q_proj"),
        ("text_encoders.clip_g.transformer.text_model.encoder.layers.3.mlp.fc1.lora_A.weight",
         "lora_te2_text_model_encoder_layers_3_mlp_fc1"),
    ],
)  # fmt: skip
def test_the_spellings_of_a_file_for_stable_diffusion_xl(key, ours):
    second = "text_encoder_2.text_model.encoder.layers.0.mlp.fc1.lora_A.weight"
    found = key_names.kohya_keys({key: (4, 2048), second: (4, 1280)})
    assert found[key] == f"{ours}.lora_down.weight"
    assert found[second] == "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"


@pytest.mark.parametrize(("shapes", "family"), [(SD1, "sd1"), (SDXL, "sdxl")], ids=["sd1", "sdxl"])
def test_every_module_comes_back_from_every_spelling(shapes, family):
    for spell in (
        lambda name: name,
        lambda name: key_names.webui_name(name, family),
        # the UNet in the other words than kohya's
        lambda name: (
            "lora_unet_" + (key_names.diffusers_words if family == "sdxl" else _original)(name[10:])
            if name.startswith("lora_unet_")
            else name
        ),
    ):
        file = {f"{spell(name)}.lora_down.weight": shape for name, shape in shapes.items()}
        assert len(file) == len(shapes)
        found = key_names.kohya_keys(file)
        assert [found[key] for key in file] == [f"{name}.lora_down.weight" for name in shapes]


def _original(path: str) -> str:
    return key_names.original_words(path, sdxl=False)


@pytest.mark.parametrize(
    ("module", "family", "theirs"),
    [
        (UNET, "sd1", "diffusion_model_input_blocks_4_1_transformer_blocks_0_attn2_to_k"),
        ("lora_unet_up_blocks_0_upsamplers_0_conv", "sd1", "diffusion_model_output_blocks_2_1_conv"),
        ("lora_unet_mid_block_resnets_1_conv1", "sd2", "diffusion_model_middle_block_2_in_layers_2"),
        (XL_UNET, "sdxl", "diffusion_model_input_blocks_4_1_transformer_blocks_1_attn2_to_k"),
        (TEXT + "self_attn_q_proj", "sd1", "transformer_text_model_encoder_layers_3_self_attn_q_proj"),
        (TEXT + "self_attn_q_proj", "sd2", "model_transformer_resblocks_3_attn_q_proj"),
        (TEXT + "mlp_fc1", "sd2", "model_transformer_resblocks_3_mlp_c_fc"),
        ("lora_te1_text_model_encoder_layers_3_mlp_fc2", "sdxl", "0_transformer_text_model_encoder_layers_3_mlp_fc2"),
        ("lora_te2_text_model_encoder_layers_3_mlp_fc2", "sdxl", "1_model_transformer_resblocks_3_mlp_c_proj"),
    ],
)
def test_the_web_uis_own_names(module, family, theirs):
    assert key_names.webui_name(module, family) == theirs


@pytest.mark.parametrize(
    "key",
    [
        "transformer.blocks.0.attn.lora_A.weight",
        "unet.conv_in.bias",
        "unet.conv_norm_out.lora_A.weight",
        "text_encoder.text_model.embeddings.token_embedding.lora_A.weight",
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
        "bundle_emb.frog.clip_l",
    ],
)
def test_keys_that_are_not_understood_stay_as_they_are(key):
    assert key_names.kohya_keys({key: (2, 2)}) == {key: key}


def test_another_kind_of_network_is_left_alone():
    keys = {"lora_unet_input_blocks_1_1_proj_in.hada_w1_a": (4, 4), "unet.mid_block.attentions.0.proj_in.lora_A.weight": (4, 4)}
    assert list(key_names.kohya_keys(keys).values()) == list(keys)


# ---- files -----------------------------------------------------------------------------------------------------------
PATH = "mid_block.attentions.0.transformer_blocks.0.attn1.to_"
NAME = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_"


def saved(path, start: str, metadata=None):
    tensors = {f"{start}{PATH}{part}.lora_A.weight": torch.ones(4, 8) for part in "qk"}
    tensors |= {f"{start}{PATH}{part}.lora_B.weight": torch.ones(8, 4) for part in "qk"}
    save_file(tensors, path, metadata)
    return path


def alphas(path) -> list[float | None]:
    tensors, _ = files.load(path)
    return [float(tensors[f"{NAME}{part}.alpha"]) if f"{NAME}{part}.alpha" in tensors else None for part in "qk"]


def test_alpha_stands_in_the_metadata_that_diffusers_writes(tmp_path):
    config = {"unet.lora_alpha": 8, "unet.r": 4, "unet.alpha_pattern": {"attn1.to_k": 2}, "text_encoder.lora_alpha": 1}
    path = saved(tmp_path / "x.safetensors", "unet.", {"lora_adapter_metadata": json.dumps(config)})
    assert alphas(path) == [8.0, 2.0]
    assert alphas(saved(tmp_path / "y.safetensors", "unet.", {"lora_adapter_metadata": "?"})) == [None, None]


def test_alpha_stands_in_pefts_file_beside_it(tmp_path):
    path = saved(tmp_path / "adapter_model.safetensors", "base_model.model.")
    assert alphas(path) == [None, None]
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 16, "r": 4, "alpha_pattern": {}}', encoding="utf-8")
    assert alphas(path) == [16.0, 16.0]
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 16, "use_rslora": true}', encoding="utf-8")
    assert alphas(path) == [32.0, 32.0]  # 16 / sqrt(4) = 32 / 4
    (tmp_path / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(LoraFileError, match=r"adapter_config\.json"):
        files.load(path)


def test_one_tensor_under_two_names_is_refused(tmp_path):
    half = torch.ones(4, 8)
    tensors = {f"unet.{PATH}q.lora_A.weight": half.clone(), f"{NAME}q.lora_down.weight": half}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(LoraFileError, match="under two names"):
        files.load(tmp_path / "x.safetensors")


def test_embeddings_beside_the_lora_are_refused_by_name():
    with pytest.raises(LoraFileError, match=r"embeddings beside the LoRA \(frog\)"):
        files.group_keys({"bundle_emb.frog.clip_l": torch.ones(1), f"{NAME}q.lora_down.weight": torch.ones(1)})
