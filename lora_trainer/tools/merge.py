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
from ..checkpoints.opening import open_checkpoint
from ..checkpoints.stream import Progress, converted, largest, write_checkpoint
from ..errors import InputError, LoraFileError, SaveError
from ..log import logger
from ..models.weights import Weights
from ..networks import bundled, files
from ..options.tool_cli import parse
from ..options.tools.merge_lora import MergeLora
from .families import FAMILY_TITLES, titles
from .identity import Configuration, Identity
from .layers import Place, places
from .lorafile import Factors, Lora, output_path, read_all, tensors_of, words_of_all
from .provenance import merged_modelspec, needed, shape_of, version_of
from .same_family import common_family
from .sums import added, concatenated, shuffled

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
        _lora_with_lora(options, path, loras, precision, save_dtype)
        return path
    if options.concat or options.shuffle:
        raise InputError(
            "concat and shuffle are for merging LoRAs with each other.", where="--concat", advice="Leave them out."
        )
    with open_checkpoint(Path(options.sd_model)) as weights:
        family = _checkpoint_family(weights)
        if options.v2 and family != "sd2":
            raise _not_v2(options.sd_model)
        _refuse_other_family(loras, family, weights.path)
        for lora in loras:
            if names := bundled.names_in(lora.words):
                logger.warning(
                    "%s: a checkpoint has no place for the word %s, which is left out; convert_lora --to peft saves it.",
                    lora.path.name, ", ".join(names),
                )  # fmt: skip
        configuration = Configuration.of(weights.path, path, overwrite=options.overwrite)
        identity = Identity.of(weights, family)
        metadata = identity.metadata(path, loras, whole=not options.no_metadata)
        into_checkpoint(
            weights, loras, options.ratios, path, precision, save_dtype, metadata, progress, marks=identity.marks(path)
        )
        configuration.copy()
    return path


def _lora_with_lora(
    options: MergeLora, path: Path, loras: Sequence[Lora], precision: torch.dtype, save_dtype: torch.dtype
) -> None:
    assert options.models and options.ratios is not None
    family = common_family(loras)
    if options.v2 and family not in ("sd2", None):
        raise _not_v2(options.models[0])
    if options.shuffle and not options.concat:
        raise InputError("shuffle has no effect without concat.", where="--shuffle", advice="Give --concat, or leave it out.")
    words = words_of_all(loras)
    merged = concatenated(loras, options.ratios) if options.concat else added(loras, options.ratios)
    if options.shuffle:
        merged = shuffled(merged)
    merged = {name: Factors(f.down.to(precision), f.up.to(precision), f.alpha) for name, f in merged.items()}
    version = version_of(loras, family)
    dim, alpha = shape_of(merged)
    metadata = needed(version=version, dim=dim, alpha=alpha)
    if not options.no_metadata:
        metadata |= merged_modelspec(path, version, loras)
    files.save(path, tensors_of(merged, words), metadata, save_dtype)


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
    *,
    marks: Sequence[str] = (),
) -> None:
    """Write the checkpoint `weights` with `loras` merged in to `path`, one tensor at a time.

    Sums are computed in float32, rounded to `precision`, and saved as `save_dtype`. Tensors that are no floating numbers stay
    as they are. `marks` are names of empty tensors to write besides. Raises LoraFileError for a module that fits no layer,
    SaveError for values that `save_dtype` cannot hold.
    """
    changes = changes_by_tensor(weights.shapes, loras, ratios)

    def make(name: str) -> Tensor:
        if name in marks:
            return torch.zeros(0)
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
    result |= dict.fromkeys(marks, (torch.float32, (0,)))
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
        if family not in lora.families:
            raise InputError(
                f"{lora.path.name} was made for {titles(lora.families)}, but {path.name} is a {FAMILY_TITLES[family]} model.",
                field="models",
                where="--models",
                advice="Choose a checkpoint of the family that the LoRA was made for.",
            )


def _not_v2(path: str) -> InputError:
    return InputError(
        f"{path} is not for Stable Diffusion 2, but --v2 was given.", field="v2", where="--v2", advice="Leave --v2 out."
    )
