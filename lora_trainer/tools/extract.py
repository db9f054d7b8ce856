"""`extract_lora_from_models`: the difference of two checkpoints as a LoRA.

python -m lora_trainer extract_lora_from_models --model_org base.safetensors --model_tuned tuned.safetensors --dim 16 \
    --save_to difference.safetensors
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import log, modelfile
from ..checkpoints.opening import open_checkpoint
from ..checkpoints.stream import Progress, largest
from ..errors import InputError, LoraFileError
from ..log import logger
from ..models.family import V_PREDICTION
from ..models.weights import Weights
from ..networks import files
from ..networks.metadata import base_model_version
from ..options.tool_cli import parse
from ..options.tools.extract_lora import ExtractLora
from . import lowrank
from .families import FAMILY_TITLES
from .identity import Identity
from .layers import Place, places
from .lorafile import Factors, device_of, output_path, tensors_of
from .provenance import modelspec, needed, whose

_LEARNED = ("model.diffusion_model.", "cond_stage_model.", "conditioner.")  # the VAE is no part of what a LoRA changes


def main(argv: Sequence[str]) -> int:
    """Extract as the arguments say; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    path = run(parse(ExtractLora, "extract_lora_from_models", argv), log.progress_lines())
    logger.info("written: %s", path)
    return 0


def run(options: ExtractLora, progress: Progress | None = None) -> Path:
    """Extract as `options` say; returns the file written."""
    assert options.save_to and options.model_org and options.model_tuned
    path = output_path(options.save_to, [options.model_org, options.model_tuned], overwrite=options.overwrite)
    device = device_of(options.device)
    with open_checkpoint(Path(options.model_org)) as original, open_checkpoint(Path(options.model_tuned)) as tuned:
        family = _family(original, tuned, options)
        modules = extracted(
            original,
            tuned,
            rank=options.dim,
            conv_rank=options.conv_dim,
            min_diff=options.min_diff,
            clamp_quantile=options.clamp_quantile,
            device=device,
            progress=progress,
        )
        _tell_left_out(original, tuned, modules, conv=options.conv_dim is not None)
        identities = [Identity.of(weights, family) for weights in (tuned, original)]
    predicts_v = options.v_parameterization or any(identity.prediction == V_PREDICTION for identity in identities)
    version = base_model_version(family, predicts_v)
    conv = options.conv_dim
    arguments = {} if conv is None else {"conv_dim": str(conv), "conv_alpha": str(float(conv))}
    metadata = needed(version=version, dim=options.dim, alpha=float(options.dim), arguments=arguments)
    if not options.no_metadata:
        sure = predicts_v or any(identity.is_sure for identity in identities)
        metadata |= modelspec(path, version, predicts_v=predicts_v, sure=sure)
        metadata |= whose([identity.own for identity in identities])
    files.save(path, tensors_of(modules), metadata, options.save_precision or "float")
    return path


def extracted(
    original: Weights,
    tuned: Weights,
    *,
    rank: int,
    conv_rank: int | None = None,
    min_diff: float = 0.01,
    clamp_quantile: float = 1.0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> dict[str, Factors]:
    """The LoRA nearest to tuned - original: `rank` on what plain LoRA trains; with `conv_rank`, on the resnets too.

    alpha = rank. Text encoders none of whose weights differs by more than `min_diff` are left out, and so are layers that do
    not differ at all. Ranks are at most the layer's channels. Raises LoraFileError when nothing differs, or a difference holds
    NaN.
    """
    conv = conv_rank is not None
    names = {name: place for name, place in places(original.shapes).items() if place.lierla or (conv and place.c3lier)}
    unet = [name for name in names if name.startswith("lora_unet_")]
    text = [name for name in names if not name.startswith("lora_unet_")]
    if all(largest(_difference(original, tuned, names[name])) <= min_diff for name in text):  # NaN counts as different
        if most := max((largest(_difference(original, tuned, names[name])) for name in text), default=0.0):
            logger.warning(
                "the text encoders are left out: none of their weights differs by more than %.3g, below --min_diff %g. "
                "--min_diff 0 takes them along.", most, min_diff,
            )  # fmt: skip
        text = []
    result: dict[str, Factors] = {}
    wanted = sorted([*text, *unet])
    for number, name in enumerate(wanted, 1):
        difference = _difference(original, tuned, names[name])
        most = largest(difference)
        if not math.isfinite(most):
            raise LoraFileError(
                f"the models' difference in {names[name].key} holds NaN or infinity.", advice="Use another copy of the models."
            )
        if most:
            conv = difference.ndim == 4 and difference[0, 0].numel() > 1
            layer_rank = (conv_rank or rank) if conv else rank
            result[name] = _factors(difference.to(device or "cpu"), layer_rank, clamp_quantile, name)
        if progress:
            progress(number, len(wanted))
    fewer = [name for name, f in result.items() if f.rank < ((conv_rank or rank) if f.is_conv3x3 else rank)]
    if fewer:
        logger.info("%d of %d layers have no more ranks than they get, for example %s: %d.",
                    len(fewer), len(result), fewer[0], result[fewer[0]].rank)  # fmt: skip
    if not result:
        raise LoraFileError("the two models are equal in every layer that a LoRA can change.", advice="Check the two paths.")
    return result


def _tell_left_out(original: Weights, tuned: Weights, modules: Mapping[str, Factors], *, conv: bool) -> None:
    """Say what differs between the models and is not in the LoRA: resnets that were not asked for, what no LoRA can hold."""
    known = places(original.shapes)
    held = {known[name].key for name in modules}
    resnets = {place.key for place in known.values() if place.c3lier and not place.lierla and not conv}
    text = {place.key for name, place in known.items() if not name.startswith("lora_unet_")}
    both = [key for key in original.shapes if key in tuned.shapes and key not in held | text and key.startswith(_LEARNED)]
    differing = [key for key in both if not _equal(original.tensor(key), tuned.tensor(key))]
    if count := sum(key in resnets for key in differing):
        logger.warning("%d layers of the resnets and samplers differ, too: --conv_dim takes them along.", count)
    if others := [key for key in differing if key not in resnets]:
        logger.warning(
            "%d other tensors differ, which a LoRA does not hold (biases, norms, ...), for example %s.", len(others), others[0]
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.numel() == other.numel() and torch.equal(one.reshape(other.shape).float(), other.float())


def _difference(original: Weights, tuned: Weights, place: Place) -> Tensor:
    """tuned - original in the module's rows, float32, in the original's shape."""
    before = original.tensor(place.key)
    rows = place.rows(tuple(before.shape))
    return tuned.tensor(place.key)[rows].float().reshape(before[rows].shape) - before[rows].float()


def _factors(difference: Tensor, rank: int, clamp_quantile: float, name: str) -> Factors:
    matrix = difference.flatten(1)
    svd = lowrank.of_matrix(matrix, min(rank, *difference.shape[:2]), name=name)
    rank = min(rank, *difference.shape[:2], lowrank.effective(svd.values))
    down, up = svd.factors(rank)
    if clamp_quantile < 1.0:
        down, up = clamped(down, up, clamp_quantile)
    shape = difference.shape
    spread = (1,) * (difference.ndim - 2)
    return Factors(
        down.reshape(rank, *shape[1:]).contiguous().cpu(), up.reshape(shape[0], rank, *spread).contiguous().cpu(), float(rank)
    )


def clamped(down: Tensor, up: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Cut the values of both factors to plus/minus the `quantile` of their sizes.

    Taken where kohya-ss takes it, with the singular values all in `up`; but of the sizes, so that it does not depend on which
    of the two signs a singular vector happened to get.
    """
    size = down.norm(dim=1).clamp(min=1e-30)
    down, up = down / size[:, None], up * size
    every = torch.cat([up.flatten(), down.flatten()]).abs()
    limit = every.sort().values[max(0, min(len(every) - 1, round(quantile * len(every)) - 1))]
    return down.clamp(-limit, limit), up.clamp(-limit, limit)


def _family(original: Weights, tuned: Weights, options: ExtractLora) -> str:
    """The family of both models; raises InputError when it is not the same, or not what the options say."""
    kinds = []
    for field, weights in (("model_org", original), ("model_tuned", tuned)):
        kind, _ = modelfile.classify(weights.shapes)
        if kind not in FAMILY_TITLES:
            raise InputError(
                f"{weights.path} is {modelfile.TITLES[kind]}, not a checkpoint of Stable Diffusion.",
                field=field,
                where=f"--{field}",
                advice="Choose the full checkpoint (.safetensors or .ckpt).",
            )
        kinds.append(kind)
    if kinds[0] != kinds[1]:
        raise InputError(
            f"the original is {modelfile.TITLES[kinds[0]]}, the tuned model {modelfile.TITLES[kinds[1]]}.",
            field="model_tuned",
            where="--model_tuned",
            advice="Give two models of which one was made from the other.",
        )
    for flag, family in (("v2", "sd2"), ("sdxl", "sdxl")):
        if getattr(options, flag) and kinds[0] != family:
            raise InputError(
                f"the models are {FAMILY_TITLES[kinds[0]]}, but --{flag} was given.",
                field=flag,
                where=f"--{flag}",
                advice=f"Leave --{flag} out.",
            )
    for name, place in places(original.shapes).items():
        shapes = [weights.shapes.get(place.key) for weights in (original, tuned)]
        if shapes[1] is None or (shapes[0] or ())[:2] != shapes[1][:2]:
            raise InputError(
                f"the layer {name} has the shape {list(shapes[0] or ())} in the original and "
                f"{list(shapes[1]) if shapes[1] else 'is missing'} in the tuned model.",
                field="model_tuned",
                where="--model_tuned",
                advice="Give two models of which one was made from the other.",
            )
    return kinds[0]
