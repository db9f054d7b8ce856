"""`convert_lora`: a LoRA's key names between kohya's, PEFT's and diffusers'.

python -m lora_trainer convert_lora pytorch_lora_weights.safetensors --save_to frog.safetensors           # to kohya's
python -m lora_trainer convert_lora frog.safetensors --to peft --save_to pytorch_lora_weights.safetensors

kohya      lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight, .lora_up.weight, .alpha
peft       unet.down_blocks.0.attentions.0.proj_in.lora_A.weight, .lora_B.weight     (also with base_model.model. before it)
diffusers  unet.down_blocks.0.attentions.0.proj_in.lora.down.weight, .lora.up.weight (also ...attn1.processor.to_q_lora...)

PEFT and diffusers keep no alpha in the file, so it is multiplied into the factors there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from .. import log
from ..errors import InputError, LoraFileError
from ..log import logger
from ..networks import files
from ..networks.targets import sdxl_path
from ..options.tool_cli import parse
from ..options.tools import ConvertLora
from .layers import diffusers_path
from .lorafile import Factors, output_path, tensors_of

_WORDS = (
    "down_blocks", "up_blocks", "mid_block", "transformer_blocks", "proj_in", "proj_out", "to_q", "to_k", "to_v", "to_out",
    "time_emb_proj", "conv_shortcut", "text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj",
)  # fmt: skip
_ENCODERS = {"text_encoder": 0, "text_encoder_2": 1}
_HALF = re.compile(
    r"(?:\.lora_(?P<peft>[AB])(?:\.\w+)?|\.lora(?:_linear_layer)?\.(?P<diffusers>down|up)|_lora\.(?P<old>down|up))\.weight"
)


def main(argv: Sequence[str]) -> int:
    """Convert as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    logger.info("written: %s", run(parse(ConvertLora, "convert_lora", argv)))
    return 0


def run(options: ConvertLora) -> Path:
    """Convert as `options` say; returns the file written."""
    assert options.model and options.save_to
    path = output_path(options.save_to, [options.model], overwrite=options.overwrite)
    tensors, metadata = files.load(options.model)
    if any(key.startswith("lora_") for key in tensors):
        grouped = files.group_keys(tensors, options.model)
        modules = {name: _factors(parts) for name, parts in grouped.items()}
    else:
        modules = from_peft(tensors, options.model)
    result = tensors_of(modules) if options.to == "kohya" else to_peft(modules, diffusers=options.to == "diffusers")
    dtype = next(iter(modules.values())).down.dtype
    files.save(path, result, metadata, options.save_precision or dtype)
    return path


def _factors(parts: Mapping[str, Tensor]) -> Factors:
    down = parts[files.DOWN]
    alpha = parts.get(files.ALPHA)
    return Factors(down, parts[files.UP], float(down.shape[0]) if alpha is None else float(alpha))


def from_peft(tensors: Mapping[str, Tensor], where: str) -> dict[str, Factors]:
    """The modules, by kohya's names, of a file with PEFT's or diffusers' names. alpha is the rank, unless the file has it.

    Raises LoraFileError for a key that is not understood, and for halves of a pair: nothing is dropped in silence.
    """
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _HALF.search(key)
        if match:
            half = match["peft"] or match["diffusers"] or match["old"]
            halves.setdefault(_path(key[: match.start()]), {})["down" if half in ("A", "down") else "up"] = tensor
        elif key.endswith(".alpha"):
            halves.setdefault(_path(key.removesuffix(".alpha")), {})["alpha"] = tensor
        else:
            raise LoraFileError(f"{where} has a key that belongs to no LoRA: {key}.", advice="Use a LoRA for Stable Diffusion.")
    sdxl = any(path.startswith("text_encoder_2.") for path in halves) or any(
        path.startswith("unet.") and path.endswith("attn2.to_k") and parts["down"].shape[1] == 2048
        for path, parts in halves.items()
        if "down" in parts
    )
    result = {}
    for path, parts in sorted(halves.items()):
        for half in ("down", "up"):
            if half not in parts:
                raise LoraFileError(
                    f"{where} is incomplete: {path} has no {half} part.", advice="Use another copy of the file."
                )
        down, up = parts["down"], parts["up"]
        alpha = float(parts["alpha"]) if "alpha" in parts else float(down.shape[0])
        result[kohya_name(path, sdxl=sdxl, where=where)] = Factors(down, up, alpha)
    if not result:
        raise LoraFileError(f"{where} holds no LoRA.", advice="Choose a LoRA file.")
    return result


def _path(start: str) -> str:
    """The layer's path with the model before it: unet.down_blocks..., text_encoder.text_model..."""
    start = start.removeprefix("base_model.model.")
    start = start.replace(".processor.", ".")
    start = re.sub(r"\.to_out$", ".to_out.0", start)
    if start.startswith(("down_blocks.", "up_blocks.", "mid_block.")):
        start = f"unet.{start}"
    elif start.startswith("text_model."):
        start = f"text_encoder.{start}"
    return start


def kohya_name(path: str, *, sdxl: bool, where: str = "the file") -> str:
    """kohya's name of the module at diffusers' `path` (`unet.mid_block...`). Raises LoraFileError for another model's."""
    model, _, rest = path.partition(".")
    if model == "unet":
        return "lora_unet_" + (sdxl_path(rest) if sdxl else rest).replace(".", "_")
    if model in _ENCODERS:
        prefix = f"lora_te{_ENCODERS[model] + 1}_" if sdxl else "lora_te_"
        rest = rest if rest.startswith("text_model.") else f"text_model.{rest}"
        return prefix + rest.replace(".", "_")
    raise LoraFileError(
        f"{where} changes {path}, which is no part of Stable Diffusion 1, 2 or XL.", advice="Use a LoRA for Stable Diffusion."
    )


def to_peft(modules: Mapping[str, Factors], *, diffusers: bool = False) -> dict[str, Tensor]:
    """The tensors in PEFT's names, or diffusers' own; alpha / rank is multiplied into the factors, half into each."""
    result: dict[str, Tensor] = {}
    for name, factors in modules.items():
        path = dotted(name)
        root = abs(factors.strength) ** 0.5
        sign = 1.0 if factors.strength >= 0 else -1.0
        marks = ("lora_A", "lora_B")
        if diffusers:
            marks = ("lora.down", "lora.up") if path.startswith("unet.") else ("lora_linear_layer.down", "lora_linear_layer.up")
        result[f"{path}.{marks[0]}.weight"] = factors.down.float() * root
        result[f"{path}.{marks[1]}.weight"] = factors.up.float() * (root * sign)
    return result


def dotted(name: str) -> str:
    """diffusers' path of kohya's `name`: lora_unet_mid_block_resnets_0_conv1 -> unet.mid_block.resnets.0.conv1."""
    start, _, rest = name.removeprefix("lora_").partition("_")
    model = {"unet": "unet", "te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}.get(start)
    if model is None:
        raise InputError(f"{name} is no module of Stable Diffusion 1, 2 or XL.", field="model")
    if model == "unet":
        rest = diffusers_path(rest)
    path = rest.replace("_", ".")
    for word in _WORDS:
        path = re.sub(rf"(?<![a-z]){word.replace('_', '[.]')}(?![a-z])", word, path)
    return f"{model}.{path}"
