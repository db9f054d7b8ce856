"""Validation: which images are kept aside, so that the loss can be measured on pictures that no step has learned from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ...randomness import seed_of
from .model import Finding

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec


def name_of(path: str | Path) -> str:
    """What a picture is known by in draws: its folder's name and its own, the same wherever the data lie."""
    path = Path(path)
    return f"{path.parent.name}/{path.name}"


def kept_aside(spec: DatasetSpec, paths: Iterable[str], seed: int, findings: list[Finding]) -> set[str]:
    """Return those of a data set's `paths` (training images, not regularisation images) that are kept aside.

    The nearest whole number to validation_split of them, the first in an order that depends on validation_seed (`seed` where
    that is not given) and each picture's name alone: another image more or less, or the same folder at another resolution,
    changes no other image's place in it. A split that keeps none, or all, is an error.
    """
    images = sorted(set(paths))
    if not spec.validation_split or not images:
        return set()
    count = int(spec.validation_split * len(images) + 0.5)
    if count < 1:
        message = (
            f"validation_split {spec.validation_split:g} of {len(images)} images is less than half an image, so that none is "
            f"kept aside. Give {1 / len(images):.2g} or more, or leave it out."
        )
        findings.append(Finding("error", message, field="validation_split"))
    elif count == len(images):
        message = (
            f"validation_split {spec.validation_split:g} keeps all {len(images)} images aside, so that there is nothing to "
            "train. Lower it, or give more images."
        )
        findings.append(Finding("error", message, field="validation_split"))
    own = seed if spec.validation_seed is None else spec.validation_seed
    return set(sorted(images, key=lambda path: (seed_of(own, f"aside:{name_of(path)}"), path))[:count])
