"""Stable Diffusion 1: one CLIP text encoder, a UNet of 12/1/12 blocks with 1x1 convolutions round its transformers, and a VAE.

The sizes are read from the tensors, so that smaller models of the same topology load too. What tensors cannot tell:
the UNet has 8 heads at every level (`num_heads: 8` in LDM's configuration), CLIP's heads are 64 wide; a `NAME.yaml` beside
the file, as the Web UI reads it, overrides both (ldm_yaml.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from ..errors import BaseModelError, NotInstalledError
from ..modelfile import FULL_MODEL
from ..paths import ASSETS_DIR
from . import convert, text
from .family import Family, Parts
from .folders import find_weights, read_json
from .ldm_yaml import Overrides, read_overrides
from .vae_files import build_vae
from .weights import Target, Weights, build, open_weights

UNET_HEADS = 8
CLIP_HEAD_WIDTH = 64


def _load_file(weights: Weights, target: Target, with_vae: bool) -> Parts:
    """Load the parts of an LDM-named single file. EMA copies (`model_ema.`) and the discriminator (`loss.`) are not read."""
    overrides = read_overrides(weights.path)
    return Parts(
        unet=_build_unet(weights, unet_config(weights, overrides), target),
        vae=build_vae(weights, target, prefix=convert.VAE) if with_vae else None,
        text_encoders=[_build_text_encoder(weights, overrides, target)],
        tokenizers=[tokenizer()],
        prediction_type=overrides.prediction_type,
    )


def unet_config(weights: Weights, overrides: Overrides) -> dict[str, Any]:
    """Return UNet2DConditionModel's arguments for the LDM-named UNet of SD1's topology in `weights`, from its shapes.

    Raises BaseModelError when the number of blocks is another one.
    """
    shapes = weights.shapes
    names = [name for name in shapes if name.startswith(convert.UNET)]
    inputs = {int(match[1]) for name in names if (match := re.match(r"input_blocks\.(\d+)\.", name[len(convert.UNET) :]))}
    if inputs != set(range(12)):
        raise BaseModelError(
            f"{weights.path}: the UNet has {len(inputs)} input blocks, expected the 12 of Stable Diffusion 1.",
            advice=FULL_MODEL,
        )

    def shape(name: str) -> tuple[int, ...]:
        if convert.UNET + name not in shapes:
            raise BaseModelError(
                f"{weights.path}: the UNet lacks the tensor {convert.UNET}{name}.",
                advice=f"The file is incomplete. {FULL_MODEL}",
            )
        return shapes[convert.UNET + name]

    firsts = [1 + 3 * level for level in range(4)]
    attends = [convert.UNET + f"input_blocks.{block}.1.proj_in.weight" in shapes for block in firsts]
    return {
        "in_channels": shape("input_blocks.0.0.weight")[1],
        "out_channels": shape("out.2.weight")[0],
        "block_out_channels": [shape(f"input_blocks.{block}.0.in_layers.2.weight")[0] for block in firsts],
        "down_block_types": ["CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "cross_attention_dim": shape("middle_block.1.transformer_blocks.0.attn2.to_k.weight")[1],
        "attention_head_dim": overrides.unet_heads or UNET_HEADS,  # diffusers' name for the number of heads
        "layers_per_block": 2,
    }


def _build_unet(weights: Weights, config: dict[str, Any], target: Target) -> Any:
    from diffusers import UNet2DConditionModel

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: convert.UNET + ldm for name, ldm in convert.unet_names(state).items()}

    return build(lambda: UNet2DConditionModel(**config), weights, find, part="the UNet", dtype=target.dtype, target=target)


def _build_text_encoder(weights: Weights, overrides: Overrides, target: Target) -> Any:
    # Some files leave out "text_model." (transformers changed its own names once).
    full = any(name.startswith(convert.TEXT + "text_model.") for name in weights.shapes)
    stem = convert.TEXT + ("text_model." if full else "")
    shapes = {name[len(stem) :]: shape for name, shape in weights.shapes.items() if name.startswith(stem)}
    try:
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        positions, _ = shapes["embeddings.position_embedding.weight"]
        inner, _ = shapes["encoder.layers.0.mlp.fc1.weight"]
    except KeyError as error:
        raise BaseModelError(f"{weights.path} has no CLIP text encoder: {error} is missing.", advice=FULL_MODEL) from error
    layers = 1 + max(int(match[1]) for name in shapes if (match := re.match(r"encoder\.layers\.(\d+)\.", name)))
    config = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": overrides.clip_heads or max(1, width // CLIP_HEAD_WIDTH),
        "max_position_embeddings": positions,
        "projection_dim": width,
    }

    def find(state: dict[str, torch.Tensor]) -> dict[str, str]:
        return {name: convert.TEXT + (name if full else name.removeprefix("text_model.")) for name in state}

    return _clip(config, weights, find, target)


def _clip(config: dict[str, Any], weights: Weights, find: Any, target: Target) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    def make() -> torch.nn.Module:
        return CLIPTextModel(CLIPTextConfig(**config))

    return build(make, weights, find, part="the text encoder", dtype=target.dtype, target=target)


def tokenizer(folder: Path = ASSETS_DIR / "clip") -> Any:
    """Return the CLIPTokenizer of `folder` (vocab.json, merges.txt), by default the one that ships: 49408 tokens.

    Raises NotInstalledError without ftfy: transformers would go on without, and give some captions other tokens.
    """
    from transformers import CLIPTokenizer

    words, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    made = CLIPTokenizer(words, merges, pad_token="<|endoftext|>", model_max_length=77)
    if made.fix_text is None:
        advice = "Install it (pip install ftfy), or let the installation of LoRA Trainer run again."
        raise NotInstalledError("The package ftfy, which cleans captions, is missing.", advice=advice)
    return made


def _load_folder(folder: Path, target: Target, with_vae: bool) -> Parts:
    """Load a diffusers folder. Its tensors go the same way as a single file's: mapped, checked, one copy."""
    from diffusers import UNet2DConditionModel

    unet_configuration = read_json(folder / "unet" / "config.json")
    with open_weights(find_weights(folder / "unet")) as weights:
        unet = build(
            lambda: UNet2DConditionModel.from_config(unet_configuration),
            weights,
            convert.text_names,
            part="the UNet",
            dtype=target.dtype,
            target=target,
        )
    with open_weights(find_weights(folder / "text_encoder")) as weights:
        known = set(weights.shapes)
        config = read_json(folder / "text_encoder" / "config.json")
        text_encoder = _clip(
            config,
            weights,
            lambda state: {name: name if name in known else name.removeprefix("text_model.") for name in state},
            target,
        )
    vae = None
    if with_vae:
        with open_weights(find_weights(folder / "vae")) as weights:
            vae = build_vae(weights, target, config=read_json(folder / "vae" / "config.json"))
    words = folder / "tokenizer"
    scheduler = folder / "scheduler" / "scheduler_config.json"
    prediction = read_json(scheduler).get("prediction_type", "epsilon") if scheduler.is_file() else "epsilon"
    return Parts(
        unet=unet,
        vae=vae,
        text_encoders=[text_encoder],
        tokenizers=[tokenizer(words) if (words / "vocab.json").is_file() else tokenizer()],
        prediction_type=prediction,
    )


def _encode(model: Any, captions: list[str], *, max_token_length: int = 75, clip_skip: int = 1, weighted: bool = False) -> Any:
    tokens, encoder = model.tokenizers[0], model.text_encoders[0]
    if weighted:
        ids, factors = text.tokenize_weighted(tokens, captions, max_token_length)
        return text.encode_weighted(encoder, ids, factors, clip_skip)
    return text.encode(encoder, text.tokenize(tokens, captions, max_token_length), clip_skip)


def _predict(unet: torch.nn.Module, latents: torch.Tensor, timesteps: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
    return unet(latents, timesteps, encoder_hidden_states=conditioning, return_dict=False)[0]


SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1",
    load_file=_load_file,
    load_folder=_load_folder,
    encode=_encode,
    predict=_predict,
)
