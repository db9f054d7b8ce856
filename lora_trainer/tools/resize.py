"""`resize_lora`: another rank for a LoRA, the same for all layers or chosen by their singular values.

python -m lora_trainer resize_lora --model big.safetensors --new_rank 8 --save_to small.safetensors
python -m lora_trainer resize_lora --model big.safetensors --new_rank 64 --dynamic_method sv_fro --dynamic_param 0.95 \
    --save_to small.safetensors
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import log
from ..errors import InputError
from ..log import logger
from ..networks import files
from ..options.tool_cli import parse
from ..options.tools.resize_lora import ResizeLora
from . import lowrank
from .lorafile import Factors, Lora, device_of, output_path, read, tensors_of
from .sums import Progress, of_rank

Choice = Callable[[Tensor, int], int]
"""(singular values, largest rank) -> rank."""


def main(argv: Sequence[str]) -> int:
    """Resize as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    path = run(parse(ResizeLora, "resize_lora", argv), log.progress_lines())
    logger.info("written: %s", path)
    return 0


def run(options: ResizeLora, progress: Progress | None = None) -> Path:
    """Resize as `options` say; returns the file written."""
    assert options.save_to and options.model
    path = output_path(options.save_to, [options.model], overwrite=options.overwrite)
    choose = choice(options.dynamic_method, options.dynamic_param)
    lora = read(options.model)
    resized, report = resized_modules(
        lora,
        rank=options.new_rank,
        conv_rank=options.new_conv_rank or options.new_rank,
        choose=choose,
        device=device_of(options.device),
        progress=progress,
    )
    if options.verbose:
        for line in report:
            logger.info(line)
    old = max(factors.rank for factors in lora.modules.values())
    if options.new_rank >= old and not options.dynamic_method:
        logger.warning("the file has rank %d: with rank %d it gets no smaller. Give a lower one.", old, options.new_rank)
    asked = {name: (options.new_conv_rank if f.is_conv else None) or options.new_rank for name, f in resized.items()}
    smaller = [name for name, factors in resized.items() if factors.rank < asked[name]]
    if smaller and not options.dynamic_method:
        logger.info("%d of %d layers can have less: %s has rank %d.",
                    len(smaller), len(resized), smaller[0], resized[smaller[0]].rank)  # fmt: skip
    metadata = _metadata(lora, path, resized, options)
    files.save(path, tensors_of(resized, lora.words), metadata, options.save_precision or lora.dtype)
    return path


def choice(method: str | None, parameter: float | None) -> Choice:
    """How the rank follows from the singular values. Raises InputError for a parameter that is missing or out of range.

    sv_ratio keeps the values above the first one / parameter, sv_fro as many as reach the share `parameter` of the Frobenius
    norm, sv_cumulative of the values' sum; each of them, as kohya-ss has it, one more than that.
    """
    if method is None:
        if parameter is not None:
            raise InputError(
                "dynamic_param means nothing without dynamic_method.", field="dynamic_param", where="--dynamic_param"
            )
        return lambda values, largest: largest
    if parameter is None:
        raise InputError(
            f"dynamic_method {method} needs dynamic_param.",
            field="dynamic_param",
            where="--dynamic_method",
            advice="Give for example --dynamic_param " + ("10." if method == "sv_ratio" else "0.9."),
        )
    if method == "sv_ratio" and parameter < 1 or method != "sv_ratio" and parameter > 1:
        expected = "at least 1 (a ratio)" if method == "sv_ratio" else "at most 1 (a share)"
        raise InputError(
            f"{parameter} is no dynamic_param for {method}: it has to be {expected}.",
            field="dynamic_param",
            where="--dynamic_param",
        )
    limit: float = parameter

    def dynamic(values: Tensor, largest: int) -> int:
        values = values.double()
        if float(values[0]) <= 1e-8:
            return 1
        values = values[: lowrank.effective(values)]
        if method == "sv_ratio":
            kept = int((values > values[0] / limit).sum())
        elif method == "sv_fro":
            kept = int((values.square().cumsum(0) / values.square().sum() < limit**2).sum()) + 1
        else:
            kept = int((values.cumsum(0) / values.sum() < limit).sum()) + 1
        return min(max(1, kept) + 1, len(values), largest)

    return dynamic


def resized_modules(
    lora: Lora,
    *,
    rank: int,
    conv_rank: int,
    choose: Choice,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Factors], list[str]]:
    """({module: the best factors of its new rank}, a line of report for each). Every module keeps its alpha / rank.

    `conv_rank` is for convolutions, 1x1 ones too, as kohya-ss has it. Works on the factors: no (out x in) matrix is formed.
    """
    result, report = {}, []
    for number, (name, factors) in enumerate(lora.modules.items(), 1):
        target = device or torch.device("cpu")
        # The strength is left out of the decomposition: a LoRA with alpha 0 is resized too.
        svd = lowrank.of_product([(factors.down.to(target), factors.up.to(target), 1.0)])
        largest = conv_rank if factors.is_conv else rank
        made = of_rank(svd, choose(svd.values, largest), factors, name)
        result[name] = Factors(made.down, made.up, factors.strength * made.rank)
        report.append(_line(name, svd.values.double(), made.rank))
        if progress:
            progress(number, len(lora.modules))
    return result, report


def _line(name: str, values: Tensor, rank: int) -> str:
    total = float(values.sum()) or 1.0
    norm = math.sqrt(float(values.square().sum())) or 1.0
    kept_sum, kept_norm = float(values[:rank].sum()) / total, math.sqrt(float(values[:rank].square().sum())) / norm
    return f"{name}: rank {rank}, {kept_sum:.1%} of the sum and {kept_norm:.1%} of the norm of the singular values kept"


def _metadata(lora: Lora, path: Path, resized: dict[str, Factors], options: ResizeLora) -> dict[str, str]:
    """The source's metadata with the new rank and a note in front of its comment, in kohya-ss' words."""
    result = lora.metadata_for(path)
    old = max(factors.rank for factors in lora.modules.values())
    comment = result.get("ss_training_comment", "")
    if options.dynamic_method:
        dim = alpha = "Dynamic"
        note = f"Dynamic resize with {options.dynamic_method}: {options.dynamic_param} from {old}"
    else:
        conv = (
            f" (conv: {options.new_conv_rank})" if options.new_conv_rank and options.new_conv_rank != options.new_rank else ""
        )
        dim = str(options.new_rank)
        strength = Counter(factors.strength for factors in resized.values()).most_common(1)[0][0]
        alpha = str(strength * options.new_rank)
        note = f"dimension is resized from {old} to {options.new_rank}{conv}"
    return {**result, "ss_training_comment": f"{note}; {comment}", "ss_network_dim": dim, "ss_network_alpha": alpha}
