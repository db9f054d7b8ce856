"""Golden files and small makers for the tools' tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
ALGEBRA = json.loads((GOLDEN / "lora_algebra.json").read_text(encoding="utf-8"))["cases"]
CASES = {case["id"]: case for case in ALGEBRA}

# The toy model's layers under the names that a checkpoint of SD1 has for them.
_CHECKPOINT_NAMES = {
    "lora_unet_down_blocks_0_attentions_0_": "model.diffusion_model.input_blocks.1.1.",
    "lora_unet_down_blocks_0_resnets_0_conv1": "model.diffusion_model.input_blocks.1.0.in_layers.2",
    "lora_unet_down_blocks_0_resnets_0_conv_shortcut": "model.diffusion_model.input_blocks.1.0.skip_connection",
    "lora_unet_down_blocks_0_resnets_0_time_emb_proj": "model.diffusion_model.input_blocks.1.0.emb_layers.1",
    "lora_unet_down_blocks_0_downsamplers_0_conv": "model.diffusion_model.input_blocks.3.0.op",
    "lora_te_text_model_encoder_layers_0_": "cond_stage_model.transformer.text_model.encoder.layers.0.",
}
_DOTTED = {
    "transformer_blocks_0_attn2_to_out_0": "transformer_blocks.0.attn2.to_out.0",
    "transformer_blocks_0_attn2_": "transformer_blocks.0.attn2.",
    "self_attn_": "self_attn.",
    "mlp_": "mlp.",
}

# The arguments of the real SDXL's UNet2DConditionModel.
SDXL = {
    "sample_size": 128, "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816, "use_linear_projection": True,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": (5, 10, 20),
}  # fmt: skip


def algebra(name: str) -> Path:
    return GOLDEN / f"lora_algebra_{name}.safetensors"


def source(name: str) -> str:
    """The path of a golden LoRA file."""
    return str(algebra(f"in_{name}"))


def golden_names(name: str) -> dict[str, list[int]]:
    """{key: shape} of a network that the reference made."""
    return dict(json.loads((GOLDEN / name).read_text(encoding="utf-8"))["state_dict"])


def results(case: str) -> dict[str, torch.Tensor]:
    """The tensors recorded for a case, by module or key."""
    with safe_open(algebra("results"), "pt") as file:
        return {key.partition("/")[2]: file.get_tensor(key) for key in file.keys() if key.startswith(f"{case}/")}  # noqa: SIM118


def checkpoint_name(module: str) -> str:
    for start, theirs in _CHECKPOINT_NAMES.items():
        if module.startswith(start):
            rest = module[len(start) :]
            for ours, dotted in _DOTTED.items():
                if rest.startswith(ours):
                    rest = dotted + rest[len(ours) :]
                    break
            return f"{theirs}{rest}.weight"
    raise KeyError(module)


def toy_checkpoint(path: Path, which: str, dtype: torch.dtype = torch.float32) -> Path:
    """Write the toy model `which` (base, tuned, tuned_unet) as a checkpoint with SD1's names."""
    tensors = {
        checkpoint_name(key.partition("/")[2]): tensor.to(dtype)
        for key, tensor in load_file(algebra("models")).items()
        if key.startswith(f"{which}/")
    }
    # Something that no LoRA touches, and something that is no number of the model.
    tensors["first_stage_model.encoder.conv_in.weight"] = torch.randn(4, 3, 3, 3, generator=torch.manual_seed(0)).to(dtype)
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, str(path))
    return path


def deltas(path: Path) -> dict[str, torch.Tensor]:
    """{module: alpha / rank * up @ down} of a LoRA file, in the layer's shape, straight from its definition."""
    tensors = load_file(path)
    result = {}
    for name in {key.partition(".")[0] for key in tensors}:
        down, up = (tensors[f"{name}.lora_{half}.weight"].float() for half in ("down", "up"))
        alpha = float(tensors.get(f"{name}.alpha", torch.tensor(float(down.shape[0]))))
        result[name] = (alpha / down.shape[0]) * torch.einsum("or,r...->o...", up.flatten(1), down)
    return result


def rank_alpha(path: Path) -> dict[str, list[float]]:
    tensors = load_file(path)
    return {
        key.partition(".")[0]: [tensor.shape[0], float(tensors[f"{key.partition('.')[0]}.alpha"])]
        for key, tensor in tensors.items()
        if key.endswith("lora_down.weight")
    }


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        difference = (found[name].reshape(tensor.shape).float() - tensor.float()).abs().max()
        assert difference <= tolerance, (name, float(difference))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return toy_checkpoint(tmp_path / "base.safetensors", "base")
