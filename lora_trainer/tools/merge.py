"""`merge_lora`: LoRAs into a checkpoint, or LoRAs with each other, without changing the rank.

python -m lora_trainer merge_lora --sd_model model.safetensors --models a.safetensors b.safetensors --ratios 0.8 0.5 \
    --save_to merged.safetensors
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import log, modelfile
from ..errors import InputError, LoraFileError, SaveError
from ..log import logger
from ..models.weights import Weights, open_weights
from ..networks import files
from ..options.tool_cli import parse
from ..options.tools import MergeLora
from ..paths import write_atomic
from ..randomness import seed_of
from .layers import Place, places
from .lorafile import FAMILY_TITLES, Factors, Lora, common_family, output_path, read_all, tensors_of
from .provenance import modelspec, needed, shape_of, version_of
from .stream import Progress, converted, largest, write_checkpoint

Change = tuple[Place, Factors, float]
"""A place in the checkpoint, what changes it, and the ratio."""


def main(argv: Sequence[str]) -> int:
    """Merge as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    options = parse(MergeLora, "merge_lora", argv)
    path = run(options, log.progress_lines())
    logger.info("written: %s", path)
    return 0


def run(options: MergeLora, progress: Progress | None = None) -> Path:
    """Merge as `options` say; returns the file written."""
    assert options.save_to and options.models and options.ratios is not None
    inputs = [*options.models, *([options.sd_model] if options.sd_model else [])]
    path = output_path(options.save_to, inputs, overwrite=options.overwrite)
    loras = read_all(options.models, options.ratios)
    precision = getattr(torch, files.PRECISIONS[options.precision])
    save_dtype = getattr(torch, files.PRECISIONS[options.save_precision or options.precision])
    if options.sd_model is None:
        if options.v2 and common_family(loras) not in ("sd2", None):
            raise _not_v2(options.models[0])
        merged = concatenated(loras, options.ratios) if options.concat else added(loras, options.ratios)
        if options.concat and options.shuffle:
            merged = shuffled(merged)
        merged = {name: Factors(f.down.to(precision), f.up.to(precision), f.alpha) for name, f in merged.items()}
        version = version_of(loras, common_family(loras))
        dim, alpha = shape_of(merged)
        metadata = needed(version=version, dim=dim, alpha=alpha)
        if not options.no_metadata:
            metadata |= modelspec(path, version, merged_from=[lora.path.stem for lora in loras])
        files.save(path, tensors_of(merged), metadata, save_dtype)
        return path
    if options.concat or options.shuffle:
        raise InputError(
            "concat and shuffle are for merging LoRAs with each other.", where="--concat", advice="Leave them out."
        )
    with open_weights(Path(options.sd_model)) as weights:
        family = _checkpoint_family(weights)
        if options.v2 and family != "sd2":
            raise _not_v2(options.sd_model)
        _refuse_other_family(loras, family, weights.path)
        version = _checkpoint_version(loras, family)
        merged_from = [weights.path.stem, *(lora.path.stem for lora in loras)]
        metadata = {} if options.no_metadata else modelspec(path, version, merged_from=merged_from, lora=False)
        into_checkpoint(weights, loras, options.ratios, path, precision, save_dtype, metadata, progress)
        _copy_configuration(weights.path, path, overwrite=options.overwrite)
    return path


# ---- into a checkpoint -----------------------------------------------------------------------------------------------
def into_checkpoint(
    weights: Weights,
    loras: Sequence[Lora],
    ratios: Sequence[float],
    path: Path,
    precision: torch.dtype,
    save_dtype: torch.dtype,
    metadata: Mapping[str, str],
    progress: Progress | None = None,
) -> None:
    """Write the checkpoint `weights` with `loras` merged in to `path`, one tensor at a time.

    Sums are computed in float32, rounded to `precision`, and saved as `save_dtype`. Tensors that are no floating numbers stay
    as they are. Raises LoraFileError for a module that fits no layer, SaveError for values that `save_dtype` cannot hold.
    """
    changes = changes_by_tensor(weights.shapes, loras, ratios)

    def make(name: str) -> Tensor:
        tensor = weights.tensor(name)
        if name in changes:
            tensor = merged_weight(tensor, changes[name])
            if not math.isfinite(largest(tensor)):
                raise SaveError(
                    f"{path} was not written: {name} holds NaN or infinity after the merge.",
                    advice=f"Use another copy of {weights.path}, and smaller ratios.",
                )
            tensor = converted(name, tensor, precision, path)
        return converted(name, tensor, save_dtype, path)

    def dtype_of(name: str) -> torch.dtype:
        own = weights.tensor(name).dtype
        return save_dtype if own.is_floating_point else own

    result = {name: (dtype_of(name), shape) for name, shape in weights.shapes.items()}
    write_checkpoint(path, result, make, metadata, progress)


def changes_by_tensor(
    shapes: Mapping[str, tuple[int, ...]], loras: Sequence[Lora], ratios: Sequence[float]
) -> dict[str, list[Change]]:
    """{checkpoint tensor: what the LoRAs change in it}. Raises LoraFileError for modules that fit no layer."""
    known = places(shapes)
    changes: dict[str, list[Change]] = {}
    for lora, ratio in zip(loras, ratios, strict=True):
        for name, factors in lora.modules.items():
            place = known.get(name)
            if place is None or not place.fits(shapes[place.key], factors.layer_shape):
                found = f", whose layer has the shape {list(shapes[place.key])}" if place else ""
                raise LoraFileError(
                    f"{lora.path}: the module {name} ({list(factors.layer_shape)}) fits no layer of this checkpoint{found}.",
                    advice="Use a checkpoint of the family that the LoRA was made for.",
                )
            changes.setdefault(place.key, []).append((place, factors, ratio))
    return changes


def merged_weight(weight: Tensor, changes: Sequence[Change]) -> Tensor:
    """`weight` + the sum of ratio * alpha / rank * (up @ down), float32."""
    result = weight.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    for place, factors, ratio in changes:
        part = result[place.rows(tuple(weight.shape))].flatten(1)  # a view: rows lie together
        part.addmm_(factors.up.flatten(1).float(), factors.down.flatten(1).float(), alpha=ratio * factors.strength)
    return result


def _copy_configuration(checkpoint: Path, path: Path, *, overwrite: bool) -> None:
    """Copy the checkpoint's `NAME.yaml`, which says what tensors cannot tell, beside the result: it is the same model."""
    configuration, own = checkpoint.with_suffix(".yaml"), path.with_suffix(".yaml")
    if not configuration.is_file() or (own.exists() and not overwrite):
        return
    write_atomic(own, lambda file: file.write(configuration.read_bytes()))
    logger.info("written: %s", own)


def _checkpoint_family(weights: Weights) -> str:
    kind, _ = modelfile.classify(weights.shapes)
    if kind not in FAMILY_TITLES:
        raise InputError(
            f"{weights.path} is {modelfile.TITLES[kind]}, not a checkpoint of Stable Diffusion.",
            field="sd_model",
            where="--sd_model",
            advice="Choose the full checkpoint (.safetensors or .ckpt).",
        )
    return kind


def _refuse_other_family(loras: Sequence[Lora], family: str, path: Path) -> None:
    for lora in loras:
        if lora.family not in (None, family):
            raise InputError(
                f"{lora.path.name} was made for {FAMILY_TITLES[lora.family or '']}, but {path.name} is a "
                f"{FAMILY_TITLES[family]} model.",
                field="models",
                where="--models",
                advice="Choose a checkpoint of the family that the LoRA was made for.",
            )


def _checkpoint_version(loras: Sequence[Lora], family: str) -> str:
    """The version text of the LoRAs when it fits the checkpoint's family (it knows whether the model predicts v)."""
    return version_of([lora for lora in loras if lora.family == family], family)


def _not_v2(path: str) -> InputError:
    return InputError(
        f"{path} is not for Stable Diffusion 2, but --v2 was given.", field="v2", where="--v2", advice="Leave --v2 out."
    )


# ---- LoRA with LoRA --------------------------------------------------------------------------------------------------
def added(loras: Sequence[Lora], ratios: Sequence[float]) -> dict[str, Factors]:
    """Add the factors of LoRAs of one rank, each factor times the root of its ratio; alpha is that of the first file.

    (U1 + U2)(D1 + D2) has cross terms, so the result is the sum of the effects only where the files share a factor;
    `svd_merge` or `concatenated` are right for all. One LoRA alone with ratio 0.5 keeps half of its effect. The sign of a
    negative ratio goes to `up`. Raises InputError when ranks differ.
    """
    common_family(loras)
    result: dict[str, Factors] = {}
    for lora, ratio in zip(loras, ratios, strict=True):
        for name, factors in lora.modules.items():
            first = result.get(name)
            alpha = first.alpha if first else factors.alpha
            share = ratio * factors.alpha / alpha if alpha else 0.0
            root = math.sqrt(abs(share))
            down, up = factors.down.float() * root, factors.up.float() * math.copysign(root, share)
            if first:
                if first.rank != factors.rank:
                    raise InputError(
                        f"{name} has rank {factors.rank} in {lora.path.name}, but {first.rank} in a file before it: factors of "
                        "different ranks cannot be added.",
                        field="models",
                        where="--models",
                        advice="Use svd_merge_lora, or --concat.",
                    )
                down, up = first.down + down.view_as(first.down), first.up + up.view_as(first.up)
            result[name] = Factors(down, up, alpha)
    return dict(sorted(result.items()))


def concatenated(loras: Sequence[Lora], ratios: Sequence[float]) -> dict[str, Factors]:
    """The exact sum of the effects: ranks side by side, so that they add up; alpha is that of the first file."""
    common_family(loras)
    parts: dict[str, list[tuple[Factors, float]]] = {}
    for lora, ratio in zip(loras, ratios, strict=True):
        for name, factors in lora.modules.items():
            parts.setdefault(name, []).append((factors, ratio))
    result = {}
    for name, pairs in sorted(parts.items()):
        first, rank = pairs[0][0], sum(factors.rank for factors, _ in pairs)
        alpha = first.alpha or float(rank)
        downs, ups = [], []
        for factors, ratio in pairs:
            share = ratio * factors.strength * rank / alpha
            root = math.sqrt(abs(share))
            downs.append(factors.down.float().reshape(-1, *first.down.shape[1:]) * root)
            up = factors.up.float() * math.copysign(root, share)
            ups.append(up.reshape(up.shape[0], -1, *first.up.shape[2:]))
        result[name] = Factors(torch.cat(downs), torch.cat(ups, dim=1), alpha)
    return result


def shuffled(modules: Mapping[str, Factors]) -> dict[str, Factors]:
    """The same modules with the order of their ranks mixed (a draw that depends on the module's name alone)."""
    result = {}
    for name, factors in modules.items():
        order = torch.randperm(factors.rank, generator=torch.Generator().manual_seed(seed_of(0, f"shuffle/{name}")))
        result[name] = Factors(factors.down[order], factors.up[:, order], factors.alpha)
    return result
