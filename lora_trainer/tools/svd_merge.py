"""`svd_merge_lora`: LoRAs of any ranks into one LoRA of a new rank, the nearest there is.

python -m lora_trainer svd_merge_lora --models a.safetensors b.safetensors --ratios 0.6 0.4 --new_rank 32 \
    --save_to ab.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import log
from ..log import logger
from ..networks import files
from ..options.tool_cli import parse
from ..options.tools.svd_merge_lora import SvdMergeLora
from .block_weights import block_weights
from .lorafile import Lora, device_of, output_path, read_all, tensors_of, words_of_all
from .provenance import merged_modelspec, needed, shape_of, version_of
from .same_family import common_family
from .sums import Progress, rank_with_effect, svd_merged


def main(argv: Sequence[str]) -> int:
    """Merge as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    path = run(parse(SvdMergeLora, "svd_merge_lora", argv), log.progress_lines())
    logger.info("written: %s", path)
    return 0


def run(options: SvdMergeLora, progress: Progress | None = None) -> Path:
    """Merge as `options` say; returns the file written."""
    assert options.save_to and options.models and options.ratios is not None
    path = output_path(options.save_to, options.models, overwrite=options.overwrite)
    loras = read_all(options.models, options.ratios)
    words = words_of_all(loras)
    weights = block_weights(options.lbws, loras) if options.lbws is not None else None
    rank, conv_rank = _ranks(options, loras, weights)
    merged = svd_merged(
        loras,
        options.ratios,
        block_weights=weights,
        rank=rank,
        conv_rank=conv_rank,
        kept_energy=options.kept_energy,
        device=device_of(options.device),
        progress=progress,
    )
    version = version_of(loras, common_family(loras))
    if options.kept_energy is None:
        arguments = {"conv_dim": conv_rank, "conv_alpha": conv_rank}
        metadata = needed(version=version, dim=rank, alpha=rank, arguments=arguments)
    else:
        dim, alpha = shape_of(merged)
        metadata = needed(version=version, dim=dim, alpha=alpha, arguments={})
    if not options.no_metadata:
        metadata |= merged_modelspec(path, version, loras)
    files.save(path, tensors_of(merged, words), metadata, options.save_precision or options.precision)
    return path


def _ranks(
    options: SvdMergeLora, loras: Sequence[Lora], weights: Sequence[Mapping[str, float]] | None
) -> tuple[int | None, int | None]:
    """The rank, and that of 3x3 convolutions, that were asked for, without what would have no effect in any layer."""
    if options.new_rank is None and options.kept_energy is not None:
        return None, options.new_conv_rank
    assert options.ratios is not None
    rank, most = options.new_rank or 4, rank_with_effect(loras, options.ratios, weights)
    if rank > most and options.kept_energy is None:
        logger.info("--new_rank %d: no layer's sum has a rank above %d, and the result gets no more than that.", rank, most)
    return min(rank, most), min(options.new_conv_rank or rank, most)
