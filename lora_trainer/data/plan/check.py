"""What is wrong with the settings of a data set, before any file is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Finding

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec, SubsetSpec

SIZE_MULTIPLE = 8  # pixels; the VAE makes one latent of 8x8 pixels
INTERPOLATIONS = ("area", "bicubic", "bilinear", "box", "cubic", "lanczos", "linear", "nearest")


def check_dataset(spec: DatasetSpec) -> list[Finding]:
    """Findings about one [[datasets]] table."""
    findings = [_not_a_multiple("bucket_reso_steps", spec.bucket_reso_steps)] if spec.enable_bucket else []
    findings += [_not_a_multiple("resolution", side) for side in spec.resolution if not spec.enable_bucket]
    findings = [finding for finding in findings if finding]
    if spec.batch_size < 1:
        findings.append(Finding("error", f"the batch size is {spec.batch_size}, expected 1 or more.", field="train_batch_size"))
    if spec.validation_split:
        findings.append(_unsupported("validation_split", "Leave it out: all images are trained."))
    if spec.network_multiplier != 1.0:
        findings.append(_unsupported("network_multiplier", "Leave it out."))
    return findings + _check_interpolation(spec.resize_interpolation, "")


def check_subset(spec: SubsetSpec) -> list[Finding]:
    """Findings about one [[datasets.subsets]] table. Settings that have no effect yet are refused, not ignored."""
    where = str(spec.image_dir)
    findings = []
    if spec.face_crop_aug_range:
        findings.append(_unsupported("face_crop_aug_range", "Use random_crop, or crop the images beforehand.", where))
    if spec.alpha_mask:
        findings.append(_unsupported("alpha_mask", "Leave it out: transparent parts are then trained as white.", where))
    if spec.metadata_file:
        findings.append(_unsupported("metadata_file", "Put the captions into text files beside the images.", where))
    if spec.conditioning_data_dir:
        findings.append(_unsupported("conditioning_data_dir", "It is for training a ControlNet.", where))
    return findings + _check_interpolation(spec.resize_interpolation, where)


def _check_interpolation(name: str | None, where: str) -> list[Finding]:
    if name is None or name in INTERPOLATIONS:
        return []
    message = f"resize_interpolation is {name!r}, expected one of {', '.join(INTERPOLATIONS)}."
    return [Finding("error", message, where, "resize_interpolation")]


def _not_a_multiple(name: str, value: int) -> Finding | None:
    if value >= SIZE_MULTIPLE and value % SIZE_MULTIPLE == 0:
        return None
    nearest = max(SIZE_MULTIPLE, round(value / SIZE_MULTIPLE) * SIZE_MULTIPLE)
    message = f"{name} is {value}, but must be a multiple of {SIZE_MULTIPLE} (of 64 is best). The nearest is {nearest}."
    return Finding("error", message, field=name)


def _unsupported(name: str, advice: str, where: str = "") -> Finding:
    return Finding("error", f"{name} is not supported yet. {advice}", where, name)
