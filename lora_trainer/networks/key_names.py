"""Key names of LoRA files: which of kohya's keys each key of another program's file is. Text alone, no torch.

What is understood, for SD1, SD2 and SDXL (each `down` has its `up`, and an `alpha` where the program writes one)::

    kohya, OneTrainer   lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight   (SDXL: lora_unet_input_blocks_4_1_...)
    Web UI              diffusion_model_input_blocks_1_1_proj_in.lora_down.weight, 1_model_transformer_resblocks_0_mlp_c_fc...
    ComfyUI             diffusion_model.input_blocks.1.1.proj_in.lora_down.weight, text_encoders.clip_l.transformer...
    diffusers           unet.down_blocks.0.attentions.0.proj_in.lora.down.weight, ...attn1.processor.to_q_lora.down.weight
    PEFT                base_model.model.down_blocks.0.attentions.0.proj_in.lora_A.weight

Words of a UNet's layers are diffusers' (`down_blocks_0_...`) or those of the original code (`input_blocks_1_1_...`); kohya's
files have the latter for SDXL alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..foreign import module_patterns
from ..foreign.json_text import parse_json, read_number
from ..foreign.reading import UnreadableError

Shapes = Mapping[str, Sequence[int]]

_PART = re.compile(
    r"(?:\.lora_(?P<kohya>down|up)|\.lora_(?P<peft>[AB])(?:\.\w+)?|(?:\.lora|\.lora_linear_layer|_lora)\.(?P<old>down|up))\.weight$"
    r"|(?:\.lora|\.lora_linear_layer|_lora)?\.(?P<alpha>alpha)$"
)
_OTHER_KINDS = re.compile(r"\.(hada_|lokr_|oft_|dora_scale|lora_mid|lora_magnitude|on_input$|a1\.|diff(_b)?$|w_norm|b_norm)")
# What stands before a layer's path, with _ for every dot. "te" is the only text encoder there is, "te1" the first one.
_MODELS = (
    (re.compile(r"(?:lora_unet|lycoris|unet|(?:model_)?diffusion_model)_"), "unet"),
    (
        re.compile(
            r"(?:lora_te2|text_encoder_2|(?:text_encoders_)?clip_g(?:_transformer)?|1_model|conditioner_embedders_1_model)_"
        ),
        "te2",
    ),
    (re.compile(r"lora_te_"), "te"),
    (
        re.compile(
            r"(?:lora_te1|text_encoder|(?:text_encoders_)?clip_[lh](?:_transformer)?|(?:cond_stage_model|conditioner_embedders_0|0)"
            r"_(?:transformer|model)|transformer(?=_text_model)|model(?=_transformer_resblocks))_"
        ),
        "te1",
    ),
)
_UNET_PATH = re.compile(
    r"(?:down|up)_blocks_\d+_(?:attentions|resnets)_\d+_.+|down_blocks_\d+_downsamplers_0_conv|up_blocks_\d+_upsamplers_0_conv"
    r"|mid_block_(?:attentions|resnets)_\d+_.+|conv_in|conv_out|(?:time|add)_embedding_linear_[12]"
)
_ORIGINAL_PATH = re.compile(
    r"(?:input|output)_blocks_\d+_\d+(?:_.+)?|middle_block_\d+_.+|out_2|time_embed_[02]|label_emb_0_[02]"
)
_TEXT_PATH = re.compile(
    r"(?:text_model_)?encoder_layers_(?P<layer>\d+)_(?P<part>self_attn_[qkv]_proj|self_attn_out_proj|mlp_fc[12])"
    r"|(?:text_model_)?encoder_layers_(?P<old_layer>\d+)_self_attn_to_(?P<old>q|k|v|out)"
    r"|(?:transformer_)?resblocks_(?P<open_layer>\d+)_(?P<open>attn_[qkv]_proj|attn_out_proj|mlp_c_fc|mlp_c_proj)"
)
_OPEN_CLIP = {"mlp_c_fc": "mlp_fc1", "mlp_c_proj": "mlp_fc2"}
_RESNET = {
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_RESNET_BACK = {theirs: own for own, theirs in _RESNET.items()}
# Outside of the blocks: (original code, diffusers).
_OUTSIDE = {
    "input_blocks_0_0": "conv_in",
    "out_0": "conv_norm_out",
    "out_2": "conv_out",
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
}
_OUTSIDE_BACK = {theirs: own for own, theirs in _OUTSIDE.items()}


class _Key(NamedTuple):
    """One understood key: `model` (unet, te, te1, te2), `path` with _ for dots, a UNet's in diffusers' words; `part` in kohya's
    words; `original` says that the UNet's path stood there in the original code's words."""

    model: str
    path: str
    part: str
    original: bool = False


def kohya_keys(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> dict[str, str]:
    """{key of the file: kohya's key}, for a LoRA file with these tensors.

    Keys that are not understood stay as they are, and all do in a file of another kind (LoHa, LoKr, DoRA, ...).
    """
    if any(_OTHER_KINDS.search(key) for key in shapes):
        return {key: key for key in shapes}
    understood = {key: found for key in shapes if (found := _understood(key))}
    sdxl = _is_sdxl(understood, shapes, metadata or {})
    return {key: _kohya_key(understood[key], sdxl) if key in understood else key for key in shapes}


def _understood(key: str) -> _Key | None:
    match = _PART.search(key)
    if match is None:
        return None
    half = match["kohya"] or match["peft"] or match["old"]
    part = "alpha" if half is None else f"lora_{ {'A': 'down', 'B': 'up'}.get(half, half) }.weight"
    flat = key[: match.start()].replace(".", "_").replace("base_model_model_", "")
    model = "te1" if flat.startswith("text_model_") else "unet"
    for pattern, name in _MODELS:
        if found := pattern.match(flat):
            model, flat = name, flat[found.end() :]
            break
    if model != "unet":
        path = _text_path(flat)
        return None if path is None else _Key(model, path, part)
    flat = re.sub(r"_to_out$", "_to_out_0", flat.replace("_processor_", "_"))
    if _ORIGINAL_PATH.fullmatch(flat):
        return _Key(model, diffusers_words(flat), part, original=True)
    return _Key(model, flat, part) if _UNET_PATH.fullmatch(flat) else None


def _text_path(flat: str) -> str | None:
    match = _TEXT_PATH.fullmatch(flat)
    if match is None:
        return None
    layer = match["layer"] or match["old_layer"] or match["open_layer"]
    part = match["part"] or (match["old"] and f"self_attn_{match['old']}_proj")
    part = part or _OPEN_CLIP.get(match["open"]) or f"self_{match['open']}"
    return f"text_model_encoder_layers_{layer}_{part}"


def _is_sdxl(understood: Mapping[str, _Key], shapes: Shapes, metadata: Mapping[str, str]) -> bool:
    """Whether the file is for SDXL: by what only one of the families has, then by what is said, then by the words used."""
    if any(found.model == "te2" for found in understood.values()):
        return True
    for key, found in understood.items():
        if found.model != "unet":
            continue
        if re.match(r"down_blocks_(0_attentions|3)|up_blocks_(2_attentions|3)", found.path):
            return False
        if re.search(r"transformer_blocks_[1-9]|^add_embedding", found.path):
            return True
        if found.part == "lora_down.weight" and re.search(r"attn2_to_[kv]$", found.path) and (width := shapes[key][1:2]):
            if width[0] in (768, 1024):
                return False
            if width[0] == 2048:
                return True
    said = metadata.get("ss_base_model_version", "")
    if "sdxl" in said or "sd_v" in said:
        return "sdxl" in said
    return any(found.original or (found.model == "te1" and key.startswith("lora_te1_")) for key, found in understood.items())


def _kohya_key(found: _Key, sdxl: bool) -> str:
    if found.model == "unet":
        name = f"lora_unet_{original_words(found.path, sdxl=True) if sdxl else found.path}"
    else:
        model = found.model if sdxl else "te"
        name = f"lora_{model}_{found.path}"
    return f"{name}.{found.part}"


# ---- the two words for a UNet's layers -------------------------------------------------------------------------------
def diffusers_words(path: str, period: int = 3) -> str:
    """diffusers' path, with _ for dots, of a layer that the original code calls `path`; others are returned as they are.

    `period` is the number of input blocks from one downsampler to the next: 3 in all released models.
    """
    if path in _OUTSIDE:
        return _OUTSIDE[path]
    match = re.fullmatch(r"(input|output)_blocks_(\d+)_(\d+)_(.+)|(middle)_block_(\d+)_(.+)", path)
    if match is None:
        return path
    side, number = match[1] or match[5], int(match[2] or 0)
    part, rest = int(match[3] or match[6]), match[4] or match[7]
    level, index = divmod(number - 1 if side == "input" else number, period)
    where = {"input": f"down_blocks_{level}", "output": f"up_blocks_{level}", "middle": "mid_block"}[side]
    if rest == "op":
        return f"{where}_downsamplers_0_conv"
    if rest == "conv":
        return f"{where}_upsamplers_0_conv"
    if rest in _RESNET:
        return f"{where}_resnets_{part // 2 if side == 'middle' else index}_{_RESNET[rest]}"
    return f"{where}_attentions_{0 if side == 'middle' else index}_{rest}"


def original_words(path: str, *, sdxl: bool) -> str:
    """What the original code calls the layer at diffusers' `path`, with _ for dots; others are returned as they are."""
    if path in _OUTSIDE_BACK:
        return _OUTSIDE_BACK[path]
    if match := re.fullmatch(r"(down|up)_blocks_(\d+)_(resnets|attentions)_(\d+)_(.+)", path):
        side, level, kind, number, rest = match.groups()
        block = (
            f"input_blocks_{1 + 3 * int(level) + int(number)}"
            if side == "down"
            else f"output_blocks_{3 * int(level) + int(number)}"
        )
        return f"{block}_{'0' if kind == 'resnets' else '1'}_{_RESNET_BACK.get(rest, rest)}"
    if match := re.fullmatch(r"mid_block_(resnets|attentions)_(\d+)_(.+)", path):
        kind, number, rest = match.groups()
        return f"middle_block_{2 * int(number) if kind == 'resnets' else 1}_{_RESNET_BACK.get(rest, rest)}"
    if match := re.fullmatch(r"down_blocks_(\d+)_downsamplers_0_conv", path):
        return f"input_blocks_{3 * (int(match[1]) + 1)}_0_op"
    if match := re.fullmatch(r"up_blocks_(\d+)_upsamplers_0_conv", path):
        # Behind the attention, which SD1's and SD2's first level does not have.
        return f"output_blocks_{3 * int(match[1]) + 2}_{2 if sdxl or int(match[1]) else 1}_conv"
    return path


# ---- alpha -----------------------------------------------------------------------------------------------------------
def configured_alphas(
    keys: Mapping[str, str], shapes: Shapes, metadata: Mapping[str, str], adapter_config: Mapping[str, Any] | None
) -> dict[str, float]:
    """{module: alpha} from what stands beside the tensors: diffusers' `lora_adapter_metadata`, PEFT's adapter_config.json.

    `keys` is `kohya_keys`' result. Raises UnreadableError for an alpha_pattern that is not
    read. Modules with an alpha among the tensors, and files of which nothing is said, are left out.
    """
    try:
        packed = parse_json(metadata.get("lora_adapter_metadata", "null"))
    except UnreadableError:
        packed = None
    packed = packed if isinstance(packed, dict) else {}
    have = set(keys.values())
    result = {}
    for key, ours in keys.items():
        module = ours.removesuffix(".lora_down.weight")
        match = _PART.search(key)
        if module == ours or f"{module}.alpha" in have or match is None:
            continue
        path = key[: match.start()].removeprefix("base_model.model.")
        model = path.partition(".")[0]
        config = {name.removeprefix(f"{model}."): value for name, value in packed.items() if name.startswith(f"{model}.")}
        if config:
            path = path.removeprefix(f"{model}.")
        alpha = _alpha(config or adapter_config or {}, path, int(shapes[key][0]) if shapes[key] else 0)
        if alpha is not None:
            result[module] = alpha
    return result


def _alpha(config: Mapping[str, Any], path: str, rank: int) -> float | None:
    """PEFT's alpha of the layer at `path`, such that alpha / rank is its strength; None when `config` does not say."""
    patterns = config.get("alpha_pattern") or {}
    named = module_patterns.find(patterns, path) if isinstance(patterns, dict) else None
    alpha = read_number({"": config.get("lora_alpha") if named is None else named}, "")
    return None if alpha is None else alpha * (rank**0.5 if config.get("use_rslora") else 1.0)


# ---- writing ---------------------------------------------------------------------------------------------------------
def webui_name(module: str, family: str | None) -> str:
    """What the Web UI calls the layer of kohya's `module` inside: it accepts that in files, too. `family`: sd1, sd2, sdxl."""
    model, _, path = module.removeprefix("lora_").partition("_")
    if model == "unet":
        words = path if _ORIGINAL_PATH.fullmatch(path) else original_words(path, sdxl=family == "sdxl")
        return f"diffusion_model_{words}"
    match = _TEXT_PATH.fullmatch(path)
    open_clip = model == "te2" or family == "sd2"
    if match is None or not match["part"]:
        return module
    if not open_clip:
        return f"{'0_' if model == 'te1' else ''}transformer_{path}"
    back = {theirs: own for own, theirs in _OPEN_CLIP.items()}
    part = back.get(match["part"], match["part"].removeprefix("self_"))
    return f"{'1_' if model == 'te2' else ''}model_transformer_resblocks_{match['layer']}_{part}"
