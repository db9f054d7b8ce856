"""Sums of LoRAs on their factors, by pure functions: {module: Factors} from LoRAs and their ratios.

A module's effect is ratio * alpha / rank * (up @ down). One whose effect is none (ratio or alpha 0) neither takes part in a sum
nor says what its alpha is, unless there is nothing else. The sign of a ratio goes to `down`, as in kohya-ss' scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from ..errors import InputError
from ..networks.functional import initial_down
from ..randomness import seed_of
from . import lowrank
from .block_weights import weight_of
from .lorafile import Factors, Lora
from .same_family import common_family

Progress = Callable[[int, int], None]
Part = tuple[Factors, float, Lora]
"""A module, what its effect (alpha / rank included) is multiplied by, and the file it is from."""


def parts_of(
    loras: Sequence[Lora], ratios: Sequence[float], block_weights: Sequence[Mapping[str, float]] | None = None
) -> dict[str, list[Part]]:
    """{module: what adds up there}, without the parts that have no effect; of a module without any, the first file's.

    `block_weights` has for each of `loras` weights by block (see `block_weights.weight_of`), by which its ratio is multiplied.
    Raises InputError for files of different families.
    """
    common_family(loras)
    every: dict[str, list[Part]] = {}
    for lora, ratio, weights in zip(loras, ratios, block_weights or [{}] * len(loras), strict=True):
        for name, factors in lora.modules.items():
            every.setdefault(name, []).append((factors, ratio * weight_of(name, weights), lora))
    return {name: [part for part in parts if _counts(part)] or parts[:1] for name, parts in sorted(every.items())}


def _counts(part: Part) -> bool:
    return part[0].alpha * part[1] != 0.0


def added(loras: Sequence[Lora], ratios: Sequence[float]) -> dict[str, Factors]:
    """Add the factors of LoRAs of one rank, each factor times the root of its ratio; alpha is that of the first one.

    (U1 + U2)(D1 + D2) has cross terms, so the result is the sum of the effects only where the files share a factor;
    `svd_merged` or `concatenated` are right for all. One LoRA alone with ratio 0.5 keeps half of its effect. Raises InputError
    when ranks differ.
    """
    result: dict[str, Factors] = {}
    for name, parts in parts_of(loras, ratios).items():
        first, _, lora = parts[0]
        downs, ups = [], []
        for factors, ratio, other in parts:
            if factors.rank != first.rank:
                raise InputError(
                    f"{name} has rank {factors.rank} in {other.path.name}, but {first.rank} in {lora.path.name}: factors of "
                    "different ranks cannot be added.",
                    field="models",
                    where="--models",
                    advice="Use svd_merge_lora, or --concat.",
                )
            share = ratio * (factors.alpha / first.alpha if first.alpha else 1.0)
            root = math.sqrt(abs(share))
            downs.append(factors.down.float().view_as(first.down) * math.copysign(root, share))
            ups.append(factors.up.float().view_as(first.up) * root)
        result[name] = Factors(sum(downs[1:], downs[0]), sum(ups[1:], ups[0]), first.alpha)
    return result


def concatenated(loras: Sequence[Lora], ratios: Sequence[float]) -> dict[str, Factors]:
    """The exact sum of the effects: ranks side by side, so that they add up; alpha is that of the first one.

    Where they would be more than the layer can have, they are decomposed into as many as it can.
    """
    result = {}
    for name, parts in parts_of(loras, ratios).items():
        first, rank = parts[0][0], sum(factors.rank for factors, _, _ in parts)
        if len(parts) > 1 and rank > first.largest_rank:
            limit = first.largest_rank
            result[name] = of_rank(_decomposed(parts), limit, first, name, strength=first.alpha / limit)
            continue
        downs, ups = [], []
        for factors, ratio, _ in parts:
            share = ratio * (factors.strength * rank / first.alpha if first.alpha else 1.0)
            root = math.sqrt(abs(share))
            downs.append(factors.down.float().reshape(-1, *first.down.shape[1:]) * math.copysign(root, share))
            up = factors.up.float() * root
            ups.append(up.reshape(up.shape[0], -1, *first.up.shape[2:]))
        result[name] = Factors(torch.cat(downs), torch.cat(ups, dim=1), first.alpha)
    return result


def shuffled(modules: Mapping[str, Factors]) -> dict[str, Factors]:
    """The same modules with the order of their ranks mixed (a draw that depends on the module's name alone)."""
    result = {}
    for name, factors in modules.items():
        order = torch.randperm(factors.rank, generator=torch.Generator().manual_seed(seed_of(0, f"shuffle/{name}")))
        result[name] = Factors(factors.down[order], factors.up[:, order], factors.alpha)
    return result


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
    limit, and no rank exceeds what the layer can have. alpha = rank, so that the factors are the whole effect. Works on the
    factors (see `lowrank`): no (out x in) matrix is formed. `block_weights`: see `parts_of`. Raises InputError for files of
    different families.
    """
    every = parts_of(loras, ratios, block_weights)
    result = {}
    for number, (name, parts) in enumerate(every.items(), 1):
        svd = _decomposed(parts, device)
        first = parts[0][0]
        largest = conv_rank if first.is_conv3x3 else rank
        wanted = largest if kept_energy is None else min(svd.rank_for_energy(kept_energy), largest or first.largest_rank)
        assert wanted
        result[name] = of_rank(svd, wanted, first, name)
        if progress:
            progress(number, len(every))
    return result


def rank_with_effect(
    loras: Sequence[Lora], ratios: Sequence[float], block_weights: Sequence[Mapping[str, float]] | None = None
) -> int:
    """The largest rank that the sum has in any module: more is without effect everywhere."""
    every = parts_of(loras, ratios, block_weights).values()
    ranks = [min(sum(part[0].rank for part in parts), parts[0][0].largest_rank) for parts in every if _counts(parts[0])]
    return max(ranks, default=1)


def _decomposed(parts: Sequence[Part], device: torch.device | None = None) -> lowrank.Svd:
    target = device or torch.device("cpu")
    return lowrank.of_product([(f.down.to(target), f.up.to(target), ratio * f.strength) for f, ratio, _ in parts])


def of_rank(svd: lowrank.Svd, rank: int, like: Factors, name: str, *, strength: float = 1.0) -> Factors:
    """The module with the best factors of `rank`, in the layer's shape, such that alpha / rank is `strength`.

    The rank is at most what the layer can have. Where it is more than the sum has, the new places are those of a new LoRA
    (`down` random, `up` zero): without effect, and ready to be trained.
    """
    rank = min(rank, like.largest_rank)
    down, up = svd.factors(rank)
    if strength != 1.0 and strength != 0.0:
        root = abs(strength) ** -0.5
        down, up = down * math.copysign(root, strength), up * root
    down, up = down.cpu(), up.cpu()
    if (more := rank - down.shape[0]) > 0:
        down = torch.cat([down, initial_down((more, down.shape[1]), 0, name)])
        up = torch.cat([up, torch.zeros(up.shape[0], more)], dim=1)
    shape = like.layer_shape
    return Factors(
        down.reshape(rank, *shape[1:]).contiguous(),
        up.reshape(shape[0], rank, *like.up.shape[2:]).contiguous(),
        strength * rank,
    )
