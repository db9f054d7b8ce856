"""`svd_merge_lora`: LoRAs of any ranks into one LoRA of a new rank, the nearest there is.

python -m lora_trainer svd_merge_lora --models a.safetensors b.safetensors --ratios 0.6 0.4 --new_rank 32 \
    --save_to ab.safetensors
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from .. import log
from ..log import logger
from ..networks import files
from ..networks.functional import initial_down
from ..options.tool_cli import parse
from ..options.tools import SvdMergeLora
from . import lowrank
from .block_weights import block_weights, weight_of
from .lorafile import Factors, Lora, common_family, device_of, output_path, read_all, tensors_of
from .provenance import modelspec, needed, shape_of, version_of

Progress = Callable[[int, int], None]


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
    rank = options.new_rank if options.new_rank or options.kept_energy else 4
    conv_rank = options.new_conv_rank or rank
    weights = block_weights(options.lbws, loras) if options.lbws is not None else None
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
        metadata |= modelspec(path, version, merged_from=[lora.path.stem for lora in loras])
    files.save(path, tensors_of(merged), metadata, options.save_precision or options.precision)
    return path


def svd_merged(
    loras: Sequence[Lora],
    ratios: Sequence[float],
    *,
    rank: int | None,
    conv_rank: int | None,
    kept_energy: float | None = None,
    block_weights: Sequence[Mapping[str, float]] | None = None,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> dict[str, Factors]:
    """The best LoRA of `rank` (`conv_rank` for 3x3 convolutions) for the sum of ratio * effect, module by module; float32.

    With `kept_energy`, each module gets the smallest rank that keeps this share of its energy, at most `rank`; None is no
    limit, and no rank exceeds the layer's channels. `block_weights` has for each of `loras` weights by block (see
    `block_weights.weight_of`), by which its ratio is multiplied. alpha = rank, so that the factors are the whole effect.
    Works on the factors (see `lowrank`): no (out x in) matrix is formed. Raises InputError for files of different families.
    """
    common_family(loras)
    parts: dict[str, list[tuple[Factors, float]]] = {}
    for lora, ratio, weights in zip(loras, ratios, block_weights or [{}] * len(loras), strict=True):
        for name, factors in lora.modules.items():
            parts.setdefault(name, []).append((factors, ratio * weight_of(name, weights)))
    result = {}
    for number, (name, pairs) in enumerate(sorted(parts.items()), 1):
        target = device or torch.device("cpu")
        svd = lowrank.of_product([(f.down.to(target), f.up.to(target), ratio * f.strength) for f, ratio in pairs])
        first = pairs[0][0]
        largest = conv_rank if first.is_conv3x3 else rank
        wanted = largest if kept_energy is None else min(svd.rank_for_energy(kept_energy), largest or svd.values.numel())
        assert wanted
        result[name] = of_rank(svd, min(wanted, *first.layer_shape[:2]), first, name)
        if progress:
            progress(number, len(parts))
    return result


def of_rank(svd: lowrank.Svd, rank: int, like: Factors, name: str, *, strength: float = 1.0) -> Factors:
    """The module with the best factors of `rank`, in the layer's shape, such that alpha / rank is `strength`.

    The rank is at most what the layer can have. Where it is more than the sum has, the new places are those of a new LoRA
    (`down` random, `up` zero): without effect, and ready to be trained.
    """
    layer = like.layer_shape
    rank = min(rank, layer[0], like.down[0].numel())
    down, up = svd.factors(rank)
    if strength != 1.0 and strength != 0.0:
        root = abs(strength) ** -0.5
        down, up = down * root, up * (root if strength > 0 else -root)
    down, up = down.cpu(), up.cpu()
    if (more := rank - down.shape[0]) > 0:
        down = torch.cat([down, initial_down((more, down.shape[1]), 0, name)])
        up = torch.cat([up, torch.zeros(up.shape[0], more)], dim=1)
    return Factors(
        down.reshape(rank, *layer[1:]).contiguous(),
        up.reshape(layer[0], rank, *like.up.shape[2:]).contiguous(),
        strength * rank,
    )
