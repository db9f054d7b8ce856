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
from collections.abc import Callable, Iterable, Mapping

import torch

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."  # SD1's, in transformers' names
OPEN_CLIP_TEXT = "cond_stage_model.model."  # SD2's
SDXL_TEXT = "conditioner.embedders.0.transformer."  # in transformers' names
SDXL_OPEN_CLIP_TEXT = "conditioner.embedders.1.model."

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
    "add_embedding.linear_1": "label_emb.0.0",  # of SDXL's sizes and summary
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_CLIP_LAYER = {
    "layer_norm1": "ln_1.",
    "layer_norm2": "ln_2.",
    "self_attn.q_proj": "attn.in_proj_",
    "self_attn.k_proj": "attn.in_proj_",
    "self_attn.v_proj": "attn.in_proj_",
    "self_attn.out_proj": "attn.out_proj.",
    "mlp.fc1": "mlp.c_fc.",
    "mlp.fc2": "mlp.c_proj.",
}
_PROJECTION = "text_projection.weight"
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


def open_clip_names(names: Iterable[str]) -> dict[str, str]:
    """Return {transformers name: OpenCLIP's name} for all parameters of a CLIPTextModel, with or without projection.

    Query, key and value of a layer have one name: OpenCLIP keeps them in one tensor. See `from_open_clip`.
    """

    def convert(name: str) -> str:
        if name == _PROJECTION:
            return "text_projection"
        inner = name.removeprefix("text_model.")
        if inner in _OPEN_CLIP_TOP:
            return _OPEN_CLIP_TOP[inner]
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", inner)
        assert match, f"no rule for the text encoder's {name}"
        return f"transformer.resblocks.{match[1]}.{_OPEN_CLIP_LAYER[match[2]]}{match[3]}"

    return {name: convert(name) for name in names}


def from_open_clip(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return what of OpenCLIP's `tensor` is meant by the transformers name: a third of the rows, or the transposed."""
    if name == _PROJECTION:
        return tensor.T
    match = re.search(r"self_attn\.([qkv])_proj", name)
    return tensor.chunk(3)["qkv".index(match[1])] if match else tensor


def to_open_clip(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse: a text encoder's state dict in OpenCLIP's names."""
    parts: dict[str, list[torch.Tensor]] = {}
    names = open_clip_names(state)
    for name in sorted(state, key=lambda name: [f"{part}_proj" in name for part in "qkv"], reverse=True):  # q, then k, then v
        parts.setdefault(names[name], []).append(state[name].T if name == _PROJECTION else state[name])
    return {name: one[0] if len(one) == 1 else torch.cat([_off_card(tensor) for tensor in one]) for name, one in parts.items()}


def _off_card(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in main memory: a card may be full when a training ends."""
    return tensor if tensor.is_meta else tensor.cpu()


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


Whole = Callable[[torch.Tensor], torch.Tensor]
"""Gives all of a tensor of which this process may have only a part."""


def all_here(tensor: torch.Tensor) -> torch.Tensor:
    """A Whole for processes that have all of each tensor."""
    return tensor


def checkpoint_tensors(
    unet: torch.nn.Module | None,
    vae: torch.nn.Module | None,
    text_encoder: torch.nn.Module | None = None,
    *,
    family: str = "sd1",
    text_encoder_2: torch.nn.Module | None = None,
    unused_layer: bool = True,
    whole: Whole = all_here,
) -> dict[str, torch.Tensor]:
    """Return the tensors of a single-file checkpoint of `family` for the given parts (None leaves a part out).

    SD2's text encoder gets one more layer, as its files have one that is not used: its last one again (not without
    `unused_layer`). Tensors of which a part may be elsewhere are given as they are, but for those that are put together here:
    all of them by `whole`.
    """
    tensors: dict[str, torch.Tensor] = {}
    for module, rule, prefix in ((unet, unet_names, UNET), (vae, vae_names, VAE)):
        if module is not None:
            state = module.state_dict()
            tensors |= to_ldm(state, rule(state), prefix)
    if text_encoder is not None:
        state = text_encoder.state_dict()
        if family == "sd2":
            told = to_open_clip({name: whole(tensor) for name, tensor in state.items()})
            tensors |= _below(OPEN_CLIP_TEXT, _with_unused_layer(told) if unused_layer else told)
        else:
            tensors |= _below(SDXL_TEXT if family == "sdxl" else TEXT, state)
    if text_encoder_2 is not None:
        state = {name: whole(tensor) for name, tensor in text_encoder_2.state_dict().items()}
        tensors |= _below(SDXL_OPEN_CLIP_TEXT, to_open_clip(state))
    return tensors


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _with_unused_layer(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    stem = "transformer.resblocks."
    last = max(int(name[len(stem) :].partition(".")[0]) for name in tensors if name.startswith(stem))
    copy = {name.replace(f"{stem}{last}.", f"{stem}{last + 1}."): tensor.clone() for name, tensor in tensors.items()}
    return copy | tensors
