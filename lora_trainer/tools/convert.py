"""`convert_lora`: a LoRA's key names between kohya's, the Web UI's, PEFT's and diffusers'.

python -m lora_trainer convert_lora pytorch_lora_weights.safetensors --save_to frog.safetensors           # to kohya's
python -m lora_trainer convert_lora frog.safetensors --to peft --save_to pytorch_lora_weights.safetensors

kohya      lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight, .lora_up.weight, .alpha
webui      diffusion_model_input_blocks_1_1_proj_in.lora_down.weight, .lora_up.weight, .alpha
peft       unet.down_blocks.0.attentions.0.proj_in.lora_A.weight, .lora_B.weight
diffusers  unet.down_blocks.0.attentions.0.proj_in.lora.down.weight, .lora.up.weight

Every spelling that `networks.key_names` understands can be read. PEFT's and diffusers' files have no alpha: alpha / rank is
multiplied into the factors there, in a way that can be taken back to the last bit, and the alphas are noted in the metadata.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import log
from ..embeddings import files as embedding_files
from ..errors import InputError
from ..log import logger
from ..networks import bundled, files
from ..networks.key_names import diffusers_words, webui_name
from ..options.tool_cli import parse
from ..options.tools.convert_lora import ConvertLora
from .lorafile import Factors, Lora, output_path, read, refuse_existing

NOTE = "lora_trainer_folded"
"""Metadata key of a file in PEFT's or diffusers' names, JSON: {"dtype": that of the factors, "alpha": of most modules,
"alphas": {module: another}}, as they were."""
_WORDS = (
    "down_blocks", "up_blocks", "mid_block", "transformer_blocks", "proj_in", "proj_out", "to_q", "to_k", "to_v", "to_out",
    "time_emb_proj", "conv_shortcut", "conv_in", "conv_out", "time_embedding", "add_embedding", "linear_1", "linear_2",
    "text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj",
)  # fmt: skip
_NAMES = re.compile(rf"{'|'.join(_WORDS)}|[^_]+")


def main(argv: Sequence[str]) -> int:
    """Convert as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    logger.info("written: %s", run(parse(ConvertLora, "convert_lora", argv)))
    return 0


def run(options: ConvertLora) -> Path:
    """Convert as `options` say; returns the file written. Without `save_precision` every tensor keeps its number format."""
    assert options.model and options.save_to
    path = output_path(options.save_to, [options.model], overwrite=options.overwrite)
    lora = read(options.model)
    metadata = {key: value for key, value in lora.metadata_for(path).items() if key not in (NOTE, "lora_adapter_metadata")}
    modules = unfolded(lora)
    if options.to in ("kohya", "webui"):
        names = {name: webui_name(name, lora.family) if options.to == "webui" else name for name in modules}
        result = {**_with_alpha({names[name]: factors for name, factors in modules.items()}), **lora.words}
    else:
        result = to_peft(modules, diffusers=options.to == "diffusers")
        metadata |= {NOTE: _note(modules, options.save_precision), **_ranks(modules)}
        _save_words(lora, path, options)
    files.save(path, result, metadata, options.save_precision)
    return path


def _save_words(lora: Lora, path: Path, options: ConvertLora) -> None:
    """Write the words of a LoRA, for which PEFT's and diffusers' files have no place, as embeddings beside it."""
    for word, vectors in bundled.words_in(lora.words).items():
        target = path.with_name(f"{path.stem}_{word}{path.suffix}")
        refuse_existing(target, [lora.path], overwrite=options.overwrite)
        tensors = dict(zip(embedding_files.names_for(len(vectors)), vectors, strict=True))
        files.save(target, tensors, {"ss_token_string": word}, options.save_precision)
        logger.warning("the word %s has no place in such a file: it is the embedding %s.", word, target)


def _with_alpha(modules: Mapping[str, Factors]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for name, factors in modules.items():
        alpha = torch.tensor(factors.alpha, dtype=factors.down.dtype)
        result[f"{name}.{files.ALPHA}"] = alpha if float(alpha) == factors.alpha else torch.tensor(factors.alpha)
        result[f"{name}.{files.DOWN}"], result[f"{name}.{files.UP}"] = factors.down, factors.up
    return result


# ---- PEFT's and diffusers' names -------------------------------------------------------------------------------------
def to_peft(modules: Mapping[str, Factors], *, diffusers: bool = False) -> dict[str, Tensor]:
    """The tensors in PEFT's names, or diffusers' own, with alpha / rank multiplied into the factors."""
    result: dict[str, Tensor] = {}
    for name, factors in modules.items():
        path = dotted(name)
        marks = ("lora_A", "lora_B")
        if diffusers:
            marks = ("lora.down", "lora.up") if path.startswith("unet.") else ("lora_linear_layer.down", "lora_linear_layer.up")
        down, up = folded(factors)
        result[f"{path}.{marks[0]}.weight"], result[f"{path}.{marks[1]}.weight"] = down, up
    return result


def folded(factors: Factors) -> tuple[Tensor, Tensor]:
    """(down, up) with the effect of `factors` at alpha = rank.

    The powers of two in alpha / rank, which cost no bit, go to both factors in halves, the rest to `up`. In the factors' number
    format where that can be taken back to the last bit, else in float32.
    """
    shares = _shares(factors.strength)
    pair = tuple((half * share).to(half.dtype) for half, share in _wide(factors, shares))
    back = tuple((half.float() / share).to(half.dtype) for half, share in zip(pair, shares, strict=True) if share)
    if len(back) == 2 and torch.equal(back[0], factors.down) and torch.equal(back[1], factors.up):
        return pair[0], pair[1]
    down, up = (half * share for half, share in _wide(factors, shares))
    return down, up


def _wide(factors: Factors, shares: tuple[float, float]) -> list[tuple[Tensor, float]]:
    return [(factors.down.float(), shares[0]), (factors.up.float(), shares[1])]


def _shares(strength: float) -> tuple[float, float]:
    """(share of `down`, share of `up`) of a strength; their product is the strength."""
    mantissa, exponent = math.frexp(strength)
    if mantissa in (0.5, -0.5):
        mantissa, exponent = mantissa * 2, exponent - 1
    half = exponent // 2
    return 2.0**half, mantissa * 2.0 ** (exponent - half)


def _note(modules: Mapping[str, Factors], save_precision: str | None) -> str:
    every = modules.values()
    alpha = Counter(factors.alpha for factors in every).most_common(1)[0][0]
    dtype = files.PRECISIONS[save_precision] if save_precision else str(next(iter(every)).down.dtype).removeprefix("torch.")
    others = {name: factors.alpha for name, factors in modules.items() if factors.alpha != alpha}
    return json.dumps({"dtype": dtype, "alpha": alpha, "alphas": others}, separators=(",", ":"))


def _ranks(modules: Mapping[str, Factors]) -> dict[str, str]:
    """`lora_adapter_metadata` for files with several ranks: without it, diffusers gives all the commonest rank's alpha."""
    parts: dict[str, dict[str, int]] = {}
    for name, factors in modules.items():
        part, _, path = dotted(name).partition(".")
        parts.setdefault(part, {})[path] = factors.rank
    if all(len(set(ranks.values())) == 1 for ranks in parts.values()):
        return {}
    config: dict[str, Any] = {}
    for part, ranks in parts.items():
        rank = Counter(ranks.values()).most_common(1)[0][0]
        others = {path: other for path, other in ranks.items() if other != rank}
        values = {"r": rank, "lora_alpha": rank, "rank_pattern": others, "alpha_pattern": others, "target_modules": list(ranks)}
        config |= {f"{part}.{key}": value for key, value in values.items()}
    return {"lora_adapter_metadata": json.dumps(config, sort_keys=True)}


def unfolded(lora: Lora) -> dict[str, Factors]:
    """The modules as they were before `to_peft`, where the file's metadata has its note of the alphas; else as they are."""
    if NOTE not in lora.metadata:
        return dict(lora.modules)
    try:
        note = json.loads(lora.metadata[NOTE])
        alphas = {name: float(note["alphas"].get(name, note["alpha"])) for name in lora.modules}
        dtype = getattr(torch, {name: name for name in files.TYPES}[note["dtype"]])
    except (ValueError, TypeError, KeyError, AttributeError):
        logger.warning("%s: what its metadata says of alpha cannot be read; alpha is taken as the rank.", lora.path.name)
        return dict(lora.modules)
    result = {}
    for name, factors in lora.modules.items():
        shares = _shares(alphas[name] / factors.rank)
        if not all(shares) or not all(map(math.isfinite, shares)) or factors.alpha != factors.rank:
            result[name] = factors
            continue
        down, up = (half / share for half, share in _wide(factors, shares))
        result[name] = Factors(down.to(dtype), up.to(dtype), alphas[name])
    return result


def dotted(name: str) -> str:
    """diffusers' path of kohya's `name`: lora_unet_mid_block_resnets_0_conv1 -> unet.mid_block.resnets.0.conv1."""
    start, _, rest = name.removeprefix("lora_").partition("_")
    model = {"unet": "unet", "te": "text_encoder", "te1": "text_encoder", "te2": "text_encoder_2"}.get(start)
    if model is None:
        raise InputError(f"{name} is no module of Stable Diffusion 1, 2 or XL.", field="model")
    if model == "unet":
        rest = diffusers_words(rest)
    return ".".join([model, *_NAMES.findall(rest)])
