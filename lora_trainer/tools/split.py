"""`extract_lora_from_dylora`: the smaller LoRAs that a DyLoRA holds, one file a rank.

python -m lora_trainer extract_lora_from_dylora --model dylora.safetensors --unit 4 --save_to split.safetensors
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .. import log
from ..checkpoints.stream import Progress
from ..errors import InputError
from ..log import logger
from ..networks import files
from ..options.tool_cli import parse
from ..options.tools.split_dylora import SplitDylora
from .lorafile import Factors, Lora, output_path, read, refuse_existing, tensors_of


def main(argv: Sequence[str]) -> int:
    """Split as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    for path in run(parse(SplitDylora, "extract_lora_from_dylora", argv), log.progress_lines()):
        logger.info("written: %s", path)
    return 0


def run(options: SplitDylora, progress: Progress | None = None) -> list[Path]:
    """Write one file for each multiple of the unit below the full rank; returns them. All is checked before the first."""
    assert options.model and options.save_to and options.unit
    target = output_path(options.save_to, [options.model], overwrite=True)
    lora = read(options.model)
    full = max(factors.rank for factors in lora.modules.values())
    _check_unit(lora, options.unit, full)
    ranks = range(options.unit, full, options.unit)
    if not ranks:
        logger.warning("nothing to split: the unit %s is not below the rank of %s, %s", options.unit, lora.path.name, full)
    paths = [target.with_name(f"{target.stem}-{rank:04d}{target.suffix}") for rank in ranks]
    for path in paths:
        refuse_existing(path, [options.model], overwrite=options.overwrite)
    for number, (rank, path) in enumerate(zip(ranks, paths, strict=True), 1):
        modules = prefix(lora, rank)
        metadata = _metadata(lora, path, modules, rank, full)
        files.save(path, tensors_of(modules, lora.words), metadata, options.save_precision or lora.dtype)
        if progress:
            progress(number, len(paths))
    return paths


def prefix(lora: Lora, rank: int) -> dict[str, Factors]:
    """The LoRA of the first `rank` ranks of every module; smaller modules stay whole.

    alpha shrinks with the rank, so that alpha / rank, and with it the effect of each rank that is kept, is that of the whole:
    this is how the network was trained (see networks.dylora).
    """
    return {
        name: factors
        if factors.rank <= rank
        else Factors(factors.down[:rank].contiguous(), factors.up[:, :rank].contiguous(), factors.strength * rank)
        for name, factors in lora.modules.items()
    }


def _check_unit(lora: Lora, unit: int, full: int) -> None:
    """Refuse ranks that were not trained for where the file says so; warn where it does not say."""
    try:
        trained = int(json.loads(lora.metadata.get("ss_network_args", "{}")).get("unit", 0))
    except (ValueError, TypeError, AttributeError):
        trained = 0
    if trained and unit % trained:
        raise InputError(
            f"{lora.path.name} was trained with unit {trained}, of which {unit} is no multiple: ranks between were not trained "
            "to stand alone.",
            field="unit",
            where="--unit",
            advice=f"Give {trained}, or a multiple of it.",
        )
    if full % unit:
        logger.warning("the unit %s does not divide the rank %s: was the file trained with another?", unit, full)


def _metadata(lora: Lora, path: Path, modules: dict[str, Factors], rank: int, full: int) -> dict[str, str]:
    """The source's metadata with the new dim and alpha and a note in front of its comment, in kohya-ss' words."""
    result = lora.metadata_for(path)
    comment = result.get("ss_training_comment", "")
    result |= {"ss_training_comment": f"split from DyLoRA, rank {full} to {rank}; {comment}", "ss_network_dim": str(rank)}
    try:
        result["ss_network_alpha"] = str(float(lora.metadata["ss_network_alpha"]) * rank / full)
    except (KeyError, ValueError):
        result["ss_network_alpha"] = str(next(iter(modules.values())).alpha)
    return result
