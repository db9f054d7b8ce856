"""Names and shapes of the tensors in a single-file checkpoint (LDM's) and in diffusers/transformers, both directions.

There is one rule per part, from diffusers to LDM; the other direction is its inverse over a given model's own names::

    names = unet_names(unet.state_dict())      # {"conv_in.weight": "input_blocks.0.0.weight", ...}
    file = checkpoint_tensors(unet, vae, text_encoder)
    tensors = {diffusers_name: fit(file[UNET + ldm_name], shape) for diffusers_name, ldm_name in names.items()}

LDM is the code of "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022); its UNet numbers the
blocks through (`input_blocks.0..11`, `middle_block.0..2`, `output_blocks.0..11`), diffusers' by resolution and kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."

_RESNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
# What diffusers called the parts of the VAE's attention before 0.17; some files are still named so.
OLD_VAE_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def _resnet(rest: str) -> str:
    part, _, parameter = rest.partition(".")
    return f"{_RESNET_PARTS[part]}.{parameter}"


def unet_names(names: Iterable[str]) -> dict[str, str]:
    """Return {diffusers name: LDM name without prefix} for all parameters `names` of a UNet2DConditionModel.

    Any number of resolutions and of layers in a block will do: both are read from the names.
    """
    names = list(names)
    layers = 1 + max(int(match[1]) for name in names if (match := re.match(r"down_blocks\.\d+\.resnets\.(\d+)\.", name)))
    with_attention = {int(match[1]) for name in names if (match := re.match(r"up_blocks\.(\d+)\.attentions\.", name))}

    def convert(name: str) -> str:
        for ours, theirs in _UNET_TOP.items():
            if name.startswith(ours + "."):
                return theirs + name[len(ours) :]
        if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
            kind, index, rest = match[1], int(match[2]), match[3]
            return f"middle_block.{2 * index}.{_resnet(rest)}" if kind == "resnets" else f"middle_block.1.{rest}"
        match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
        assert match, f"no rule for the UNet's {name}"
        side, level, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        # A level has its layers and one more: the downsampler on the way in, a third layer on the way out.
        if side == "down":
            if kind == "downsamplers":
                return f"input_blocks.{(level + 1) * (layers + 1)}.0.op.{rest.partition('.')[2]}"
            block = f"input_blocks.{1 + level * (layers + 1) + index}"
        else:
            if kind == "upsamplers":
                return f"output_blocks.{level * (layers + 1) + layers}.{1 + (level in with_attention)}.{rest}"
            block = f"output_blocks.{level * (layers + 1) + index}"
        return f"{block}.0.{_resnet(rest)}" if kind == "resnets" else f"{block}.1.{rest}"

    return {name: convert(name) for name in names}


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """Return {diffusers name: LDM name without prefix} for all parameters `names` of an AutoencoderKL."""
    names = list(names)
    levels = 1 + max(int(match[1]) for name in names if (match := re.match(r"decoder\.up_blocks\.(\d+)\.", name)))

    def convert(name: str) -> str:
        if name.startswith(("quant_conv.", "post_quant_conv.")):
            return name
        side, _, rest = name.partition(".")
        if match := re.fullmatch(r"mid_block\.resnets\.(\d)\.(.+)", rest):
            rest = f"mid.block_{int(match[1]) + 1}.{match[2]}"
        elif match := re.fullmatch(r"mid_block\.attentions\.0\.(group_norm|to_q|to_k|to_v|to_out\.0)\.(.+)", rest):
            rest = f"mid.attn_1.{_VAE_ATTENTION[match[1]]}.{match[2]}"
        elif match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)", rest):
            direction, kind = match[1], match[3]
            # LDM numbers the decoder's levels by resolution, the finest 0; diffusers in the order they run.
            level = int(match[2]) if direction == "down" else levels - 1 - int(match[2])
            inner = f"block.{match[4]}" if kind == "resnets" else f"{direction}sample"
            rest = f"{direction}.{level}.{inner}.{match[5]}"
        else:
            rest = rest.replace("conv_norm_out.", "norm_out.")
        return f"{side}.{rest.replace('.conv_shortcut.', '.nin_shortcut.')}"

    return {name: convert(name) for name in names}


def text_names(names: Iterable[str]) -> dict[str, str]:
    """Return {transformers name: name in the file without prefix} for all parameters of a CLIPTextModel: they are equal."""
    return {name: name for name in names}


def fit(tensor: torch.Tensor, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """Return `tensor` as `shape` where the two differ only by 1x1 convolution [out, in, 1, 1] against linear [out, in].

    Both forms are in use for the VAE's attention and the transformers' proj_in and proj_out. Any other difference of shape
    is left for the caller to refuse.
    """
    if (
        len(tensor.shape) != len(shape)
        and tuple(tensor.shape[:2]) == tuple(shape[:2])
        and tensor.numel() == shape[0] * shape[1]
    ):
        return tensor.reshape(shape)
    return tensor


def to_ldm(state: Mapping[str, torch.Tensor], names: Mapping[str, str], prefix: str) -> dict[str, torch.Tensor]:
    """Rename a state dict by `names` (diffusers -> LDM) and put `prefix` before each name.

    The VAE's attention becomes 1x1 convolutions, as single files have it.
    """
    tensors = {}
    for name, tensor in state.items():
        convolution = (
            ".mid_block.attentions.0." in f".{name}" and name.startswith(("encoder.", "decoder.")) and tensor.dim() == 2
        )
        tensors[prefix + names[name]] = tensor[:, :, None, None] if convolution else tensor
    return tensors


def checkpoint_tensors(
    unet: torch.nn.Module | None, vae: torch.nn.Module | None, text_encoder: torch.nn.Module | None
) -> dict[str, torch.Tensor]:
    """Return the tensors of an SD1 single-file checkpoint for the given parts (None leaves a part out)."""
    tensors: dict[str, torch.Tensor] = {}
    for module, rule, prefix in ((unet, unet_names, UNET), (vae, vae_names, VAE), (text_encoder, text_names, TEXT)):
        if module is not None:
            state = module.state_dict()
            tensors |= to_ldm(state, rule(state), prefix)
    return tensors
