"""What is wrong with the settings of a data set, before any file is looked at.

Each value alone has been checked when the options were read; this is about what the training can do with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Finding

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec

SIZE_MULTIPLE = 8  # pixels; the VAE makes one latent of 8x8 pixels


def check_dataset(spec: DatasetSpec) -> list[Finding]:
    """Findings about one [[datasets]] table: sizes that the VAE cannot take, a batch of nothing."""
    sizes = (
        [("bucket_reso_steps", spec.bucket_reso_steps)] if spec.enable_bucket else [("resolution", s) for s in spec.resolution]
    )
    findings = []
    for name, value in dict.fromkeys(sizes):
        if value < SIZE_MULTIPLE or value % SIZE_MULTIPLE:
            nearest = max(SIZE_MULTIPLE, round(value / SIZE_MULTIPLE) * SIZE_MULTIPLE)
            message = f"{name} is {value}, but must be a multiple of {SIZE_MULTIPLE} (of 64 is best). The nearest is {nearest}."
            findings.append(Finding("error", message, field=name))
    if spec.batch_size < 1:
        findings.append(Finding("error", f"the batch size is {spec.batch_size}, expected 1 or more.", field="train_batch_size"))
    return findings
